"""Key/value caches of the in-process engine: one per prompt while it is read, one with a row per slot for decoding."""

from typing import Any

import torch
from transformers.cache_utils import Cache

from tirage.core.errors import ModelError


class _Store(Cache):  # type: ignore[misc]
    """Per layer a key and a value tensor [rows, kv_heads, capacity, dim], made when the layer is first seen."""

    def __init__(self, rows: int, capacity: int) -> None:
        super().__init__(layers=[])
        self.rows = rows
        self.capacity = capacity
        self.keys: list[torch.Tensor] = []
        self.values: list[torch.Tensor] = []

    def _layer(self, number: int, keys: torch.Tensor, values: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        while len(self.keys) <= number:
            self.keys.append(self._empty(keys))
            self.values.append(self._empty(values))
        return self.keys[number], self.values[number]

    def _empty(self, like: torch.Tensor) -> torch.Tensor:
        # Zeros, not uninitialised memory: a masked key contributes 0 * value, which must not be 0 * NaN.
        return torch.zeros(self.rows, like.shape[1], self.capacity, like.shape[3], dtype=like.dtype, device=like.device)

    def __getattr__(self, name: str) -> Any:
        if name in ("update_conv_state", "update_recurrent_state", "has_previous_state"):
            raise ModelError("this architecture keeps recurrent state, which in-process generation lacks; serve it with vllm/NAME")
        raise AttributeError(name)


class PromptCache(_Store):
    """The keys and values of one prompt, filled front to back."""

    def __init__(self, capacity: int) -> None:
        """`capacity`: prompt length in tokens."""
        super().__init__(1, capacity)
        self.length = 0
        """Tokens that are complete in all layers; the caller moves it on after a forward pass."""

    def update(self, keys: torch.Tensor, values: torch.Tensor, layer_idx: int, *_: Any, **__: Any) -> tuple[torch.Tensor, torch.Tensor]:
        """Append [1, kv_heads, queries, dim] at the current length."""
        all_keys, all_values = self._layer(layer_idx, keys, values)
        end = self.length + keys.shape[2]
        all_keys[:, :, self.length : end] = keys
        all_values[:, :, self.length : end] = values
        return all_keys, all_values

    def get_seq_length(self, layer_idx: int = 0) -> int:
        """Tokens read so far."""
        return self.length


class SlotCache(_Store):
    """One row per slot; a decode pass writes one position per row."""

    def __init__(self, slots: int, block: int, context: int) -> None:
        """Start with one block of capacity and grow by doubling up to `context`, in whole blocks."""
        super().__init__(slots, block)
        self._block = block
        self._limit = -(-context // block) * block
        self.positions: torch.Tensor = torch.zeros(slots, dtype=torch.long)
        """Where the next pass writes, per slot."""
        self._rows: torch.Tensor = torch.arange(slots)

    def place(self, positions: torch.Tensor) -> None:
        """Set where the next pass writes, [width]: it uses the first `width` slots."""
        self.positions = positions
        if self._rows.device != positions.device:
            self._rows = self._rows.to(positions.device)

    def reserve(self, length: int) -> None:
        """Make room for `length` tokens per slot."""
        if length <= self.capacity:
            return
        old, self.capacity = self.capacity, min(self._limit, max(2 * self.capacity, -(-length // self._block) * self._block))
        for store in (self.keys, self.values):
            for number, tensor in enumerate(store):
                store[number] = self._empty(tensor)
                store[number][:, :, :old] = tensor

    def load(self, slot: int, prompt: PromptCache) -> None:
        """Copy a prompt's keys and values into a slot."""
        self.reserve(prompt.length)
        for number, (keys, values) in enumerate(zip(prompt.keys, prompt.values, strict=True)):
            all_keys, all_values = self._layer(number, keys, values)
            all_keys[slot, :, : prompt.length] = keys[0, :, : prompt.length]
            all_values[slot, :, : prompt.length] = values[0, :, : prompt.length]

    def update(self, keys: torch.Tensor, values: torch.Tensor, layer_idx: int, *_: Any, **__: Any) -> tuple[torch.Tensor, torch.Tensor]:
        """Write [width, kv_heads, 1, dim] at the positions set before; returns the slots of the pass."""
        all_keys, all_values = self._layer(layer_idx, keys, values)
        width = len(self.positions)
        rows = self._rows[:width]
        all_keys[rows, :, self.positions] = keys[:, :, 0]
        all_values[rows, :, self.positions] = values[:, :, 0]
        return all_keys[:width], all_values[:width]

    def get_seq_length(self, layer_idx: int = 0) -> int:
        """Positions are always given explicitly, so this is only an upper bound."""
        return self.capacity
