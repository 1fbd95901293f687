"""JSON over HTTP to one server, with every way it can fail mapped to the error tree.

Plain HTTP is `plain.PlainHTTP`'s, TLS and proxies are aiohttp's. Not httpx's: with 500 requests in flight it spends 6 ms of CPU
per call, because it searches its connection pool linearly for every request; aiohttp spends 0.2 ms.
"""

import json
import socket
import time
from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

import aiohttp

from tirage.core.errors import ConfigError, ModelAuthError, ModelError, ModelRateLimited, ModelRequestError, ModelUnavailable
from tirage.models.keys import credentials_in, origin, without_credentials
from tirage.models.openai.plain import IDLE_S, Answer, PlainHTTP

_LOOPBACK = {"localhost", "127.0.0.1", "::1"}
_CLIP = 600
_dumps = json.JSONEncoder(separators=(",", ":"), check_circular=False).encode


class Refused(ModelRequestError):
    """A refusal that keeps its HTTP status."""

    def __init__(self, message: str, status: int) -> None:
        """`status`: e.g. 404."""
        super().__init__(message)
        self.status = status


class ServerFault(ModelUnavailable):
    """An answer of 500 or more: the server is there, and could not do this."""


class Server:
    """A connection pool to one base URL. Belongs to the event loop it is made in."""

    def __init__(self, base_url: str, *, api_key: str | None = None, timeout_s: float = 600.0, connections: int = 1000) -> None:
        """`base_url` ends with the API version, e.g. `http://127.0.0.1:8000/v1`; `timeout_s` is for a whole call.

        Raises:
            ConfigError: `base_url` is not an http(s) URL, or holds credentials.
        """
        origin(base_url)
        if credentials_in(base_url):
            shown = without_credentials(base_url)
            raise ConfigError(f"{shown!r} was given with a user, password or key in the URL, which traces would keep; use api_keys")
        parts = urlsplit(base_url)
        self._key = api_key
        self.base_url = base_url.rstrip("/")
        self._timeout_s = timeout_s
        headers = {"content-type": "application/json"}
        if api_key:
            headers["authorization"] = f"Bearer {api_key}"
        host = parts.hostname or ""
        proxied = host not in _LOOPBACK and "http" in getproxies() and not proxy_bypass(host)
        kind = PlainHTTP if parts.scheme == "http" and not proxied else _LibraryHTTP
        self._http: PlainHTTP | _LibraryHTTP = kind(self.base_url, headers=headers, timeout_s=timeout_s, connections=connections)

    async def post(self, path: str, payload: Mapping[str, Any]) -> dict[str, Any]:
        """POST to `base_url + path`. Raises the `ModelError` family."""
        return await self._call("POST", self.base_url + path, _dumps(payload).encode())

    async def get(self, path: str) -> dict[str, Any]:
        """GET from `base_url + path`."""
        return await self._call("GET", self.base_url + path, None)

    async def get_root(self, path: str) -> dict[str, Any]:
        """GET from the server's root, outside the versioned API."""
        return await self._call("GET", self._at_root(path), None)

    async def ready(self, path: str) -> bool:
        """True when a GET of `path` at the server's root answers 200, whatever the body. Raises as the others do."""
        return (await self._exchange("GET", self._at_root(path), None)).status == 200

    async def close(self) -> None:
        """Close all connections; idempotent."""
        await self._http.close()

    def _at_root(self, path: str) -> str:
        parts = urlsplit(self.base_url)
        return f"{parts.scheme}://{parts.netloc}{path}"

    async def _call(self, method: str, url: str, body: bytes | None) -> dict[str, Any]:
        answer = await self._exchange(method, url, body)
        if answer.status == 200:
            return _parse(url, answer.body)
        raise _refusal(url, answer.status, self._without_key(answer.body), answer.headers.get("retry-after"))

    def _without_key(self, content: bytes) -> bytes:
        """What the server said, without the key that some repeat."""
        return content.replace(self._key.encode(), b"[key]") if self._key else content

    async def _exchange(self, method: str, url: str, body: bytes | None) -> Answer:
        """One exchange; what goes wrong below HTTP is `ModelUnavailable`."""
        if self._http.closed:
            raise ModelError(f"the connection to {self.base_url} is closed")
        try:
            return await self._http.exchange(method, url, body)
        except (TimeoutError, aiohttp.ServerTimeoutError) as error:
            raise ModelUnavailable(f"{url} did not answer within {self._timeout_s:g} s; is the server overloaded?") from error
        except (ConnectionRefusedError, socket.gaierror, aiohttp.ClientConnectorError) as error:
            raise ModelUnavailable(f"cannot connect to {url}: {error}; is the server running?") from error
        except (aiohttp.ClientError, OSError) as error:
            raise ModelUnavailable(f"the connection to {url} broke: {type(error).__name__}: {error}") from error


