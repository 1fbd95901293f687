"""The network of the in-process engine: a causal language model of transformers, run on prompts and on slots."""

from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import AutoConfig, AutoModelForCausalLM
from transformers.utils import logging

from tirage.core.errors import ConfigError, ModelError
from tirage.models.inprocess import attention
from tirage.models.inprocess.cache import PromptCache, SlotCache

CHUNK = 64
"""Tokens of a prompt per forward pass. A whole chunk's keys and values depend only on the ids up to its end, so
reusing them gives the same bits as computing them again."""
BLOCK = 128
"""Keys per attention block when decoding."""
_SMALL = 20_000_000
"""Parameters below which one thread is as fast as several: passes are so short that waiting for each other dominates."""
_LARGE = 100_000_000
"""Parameters beyond which a CPU gains little from wide batches, and a lone draw suffers."""


@dataclass(slots=True)
class Prompt:
    """A prompt that was read: its keys and values, and the logits of what comes next."""

    cache: PromptCache
    logits: torch.Tensor
    """[vocabulary], float32."""


@dataclass(slots=True)
class _Piece:
    """Keys and values of one chunk, per layer [kv_heads, tokens, dim], and the logits after it."""

    layers: list[tuple[torch.Tensor, torch.Tensor]]
    logits: torch.Tensor
    size: int


