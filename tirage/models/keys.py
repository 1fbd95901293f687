"""API keys, each bound to the origin that it was configured for: a key is never sent anywhere else."""

import os
from collections.abc import Iterator, Mapping
from urllib.parse import parse_qsl, urlsplit

from tirage.core.errors import ConfigError, ModelAuthError

OPENAI_KEY, OPENAI_URL = "OPENAI_API_KEY", "OPENAI_BASE_URL"
_OPENAI = "https://api.openai.com/v1"
_PORTS = {"http": 80, "https": 443}
_SECRET = ("key", "token", "secret", "password", "passwd", "signature", "credential")
"""Words in the names of query parameters that carry credentials."""


def origin(url: str) -> str:
    """Scheme, host and port of a URL, such as `https://api.openai.com:443`. Raises `ConfigError` for what is not an http(s) URL."""
    try:
        parts = urlsplit(url)
        port = parts.port or _PORTS[parts.scheme]
    except (KeyError, ValueError):
        raise ConfigError(f"{without_credentials(url)!r} is not a server address; write e.g. http://127.0.0.1:8000/v1") from None
    if not parts.hostname:
        raise ConfigError(f"{without_credentials(url)!r} is not a server address; write e.g. http://127.0.0.1:8000/v1")
    return f"{parts.scheme}://{parts.hostname.lower()}:{port}"


def openai_url() -> str:
    """The base URL that OPENAI_API_KEY belongs to: that of OPENAI_BASE_URL, by default OpenAI's own."""
    return os.environ.get(OPENAI_URL) or _OPENAI


def key_for(url: str, keys: Mapping[str, str] | None = None) -> str | None:
    """The key for a server; None where no key was configured for its origin.

    Args:
        url: Any URL of the server.
        keys: Environment variables by the origin, or any URL, that the key in them belongs to.

    Raises:
        ModelAuthError: The variable that holds the key of this origin is not set.
    """
    here = origin(url)
    for place, variable in (keys or {}).items():
        if origin(place) == here:
            key = os.environ.get(variable)
            if not key:
                raise ModelAuthError(f"the key for {here} is to be in {variable}; set {variable} in the environment")
            return key
    return os.environ.get(OPENAI_KEY) if here == origin(openai_url()) else None


def credentials_in(url: str) -> bool:
    """Whether a URL carries a user, a password or a query parameter that is named like a key."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return False
    if not parts.scheme or not parts.netloc:
        return False
    names = (name.lower() for name, _ in parse_qsl(parts.query, keep_blank_values=True))
    return "@" in parts.netloc or any(word in name for name in names for word in _SECRET)


def without_credentials(url: str) -> str:
    """The URL as messages may show it: without user, password and query."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return url.partition("?")[0].rpartition("@")[2]
    return parts._replace(netloc=parts.netloc.rpartition("@")[2], query="").geturl() if parts.netloc else url


def texts_in(value: object) -> Iterator[str]:
    """Every text in a value of JSON kind."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from texts_in(item)
    elif isinstance(value, (list, tuple)):
        for item in value:
            yield from texts_in(item)
