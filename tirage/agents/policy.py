"""The policy: one model turn after another, with hints spliced in and every token's author kept."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

from tirage.agents.dialect import Dialect
from tirage.agents.hints import HintPlan, PlannedHint, agreed, cut_reason, pick_connective
from tirage.agents.requests import Mode, Path, build_request, choose_mode, holds_schemas, render_prompt
from tirage.core.errors import CapabilityError, ConfigError, ModelError
from tirage.core.hint import Hint, HintPosition, HintUse
from tirage.core.message import Message, Observation, ToolCall
from tirage.core.problem import Problem
from tirage.core.seeds import derive_seed
from tirage.core.step import Finish, Opening, Source, Span, Step, Usage, mean_probability
from tirage.models.base import Completion, Model, Sampling
from tirage.search.hint_moves import PREFIX
from tirage.tools.base import ToolSpec


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """What the policy offers as the next step, before its calls are run."""

    spans: tuple[Span, ...]
    finish: Finish
    calls: tuple[ToolCall, ...] = ()
    hint: HintUse | None = None
    aside: str = ""
    """What was shown for this step alone."""
    prior: float | None = None
    """Geometric mean of the sampled tokens' probabilities, in (0, 1]; None where the model gave none."""
    value: float | None = None
    """What the policy itself says the path is worth with this step; None where it does not say."""
    usage: Usage
    problem: str = ""
    """For MALFORMED: what could not be read."""
    opening: Opening | None = None
    """The prompt that was read instead of the path, for a policy of several roles."""


class Policy(Protocol):
    """Proposes steps."""

    @property
    def id(self) -> str:
        """Model and everything that makes the policy what it is."""
        ...

    def prompt(self, problem: Problem) -> tuple[tuple[Message, ...], tuple[Span, ...]]:
        """The messages for `problem` and their rendering."""
        ...

    async def propose(
        self, problem: Problem, path: Path, *, seed: int, hint_seed: int, most_tokens: int | None, move: str = "", aside: str = ""
    ) -> Draft:
        """The next step after `path`.

        `seed` fixes the draw, `hint_seed` the trajectory's hints. `move` is one of the policy's moves, empty for its own choice; `aside` is
        shown for this step alone. Raises `ConfigError` for a move that it does not have.
        """
        ...

    @property
    def waiting(self) -> tuple[str, ...]:
        """Texts at whose end the policy waits for an observation."""
        ...

    def show(self, path: Path, draft: Draft, observations: Sequence[Observation]) -> tuple[Span, ...]:
        """The spans by which the policy will read `observations`."""
        ...

    def inject(self, source: Source, text: str) -> Span:
        """A span that the policy did not write."""
        ...


def trailing(steps: Sequence[Step]) -> Sequence[Step]:
    """The steps at the end of a path that a separator ended, in order."""
    count = next((count for count, step in enumerate(reversed(steps)) if step.finish is not Finish.STEP), len(steps))
    return steps[len(steps) - count :]


