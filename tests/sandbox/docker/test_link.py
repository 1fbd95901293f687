"""The host's end of the line, without an engine: whatever comes in, it becomes a reply that was asked for or the end."""

import asyncio
import itertools
import json
import socket
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.sandbox.docker.pipe import Pipe
from tirage.core.errors import SandboxError
from tirage.sandbox.docker.link import Link, Stream
from tirage.sandbox.frames import CHUNK, HEADER, STDERR, STDOUT, Demultiplexer, Flooded, FrameReader, pack


def pieces(data: bytes, cuts: list[int]) -> Iterator[bytes]:
    edges = [0, *sorted(cut % (len(data) + 1) for cut in cuts), len(data)]
    return (data[start:end] for start, end in itertools.pairwise(edges))


CUTS = st.lists(st.integers(0, 10_000), max_size=8)


@given(st.lists(st.tuples(st.dictionaries(st.text(max_size=5), st.text(max_size=5)), st.binary(max_size=20)), max_size=4), CUTS)
def test_frames_come_whole_out_of_any_pieces(frames: list[tuple[dict[str, str], bytes]], cuts: list[int]) -> None:
    reader = FrameReader(lambda: 100_000)
    data = b"".join(pack(*frame) for frame in frames)
    assert [frame for piece in pieces(data, cuts) for frame in reader.feed(piece)] == frames


@given(st.lists(st.tuples(st.sampled_from([STDOUT, STDERR]), st.binary(max_size=20)), max_size=5), CUTS)
def test_streams_are_told_apart_in_any_pieces(chunks: list[tuple[int, bytes]], cuts: list[int]) -> None:
    data = b"".join(CHUNK.pack(kind, len(part)) + part for kind, part in chunks)
    demultiplexer = Demultiplexer()
    got = [part for piece in pieces(data, cuts) for part in demultiplexer.feed(piece)]
    for kind in (STDOUT, STDERR):
        assert b"".join(part for k, part in got if k == kind) == b"".join(part for k, part in chunks if k == kind)


@pytest.mark.parametrize("head", [b"\x00\0\0\0\0\0\0\1", b"\x03\0\0\0\0\0\0\1", b"\x01\1\0\0\0\0\0\1", b"HTTP/1.1"])
def test_what_no_engine_sends_is_refused(head: bytes) -> None:
    with pytest.raises(Flooded, match="stream"):
        Demultiplexer().feed(head)


class Other:
    """The far end of a link, and what the link reported."""

    def __init__(self, end: socket.socket) -> None:
        self.end = end
        self.ended = 0
        self.seen = b""

    async def request(self) -> dict[str, str]:
        """The next request, its blob left out."""
        loop = asyncio.get_running_loop()
        while len(self.seen) < HEADER.size or len(self.seen) < HEADER.size + sum(HEADER.unpack_from(self.seen)):
            self.seen += await loop.sock_recv(self.end, 1 << 16)
        text, blob = HEADER.unpack_from(self.seen)
        message = json.loads(self.seen[HEADER.size : HEADER.size + text])
        self.seen = self.seen[HEADER.size + text + blob :]
        return dict(message)

    def say(self, data: bytes, kind: int = STDOUT) -> None:
        self.end.sendall(CHUNK.pack(kind, len(data)) + data)


@contextmanager
def sockets() -> Iterator[tuple[socket.socket, socket.socket]]:
    near, far = socket.socketpair()
    with near, far:
        far.setblocking(False)
        yield near, far


@asynccontextmanager
async def linked(wrap: Callable[[socket.socket], object] = lambda end: end) -> AsyncIterator[tuple[Link, Other]]:
    async def autopsy(stderr: str) -> str:
        return f"the container died: {stderr}"

    def ended() -> None:
        other.ended += 1
        near.shutdown(socket.SHUT_RDWR)

    with sockets() as (near, far):
        other = Other(far)
        link = Link(Stream(wrap(near)), autopsy=autopsy, ended=ended)
        yield link, other
        link.fail("the test is over")
        await asyncio.sleep(0)
        assert other.ended == 1


