"""JSON over HTTP to one server, with every way it can fail mapped to the error tree.

aiohttp rather than httpx: with 500 requests in flight a call costs 0.2 ms of CPU against 6 ms, because httpx searches
its connection pool linearly for every request.
"""

import json
import time
from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import urlsplit

import aiohttp

from tirage.core.errors import ConfigError, ModelAuthError, ModelError, ModelRateLimited, ModelRequestError, ModelUnavailable

_LOOPBACK = {"localhost", "127.0.0.1", "::1"}
_CLIP = 600
_dumps = json.JSONEncoder(separators=(",", ":"), check_circular=False).encode


class Refused(ModelRequestError):
    """A refusal that keeps its HTTP status."""

    def __init__(self, message: str, status: int) -> None:
        """`status`: e.g. 404."""
        super().__init__(message)
        self.status = status


class Server:
    """A connection pool to one base URL. Belongs to the event loop it is made in."""

    def __init__(self, base_url: str, *, api_key: str | None = None, timeout_s: float = 600.0, connections: int = 1000) -> None:
        """`base_url` ends with the API version, e.g. `http://127.0.0.1:8000/v1`; `timeout_s` is for a whole call.

        Raises:
            ConfigError: `base_url` is not an http(s) URL.
        """
        parts = urlsplit(base_url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ConfigError(f"{base_url!r} is not a server address; write e.g. http://127.0.0.1:8000/v1")
        self.base_url = base_url.rstrip("/")
        self._timeout_s = timeout_s
        headers = {"content-type": "application/json"}
        if api_key:
            headers["authorization"] = f"Bearer {api_key}"
        self._session = aiohttp.ClientSession(
            headers=headers,
            # Servers built on uvicorn drop idle connections after 5 s; a shorter wait here avoids sending into a closing one.
            connector=aiohttp.TCPConnector(limit=connections, keepalive_timeout=3.0),
            timeout=aiohttp.ClientTimeout(total=timeout_s, sock_connect=min(10.0, timeout_s)),
            trust_env=parts.hostname not in _LOOPBACK,
        )

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
        status, _, _ = await self._exchange("GET", self._at_root(path), None)
        return status == 200

    async def close(self) -> None:
        """Close all connections; idempotent."""
        await self._session.close()

    def _at_root(self, path: str) -> str:
        parts = urlsplit(self.base_url)
        return f"{parts.scheme}://{parts.netloc}{path}"

    async def _call(self, method: str, url: str, body: bytes | None) -> dict[str, Any]:
        status, content, retry_after = await self._exchange(method, url, body)
        if status == 200:
            return _parse(url, content)
        raise _refusal(url, status, content, retry_after)

    async def _exchange(self, method: str, url: str, body: bytes | None) -> tuple[int, bytes, str | None]:
        """Status, body and Retry-After of one exchange; what goes wrong below HTTP is `ModelUnavailable`."""
        if self._session.closed:
            raise ModelError(f"the connection to {self.base_url} is closed")
        try:
            async with self._session.request(method, url, data=body, allow_redirects=False) as response:
                return response.status, await response.read(), response.headers.get("retry-after")
        except (TimeoutError, aiohttp.ServerTimeoutError) as error:
            raise ModelUnavailable(f"{url} did not answer within {self._timeout_s:g} s; is the server overloaded?") from error
        except aiohttp.ClientConnectorError as error:
            raise ModelUnavailable(f"cannot connect to {url}: {error}; is the server running?") from error
        except (aiohttp.ClientError, ConnectionError) as error:
            raise ModelUnavailable(f"the connection to {url} broke: {type(error).__name__}: {error}") from error


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
    if status >= 500 or status in (408, 425):
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
