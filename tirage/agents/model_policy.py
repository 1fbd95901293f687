"""The policy: one model turn after another, with hints spliced in and every token's author kept."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from tirage.agents.completion_spans import kept, up_to, whole, without_eos
from tirage.agents.continuation import CONTINUING, ContinuationMode, Path, build_request, choose_mode, holds_schemas, render_prompt, write
from tirage.agents.dialects.base import Dialect, Reading
from tirage.agents.dialects.native import NativeTokens, bound
from tirage.agents.elicitation import Elicitation
from tirage.agents.hints import HintPlan, PlannedHint, agreed, cut_reason, pick_connective
from tirage.agents.policy import Draft
from tirage.core.errors import CapabilityError, ConfigError, ModelError
from tirage.core.hint import Hint, HintPosition, HintUse
from tirage.core.message import Message, Observation
from tirage.core.problem import Problem
from tirage.core.seeds import derive_seed
from tirage.core.step import Finish, Source, Span, Step, mean_probability
from tirage.models.allowance import complete
from tirage.models.base import Completion, Model, Renderer, Request, Sampling
from tirage.models.profile import profile_of
from tirage.search.hint_moves import PREFIX
from tirage.tools.base import ToolSpec
from tirage.verification.extract import STATED, extract


def trailing(steps: Sequence[Step]) -> Sequence[Step]:
    """The steps at the end of a path that a separator ended, in order."""
    count = next((count for count, step in enumerate(reversed(steps)) if step.finish is not Finish.STEP), len(steps))
    return steps[len(steps) - count :]


MOST_STOPS = 4
"""Stop strings that OpenAI's API and vLLM's take with a request."""


class ModelPolicy:
    """A language model behind a dialect, optionally hinted."""

    def __init__(  # noqa: PLR0913 - the parts that a policy is made of
        self,
        model: Model,
        dialect: Dialect,
        *,
        sampling: Sampling,
        system: str | Callable[[str], tuple[Message, ...]] | None = None,
        hints: HintPlan | None = None,
        tools: Sequence[ToolSpec] = (),
        moves: Sequence[Hint] = (),
        separator: str | None = None,
        elicitation: Elicitation | None = None,
    ) -> None:
        """Put the parts together.

        Args:
            model: What is sampled.
            dialect: How calls are written.
            sampling: How a turn is sampled.
            system: System message, None for none; or what gives all messages before a problem's text, demonstrations among them.
            hints: When to give hints unasked.
            tools: What the model is told of, where the dialect tells it by schema.
            moves: Hints that a search may ask for, as the move `hint:ID`.
            separator: Text that ends a step, for searches over thoughts; None makes a step of all up to a call or the end.
            elicitation: How an answer is asked of a path that ended without a readable one; None leaves it without.

        Raises:
            CapabilityError: The model cannot do what the dialect, or a separator, needs.
        """
        self.model = model
        self.dialect = dialect = bound(dialect, model, [dict(tool.schema()) for tool in tools] if dialect.uses_schemas else ())
        self.sampling = sampling
        self._system = system
        self.hints = hints
        self.moves = {f"{PREFIX}{hint.id}": hint for hint in moves}
        self.waiting = dialect.stops
        self.mode = choose_mode(model, uses_schemas=dialect.uses_schemas)
        if separator is not None and self.mode in (ContinuationMode.TURNS, ContinuationMode.NATIVE):
            raise CapabilityError(
                f"{model.name} cannot go on in the middle of a turn, which a step separator needs; use a back end with raw continuation or "
                "prefill (nano, hf/PATH, vllm/NAME), or no separator"
            )
        self.separator = separator
        self.elicitation = elicitation
        self.tag = "policy"
        """Who asks, in call logs and scripts: `Request.tag`."""
        self.schema: Mapping[str, Any] | None = None
        """JSON Schema of a reply. A model that declares `structured` is held to it where it is asked by chat."""
        self._schemas = tuple(tool.schema() for tool in tools) if dialect.uses_schemas else ()
        markers = model.renderer.think_markers if model.renderer is not None else None
        # Where the prompt has opened the thinking, a hint at its start opens it no second time.
        begun = profile_of(model).thinking == "prompt"
        self._think_open = markers[0] if markers is not None and not begun else None
        self._think_close = markers[1] if markers is not None else None
        self.id = f"{model.name}|{dialect.name}|{'hinted' if hints is not None else 'free'}"

    @property
    def most_tokens(self) -> int:
        """Sampled for one step at most."""
        return self.sampling.max_tokens

    def prompt(self, problem: Problem) -> tuple[tuple[Message, ...], tuple[Span, ...]]:
        """What stands before the problem, then the problem as the user's message."""
        own, before = self._system, tuple[Message, ...]()
        if own is not None:
            before = (Message(role="system", content=own),) if isinstance(own, str) else own(problem.prompt)
        messages = (*before, Message(role="user", content=problem.prompt))
        if isinstance(self.dialect, NativeTokens):
            return messages, self.dialect.render(messages)
        return messages, render_prompt(self.model, self.mode, messages)

    async def propose(
        self, problem: Problem, path: Path, *, seed: int, hint_seed: int, most_tokens: int | None, move: str = "", ephemeral: str = ""
    ) -> Draft:
        """Splice a due hint, sample a continuation, and either read it or cut it where the next hint belongs."""
        if path.steps and path.steps[-1].finish is Finish.ELICIT:
            return await self._last_words(path, seed=seed, most_tokens=most_tokens)
        given = sum(step.hint is not None for step in path.steps)
        due = self.hints.hint(problem, hint_seed, given) if self.hints is not None and not move else None
        opening, use = self._open(path, due) if not move else self._make(path, move)
        if use is not None and due is not None and self.hints is not None:
            due = self.hints.hint(problem, hint_seed, given + 1)
        completion, reading, begun = await self._write(path, opening, due, seed=seed, most_tokens=most_tokens, ephemeral=ephemeral)
        # Whoever has thought it through twice, with code, needs no further hint; what ended the thinking then ends a step, not the turn.
        sure = due is not None and use is None and agreed(path.steps, completion.text)
        if due is not None and not sure and not reading.calls:
            cut = self._cut(completion, reading, due, hint_seed, len(path.steps))
            if cut is not None:
                return Draft(spans=(*opening, *cut), finish=Finish.CUT, hint=use, ephemeral=ephemeral, usage=completion.usage)
        calls, written = reading.calls, self.span(completion)
        if reading.ends and self.mode in CONTINUING:
            # What stands behind the first call was written without its result.
            calls, written = calls[:1], up_to(completion, reading.ends[0] - begun, self._ids)
        parted = not calls and completion.finish == "stop_string" and completion.stop_string in (self.separator, self._think_close)
        return Draft(
            spans=(*opening, written),
            finish=Finish.STEP if parted else reading.finish,
            calls=calls,
            hint=use,
            ephemeral=ephemeral,
            prior=mean_probability(completion.logprobs or ()),
            usage=completion.usage,
            problem=reading.problem,
            corrected=reading.corrected,
        )

    async def _write(
        self, path: Path, opening: tuple[Span, ...], due: PlannedHint | None, *, seed: int, most_tokens: int | None, ephemeral: str
    ) -> tuple[Completion, Reading, int]:
        """What the model writes now, up to a call or an end; how it reads; and where in the text that was read it begins."""
        stops = () if self.separator is None else (self.separator,)
        waits_for_end = due is not None and due.position in (HintPosition.MARKER, HintPosition.END_OF_THINKING)
        if self._think_close is not None and waits_for_end and self._thinking(path, opening):
            stops = (*stops, self._think_close)
        closers = self.dialect.closers if self.mode in CONTINUING else ()
        stops = (*stops, *closers[:1], *self.dialect.stops, *closers[1:])[:MOST_STOPS]
        shown = (self.inject(Source.FORCED, ephemeral), *opening) if ephemeral else opening
        request = self._request(path, shown, stops, seed=seed, most_tokens=most_tokens)
        # A block of code may reach over separators.
        begun = "".join(step.text for step in trailing(path.steps)) + "".join(span.text for span in opening)

        def goes_on(completion: Completion) -> bool:
            at_closer = completion.finish == "stop_string" and completion.stop_string in self.dialect.closers
            return at_closer and not self.dialect.read(begun + completion.text, completion).calls

        completion = await write(self.model, request, goes_on)
        self._check_prompt(request, completion)
        return completion, self.dialect.read(begun + completion.text, completion), len(begun)

    def _request(self, path: Path, opening: Sequence[Span], stops: tuple[str, ...], *, seed: int, most_tokens: int | None) -> Request:
        limit = self.sampling.max_tokens if most_tokens is None else max(1, min(self.sampling.max_tokens, most_tokens))
        sampling = replace(self.sampling, stop=stops, seed=seed, max_tokens=limit)
        schema = self.schema if holds_schemas(self.model, self.mode) else None
        return build_request(self.mode, path, opening, sampling, self._schemas, self.tag, schema)

    def _check_prompt(self, request: Request, completion: Completion) -> None:
        """Raise `ModelError` when the model read other ids than it was sent."""
        if request.ids is not None and completion.prompt_ids is not None and completion.prompt_ids != request.ids:
            raise ModelError(
                f"{self.model.name} used other prompt ids than it was sent ({len(request.ids)} sent); its tokens cannot be trusted"
            )

    async def _last_words(self, path: Path, *, seed: int, most_tokens: int | None) -> Draft:
        """The answer of a path that ended without one, begun for the policy; an end of thinking before it where that is still open."""
        assert self.elicitation is not None
        text = self.elicitation.told if self.mode in (ContinuationMode.TURNS, ContinuationMode.NATIVE) else self.elicitation.text
        read = "".join(span.text for span in path.prompt) + path.response
        if self._think_close is not None and self._think_open is not None and read.rfind(self._think_open) > read.rfind(self._think_close):
            text = f"{self._think_close}\n{text}"
        opening = (self.inject(Source.FORCED, text if not read or read.endswith("\n") else "\n" + text),)
        limit = self.elicitation.max_tokens if most_tokens is None else min(self.elicitation.max_tokens, most_tokens)
        request = self._request(path, opening, ("\n",) if self.mode in CONTINUING else (), seed=seed, most_tokens=limit)
        (completion,) = await complete(self.model, request)
        self._check_prompt(request, completion)
        return Draft(
            spans=(*opening, self.span(completion)),
            finish=Finish.LENGTH if completion.finish == "length" else Finish.STOP,
            hint=self.elicitation.use(path, at_limit=self._at_limit(path), as_user_turn=self.mode not in CONTINUING),
            prior=mean_probability(completion.logprobs or ()),
            usage=completion.usage,
        )

    def reopened(self, path: Path, step: Step) -> Step | None:
        """`step`, which would end the path, as one that is followed by the elicitation of an answer; None where there is none to elicit."""
        if self.elicitation is None or any(earlier.finish is Finish.ELICIT for earlier in path.steps):
            return None
        if step.finish is Finish.LENGTH and step.usage.tokens_out < self.sampling.max_tokens:
            # The budget ended it.
            return None
        if extract("\n".join(part.policy_text for part in (*path.steps, step)), STATED).answer is not None:
            return None
        return replace(step, spans=(*step.spans[:-1], without_eos(step.spans[-1], self.model.renderer)), finish=Finish.ELICIT)

    def show(self, path: Path, draft: Draft, observations: Sequence[Observation]) -> tuple[Span, ...]:
        """Observation text in the dialect's form, with ids of its own where the tokenizer is at hand."""
        if isinstance(self.dialect, NativeTokens):
            before = [*path.prompt, *(span for step in path.steps for span in step.spans)]
            return self.dialect.answer(path.messages, before, draft.spans, draft.calls, observations)
        tail = path.response + "".join(span.text for span in draft.spans)
        return tuple(self.inject(source, text) for source, text in self.dialect.show(tail, observations))

    def inject(self, source: Source, text: str) -> Span:
        """A span that the policy did not write."""
        ids = self.model.renderer.encode(text) if self.mode is ContinuationMode.TOKENS and self.model.renderer is not None else None
        return Span(source, text, ids)

    def without_end(self, completion: Completion) -> Span:
        """What the policy wrote, without the token that ended its turn: the path goes on."""
        return kept(completion, len(completion.text), self._ids, after=False)

    def _at_limit(self, path: Path) -> bool:
        """Whether the last step ran into the token limit of a turn."""
        return path.steps[-1].usage.tokens_out >= self.sampling.max_tokens

    def _thinking(self, path: Path, opening: Sequence[Span]) -> bool:
        """True while the end-of-thinking marker has not been written."""
        return self._think_close is not None and self._think_close not in path.response + "".join(span.text for span in opening)

    def _open(self, path: Path, due: PlannedHint | None) -> tuple[tuple[Span, ...], HintUse | None]:
        """The hint span that belongs at this very place, if one does."""
        if due is None:
            return (), None
        if not path.steps and due.position is HintPosition.START:
            position, reason = HintPosition.START, "start"
        elif path.steps and path.steps[-1].finish is Finish.CUT:
            position, reason = cut_reason(path.steps, self._think_close, at_limit=self._at_limit(path))
        else:
            return (), None
        return self._splice(path, due.hint, position, reason)

    def _make(self, path: Path, move: str) -> tuple[tuple[Span, ...], HintUse | None]:
        """The hint that a search asks for, here and now."""
        hint = self.moves.get(move)
        if hint is None:
            known = ", ".join(self.moves) or "none"
            raise ConfigError(f"policy {self.id} has no move {move!r}; its moves: {known}")
        if not path.steps:
            return self._splice(path, hint, HintPosition.START, "move")
        return self._splice(path, hint, cut_reason(path.steps, self._think_close, at_limit=self._at_limit(path))[0], "move")

    def _splice(self, path: Path, hint: Hint, position: HintPosition, reason: str) -> tuple[tuple[Span, ...], HintUse]:
        """The hint as spans at the end of the path, and the record of its use."""
        before: list[Span] = []
        if position is HintPosition.START and self._think_open is not None:
            before.append(self.inject(Source.FORCED, self._think_open + "\n"))
        line_open = bool(path.response) and not path.response.endswith("\n")
        spans = [*before, self.inject(Source.HINT, ("\n" if line_open else "") + hint.text + "\n")]
        written = [span for step in path.steps for span in step.spans] + before
        offset = sum(len(span.text) if span.ids is None else len(span.ids) for span in written)
        use = HintUse(
            hint_id=hint.id,
            family=hint.family,
            position=position,
            offset=offset,
            reason=reason,
            as_user_turn=self.mode in (ContinuationMode.TURNS, ContinuationMode.NATIVE),
        )
        return tuple(spans), use

    def _cut(self, completion: Completion, reading: Reading, due: PlannedHint, hint_seed: int, depth: int) -> tuple[Span, ...] | None:
        """What is kept of a completion at whose end (or inside which) the due hint belongs; None when it is not the place."""
        at_end = completion.finish == "stop_string" and completion.stop_string == self._think_close and self._think_close is not None
        # Where the budget ended it no hint helps.
        at_limit = completion.finish == "length" and completion.usage.tokens_out >= self.sampling.max_tokens
        if due.position is HintPosition.START or not (at_end or at_limit or completion.finish == "stop"):
            return None
        text = completion.text
        if due.position is HintPosition.MARKER:
            found = pick_connective(text, derive_seed(hint_seed, depth))
            if found is not None:
                return (kept(completion, found.end(), self._ids, after=True),)
        if at_end and self._think_close is not None:
            return (kept(completion, text.rindex(self._think_close), self._ids, after=False),)
        ended = reading.finish is Finish.STOP or (reading.finish is Finish.LENGTH and at_limit)
        return (self.without_end(completion),) if ended else None

    def span(self, completion: Completion) -> Span:
        """What the policy wrote, with ids and log-probabilities where a path is ids."""
        return whole(completion, self._ids)

    @property
    def _ids(self) -> Renderer | None:
        """Reads the ids of a completion; None where a path is text."""
        return self.model.renderer if self.mode is ContinuationMode.TOKENS else None