@pytest.mark.parametrize("wrap", [lambda end: end, Pipe], ids=["socket", "threads"])
async def test_replies_find_their_requests_in_any_order(wrap: Callable[[socket.socket], object]) -> None:
    async with linked(wrap) as (link, other):
        asked = [asyncio.create_task(link.ask({"op": "run", "n": n}, bytes(n), timeout_s=20)) for n in range(3)]
        requests = [await other.request() for _ in asked]
        other.say(b"warning: something harmless\n", STDERR)
        for request in reversed(requests):
            other.say(pack({"id": request["id"], "n": request["n"]}, b"blob"))
        assert [(reply["n"], blob) for reply, blob in await asyncio.gather(*asked)] == [(0, b"blob"), (1, b"blob"), (2, b"blob")]
        assert link.failure is None


@pytest.mark.parametrize(
    "junk",
    [
        pack({"id": "0" * 12}),
        pack({"id": ["x"]}),
        pack({}),
        HEADER.pack(3, 0) + b"[1]",
        HEADER.pack(4, 0) + b"junk",
        HEADER.pack(100_000, 0) + b"[" * 100_000,
        HEADER.pack(0xFFFFFFFF, 0),
        HEADER.pack(2, 0xFFFFFFFF),
        b"hello from user code\n",
        b"twice",
    ],
)
async def test_junk_ends_the_link_and_every_request(junk: bytes) -> None:
    async with linked() as (link, other):
        asked = [asyncio.create_task(link.ask({"op": "run"}, timeout_s=20, room=200_000)) for _ in range(2)]
        name = (await other.request())["id"]
        other.say(2 * pack({"id": name}) if junk == b"twice" else junk)
        answers = await asyncio.gather(*asked, return_exceptions=True)
        assert isinstance(answers[1], SandboxError)
        assert "protocol" in str(answers[1])
        with pytest.raises(SandboxError, match="protocol"):
            await link.ask({"op": "run"}, timeout_s=20)


async def test_a_reply_may_not_use_the_room_of_another_request() -> None:
    async with linked() as (link, other):
        small = asyncio.create_task(link.ask({"op": "run"}, timeout_s=20, room=100))
        large = asyncio.create_task(link.ask({"op": "fetch"}, timeout_s=20, room=10_000))
        name = (await other.request())["id"]
        other.say(pack({"id": name}, bytes(5000)))
        for task in (small, large):
            with pytest.raises(SandboxError, match="5000 bytes where 100"):
                await task


async def test_the_end_of_the_stream_tells_why() -> None:
    async with linked() as (link, other):
        asked = asyncio.create_task(link.ask({"op": "run"}, timeout_s=20))
        await other.request()
        other.say(b"x" * 5000 + b"ImportError: no module", STDERR)
        other.end.shutdown(socket.SHUT_RDWR)
        with pytest.raises(SandboxError, match=r"died: x*ImportError: no module") as caught:
            await asked
        assert len(str(caught.value)) < 2100


async def test_silence_ends_the_link() -> None:
    async with linked() as (link, other):
        with pytest.raises(SandboxError, match=r"'run' within 0.05 s and was killed"):
            await link.ask({"op": "run"}, timeout_s=0.05)
        assert other.ended == 1
        link.post(b"nothing happens")


async def test_a_cancelled_request_is_cancelled_there_and_its_late_reply_is_no_junk() -> None:
    async with linked() as (link, other):
        asked = asyncio.create_task(link.ask({"op": "run"}, timeout_s=20))
        name = (await other.request())["id"]
        asked.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asked
        assert await other.request() == {"op": "cancel", "of": name}
        other.say(pack({"id": name, "error": "cancelled"}))
        asked = asyncio.create_task(link.ask({"op": "run"}, timeout_s=20))
        other.say(pack({"id": (await other.request())["id"], "error": "two\nlines \x1b"}))
        with pytest.raises(SandboxError, match=r"^two lines $"):
            await asked
        assert link.failure is None
