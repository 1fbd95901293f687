"""The gateway of a box: an HTTP proxy that leads to the destinations of an allow-list and nowhere else.

The box keeps its empty network. Its zygote hands over a listener bound there, and connections made to it inside are served here, outside,
where names are looked up too. Clients find it by the usual environment variables. CONNECT is RFC 9110, section 9.3.6; the absolute form
of a request target is RFC 9112, section 3.2.2.
"""

import asyncio
import ipaddress
import socket
from contextlib import suppress
from typing import NoReturn, Self
from urllib.parse import urlsplit

from tirage.sandbox.allowlist import Destination, normal

HEAD_BYTES = 32 << 10
HEAD_S = 10.0
CONNECT_S = 10.0
MOST_CONNECTIONS = 64
BLOCK = 64 << 10
OWN_HEADERS = frozenset({b"connection", b"proxy-connection", b"proxy-authorization", b"keep-alive", b"host", b"upgrade"})


class Refused(Exception):
    """A request that is not passed on."""

    def __init__(self, status: str, reason: str) -> None:
        """`status` is the HTTP status with its phrase; the reason follows it."""
        super().__init__(reason)
        self.status = status


class Gateway:
    """Serves one listener until it is closed."""

    def __init__(self, allowed: tuple[Destination, ...]) -> None:
        """Use `open`."""
        self._allowed = allowed
        self._connections: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server

    @classmethod
    async def open(cls, listener: socket.socket, allowed: tuple[Destination, ...]) -> Self:
        """Take over `listener`."""
        gateway = cls(allowed)
        gateway._server = await asyncio.start_server(gateway._accept, sock=listener, limit=HEAD_BYTES)
        return gateway

    async def close(self) -> None:
        """End every connection; idempotent."""
        self._server.close()
        for task in list(self._connections):
            task.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._connections.add(task)
        try:
            if len(self._connections) > MOST_CONNECTIONS:
                _refuse(writer, Refused("503 Service Unavailable", f"the sandbox has {MOST_CONNECTIONS} connections open already"))
                return
            await self._serve(reader, writer)
        except Refused as refused:
            _refuse(writer, refused)
        except (OSError, asyncio.CancelledError):
            # Either side went away, or the box ends.
            pass
        finally:
            self._connections.discard(task)
            await _closed(writer)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        method, target, headers = await _head(reader)
        tunnel = method == b"CONNECT"
        host, port, path = _target(target, tunnel=tunnel)
        far_reader, far_writer = await self._connect(host, port)
        try:
            if tunnel:
                writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
            else:
                name = f"[{host}]" if ":" in host else host
                own = f"Host: {name if port == 80 else f'{name}:{port}'}\r\nConnection: close\r\n".encode()
                far_writer.write(b"%s %s HTTP/1.1\r\n%s%s\r\n" % (method, path.encode(), own, headers))
            await _both(_pump(reader, far_writer), _pump(far_reader, writer))
        finally:
            await _closed(far_writer)

    async def _connect(self, host: str, port: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        meant = [destination for destination in self._allowed if destination.covers(host, port)]
        if not meant:
            raise Refused("403 Forbidden", f"{host}:{port} is not on the network list of this sandbox")
        loop = asyncio.get_running_loop()
        try:
            found = await asyncio.wait_for(loop.getaddrinfo(host, port, type=socket.SOCK_STREAM), CONNECT_S)
        except (OSError, UnicodeError, TimeoutError):
            raise Refused("502 Bad Gateway", f"the name {host} has no address") from None
        addresses = [str(item[4][0]) for item in found]
        usable = [item for item in addresses if any(d.allows(ipaddress.ip_address(item.partition("%")[0])) for d in meant)]
        if addresses and not usable:
            raise Refused("403 Forbidden", f"{host} leads to {addresses[0]}, which would have to be on the network list itself")
        error: Exception | None = None
        for address in usable:
            try:
                return await asyncio.wait_for(asyncio.open_connection(address, port), CONNECT_S)
            except (OSError, TimeoutError) as failure:
                error = failure
        raise Refused("502 Bad Gateway", f"{host}:{port} does not answer: {error or 'no address'}")


async def _head(reader: asyncio.StreamReader) -> tuple[bytes, str, bytes]:
    """Method, target, and the headers that are passed on."""
    try:
        head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), HEAD_S)
    except asyncio.LimitOverrunError:
        raise Refused("431 Request Header Fields Too Large", f"the headers are longer than {HEAD_BYTES} bytes") from None
    except (asyncio.IncompleteReadError, TimeoutError):
        raise Refused("408 Request Timeout", f"no whole request came within {HEAD_S:g} s") from None
    first, *lines = head[:-4].split(b"\r\n")
    words = first.split(b" ")
    if len(words) != 3 or not words[0].isalpha() or not words[2].startswith(b"HTTP/1.") or not words[1].isascii():
        _bad(first)
    kept = [line for line in lines if line.partition(b":")[0].strip().lower() not in OWN_HEADERS]
    return words[0], words[1].decode("ascii"), b"".join(line + b"\r\n" for line in kept)


def _target(target: str, *, tunnel: bool) -> tuple[str, int, str]:
    """Host, port and path of a request."""
    try:
        parts = urlsplit(f"//{target}" if tunnel else target)
        host, port = normal(parts.hostname or ""), parts.port
    except ValueError:
        _bad(target.encode())
    if not host or (parts.scheme != ("" if tunnel else "http")) or (tunnel and port is None):
        _bad(target.encode())
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    return host, 80 if port is None else port, path


def _bad(what: bytes) -> NoReturn:
    raise Refused("400 Bad Request", f"{what[:100]!r} is no request to a proxy; it takes http:// addresses and CONNECT host:port")


def _refuse(writer: asyncio.StreamWriter, refused: Refused) -> None:
    """The reason stands in the status line too: clients show that of a refused tunnel and drop the body."""
    reason = str(refused).encode("ascii", "replace")
    head = b"HTTP/1.1 %s: %s\r\nContent-Type: text/plain\r\nContent-Length: %d\r\nConnection: close\r\n\r\n"
    with suppress(OSError):
        writer.write(head % (refused.status.encode(), reason, len(reason)) + reason)


async def _both(*pumps: "asyncio._CoroutineLike[None]") -> None:
    async with asyncio.TaskGroup() as group:
        for pump in pumps:
            group.create_task(pump)


async def _pump(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
    """Pass on until the source ends, which the target is then told."""
    with suppress(OSError):
        while block := await source.read(BLOCK):
            target.write(block)
            await target.drain()
        if target.can_write_eof():
            target.write_eof()
        return
    target.transport.abort()


async def _closed(writer: asyncio.StreamWriter) -> None:
    writer.close()
    with suppress(OSError, asyncio.CancelledError):
        await writer.wait_closed()
