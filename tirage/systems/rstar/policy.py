"""rStar's policy: five reasoning actions as moves (arXiv 2408.06195, section 3.2); the search over them is `tirage.search.rstar`.

Answers are sampled several times; the majority's is kept and its share is what the path is worth.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

from tirage.agents.continuation import ContinuationMode, Path, build_request, draw
from tirage.agents.dialects.base import Plain
from tirage.agents.model_policy import ModelPolicy
from tirage.agents.policy import Draft
from tirage.core.errors import ConfigError
from tirage.core.problem import Problem
from tirage.core.step import Finish, Source, Span, Usage, mean_probability
from tirage.core.tree import Node
from tirage.models.base import Completion, Model, Sampling
from tirage.search.rstar import ANSWER, ONE_STEP, REANSWER, REPHRASE, SUBQUESTION
from tirage.systems.prompts import prompt
from tirage.verification.alike import Alike, Spelling, quickly
from tirage.verification.ballot import classes, plurality
from tirage.verification.extract import STATED, extract, final_answer, final_match
from tirage.verification.reading import answer_in

CAN_ANSWER = "now we can answer the question"
"""A sub-question that says so, or that repeats the problem, is the last one."""
REASONING = prompt("rstar", "system")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Cue:
    """What opens a text: a label that the model goes on from, or what a chat model is told instead."""

    label: str
    told: str
    stop: tuple[str, ...]
    """Where the text ends, where the model goes on from the label; chat models end their turn."""


_LINE, _PARAGRAPH = ("\n",), ("\n\n",)
_CUES = {
    ONE_STEP: _Cue(label="Step {}:", told="Give the next step of the solution alone, in one or two sentences.", stop=_LINE),
    ANSWER: _Cue(label="Complete answer:", told="Now solve the problem to the end, and put the answer in \\boxed{}.", stop=()),
    SUBQUESTION: _Cue(label="Sub-question {}:", told="Ask the next sub-question that helps. Write the sub-question alone.", stop=_LINE),
    REANSWER: _Cue(label="Again sub-question {}, step by step:", told="Answer the last sub-question again, step by step.", stop=_PARAGRAPH),
    REPHRASE: _Cue(
        label="The problem in other words:", told="Say the problem in other words: what is given, what is asked.", stop=_PARAGRAPH
    ),
}
_REPLY = _Cue(label="Answer {}:", told="Answer this sub-question. End with: The answer is ...", stop=_PARAGRAPH)


def _pattern(cue: _Cue) -> str:
    return f"{re.escape(cue.label).replace(re.escape('{}'), '[0-9]+')}|{re.escape(cue.told)}"


_OPENING = re.compile(
    f"^(?:(?P<step>{_pattern(_CUES[ONE_STEP])})|{'|'.join(_pattern(cue) for cue in (*_CUES.values(), _REPLY))})", re.MULTILINE
)


class RStarPolicy(ModelPolicy):
    """Makes the moves A1 to A5, over any model."""

    def __init__(
        self,
        model: Model,
        *,
        sampling: Sampling,
        system: str | None = REASONING,
        samples: int = 10,
        last: int = 32,
        alike: Alike = quickly,
    ) -> None:
        """`samples` answers are drawn per sub-question, `last` where the path ends with the answer; `alike` says which of them agree.

        Raises ValueError below 1.
        """
        if min(samples, last) < 1:
            raise ValueError(f"rStar needs at least 1 sample of an answer, got {samples} and {last}")
        super().__init__(model, Plain(), sampling=sampling, system=system)
        self.id = f"{model.name}|rstar|{samples}+{last}"
        self._samples = samples
        self._last = last
        self._alike = alike

    @property
    def most_tokens(self) -> int:
        """A sub-question, and all samples of its answer."""
        return self.sampling.max_tokens * (1 + max(self._samples, self._last))

    async def propose(
        self, problem: Problem, path: Path, *, seed: int, hint_seed: int, most_tokens: int | None, move: str = "", ephemeral: str = ""
    ) -> Draft:
        """Make the move."""
        if move not in _CUES:
            raise ConfigError(f"policy {self.id} has no move {move!r}; its moves: {', '.join(_CUES)}; use it with the strategy rstar")
        turn = _Turn(self, path, seed=seed, most_tokens=most_tokens)
        number = _count(path, SUBQUESTION) + (move == SUBQUESTION)
        if move in (ONE_STEP, REPHRASE):
            # A step that states an answer is in the answer set, but only what was sampled several times, and so has a value, ends a path.
            (written,) = await turn.write(_CUES[move], _count(path, move) + 1)
            return turn.draft(written, final=False)
        final = move == ANSWER
        if move == SUBQUESTION:
            (asked,) = await turn.write(_CUES[move], number)
            if not asked.text.strip():
                return turn.draft(asked, final=False)
            turn.keep(asked)
            final = asks_the_whole(asked.text, problem)
        answers = await turn.write(_REPLY if move == SUBQUESTION else _CUES[move], number, count=self._last if final else self._samples)
        found = [answer_in(completion.text, problem) for completion in answers]
        best, share = majority(await Spelling(problem, self._alike).all(found))
        return turn.draft(answers[best], final=final, value=share)


class _Turn:
    """One move while it is written."""

    def __init__(self, policy: RStarPolicy, path: Path, *, seed: int, most_tokens: int | None) -> None:
        self._policy, self._path, self._seed, self._most_tokens = policy, path, seed, most_tokens
        self._spans: list[Span] = []
        self._usage = Usage()

    async def write(self, cue: _Cue, number: int, *, count: int = 1) -> list[Completion]:
        """Draw `count` texts after a cue."""
        policy, turns = self._policy, self._policy.mode is ContinuationMode.TURNS
        read = "".join(
            span.text for span in (*self._path.prompt, *(span for step in self._path.steps for span in step.spans), *self._spans)
        )
        text = cue.told + "\n" if turns else ("" if read.endswith("\n") else "\n") + cue.label.format(number)
        self._spans.append(policy.inject(Source.FORCED, text))
        limit = policy.sampling.max_tokens if self._most_tokens is None else min(policy.sampling.max_tokens, self._most_tokens // count)
        sampling = replace(policy.sampling, seed=self._seed, stop=() if turns else cue.stop, max_tokens=max(1, limit))
        drawn = await draw(policy.model, build_request(policy.mode, self._path, self._spans, sampling, (), policy.tag), count)
        self._usage = sum((completion.usage for completion in drawn), self._usage)
        return drawn

    def keep(self, completion: Completion) -> None:
        """Go on after a text."""
        self._spans.append(self._policy.without_end(completion))

    def draft(self, completion: Completion, *, final: bool, value: float | None = None) -> Draft:
        """The move with the text that was chosen."""
        finish = Finish.STOP if final else Finish.STEP
        if completion.finish == "length":
            finish = Finish.LENGTH
        elif not completion.text.strip():
            finish = Finish.MALFORMED
        self._spans.append(self._policy.span(completion) if final else self._policy.without_end(completion))
        return Draft(
            spans=tuple(self._spans),
            finish=finish,
            prior=mean_probability(completion.logprobs or ()),
            value=value,
            usage=self._usage,
            problem="the move is empty" if finish is Finish.MALFORMED else "",
        )


def concluded(response: str) -> str | None:
    """The answer that the last move gives; a step of thought has to state it."""
    last = final_match(_OPENING, response)
    if last is None:
        return None
    ending = response[last.end() :]
    return extract(ending, STATED).answer if last["step"] else final_answer(ending)


def trace(nodes: Sequence[Node]) -> str:
    """A path as one solution in the policy's own words: no labels or requests, no sub-questions, of an answer given twice the later one."""
    parts: list[str] = []
    for node in nodes:
        written = [span.text.strip() for span in (node.step.spans if node.step is not None else ()) if span.source is Source.POLICY]
        if node.move == REPHRASE or not written:
            continue
        if node.move == REANSWER and parts:
            parts.pop()
        parts.append(written[-1] if node.move == SUBQUESTION else "".join(written))
    return "\n".join(parts)


def majority(answers: Sequence[str | None]) -> tuple[int, float]:
    """The first of the answers that most agree with, and its share of all; (0, 0.0) without any answer."""
    best = plurality(answers)
    if best is None:
        return 0, 0.0
    same = classes(answers)
    return best, same.count(same[best]) / len(same)


def asks_the_whole(question: str, problem: Problem) -> bool:
    """Whether a sub-question says that the problem can be answered now, or repeats it."""
    return CAN_ANSWER in question.casefold() or _words(question) == _words(problem.prompt)


def _words(text: str) -> list[str]:
    return re.findall(r"\w+", text.casefold())


def _count(path: Path, move: str) -> int:
    """How often a move was made on the path; its cue tells."""
    cue = _CUES[move]
    label = cue.label.partition("{")[0]
    openings = (span.text.strip() for step in path.steps for span in step.spans if span.source is Source.FORCED)
    return sum(text.startswith(label) or text == cue.told for text in openings)
