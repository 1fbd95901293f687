"""The vectors of a collection in blocks beside its file, mapped into memory: what is new becomes a block, and the rest stays as it is.

A block says by chunk ids whose vectors it holds, so blocks that are lost, left over or of a replaced file cost time, never a wrong result.
One is written whole under another name and then renamed: no reader meets half of one, whoever else writes. Small blocks are merged, and
deleted chunks are then left out: there are at most about log2(chunks) blocks, and a vector is copied about as often.
"""

import hashlib
import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from tirage.tools.retrieval.embedders import Vectors
from tirage.tools.retrieval.keywords import Numbers, Scores

Ids = npt.NDArray[np.uint64]
STALE_S = 3600.0
"""Seconds after which a block that was never finished is nobody's any more."""


@dataclass(frozen=True, slots=True)
class Block:
    """Some chunks' vectors."""

    ids: Ids
    """[rows], rising; some may be of chunks that are gone."""
    vectors: Vectors
    """[rows, dimension]; a column lies in one piece, which makes the product a third faster."""
    places: Numbers
    """[rows], the place of each among all chunks; their number for one that is gone."""
    path: Path | None
    """None where it could not be written and is held in memory."""


class Blocks:
    """The vectors of one content of a collection."""

    def __init__(self, blocks: Sequence[Block], count: int) -> None:
        """`count`: number of all chunks."""
        self._blocks = blocks
        self._count = count

    def scores(self, wanted: Vectors) -> Scores:
        """[chunks], the product of each chunk's vector with `wanted`."""
        found = np.zeros(self._count + 1, np.float32)
        for block in self._blocks:
            found[block.places] = block.vectors @ wanted
        return found[:-1]


@dataclass(frozen=True, slots=True, kw_only=True)
class Folder:
    """Where the blocks of a collection lie."""

    path: Path
    embedder: str
    """16 hex digits: what made the vectors."""
    dimension: int

    def load(self, ids: Ids, read: Callable[[Numbers], Vectors]) -> Blocks:
        """The vectors of the chunks `ids`, which rise; `read` gives those at some places among them, for which there is no block."""
        blocks = list(self._blocks(ids))
        missing = np.ones(len(ids) + 1, np.bool_)
        for block in blocks:
            missing[block.places] = False
        places = np.flatnonzero(missing[:-1])
        if len(places):
            blocks.append(self._write(ids, places, read(places)))
        return Blocks(self._merge(blocks, ids), len(ids))

    def _blocks(self, ids: Ids) -> Iterator[Block]:
        """Those on disk; one that another process is just merging away is as good as none."""
        for path in sorted(self.path.glob(f"{self.embedder}.*.block")):
            with suppress(FileNotFoundError):
                count = path.stat().st_size // (8 + 4 * self.dimension)
                held = np.fromfile(path, np.uint64, count)
                places = np.searchsorted(ids, held)
                places[ids.take(places, mode="clip") != held if len(ids) else slice(None)] = len(ids)
                yield Block(held, np.memmap(path, np.float32, "r", 8 * count, (count, self.dimension), "F"), places, path)

    def _write(self, ids: Ids, places: Numbers, vectors: Vectors) -> Block:
        """A new block of the chunks at `places`. A folder that cannot be written, or a full disk, leaves it in memory."""
        held = ids[places]
        path = self.path / f"{self.embedder}.{hashlib.blake2b(held.tobytes(), digest_size=8).hexdigest()}.block"
        block = Block(held, vectors.astype(np.float32, order="F", copy=False), places, path)
        scratch = path.with_suffix(f".{os.getpid()}.tmp")
        try:
            self.path.mkdir(exist_ok=True)
            self._sweep()
            with scratch.open("wb") as file:
                file.write(held.tobytes())
                file.write(block.vectors.T.data)
            scratch.replace(path)
        except OSError:
            with suppress(OSError):
                scratch.unlink()
            return replace(block, path=None)
        return block

    def _sweep(self) -> None:
        """Delete the blocks of another embedder and what was never finished."""
        for path in self.path.iterdir():
            with suppress(FileNotFoundError):
                stale = path.suffix == ".tmp" and time.time() - path.stat().st_mtime > STALE_S
                if stale or not path.name.startswith(f"{self.embedder}."):
                    path.unlink()

    def _merge(self, blocks: Sequence[Block], ids: Ids) -> list[Block]:
        """Merge until each block has less than half the rows of the one before, and most of them are of chunks that are there."""
        kept: list[Block] = []
        for block in sorted(blocks, key=lambda item: -len(item.ids)):
            parts = [block]
            while kept and 2 * sum(len(part.ids) for part in parts) >= len(kept[-1].ids):
                parts.append(kept.pop())
            alive = [part.places < len(ids) for part in parts]
            if len(parts) == 1 and 2 * int(alive[0].sum()) >= len(block.ids):
                kept.append(block)
                continue
            joined = np.concatenate([part.places[rows] for part, rows in zip(parts, alive, strict=True)])
            places, first = np.unique(joined, return_index=True)
            if len(places):
                vectors = np.concatenate([part.vectors[rows] for part, rows in zip(parts, alive, strict=True)])
                kept.append(self._write(ids, places, vectors[first]))
            _drop(parts, but=kept[-1] if len(places) else None)
        return kept


def _drop(parts: Sequence[Block], *, but: Block | None) -> None:
    """Delete the files of blocks whose rows `but` has; none as long as it lies in memory alone."""
    if but is not None and but.path is None:
        return
    for path in {part.path for part in parts} - {None, but.path if but is not None else None}:
        if path is not None:
            with suppress(OSError):
                path.unlink()
