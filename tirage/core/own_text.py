"""What of a conversation its policy said itself: where an answer may be looked for."""

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from tirage.core.message import ObservationStatus
from tirage.core.step import Source, Step

_FENCE = re.compile(r"[ \t>]*(?P<marks>`{3,}|~{3,})(?P<info>[^\r\n]*)")
_PARTS = re.compile(r"[^\n]*\n|[^\n]+")
_AFTER_CLOSE = frozenset({"", "<end_code>"})
_PYTHON = frozenset({"python", "python3", "py", "ipython", "sage", "tool_code"})
_SHOWN = (Source.TOOL, Source.SCAFFOLD)
"""Authors of what shows an observation: a fence that they leave open ends with it."""


@dataclass(frozen=True, slots=True)
class OwnText:
    """The policy's own words."""

    text: str
    unrun: bool
    """Whether the last block of code stands there without anything having come back from it: an open fence, or closed and never run."""


class _Piece(NamedTuple):
    text: str
    source: Source
    own: bool


_Line = list[_Piece]


@dataclass(slots=True)
class _Block:
    """A fenced block that is open."""

    marks: str
    author: Source
    code: bool
    opening: _Line
    lines: list[_Line] = field(default_factory=list)

    @property
    def own(self) -> bool:
        """Whether the policy wrote anything inside, or has only begun."""
        inside = [piece for line in self.lines for piece in line]
        return any(piece.own and piece.text.strip() for piece in inside) or not any(piece.text.strip() for piece in inside)

    def closed_by(self, fence: re.Match[str] | None) -> bool:
        """By a fence of the same kind, at least as long."""
        return fence is not None and fence["marks"].startswith(self.marks) and fence["info"].strip() in _AFTER_CLOSE


def read_own(steps: Sequence[Step]) -> OwnText:
    """What the policy said in `steps`, in order; see `Trajectory.own_text`. Linear in the length of the text."""
    pieces = [piece for step in steps for piece in _pieces(step)]
    if not any("```" in piece.text or "~~~" in piece.text for piece in pieces):
        return OwnText(_joined(pieces), unrun=False)
    kept: list[_Piece] = []
    block: _Block | None = None
    unrun = False
    for line in _lines(pieces):
        shown = any(piece.source is Source.TOOL for piece in line)
        if block is not None and block.author in _SHOWN and any(piece.own for piece in line):
            block = None
        fence = _FENCE.match("".join(piece.text for piece in line))
        if block is None and fence is not None and ("`" not in fence["info"] or fence["marks"][0] == "~"):
            language = fence["info"].strip().strip("{}").lstrip(".").split(" ")[0].lower()
            block = _Block(fence["marks"], _author(line), language in _PYTHON, line)
        elif block is None:
            kept += line
        elif block.closed_by(fence):
            unrun = (unrun or (block.code and block.own)) and not shown
            kept += _told(block, line)
            block = None
        else:
            block.lines.append(line)
        unrun = unrun and not shown
    if block is not None:
        unrun = unrun or (block.own and block.author not in _SHOWN and not _answered(block))
        kept += _told(block, [])
    return OwnText(_joined(kept), unrun)


def _pieces(step: Step) -> Iterator[_Piece]:
    """The spans of a step with whether they are the policy's own: what it sampled, and what was forced right before that."""
    own: list[bool] = []
    for span in reversed(step.spans):
        own.append(span.source is Source.POLICY or (span.source is Source.FORCED and bool(own) and own[-1]))
    for span, mine in zip(step.spans, reversed(own), strict=True):
        if span.text:
            yield _Piece(span.text, span.source, mine)
    for seen in step.observations:
        if seen.status is ObservationStatus.FINAL:
            # The policy's argument to the tool that ends its path, as the tool repeats it.
            yield from (_Piece("\n", Source.SCAFFOLD, False), _Piece(seen.text, Source.TOOL, True))


def _lines(pieces: Iterable[_Piece]) -> Iterator[_Line]:
    """The pieces by line, each line with its end."""
    line: _Line = []
    for piece in pieces:
        for part in _PARTS.findall(piece.text):
            line.append(_Piece(part, piece.source, piece.own))
            if part.endswith("\n"):
                yield line
                line = []
    if line:
        yield line


def _author(line: _Line) -> Source:
    """Who wrote the first thing in a line that is not blank."""
    return next((piece.source for piece in line if piece.text.strip()), Source.POLICY)


def _answered(block: _Block) -> bool:
    return any(piece.source is Source.TOOL for line in block.lines for piece in line)


def _told(block: _Block, closing: _Line) -> list[_Piece]:
    """A block of the policy's with its fences, whoever wrote those; of another's a gap."""
    if not block.own or block.author in _SHOWN:
        return [_Piece("\n", Source.SCAFFOLD, False)]
    fences = [[piece._replace(own=True) for piece in line] for line in (block.opening, closing)]
    return [*fences[0], *(piece for line in block.lines for piece in line), *fences[1]]


def _joined(pieces: Iterable[_Piece]) -> str:
    """The own pieces; where others' words stood between, on a new line."""
    parts: list[str] = []
    gap = False
    for piece in pieces:
        if not piece.own:
            gap = gap or bool(piece.text)
            continue
        if gap and parts and not parts[-1].endswith("\n"):
            parts.append("\n")
        parts.append(piece.text)
        gap = False
    return "".join(parts)
