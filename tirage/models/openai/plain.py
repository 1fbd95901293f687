"""Plain HTTP/1.1 to one server, at the least cost per call: what an inference server on one's own network is spoken to with.

With 500 requests in flight the processor time of the client decides whether the server is kept busy, and a general HTTP library
spends two thirds of it. This knows POST and GET with whole bodies over connections that are kept; TLS and proxies are aiohttp's.
"""

import asyncio
import time
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

MAX_HEAD = 64 << 10
MAX_BODY = 1 << 30
IDLE_S = 3.0
"""Servers built on uvicorn drop idle connections after 5 s; a shorter wait here avoids sending into a closing one."""


class Garbled(ConnectionError):
    """The server sent something that is not an HTTP answer."""


@dataclass(frozen=True, slots=True)
class Answer:
    """A whole HTTP answer."""

    status: int
    headers: Mapping[str, str]
    """Names in lower case; of a repeated one the last."""
    body: bytes


class PlainHTTP:
    """Connections to one `http://` server, kept between requests. Belongs to the event loop it is used in."""

    def __init__(self, base_url: str, *, headers: Mapping[str, str], timeout_s: float, connections: int) -> None:
        """`timeout_s` is for a whole exchange, `connections` the most at once; more requests wait."""
        parts = urlsplit(base_url)
        self._host, self._port = parts.hostname or "", parts.port or 80
        self._timeout_s = timeout_s
        self._room = asyncio.Semaphore(connections)
        self._idle: deque[_Connection] = deque()
        lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        self._lines = f"host: {parts.netloc.rpartition('@')[2]}\r\n{lines}accept: application/json\r\n".encode("latin-1")
        self.closed = False

    async def exchange(self, method: str, url: str, body: bytes | None) -> Answer:
        """Send one request and wait for the whole answer.

        Raises `TimeoutError`, or `OSError` when the connection cannot be made, breaks, or brings no HTTP. A kept connection that
        the server has closed meanwhile is replaced once.
        """
        parts = urlsplit(url)
        target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        request = b"%s %s HTTP/1.1\r\n%scontent-length: %d\r\n\r\n" % (method.encode(), target.encode(), self._lines, len(body or b""))
        async with self._room:
            kept = self._kept()
            if kept is not None:
                try:
                    return await self._over(kept, request + (body or b""))
                except _Stale:
                    pass
            async with asyncio.timeout(min(10.0, self._timeout_s)):
                _, fresh = await asyncio.get_running_loop().create_connection(_Connection, self._host, self._port)
            return await self._over(fresh, request + (body or b""))

    async def close(self) -> None:
        """Close the kept connections; idempotent."""
        self.closed = True
        while self._idle:
            self._idle.pop().drop()

    def _kept(self) -> "_Connection | None":
        while self._idle:
            connection = self._idle.pop()
            if not connection.lost and time.monotonic() - connection.idle_since < IDLE_S:
                return connection
            connection.drop()
        return None

    async def _over(self, connection: "_Connection", request: bytes) -> Answer:
        try:
            answer = await connection.exchange(request, self._timeout_s)
        except BaseException:
            connection.drop()
            raise
        if connection.reusable and not self.closed:
            connection.idle_since = time.monotonic()
            self._idle.append(connection)
        else:
            connection.drop()
        return answer


class _Stale(ConnectionError):
    """A kept connection ended before it brought a byte of the answer."""


