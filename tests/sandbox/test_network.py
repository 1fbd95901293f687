"""The network allow-list: what is listed answers through the gateway, everything else stays out of reach."""

import asyncio
import contextlib
import ipaddress
import platform
import socket
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Any

import pytest
import pytest_asyncio

from tirage.core.errors import ConfigError, SandboxError
from tirage.sandbox import ExecResult, Sandbox, SandboxConfig, Session, open_sandbox
from tirage.sandbox.allowlist import Destination, parse
from tirage.sandbox.gateway import HEAD_BYTES, MOST_CONNECTIONS, Gateway
from tirage.testing.suites.sandboxes import check_sandbox

OTHERS = pytest.mark.asyncio(loop_scope="module")


@pytest.mark.parametrize(
    ("entry", "host", "ports"),
    [
        ("pypi.org", "pypi.org", {80, 443}),
        ("PyPI.org.", "pypi.org", {80, 443}),
        ("*.pythonhosted.org:443", "*.pythonhosted.org", {443}),
        ("10.0.0.5:8000", "10.0.0.5", {8000}),
        ("[::1]:81", "::1", {81}),
        ("2001:DB8::1", "2001:db8::1", {80, 443}),
        ("localhost:1", "localhost", {1}),
    ],
)
def test_entries(entry: str, host: str, ports: set[int]) -> None:
    assert parse(entry) == Destination(host=host, ports=frozenset(ports))


@pytest.mark.parametrize(
    "entry",
    [
        "",
        " ",
        "*",
        "*.",
        "http://a.b",
        "a.b/c",
        "a.b:0",
        "a.b:65536",
        "a.b:x",
        "a b",
        "u@a.b",
        "a..b",
        "-a.b",
        "*a.b",
        "a.*.b",
        ":80",
        "::g",
    ],
)
def test_entries_that_make_no_sense_are_refused_by_name(entry: str) -> None:
    with pytest.raises(ConfigError, match="must be a host"):
        SandboxConfig(network=(entry,))


def test_what_an_entry_covers() -> None:
    assert parse("a.b").covers("a.b", 443)
    assert not parse("a.b").covers("a.b", 22)
    assert not parse("a.b").covers("x.a.b", 443)
    assert parse("*.a.b:22").covers("x.y.a.b", 22)
    assert not parse("*.a.b").covers("a.b", 443)
    assert not parse("*.a.b").covers("xa.b", 443)


@pytest.mark.parametrize(
    ("entry", "address", "allowed"),
    [
        ("a.b", "93.184.216.34", True),
        ("a.b", "10.1.2.3", True),
        ("*.a.b", "93.184.216.34", True),
        ("*.a.b", "10.1.2.3", False),
        ("a.b", "127.0.0.1", False),
        ("a.b", "::ffff:127.0.0.1", False),
        ("a.b", "169.254.169.254", False),
        ("a.b", "0.0.0.0", False),
        ("a.b", "::1", False),
        ("a.b", "fe80::1", False),
        ("127.0.0.1", "127.0.0.1", True),
        ("169.254.169.254", "169.254.169.254", True),
        ("localhost", "127.0.0.1", True),
        ("localhost", "10.1.2.3", False),
    ],
)
def test_a_name_does_not_lead_to_this_machine_and_a_wildcard_to_no_private_one(entry: str, address: str, allowed: bool) -> None:
    assert parse(entry).allows(ipaddress.ip_address(address)) is allowed


def test_the_list_needs_the_rung_that_can_keep_it() -> None:
    for bad in ({"first_rung": 2}, {"unsafe": True}):
        with pytest.raises(ConfigError, match="needs rung 1"):
            SandboxConfig(network=("a.b",), **bad)


@dataclass(frozen=True, slots=True)
class Places:
    """A session of a sandbox that may reach `port` of this machine, and `secret`, where the same server answers unlisted."""

    sandbox: Sandbox
    session: Session
    port: int
    secret: int

    async def run(self, code: str) -> ExecResult:
        return await self.session.run(code.replace("PORT", str(self.port)).replace("SECRET", str(self.secret)))