class _LibraryHTTP:
    """TLS and proxies: aiohttp."""

    def __init__(self, base_url: str, *, headers: Mapping[str, str], timeout_s: float, connections: int) -> None:
        """As `PlainHTTP`."""
        self._session = aiohttp.ClientSession(
            headers=headers,
            connector=aiohttp.TCPConnector(limit=connections, keepalive_timeout=IDLE_S),
            timeout=aiohttp.ClientTimeout(total=timeout_s, sock_connect=min(10.0, timeout_s)),
            trust_env=urlsplit(base_url).hostname not in _LOOPBACK,
        )

    @property
    def closed(self) -> bool:
        """True after `close`."""
        return self._session.closed

    async def exchange(self, method: str, url: str, body: bytes | None) -> Answer:
        """As `PlainHTTP.exchange`; raises aiohttp's errors."""
        async with self._session.request(method, url, data=body, allow_redirects=False) as response:
            headers = {name.lower(): value for name, value in response.headers.items()}
            return Answer(response.status, headers, await response.read())

    async def close(self) -> None:
        """Close the connections."""
        await self._session.close()


def _parse(url: str, content: bytes) -> dict[str, Any]:
    try:
        data = json.loads(content)
    except ValueError as error:
        remedy = "is it an OpenAI-compatible server?"
        raise ModelUnavailable(f"{url} answered with broken JSON ({error}): {content[:80]!r}; {remedy}") from error
    if not isinstance(data, dict):
        raise ModelUnavailable(f"{url} answered with a JSON {type(data).__name__} instead of an object; is it an OpenAI-compatible server?")
    return data


def _refusal(url: str, status: int, content: bytes, retry_after: str | None) -> ModelError:
    """The error for a status other than 200."""
    said = f"{url} answered {status}: {_message(content)}"
    if status == 429:
        return ModelRateLimited(said, retry_after_s=_seconds(retry_after))
    if status >= 500:
        return ServerFault(f"{said}; look at the server's log")
    if status in (408, 425):
        return ModelUnavailable(f"{said}; look at the server's log")
    if status in (401, 403):
        return ModelAuthError(f"{said}; check the API key")
    return Refused(said, status)


def _message(content: bytes) -> str:
    """What a server says about an error, in any of the usual shapes."""
    text = content.decode("utf-8", "replace").strip()
    try:
        data = json.loads(text)
    except ValueError:
        return text[:_CLIP] or "(no text)"
    for key in ("error", "message", "detail"):
        if isinstance(data, dict) and key in data:
            data = data[key]
    return (data if isinstance(data, str) else json.dumps(data))[:_CLIP]


def _seconds(retry_after: str | None) -> float | None:
    """A Retry-After header, seconds or date, as seconds from now."""
    if retry_after is None:
        return None
    try:
        return max(0.0, float(retry_after))
    except ValueError:
        pass
    try:
        return max(0.0, parsedate_to_datetime(retry_after).timestamp() - time.time())
    except ValueError:
        return None
