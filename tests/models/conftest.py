"""A stub OpenAI server on a real socket, and a tiny real model."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

Handler = Callable[[str, str, dict[str, Any]], Awaitable[Any]]


class StubServer:
    """Answers each request with what `handler(method, path, body)` returns.

    A tuple (status, body[, headers]) is sent as a response, a dict as 200 JSON, bytes as they are before the connection is cut.
    """

    def __init__(self) -> None:
        self.handler: Handler = self._nothing
        self.requests: list[tuple[str, str, dict[str, Any]]] = []
        self.headers: list[dict[str, str]] = []
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()

    @property
    def url(self) -> str:
        assert self._server is not None
        return f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}/v1"

    async def start(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)

    async def stop(self) -> None:
        assert self._server is not None
        self._server.close()
        for writer in self._writers:
            writer.transport.abort()
        await asyncio.sleep(0)

    async def _nothing(self, method: str, path: str, body: dict[str, Any]) -> Any:
        return 404, {"error": {"message": f"no handler for {method} {path}"}}

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
                method, path, _ = head[0].split(" ")
                headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in head[1:] if line)}
                raw = await reader.readexactly(int(headers.get("content-length", 0)))
                body = json.loads(raw) if raw else {}
                self.requests.append((method, path, body))
                self.headers.append(headers)
                answer = await self.handler(method, path, body)
                if isinstance(answer, bytes):
                    writer.write(answer)
                    await writer.drain()
                    return
                status, content, *more = answer if isinstance(answer, tuple) else (200, answer)
                data = content if isinstance(content, bytes) else json.dumps(content).encode()
                lines = [f"HTTP/1.1 {status} X", f"content-length: {len(data)}", "content-type: application/json"]
                lines += [f"{name}: {value}" for name, value in (more[0] if more else {}).items()]
                writer.write("\r\n".join(lines).encode() + b"\r\n\r\n" + data)
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            self._writers.discard(writer)
            writer.close()


@pytest.fixture
async def stub() -> AsyncIterator[StubServer]:
    server = StubServer()
    await server.start()
    yield server
    await server.stop()


@pytest.fixture(scope="session")
def tiny_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("transformers", reason="install tirage[local]")
    from tirage.testing.tiny import write_model

    return write_model(tmp_path_factory.mktemp("tiny") / "tiny", seed=3)
