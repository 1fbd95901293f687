"""Programs that a policy wrote and nothing ran: closed blocks of code without a call, and calls that a limit refused."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from tirage.core.message import ObservationStatus
from tirage.core.rollout import Rollout
from tirage.core.step import Source, Step
from tirage.verification.fences import fenced_blocks

_OWN = (Source.HINT, Source.POLICY, Source.FORCED)


@dataclass(frozen=True, slots=True, kw_only=True)
class Unrun:
    """One such program."""

    key: str
    node: int
    reason: str
    """`no call` or `refused`."""
    code: str


def unrun(rollouts: Iterable[Rollout]) -> Iterator[Unrun]:
    """All of them, rollout by rollout."""
    for rollout in rollouts:
        for node in rollout.tree.nodes:
            if node.step is not None:
                yield from (Unrun(key=rollout.key, node=node.index, reason=reason, code=code) for reason, code in _of(node.step))


def _of(step: Step) -> Iterator[tuple[str, str]]:
    text = "".join(span.text for span in step.spans if span.source in _OWN)
    programs = [block.code for block in fenced_blocks(text) if block.closed and block.runnable]
    yield from (("no call", code) for code in programs[len(step.calls) :])
    for code, seen in zip(programs, step.observations, strict=False):
        if seen.status is ObservationStatus.REFUSED:
            yield "refused", code
