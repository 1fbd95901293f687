"""How much of what was sent could have come from a server's prefix cache."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from tirage.core.step import Source, join_ids
from tirage.core.tree import Tree


@dataclass(frozen=True, slots=True, kw_only=True)
class Shared:
    """Prompt tokens of a sequence of calls."""

    sent: int
    bound: int
    """Those that stand at the head of a prompt exactly as in an earlier call or its answer, in whole blocks."""

    @property
    def share(self) -> float:
        """Bound over sent, in [0, 1]; 0 when nothing was sent."""
        return self.bound / self.sent if self.sent else 0.0


def shared_prefixes(calls: Iterable[tuple[Sequence[int], Sequence[int]]], *, block: int) -> Shared:
    """Of calls (prompt ids, sampled ids) in the order of sending; a cache keeps whole blocks of `block` tokens and forgets nothing.

    The last token of a prompt is always computed again, as its output is what is wanted.
    """
    known: set[int] = set()
    sent = bound = 0
    for prompt, sampled in calls:
        sent += len(prompt)
        chain = 0
        usable = (len(prompt) - 1) // block
        hashes = []
        whole = (*prompt, *sampled)
        for start in range(0, len(whole) // block * block, block):
            chain = hash((chain, tuple(whole[start : start + block])))
            hashes.append(chain)
        hits = 0
        while hits < usable and hashes[hits] in known:
            hits += 1
        bound += hits * block
        known.update(hashes)
    return Shared(sent=sent, bound=bound)


def calls_of(tree: Tree) -> list[tuple[tuple[int, ...], tuple[int, ...]]]:
    """The policy's calls of a tree in the order of its nodes, where all ids are known."""
    found = []
    for node in tree.nodes[1:]:
        if node.step is None:
            continue
        path = tree.trajectory(node.index)
        before = join_ids([*path.prompt, *(span for step in path.steps[:-1] for span in step.spans)])
        opening = []
        for span in node.step.spans:
            if span.source is Source.POLICY:
                break
            opening.append(span)
        head = join_ids(opening)
        sampled = next((span.ids for span in node.step.spans if span.source is Source.POLICY), None)
        if before is not None and head is not None and sampled is not None:
            found.append((before + head, sampled))
    return found