async def _serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Says what it was asked; a body comes back in capitals."""
    with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
        head = await reader.readuntil(b"\r\n\r\n")
        length = next((int(line[15:]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:")), 0)
        answer = head + (await reader.readexactly(length)).upper()
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(answer), answer))
        await writer.drain()
    writer.close()


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def places() -> AsyncIterator[Places]:
    servers = [await asyncio.start_server(_serve, "127.0.0.1", 0) for _ in range(2)]
    port, secret = (server.sockets[0].getsockname()[1] for server in servers)
    config = SandboxConfig(min_rung=1, preload=(), network=(f"127.0.0.1:{port}", "nowhere.invalid"))
    try:
        sandbox = await open_sandbox(config).__aenter__()
    except SandboxError as error:
        if "namespaces" not in str(error):
            raise
        pytest.skip(f"this host gives no rung 1: {error}")
    try:
        assert "gateway" in sandbox.capabilities.layers
        yield Places(sandbox, await sandbox.open(), port, secret)
    finally:
        await sandbox.close()
        for server in servers:
            server.close()


@OTHERS
async def test_a_listed_destination_answers_by_address_and_through_a_tunnel(places: Places) -> None:
    get = await places.run("import urllib.request as u; u.urlopen('http://127.0.0.1:PORT/a?b=1#c').read().decode()")
    assert "GET /a?b=1 HTTP/1.1" in (get.value or "")
    assert f"Host: 127.0.0.1:{places.port}" in (get.value or "")
    assert "Proxy" not in (get.value or "")
    post = await places.run("u.urlopen('http://127.0.0.1:PORT/', data=b'x' * 3_000_000).read().count(b'X')")
    assert post.value == "3000000"
    tunnel = await places.run(
        "import http.client as h; c = h.HTTPConnection('127.0.0.1', 3128); c.set_tunnel('127.0.0.1', PORT)\n"
        "c.request('GET', '/deep'); c.getresponse().read()[:9]"
    )
    assert tunnel.value == "b'GET /deep'"


@OTHERS
@pytest.mark.parametrize(
    ("code", "says"),
    [
        (
            "import urllib.request as u; u.urlopen('http://127.0.0.1:SECRET/')",
            "403: Forbidden: 127.0.0.1:SECRET is not on the network list",
        ),
        ("u.urlopen('http://localhost:PORT/')", "localhost:PORT is not on the network list"),
        ("u.urlopen('https://example.com/')", "example.com:443 is not on the network list"),
        ("u.urlopen('http://[::1]:PORT/')", "::1:PORT is not on the network list"),
        ("u.urlopen('http://127.0.0.1:PORT@example.com/')", "example.com:80 is not on the network list"),
        ("u.urlopen('http://nowhere.invalid/')", "502: Bad Gateway: the name nowhere.invalid has no address"),
    ],
)
async def test_what_is_not_listed_is_refused_with_the_reason(places: Places, code: str, says: str) -> None:
    result = await places.run("import urllib.request as u\n" + code)
    assert says.replace("PORT", str(places.port)).replace("SECRET", str(places.secret)) in result.error_text


@OTHERS
@pytest.mark.parametrize(
    "code",
    [
        "s.create_connection(('127.0.0.1', SECRET), 2)",
        "s.create_connection(('127.0.0.1', PORT), 2)",
        "s.socket().bind(('127.0.0.1', 8080))",
        "s.socket(s.AF_INET, s.SOCK_DGRAM)",
        "s.socket(s.AF_INET, s.SOCK_RAW, 1)",
        "s.socket(s.AF_INET, s.SOCK_STREAM, 262)",
        "s.socket(s.AF_INET6, s.SOCK_STREAM)",
        "s.socket(s.AF_NETLINK, s.SOCK_RAW)",
        "s.socket(s.AF_PACKET, s.SOCK_RAW)",
        "s.getaddrinfo('example.com', 80)",
    ],
)
async def test_there_is_no_way_around_the_gateway(places: Places, code: str) -> None:
    result = await places.run("import socket as s\n" + code)
    assert result.error_name in ("PermissionError", "ConnectionRefusedError", "OSError", "gaierror"), result


@OTHERS
@pytest.mark.skipif(platform.machine() != "x86_64", reason="the attacks use x86-64 system call numbers; run on x86-64")
async def test_the_attacks_on_the_network_are_contained_as_without_a_list(places: Places) -> None:
    findings = await check_sandbox(places.sandbox, groups=("network",))
    assert findings
    assert {finding.status for finding in findings} == {"contained"}, findings


@OTHERS
@pytest.mark.parametrize(
    ("sent", "status"),
    [
        ("b'nonsense\\r\\n\\r\\n'", "400"),
        ("b'GET / HTTP/1.1\\r\\n\\r\\n'", "400"),
        ("b'GET ftp://a.b/ HTTP/1.1\\r\\n\\r\\n'", "400"),
        ("b'CONNECT 127.0.0.1 HTTP/1.1\\r\\n\\r\\n'", "400"),
        ("b'CONNECT [::1 HTTP/1.1\\r\\n\\r\\n'", "400"),
        ("b'CONNECT a:99999 HTTP/1.1\\r\\n\\r\\n'", "400"),
        ("b'\\xff\\xfe \\xff HTTP/1.1\\r\\n\\r\\n'", "400"),
        (f"b'GET http://a.b/ HTTP/1.1\\r\\n' + b'a' * {2 * HEAD_BYTES}", "431"),
    ],
)
async def test_a_request_that_is_none_is_answered_and_the_next_one_served(places: Places, sent: str, status: str) -> None:
    ask = "import socket; c = socket.create_connection(('127.0.0.1', 3128)); c.sendall(SENT); c.recv(100)"
    result = await places.run(ask.replace("SENT", sent))
    assert f"HTTP/1.1 {status}" in (result.value or ""), result
    again = await places.run("import urllib.request as u; u.urlopen('http://127.0.0.1:PORT/').status")
    assert again.value == "200"


@OTHERS
async def test_connections_are_bounded_and_free_again_with_the_cell_that_held_them(places: Places) -> None:
    branch = await places.session.branch()
    hold = "import socket as s\nheld = [s.create_connection(('127.0.0.1', 3128)) for _ in range(COUNT)]\nheld[-1].recv(50)"
    result = await branch.run(hold.replace("COUNT", str(MOST_CONNECTIONS + 1)))
    assert "503" in (result.value or ""), result
    await branch.close()
    for _ in range(100):
        free = await places.run("import urllib.request as u; u.urlopen('http://127.0.0.1:PORT/').status")
        if free.value == "200":
            return
        await asyncio.sleep(0.05)
    raise AssertionError(free)


async def _asked(allowed: tuple[str, ...], request: bytes, *, patience_s: float = 5.0) -> bytes:
    listener = socket.create_server(("127.0.0.1", 0))
    gateway = await Gateway.open(listener, tuple(map(parse, allowed)))
    try:
        reader, writer = await asyncio.open_connection(*listener.getsockname())
        writer.write(request)
        answer = await asyncio.wait_for(reader.read(), patience_s)
        writer.close()
        return answer
    finally:
        await gateway.close()
        await gateway.close()


async def test_a_name_server_that_lies_leads_nowhere(monkeypatch: pytest.MonkeyPatch) -> None:
    async def lie(*_: object, **__: object) -> list[Any]:
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("169.254.169.254", 80))]

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", lie)
    answer = await _asked(("a.b",), b"CONNECT a.b:80 HTTP/1.1\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 403")
    assert b"leads to 169.254.169.254" in answer


async def test_a_request_that_never_ends_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tirage.sandbox.gateway.HEAD_S", 0.1)
    assert (await _asked((), b"GET http://a.b/ HT")).startswith(b"HTTP/1.1 408")


async def test_a_port_where_nobody_listens_is_said(unused_tcp_port_factory: Callable[[], int]) -> None:
    port = unused_tcp_port_factory()
    answer = await _asked((f"127.0.0.1:{port}",), f"CONNECT 127.0.0.1:{port} HTTP/1.1\r\n\r\n".encode())
    assert answer.startswith(b"HTTP/1.1 502")
    assert b"does not answer" in answer
