"""Hand-made rollouts with byte-level token ids, for tests that need traces without a model or a sandbox."""

import json
from collections.abc import Sequence
from dataclasses import dataclass

from tirage.core.hint import HintPosition, HintUse
from tirage.core.message import Observation, ObservationStatus, ToolCall
from tirage.core.problem import Problem
from tirage.core.rollout import Rollout
from tirage.core.step import Finish, Source, Span, Step, Usage
from tirage.core.trajectory import StopReason
from tirage.core.tree import Tree
from tirage.core.verdict import Verdict

END_OF_TURN = 256
"""The one id beyond the bytes: it ends a turn and decodes to nothing."""
BYTE_VOCABULARY = 257


def encode_bytes(text: str) -> tuple[int, ...]:
    """Token ids of `text`: its UTF-8 bytes."""
    return tuple(text.encode())


def decode_bytes(ids: Sequence[int]) -> str:
    """Text of byte-level `ids`; the end-of-turn id is dropped."""
    return bytes(token for token in ids if token < 256).decode(errors="replace")


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """What one made-up step holds. A turn without code ends the path with the end-of-turn id."""

    text: str = ""
    """What the policy says before the code, or its final answer."""
    code: str | None = None
    """Code the policy writes into a fence; None for none."""
    output: str = ""
    """What the tool answered to `code`."""
    status: ObservationStatus = ObservationStatus.OK
    hint: str | None = None
    """Text of a hint that opens the turn."""
    hint_id: str = "hint-1"


def make_problem(prompt: str = "What is 6 times 7?", answer: str | None = "42", *, split: str = "train") -> Problem:
    """A problem with the given words."""
    return Problem(prompt=prompt, answer=answer, split=split)


def _step(turn: Turn, offset: int, *, ids: bool) -> Step:
    def span(source: Source, text: str, extra: tuple[int, ...] = ()) -> Span:
        return Span(source, text, encode_bytes(text) + extra if ids else None)

    spans: list[Span] = []
    hint = None
    if turn.hint is not None:
        hint = HintUse(hint_id=turn.hint_id, family="tool", position=HintPosition.START, offset=offset, reason="start")
        spans.append(span(Source.HINT, turn.hint))
    if turn.code is None:
        spans.append(span(Source.POLICY, turn.text, (END_OF_TURN,)))
        usage = Usage(tokens_out=len(turn.text) + 1, model_calls=1)
        return Step(spans=tuple(spans), finish=Finish.STOP, hint=hint, usage=usage)
    written = f"{turn.text}```python\n{turn.code}\n```\n"
    spans += [
        span(Source.POLICY, written),
        span(Source.SCAFFOLD, "```output\n"),
        span(Source.TOOL, turn.output),
        span(Source.SCAFFOLD, "\n```\n"),
    ]
    return Step(
        spans=tuple(spans),
        finish=Finish.CALL,
        calls=(ToolCall(name="python", arguments=json.dumps({"code": turn.code})),),
        observations=(Observation(text=turn.output, status=turn.status),),
        hint=hint,
        usage=Usage(tokens_out=len(written), model_calls=1, tool_calls=1),
    )


def make_rollout(
    *turns: Turn,
    problem: Problem | None = None,
    stage: str = "sample",
    sample: int = 0,
    correct: bool | None = True,
    answer: str | None = "42",
    stop: StopReason = StopReason.ANSWERED,
    ids: bool = True,
    tokenizer_hash: str = "bytes",
) -> Rollout:
    """A finished single-chain rollout; without `turns` a plain answer. `ids=False` makes a text-only trace."""
    problem = problem or make_problem()
    prompt_text = f"<user>{problem.prompt}</user>"
    tree = Tree(
        problem_id=problem.id,
        policy_id="made-up",
        seed=sample,
        prompt=(Span(Source.PROMPT, prompt_text, encode_bytes(prompt_text) if ids else None),),
    )
    turns = turns or (Turn(text=f"The answer is {answer}."),)
    parent, offset = 0, 0
    for place, turn in enumerate(turns):
        step = _step(turn, offset, ids=ids)
        last = place == len(turns) - 1
        parent = tree.add(parent, step, stop=stop if last else StopReason.OPEN, sample=sample).index
        offset += sum(len(span.ids or span.text) for span in step.spans)
    score = None if correct is None else float(correct)
    tree.chosen = parent
    return Rollout(
        key=f"{stage}/{problem.id}/{sample}",
        stage=stage,
        problem=problem,
        sample=sample,
        tree=tree,
        verdicts={parent: Verdict(correct=correct, score=score, verifier="made-up/1", answer=answer)},
        model="made-up@0",
        tokenizer_hash=tokenizer_hash if ids else "",
        config_hash="made-up",
    )
