"""Embedding models that are served: OpenAI-compatible `/v1/embeddings`, and whatever LiteLLM reaches."""

import asyncio
import os
import threading
from collections.abc import Coroutine, Sequence
from typing import Any, Protocol

import numpy as np

from tirage.core.errors import MissingExtra, ModelError, ModelRateLimited, ModelUnavailable
from tirage.models.openai.server import Server
from tirage.tools.retrieval.embedders import Vectors
from tirage.tools.retrieval.folders import unit

BATCH = 64
"""Texts per request."""
AT_ONCE = 4
ATTEMPTS = 6


class _Service(Protocol):
    async def vectors(self, texts: Sequence[str]) -> list[list[float]]: ...


class ServedEmbedder:
    """An embedding service behind the port. What waits runs on a loop of its own, so it can be asked from anywhere."""

    def __init__(self, name: str, served: str, service: _Service, *, first_s: float = 0.5) -> None:
        """Asks once, for the dimension. `served` is the model's name; `first_s` the wait before the first repetition, doubled each time.

        Raises the `ModelError` family.
        """
        self.name = name
        self.id = served
        self._service = service
        self._first_s = first_s
        self._loop = asyncio.new_event_loop()
        threading.Thread(target=self._loop.run_forever, daemon=True, name=f"embedder {served}").start()
        self.dimension = len(self._wait(self._batch(["dimension"]))[0])

    def embed(self, texts: Sequence[str], *, query: bool = False) -> Vectors:
        """As the port says. Raises the `ModelError` family when the service keeps failing."""
        if not texts:
            return np.zeros((0, self.dimension), np.float32)
        rows = np.array(self._wait(self._all(texts)), np.float32)
        if rows.shape != (len(texts), self.dimension):
            raise ModelError(
                f"embedder {self.name} sent vectors of shape {rows.shape} for {len(texts)} texts of {self.dimension} dimensions"
            )
        return unit(rows)

    def _wait(self, work: Coroutine[Any, Any, list[list[float]]]) -> list[list[float]]:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()

    async def _all(self, texts: Sequence[str]) -> list[list[float]]:
        room = asyncio.Semaphore(AT_ONCE)

        async def part(start: int) -> list[list[float]]:
            async with room:
                return await self._batch(texts[start : start + BATCH])

        parts = await asyncio.gather(*(part(start) for start in range(0, len(texts), BATCH)))
        return [row for rows in parts for row in rows]

    async def _batch(self, texts: Sequence[str]) -> list[list[float]]:
        # Services refuse an empty text.
        said = [text if text.strip() else " ." for text in texts]
        for attempt in range(1, ATTEMPTS + 1):
            try:
                return await self._service.vectors(said)
            except ModelUnavailable as error:
                if attempt == ATTEMPTS:
                    raise
                asked = error.retry_after_s if isinstance(error, ModelRateLimited) else None
                await asyncio.sleep(max(self._first_s * 2 ** (attempt - 1), asked or 0.0))
        raise AssertionError("the last attempt returns or raises")


class _OpenAI:
    def __init__(self, url: str, served: str, api_key: str | None) -> None:
        self._url, self._served, self._api_key = url, served, api_key
        self._server: Server | None = None

    async def vectors(self, texts: Sequence[str]) -> list[list[float]]:
        if self._server is None:
            self._server = Server(self._url, api_key=self._api_key, timeout_s=120.0)
        answer = await self._server.post("/embeddings", {"model": self._served, "input": list(texts), "encoding_format": "float"})
        return _rows(self._url, answer, len(texts))


class _LiteLLM:
    def __init__(self, library: Any, served: str) -> None:
        self._library, self._served = library, served

    async def vectors(self, texts: Sequence[str]) -> list[list[float]]:
        kinds = self._library.exceptions
        try:
            answer = await self._library.aembedding(model=self._served, input=list(texts), timeout=120, max_retries=0)
        except (kinds.RateLimitError, kinds.APIConnectionError, kinds.Timeout, kinds.ServiceUnavailableError) as error:
            raise ModelUnavailable(f"litellm/{self._served}: {type(error).__name__}: {error}") from error
        except Exception as error:  # LiteLLM's other classes share no base that is documented
            raise ModelError(f"litellm/{self._served}: {type(error).__name__}: {error}") from error
        return _rows(f"litellm/{self._served}", answer.model_dump(), len(texts))


def _rows(name: str, answer: dict[str, Any], count: int) -> list[list[float]]:
    """The vectors in the order of the texts, whatever the order they came in."""
    try:
        rows = sorted(answer["data"], key=lambda row: row["index"])
        vectors = [[float(value) for value in row["embedding"]] for row in rows]
    except (KeyError, TypeError, ValueError) as error:
        raise ModelError(f"{name} answered without embeddings ({error!r}); does it serve an embedding model?") from error
    if len(vectors) != count:
        raise ModelError(f"{name} sent {len(vectors)} embeddings for {count} texts")
    return vectors


def open_served(url: str, served: str, *, api_key: str | None = None, first_s: float = 0.5) -> ServedEmbedder:
    """The model `served` of an OpenAI-compatible server at `url`, which ends with the API version."""
    return ServedEmbedder(f"{url}#{served}", served, _OpenAI(url, served, api_key), first_s=first_s)


def open_litellm(served: str) -> ServedEmbedder:
    """An embedding model of LiteLLM, e.g. `voyage/voyage-3`. Raises `MissingExtra` without the package."""
    os.environ.setdefault("LITELLM_LOCAL_MODEL_COST_MAP", "True")
    try:
        import litellm
    except ImportError as error:
        raise MissingExtra("litellm", "all") from error
    litellm.suppress_debug_info = True
    litellm.telemetry = False
    return ServedEmbedder(f"litellm/{served}", f"litellm/{served}", _LiteLLM(litellm, served))