class _Connection(asyncio.Protocol):
    """One connection, one request at a time."""

    def __init__(self) -> None:
        self.lost = False
        self.reusable = True
        self.idle_since = 0.0
        self._used = False
        self._transport: asyncio.Transport | None = None
        self._waiter: asyncio.Future[Answer] | None = None
        self._loop = asyncio.get_running_loop()
        self._begin()

    def _begin(self) -> None:
        self._buffer = bytearray()
        self._status = 0
        self._headers: dict[str, str] = {}
        self._length: int | None = None
        """Of the body; None when it is chunked or ends with the connection."""
        self._chunked = False
        self._body = bytearray()
        """What the chunks so far have brought."""

    async def exchange(self, request: bytes, timeout_s: float) -> Answer:
        if self._transport is None or self.lost:
            raise _Stale("the connection was closed")
        self._begin()
        waiter: asyncio.Future[Answer] = self._loop.create_future()
        self._waiter = waiter
        timer = self._loop.call_later(timeout_s, self._expire)
        try:
            self._transport.write(request)
            return await waiter
        finally:
            timer.cancel()
            self._waiter = None
            self._used = True

    def drop(self) -> None:
        if self._transport is not None:
            self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def connection_lost(self, error: Exception | None) -> None:
        self.lost = True
        if self._waiter is None or self._waiter.done():
            return
        if self._status and self._length is None and not self._chunked and error is None:
            self._finish(bytes(self._buffer))
        elif self._used and not self._status and not self._buffer:
            self._waiter.set_exception(_Stale("the server closed a kept connection"))
        else:
            self._waiter.set_exception(error or ConnectionResetError("the server closed the connection in the middle of an answer"))

    def data_received(self, data: bytes) -> None:
        if self._waiter is None or self._waiter.done():
            # Nobody asked: whatever comes next could be taken for the answer to the next request.
            self.drop()
            return
        self._buffer += data
        try:
            if self._status or self._read_head():
                self._read_body()
        except (ValueError, IndexError) as error:
            self._waiter.set_exception(Garbled(f"no HTTP answer: {error}"))

    def _expire(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_exception(TimeoutError())

    def _read_head(self) -> bool:
        """Read status and headers; False while they are not complete. Interim answers (1xx) are passed over."""
        while True:
            end = self._buffer.find(b"\r\n\r\n")
            if end < 0:
                if len(self._buffer) > MAX_HEAD or (len(self._buffer) > 8 and not self._buffer.startswith(b"HTTP/1.")):
                    raise ValueError(repr(bytes(self._buffer[:40])))
                return False
            first, *lines = self._buffer[:end].decode("latin-1").split("\r\n")
            del self._buffer[: end + 4]
            version, code, *_ = first.split(" ")
            if not version.startswith("HTTP/1."):
                raise ValueError(repr(first[:40]))
            if not code.startswith("1"):
                break
        self._headers = {name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        self._status = int(code)
        self._chunked = "chunked" in self._headers.get("transfer-encoding", "").lower()
        length = self._headers.get("content-length")
        self._length = 0 if self._status in (204, 304) else None if length is None or self._chunked else int(length)
        keep = self._headers.get("connection", "keep-alive" if version == "HTTP/1.1" else "close").lower()
        self.reusable = keep != "close" and (self._chunked or self._length is not None)
        if (self._length or 0) > MAX_BODY:
            raise ValueError(f"a body of {self._length} bytes")
        return True

    def _read_body(self) -> None:
        """Finish when the whole body is there."""
        if self._chunked:
            self._read_chunks()
        elif self._length is not None and len(self._buffer) >= self._length:
            self.reusable = self.reusable and len(self._buffer) == self._length
            self._finish(bytes(self._buffer[: self._length]))
        elif len(self._buffer) > MAX_BODY:
            raise ValueError(f"a body of more than {MAX_BODY} bytes")

    def _read_chunks(self) -> None:
        while True:
            line = self._buffer.find(b"\r\n")
            if line < 0:
                return
            size = int(bytes(self._buffer[:line]).split(b";")[0], 16)
            if not size:
                # The last chunk; trailers end with an empty line.
                end = self._buffer.find(b"\r\n\r\n", line)
                if end >= 0:
                    self.reusable = self.reusable and len(self._buffer) == end + 4
                    self._finish(bytes(self._body))
                return
            if len(self._body) + size > MAX_BODY:
                raise ValueError(f"a body of more than {MAX_BODY} bytes")
            if len(self._buffer) < line + 2 + size + 2:
                return
            self._body += self._buffer[line + 2 : line + 2 + size]
            del self._buffer[: line + 2 + size + 2]

    def _finish(self, body: bytes) -> None:
        assert self._waiter is not None
        self._waiter.set_result(Answer(self._status, self._headers, body))
