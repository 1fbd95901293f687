"""Watching one draw as it grows: end of turn, stop strings, limits."""

from collections.abc import Sequence
from typing import Any, Literal

from tokenizers.decoders import DecodeStream

Ending = Literal["stop", "stop_string", "length"]


class Watch:
    """Tells after each token whether a draw is over. Decodes only when there are stop strings."""

    __slots__ = ("_eos", "_limit", "_longest", "_stops", "_stream", "_tail", "_tokenizer", "count", "stop_string")

    def __init__(self, tokenizer: Any, *, eos: frozenset[int], stops: Sequence[str], limit: int) -> None:
        """`limit`: tokens that may be sampled, >= 1. Empty stop strings are ignored."""
        self._tokenizer = tokenizer
        self._eos = eos
        self._stops = tuple(stop for stop in stops if stop)
        self._longest = max(map(len, self._stops), default=0)
        self._limit = limit
        self._stream = DecodeStream(skip_special_tokens=True) if self._stops else None
        self._tail = ""
        self.count = 0
        self.stop_string: str | None = None

    def ends(self, token: int) -> Ending | None:
        """Take one sampled token. A stop string beats the limit; of several, the one that is complete first fires."""
        self.count += 1
        if token in self._eos:
            return "stop"
        if self._stream is not None:
            piece = self._stream.step(self._tokenizer, token)
            if piece:
                self._tail += piece
                self.stop_string = self._find()
                if self.stop_string is not None:
                    return "stop_string"
                # One character less than the longest stop string can still be the start of one.
                self._tail = self._tail[-(self._longest - 1) :] if self._longest > 1 else ""
        return "length" if self.count >= self._limit else None

    def _find(self) -> str | None:
        found = [(place + len(stop), stop) for stop in self._stops if (place := self._tail.find(stop)) >= 0]
        return min(found)[1] if found else None
