"""What travels between host and container: frames of a JSON object and raw bytes, never pickle.

A frame is two lengths (32 bits each, big-endian), the JSON text in ASCII, the bytes. The engine delivers what the container
writes in chunks of its own, marked as stdout or stderr.
"""

import json
import struct
from collections.abc import Callable, Mapping
from typing import Any

HEADER = struct.Struct("!II")
CHUNK = struct.Struct("!B3xI")
STDOUT, STDERR = 1, 2

Frame = tuple[dict[str, Any], bytes]


class Flooded(Exception):
    """The guest sent junk: too many packets nobody asked for, or one that is no JSON object."""


def parse(data: bytes) -> dict[str, Any]:
    """One packet as an object. Raises `Flooded` for anything else."""
    try:
        value = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise Flooded(f"unreadable packet: {type(error).__name__}") from None
    if not isinstance(value, dict):
        raise Flooded(f"packet is a {type(value).__name__}, not an object")
    return value


def pack(message: Mapping[str, Any], blob: bytes = b"") -> bytes:
    """One frame."""
    text = json.dumps(message, separators=(",", ":")).encode("ascii")
    return b"".join((HEADER.pack(len(text), len(blob)), text, blob))


class FrameReader:
    """Puts frames together again from bytes as they arrive."""

    def __init__(self, room: Callable[[], int]) -> None:
        """`room` tells how many bytes a frame may have, asked when its lengths are known."""
        self._room = room
        self._held = bytearray()

    def feed(self, data: bytes) -> list[Frame]:
        """The frames that `data` completes. Raises `Flooded` for one that is too large or holds no JSON object."""
        self._held += data
        frames = []
        while len(self._held) >= HEADER.size:
            text_size, blob_size = HEADER.unpack_from(self._held)
            end = HEADER.size + text_size + blob_size
            room = self._room()
            if end > room:
                raise Flooded(f"a reply of {end} bytes where {room} were expected at most")
            if len(self._held) < end:
                break
            middle = HEADER.size + text_size
            text, blob = bytes(self._held[HEADER.size : middle]), bytes(self._held[middle:end])
            del self._held[:end]
            frames.append((parse(text), blob))
        return frames


class Demultiplexer:
    """Takes the engine's chunks apart."""

    def __init__(self) -> None:
        """At the start of a stream."""
        self._head = bytearray()
        self._kind = 0
        self._left = 0

    def feed(self, data: bytes) -> list[tuple[int, bytes]]:
        """Pairs of stream (`STDOUT`, `STDERR`) and bytes, in order. Raises `Flooded` for what no engine sends."""
        parts = []
        place = 0
        while place < len(data):
            if self._left:
                part = data[place : place + self._left]
                parts.append((self._kind, part))
                self._left -= len(part)
                place += len(part)
                continue
            missing = CHUNK.size - len(self._head)
            self._head += data[place : place + missing]
            place += missing
            if len(self._head) < CHUNK.size:
                break
            self._kind, self._left = CHUNK.unpack(self._head)
            if self._kind not in (STDOUT, STDERR) or any(self._head[1:4]):
                raise Flooded(f"the engine's stream is not that of a container without a terminal: {bytes(self._head)!r}")
            self._head.clear()
        return parts