class ModelPolicy:
    """A language model behind a dialect, optionally hinted."""

    def __init__(
        self,
        model: Model,
        dialect: Dialect,
        *,
        sampling: Sampling,
        system: str | None = None,
        hints: HintPlan | None = None,
        tools: Sequence[ToolSpec] = (),
        moves: Sequence[Hint] = (),
        separator: str | None = None,
    ) -> None:
        """Put the parts together.

        Args:
            model: What is sampled.
            dialect: How calls are written.
            sampling: How a turn is sampled.
            system: System message, None for none.
            hints: When to give hints unasked.
            tools: What the model is told of, where the dialect tells it by schema.
            moves: Hints that a search may ask for, as the move `hint:ID`.
            separator: Text that ends a step, for searches over thoughts; None makes a step of all up to a call or the end.

        Raises:
            CapabilityError: The model cannot do what the dialect, or a separator, needs.
        """
        self.model = model
        self.dialect = dialect
        self.sampling = sampling
        self.system = system
        self.hints = hints
        self.moves = {f"{PREFIX}{hint.id}": hint for hint in moves}
        self.waiting = dialect.stops
        self.mode = choose_mode(model, uses_schemas=dialect.uses_schemas)
        if separator is not None and self.mode in (Mode.TURNS, Mode.NATIVE):
            raise CapabilityError(
                f"{model.name} cannot go on in the middle of a turn, which a step separator needs; use a back end with raw continuation or "
                "prefill (nano, hf/PATH, vllm/NAME), or no separator"
            )
        self.separator = separator
        self.tag = "policy"
        """Who asks, in call logs and scripts: `Request.tag`."""
        self.schema: Mapping[str, Any] | None = None
        """JSON Schema of a reply. A model that declares `structured` is held to it where it is asked by chat."""
        self._schemas = tuple(tool.schema() for tool in tools) if dialect.uses_schemas else ()
        markers = model.renderer.think_markers if model.renderer is not None else None
        self._think_open = markers[0] if markers is not None else None
        self._think_close = markers[1] if markers is not None else None
        self.id = f"{model.name}|{dialect.name}|{'hinted' if hints is not None else 'free'}"

    def prompt(self, problem: Problem) -> tuple[tuple[Message, ...], tuple[Span, ...]]:
        """System message if any, then the problem as the user's message."""
        user = Message(role="user", content=problem.prompt)
        messages = (user,) if self.system is None else (Message(role="system", content=self.system), user)
        return messages, render_prompt(self.model, self.mode, messages)

    async def propose(
        self, problem: Problem, path: Path, *, seed: int, hint_seed: int, most_tokens: int | None, move: str = "", aside: str = ""
    ) -> Draft:
        """Splice a due hint, sample a continuation, and either read it or cut it where the next hint belongs."""
        given = sum(step.hint is not None for step in path.steps)
        due = self.hints.hint(problem, hint_seed, given) if self.hints is not None and not move else None
        opening, use = self._open(path, due) if not move else self._make(path, move)
        if use is not None and due is not None and self.hints is not None:
            due = self.hints.hint(problem, hint_seed, given + 1)
        limit = self.sampling.max_tokens if most_tokens is None else max(1, min(self.sampling.max_tokens, most_tokens))
        waits_for_end = due is not None and due.position in (HintPosition.MARKER, HintPosition.END_OF_THINKING)
        stops = self.dialect.stops
        if self._think_close is not None and waits_for_end and self._thinking(path, opening):
            stops = (*stops, self._think_close)
        if self.separator is not None:
            stops = (*stops, self.separator)
        sampling = replace(self.sampling, stop=stops, seed=seed, max_tokens=limit)
        shown = (self.inject(Source.FORCED, aside), *opening) if aside else opening
        schema = self.schema if holds_schemas(self.model, self.mode) else None
        request = build_request(self.mode, path, shown, sampling, self._schemas, self.tag, schema)
        (completion,) = await self.model.complete(request)
        if request.ids is not None and completion.prompt_ids is not None and completion.prompt_ids != request.ids:
            raise ModelError(
                f"{self.model.name} used other prompt ids than it was sent ({len(request.ids)} sent); its tokens cannot be trusted"
            )
        # Whoever has thought it through twice, with code, needs no further hint; what ended the thinking then ends a step, not the turn.
        sure = due is not None and use is None and agreed(path.steps, completion.text)
        if due is not None and not sure:
            cut = self._cut(completion, due, hint_seed, len(path.steps))
            if cut is not None:
                return Draft(spans=(*opening, *cut), finish=Finish.CUT, hint=use, aside=aside, usage=completion.usage)
        written = self.span(completion)
        # A block of code may reach over separators.
        begun = "".join(step.text for step in trailing(path.steps))
        reading = self.dialect.read(begun + "".join(span.text for span in (*opening, written)), completion)
        parted = completion.finish == "stop_string" and completion.stop_string in (self.separator, self._think_close)
        return Draft(
            spans=(*opening, written),
            finish=Finish.STEP if parted else reading.finish,
            calls=() if parted else reading.calls,
            hint=use,
            aside=aside,
            prior=mean_probability(completion.logprobs or ()),
            usage=completion.usage,
            problem=reading.problem,
        )

    def show(self, path: Path, draft: Draft, observations: Sequence[Observation]) -> tuple[Span, ...]:
        """Observation text in the dialect's form, with ids of its own where the tokenizer is at hand."""
        tail = path.response + "".join(span.text for span in draft.spans)
        return tuple(self.inject(source, text) for source, text in self.dialect.show(tail, observations))

    def inject(self, source: Source, text: str) -> Span:
        """A span that the policy did not write."""
        ids = self.model.renderer.encode(text) if self.mode is Mode.TOKENS and self.model.renderer is not None else None
        return Span(source, text, ids)

    def without_end(self, completion: Completion) -> Span:
        """What the policy wrote, without the token that ended its turn: the path goes on."""
        return self._keep(completion, len(completion.text), after=False)

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
            position, reason = cut_reason(path.steps, self._think_close)
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
        return self._splice(path, hint, cut_reason(path.steps, self._think_close)[0], "move")

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
            as_user_turn=self.mode in (Mode.TURNS, Mode.NATIVE),
        )
        return tuple(spans), use

    def _cut(self, completion: Completion, due: PlannedHint, hint_seed: int, depth: int) -> tuple[Span, ...] | None:
        """What is kept of a completion at whose end (or inside which) the due hint belongs; None when it is not the place."""
        at_end = completion.finish == "stop_string" and completion.stop_string == self._think_close and self._think_close is not None
        if due.position is HintPosition.START or completion.tool_calls or not (at_end or completion.finish == "stop"):
            return None
        text = completion.text
        if due.position is HintPosition.MARKER:
            found = pick_connective(text, derive_seed(hint_seed, depth))
            if found is not None:
                return (self._keep(completion, found.end(), after=True),)
        if at_end and self._think_close is not None:
            return (self._keep(completion, text.rindex(self._think_close), after=False),)
        reading = self.dialect.read(text, completion)
        return (self._keep(completion, len(text), after=False),) if reading.finish is Finish.STOP else None

    def _keep(self, completion: Completion, end: int, *, after: bool) -> Span:
        """The completion up to character `end`, widened (`after`) or narrowed to a token boundary; end-of-turn dropped."""
        renderer = self.model.renderer
        if completion.ids is None or renderer is None or self.mode is not Mode.TOKENS:
            return Span(Source.POLICY, completion.text[:end])
        ends = renderer.token_ends(completion.ids)
        if after:
            count = next(number for number, place in enumerate(ends, start=1) if place >= end)
        else:
            count = sum(place <= end for place in ends)
        while count and completion.ids[count - 1] in renderer.eos_ids:
            count -= 1
        ids = completion.ids[:count]
        logprobs = completion.logprobs[:count] if completion.logprobs is not None else None
        return Span(Source.POLICY, renderer.decode(ids), ids, logprobs)

    def span(self, completion: Completion) -> Span:
        """What the policy wrote, with ids and log-probabilities where a path is ids."""
        if self.mode is not Mode.TOKENS or completion.ids is None:
            return Span(Source.POLICY, completion.text)
        return Span(Source.POLICY, completion.text, completion.ids, completion.logprobs)
