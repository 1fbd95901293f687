"""LocalModel: a Hugging Face model in this process, with continuous batching and batch-invariant, seeded samples."""

import asyncio
import gc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from tirage.core.errors import CapabilityError, MissingExtra, ModelRequestError
from tirage.models.base import Capabilities, Completion, Request
from tirage.models.template import HFRenderer
from tirage.models.weights import weights_hash

if TYPE_CHECKING:
    from tirage.models.inprocess.batching import Engine


class LocalModel:
    """A model of transformers behind the port. Open it with `open_local`."""

    def __init__(self, name: str, renderer: HFRenderer, engine: "Engine") -> None:
        """`name` identifies the weights, e.g. `nano@3f2a91c0`."""
        self._name = name
        self._renderer = renderer
        self._engine = engine

    @property
    def name(self) -> str:
        """Name and weights hash."""
        return self._name

    @property
    def capabilities(self) -> Capabilities:
        """Everything but native tool calls and structured replies: both are read from text."""
        return Capabilities(
            raw_continuation=True, prefill=True, token_ids=True, logprobs=True, seed=True, n=True, context=self._engine.context
        )

    @property
    def renderer(self) -> HFRenderer:
        """Tokenizer and chat template of the model's folder."""
        return self._renderer

    async def complete(self, request: Request) -> tuple[Completion, ...]:
        """Sample completions. A cancelled caller frees its slots.

        Raises:
            CapabilityError: The request carries tool schemas, or a schema for the reply.
            ModelRequestError: The prompt is empty, does not fit the context, or names ids outside the vocabulary.
            ModelError: The engine broke or is closed.
        """
        if request.tools:
            raise CapabilityError(
                f"{self._name} takes no tool schemas; use a text dialect such as fenced-python, or a server that declares native tools"
            )
        if request.schema is not None:
            raise CapabilityError(
                f"{self._name} holds no reply to a JSON schema; use a server that declares structured replies (vllm/NAME)"
            )
        if request.sampling.n < 1 or request.sampling.max_tokens < 1:
            raise ModelRequestError(f"n={request.sampling.n} and max_tokens={request.sampling.max_tokens} must be at least 1")
        ids = self._prompt(request)
        return await asyncio.wrap_future(self._engine.submit(ids, request.sampling))

    async def close(self) -> None:
        """End the worker thread; idempotent."""
        await asyncio.to_thread(self._engine.close)

    def _prompt(self, request: Request) -> tuple[int, ...]:
        if request.ids is not None:
            ids = request.ids
        elif request.text is not None:
            ids = self._renderer.encode_prompt(request.text)
        else:
            ids = self._renderer.prompt(request.messages or (), continue_final=request.continue_final)[1]
        if not ids:
            raise ModelRequestError(f"the prompt for {self._name} is empty; a model needs at least one token to go on from")
        if len(ids) >= self._engine.context:
            raise ModelRequestError(
                f"the prompt has {len(ids)} tokens, but the context of {self._name} is {self._engine.context} and must hold the answer too"
            )
        if max(ids) >= self._engine.vocabulary or min(ids) < 0:
            raise ModelRequestError(
                f"the prompt holds an id outside the vocabulary of {self._name} (0 to {self._engine.vocabulary - 1}); "
                "was it tokenised for another model?"
            )
        return ids


async def open_local(
    folder: str | Path,
    *,
    name: str | None = None,
    slots: int | None = None,
    device: str | None = None,
    threads: int | None = None,
    read: Callable[[Path], HFRenderer] = HFRenderer,
    cache_mb: int = 256,
) -> LocalModel:
    """Load a model folder (config.json, *.safetensors, tokenizer.json) and start its engine.

    Samples are the same to the last bit whatever else is in flight, on one machine with the same `slots` and `threads`.

    Args:
        folder: Written by `save_pretrained`.
        name: What the model is called; the weights hash is appended. The folder's name by default.
        slots: Draws decoded together. By default 32, or 8 on the CPU for a model beyond 100 M parameters.
        device: `cpu` or `cuda`; CUDA when there is one. float32 on the CPU, bfloat16 on CUDA.
        threads: CPU threads for the matrix products. By default 1 below 20 M parameters, all physical cores beyond.
        read: Reads tokenizer and template, e.g. a partial of `HFRenderer` with a chat template or its switches.
        cache_mb: How much of prompts already read is kept, in MB.

    Raises:
        ConfigError: The folder holds no usable model or tokenizer, a broken template, or nothing that ends a turn.
        MissingExtra: torch or transformers is not installed.
    """
    path = Path(folder)
    renderer = read(path)
    renderer.check()

    def load() -> LocalModel:
        try:
            with _collection_paused():
                from tirage.models.inprocess.batching import Engine
        except ImportError as error:
            raise MissingExtra(error.name or "torch", "local") from error
        identity = f"{name or path.resolve().name}@{weights_hash(path)}"
        engine = Engine(path, renderer, slots=slots, device=device, threads=threads, cache_bytes=cache_mb << 20)
        return LocalModel(identity, renderer, engine)

    return await asyncio.to_thread(load)


@contextmanager
def _collection_paused() -> Iterator[None]:
    """No garbage collection meanwhile.

    What an import makes stays, and walking it again and again is a seventh of the time that torch and transformers take to import.
    """
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()