class Network:
    """A loaded model with `slots` rows for decoding. Used by one thread only."""

    def __init__(self, folder: Path, *, slots: int | None, device: str | None, cache_bytes: int) -> None:
        """Load the folder. `cache_bytes` bounds what is kept of prompts already read. Raises `ConfigError`."""
        config = _read_config(folder)
        self.device = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
        dtype = torch.bfloat16 if self.device.type == "cuda" else torch.float32
        self._model = _load(folder, config, dtype).to(self.device).eval()
        text = config.get_text_config()
        self.context = int(getattr(text, "max_position_embeddings", 0) or 1 << 20)
        parameters = sum(parameter.numel() for parameter in self._model.parameters())
        self.small = parameters < _SMALL
        self.slots = slots or (8 if parameters > _LARGE and self.device.type == "cpu" else 32)
        self.vocabulary = int(text.vocab_size)
        self._cache = SlotCache(self.slots, BLOCK, self.context)
        self._pieces: OrderedDict[bytes, _Piece] = OrderedDict()
        self._held = 0
        self._cache_bytes = cache_bytes
        self._widths = [self.slots]

    def read(self, ids: tuple[int, ...]) -> Prompt:
        """Run a prompt through the model, alone, in chunks; what an earlier prompt shares with it is reused."""
        name = np.array(ids, dtype=np.uint32).tobytes()
        cache = PromptCache(len(ids))
        logits: torch.Tensor | None = None
        while cache.length < len(ids):
            start, end = cache.length, min(cache.length + CHUNK, len(ids))
            piece = self._pieces.get(name[: 4 * end])
            if piece is None:
                logits = self._read_chunk(ids[start:end], cache)
                self._keep(name[: 4 * end], cache, start, end, logits)
            else:
                self._pieces.move_to_end(name[: 4 * end])
                for number, (keys, values) in enumerate(piece.layers):
                    cache.update(keys[None], values[None], number)
                logits = piece.logits
            cache.length = end
        if logits is None:
            raise ModelError("a prompt has at least one token")
        return Prompt(cache, logits)

    def load(self, slot: int, prompt: Prompt) -> None:
        """Put a read prompt into a slot."""
        self._cache.load(slot, prompt.cache)

    def width(self, slots: int) -> int:
        """How wide a pass for the first `slots` slots is: the narrowest proven width that holds them."""
        return next(width for width in self._widths if width >= slots)

    def decode(self, tokens: list[int], positions: list[int]) -> torch.Tensor:
        """Append one token to each of the first slots and return the next logits, [width, vocabulary] float32.

        There are `width(n)` tokens; idle slots pass any token at position 0 and are computed like the others.
        """
        longest = max(positions) + 1
        self._cache.reserve(longest)
        place = torch.tensor(positions, device=self.device)
        self._cache.place(place)
        plan = attention.StepPlan(positions=place[:, None], blocks=-(-longest // BLOCK), block=BLOCK, last=BLOCK)
        return self._forward(torch.tensor(tokens, device=self.device)[:, None], plan, self._cache)

    def prove_widths(self) -> None:
        """Find the narrower passes that give the same bits as full ones, row by row, so that few draws need not pay for all slots.

        Whether they do depends on the matrix kernels of the machine and on the number of threads, so it is tried, on the thread that
        will decode, before any prompt is loaded: on passes over made-up tokens; what these leave in the cache is overwritten or
        masked. Very narrow passes usually differ: other kernels do them.
        """
        steps = [[(7 * slot + 13 * step) % self.vocabulary for slot in range(self.slots)] for step in range(3)]

        def run(width: int) -> list[torch.Tensor]:
            return [self.decode(tokens[:width], [step] * width) for step, tokens in enumerate(steps)]

        full = run(self.slots)
        candidates = [width for width in (4, 8, 16) if width < self.slots]
        proven = [width for width in candidates if all(map(torch.equal, run(width), (logits[:width] for logits in full)))]
        self._widths = [*proven, self.slots]

    def _read_chunk(self, ids: tuple[int, ...], cache: PromptCache) -> torch.Tensor:
        start, size = cache.length, len(ids)
        positions = torch.arange(start, start + size, device=self.device)[None]
        plan = attention.StepPlan(positions=positions, blocks=start // CHUNK + 1, block=CHUNK, last=size)
        return self._forward(torch.tensor([ids], device=self.device), plan, cache)[0]

    def _forward(self, ids: torch.Tensor, plan: attention.StepPlan, cache: Any) -> torch.Tensor:
        attention.current.plan = plan
        try:
            out = self._model(input_ids=ids, position_ids=plan.positions, past_key_values=cache, use_cache=True, logits_to_keep=1)
        finally:
            attention.current.plan = None
        logits: torch.Tensor = out.logits[:, -1].float()
        return logits

    def _keep(self, name: bytes, cache: PromptCache, start: int, end: int, logits: torch.Tensor) -> None:
        layers = [
            (keys[0, :, start:end].clone(), values[0, :, start:end].clone()) for keys, values in zip(cache.keys, cache.values, strict=True)
        ]
        size = sum(keys.nbytes + values.nbytes for keys, values in layers) + logits.nbytes
        self._pieces[name] = _Piece(layers, logits, size)
        self._held += size
        while self._held > self._cache_bytes and len(self._pieces) > 1:
            self._held -= self._pieces.popitem(last=False)[1].size


def _read_config(folder: Path) -> Any:
    if not (folder / "config.json").is_file():
        raise ConfigError(f"{folder} is not a model folder: it has no config.json; give a folder written by save_pretrained(...)")
    try:
        return AutoConfig.from_pretrained(folder)
    except (ValueError, OSError, KeyError) as error:
        raise ConfigError(f"{folder}/config.json cannot be used: {error}") from error


def _load(folder: Path, config: Any, dtype: torch.dtype) -> Any:
    bar = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        model, report = AutoModelForCausalLM.from_pretrained(
            folder, config=config, dtype=dtype, attn_implementation=attention.NAME, output_loading_info=True
        )
    except Exception as error:  # transformers and safetensors raise many kinds for a damaged folder; all mean the same here
        raise ConfigError(f"the model in {folder} cannot be loaded: {type(error).__name__}: {error}") from error
    finally:
        if bar:
            logging.enable_progress_bar()
    if report["missing_keys"]:
        missing = sorted(report["missing_keys"])
        raise ConfigError(f"the weights in {folder} lack {len(missing)} tensors that its config asks for, e.g. {missing[0]}")
    return model
