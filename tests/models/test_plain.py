"""The plain HTTP client against a server that says exactly what the test wants, byte by byte."""

import asyncio
from collections.abc import AsyncIterator, Sequence

import pytest
import pytest_asyncio

from tirage.models.openai.plain import Answer, Garbled, PlainHTTP


class Wire:
    """A TCP server with a script: one entry per request, the pieces it writes; None closes the connection."""

    def __init__(self) -> None:
        self.script: list[Sequence[bytes | None]] = []
        self.requests: list[bytes] = []
        self.connections = 0
        self.url = ""

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                length = int(head.lower().partition(b"content-length: ")[2].split(b"\r\n")[0])
                self.requests.append(head + await reader.readexactly(length))
                for piece in self.script.pop(0):
                    if piece is None:
                        return
                    writer.write(piece)
                    await writer.drain()
                    await asyncio.sleep(0.01)
        except (asyncio.IncompleteReadError, ConnectionError):
            return
        finally:
            writer.close()


@pytest_asyncio.fixture
async def wire() -> AsyncIterator[Wire]:
    script = Wire()
    server = await asyncio.start_server(script.serve, "127.0.0.1", 0)
    script.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    yield script
    server.close()


@pytest_asyncio.fixture
async def client(wire: Wire) -> AsyncIterator[PlainHTTP]:
    http = PlainHTTP(wire.url, headers={"authorization": "Bearer x"}, timeout_s=0.5, connections=8)
    yield http
    await http.close()


OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


async def ask(client: PlainHTTP, wire: Wire, *pieces: bytes | None) -> Answer:
    wire.script.append(pieces)
    return await client.exchange("POST", f"{wire.url}/v1/x?y=1", b"{}")


async def test_one_connection_serves_request_after_request(client: PlainHTTP, wire: Wire) -> None:
    for _ in range(3):
        answer = await ask(client, wire, OK)
        assert (answer.status, answer.body, answer.headers["content-length"]) == (200, b"ok", "2")
    assert wire.connections == 1
    assert wire.requests[0].startswith(b"POST /v1/x?y=1 HTTP/1.1\r\nhost: 127.0.0.1:")
    assert b"\r\nauthorization: Bearer x\r\n" in wire.requests[0]
    assert wire.requests[0].endswith(b"\r\ncontent-length: 2\r\n\r\n{}")


@pytest.mark.parametrize(
    "pieces",
    [
        (b"HTTP/1.1 200 OK\r\ncontent-", b"length: 5\r\n\r\nhe", b"llo"),
        (b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nhel\r\n", b"2;x=y\r\nlo\r", b"\n0\r\n\r\n"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nTrailer: 1\r\n\r\n",),
        (b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nhel", b"lo", None),
        (b"HTTP/1.0 200 OK\r\n\r\nhello", None),
    ],
    ids=["in pieces", "interim answer", "chunks in pieces", "trailers", "ended by close", "http 1.0"],
)
async def test_every_way_to_send_a_body(client: PlainHTTP, wire: Wire, pieces: tuple[bytes | None, ...]) -> None:
    assert (await ask(client, wire, *pieces)).body == b"hello"
    assert (await ask(client, wire, OK)).body == b"ok"


async def test_a_kept_connection_that_the_server_closed_is_replaced(client: PlainHTTP, wire: Wire) -> None:
    await ask(client, wire, OK, None)
    wire.script.append((OK,))
    assert (await client.exchange("GET", wire.url, None)).status == 200
    assert wire.connections == 2
    wire.script[:] = [(None,), (OK,)]
    assert (await client.exchange("GET", wire.url, None)).status == 200
    assert wire.connections == 3
    assert len(wire.requests) == 4


@pytest.mark.parametrize(
    ("pieces", "error"),
    [
        ((None,), ConnectionResetError),
        ((b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhel", None), ConnectionResetError),
        ((b"SSH-2.0-OpenSSH_9.2\r\n",), Garbled),
        ((b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",), Garbled),
        ((b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999999\r\n\r\n",), Garbled),
        ((b"HTTP/1.1 200 OK\r\nX: " + b"x" * 70_000,), Garbled),
        ((b"HTTP/1.1 200 OK\r\n",), TimeoutError),
    ],
    ids=["closed at once", "cut", "not http", "bad chunk", "too large", "endless head", "silent"],
)
async def test_what_is_no_answer(client: PlainHTTP, wire: Wire, pieces: tuple[bytes | None, ...], error: type[Exception]) -> None:
    with pytest.raises(error):
        await ask(client, wire, *pieces)
    assert (await ask(client, wire, OK)).body == b"ok"


async def test_bytes_that_nobody_asked_for_end_the_connection(client: PlainHTTP, wire: Wire) -> None:
    await ask(client, wire, OK, b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nforged")
    await asyncio.sleep(0.05)
    assert (await ask(client, wire, OK)).body == b"ok"
    assert wire.connections == 2


async def test_more_requests_than_connections_wait(client: PlainHTTP, wire: Wire) -> None:
    wire.script.extend([(OK,)] * 40)
    answers = await asyncio.gather(*(client.exchange("GET", wire.url, None) for _ in range(40)))
    assert [answer.body for answer in answers] == [b"ok"] * 40
    assert wire.connections <= 8
