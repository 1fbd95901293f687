"""What a fine-tuning job is asked to do."""

import hashlib
import json
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

_NOT_IDENTITY = {"dataset", "init_from", "init_name", "threads", "device", "micro_batches", "save_every"}
"""Settings that change where and how fast a job runs, or that the identity names by content instead."""


class SFTSettings(BaseModel):
    """How to fine-tune: everything that does not depend on which data and which model."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    epochs: float = Field(default=2.0, gt=0)
    """Passes over the rows."""
    max_steps: int | None = Field(default=None, ge=1)
    """Number of optimiser steps, whatever the number of rows; overrides `epochs`. For step-matched controls."""
    learning_rate: float | None = Field(default=None, gt=0)
    """Peak value; None: 5e-4 below 50 M parameters, 1e-4 with LoRA, 2e-5 otherwise."""
    schedule: Literal["cosine", "linear", "constant"] = "cosine"
    """How the learning rate falls after the warm-up."""
    warmup_fraction: float = Field(default=0.03, ge=0, lt=1)
    """Share of the steps in which the learning rate rises."""
    weight_decay: float = Field(default=0.0, ge=0)
    """Of AdamW, decoupled from the gradient."""
    max_grad_norm: float = Field(default=1.0, gt=0)
    """Longer gradients are scaled down to this length."""
    batch_size: int = Field(default=16, ge=1)
    """Rows per optimiser step; rows of like length go together."""
    micro_batches: int = Field(default=1, ge=1)
    """Forward-backward passes that an optimiser step is split into; more of them need less memory."""
    max_length: int | None = Field(default=None, ge=2)
    """Longer rows are left out whole and counted; None: the model's context."""
    seed: int = Field(default=0, ge=0, lt=2**63)
    """Fixes the order of the rows and every other draw."""
    lora_rank: int | None = Field(default=None, ge=1)
    """Train low-rank adapters (arXiv 2106.09685) of this rank instead of all weights; None trains all."""
    lora_alpha: float | None = Field(default=None, gt=0)
    """Scale of the adapters; None takes twice the rank."""
    lora_dropout: float = Field(default=0.0, ge=0, lt=1)
    """Share of the adapters' inputs that is dropped while training."""
    lora_targets: str | tuple[str, ...] = "all-linear"
    """Modules that get adapters, as PEFT names them."""
    lora_merge: bool = True
    """True writes merged weights with the adapter beside them in `adapter/`; False writes the adapter only."""
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    """Arithmetic of the forward pass; weights are kept in float32. Auto: bfloat16 on CUDA, float32 on CPU."""
    gradient_checkpointing: bool = False
    """Compute activations again in the backward pass: less memory, about a third more time."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Where to train; auto takes CUDA where it is there."""
    threads: int | None = Field(default=None, ge=1)
    """CPU threads; None leaves it to PyTorch. Bitwise repeatability holds for a fixed number."""
    save_every: int = Field(default=100, ge=1)
    """Steps between checkpoints to resume from."""


class SFTSpec(SFTSettings):
    """One supervised fine-tuning job on a dataset of token rows."""

    dataset: Path
    """Dataset folder."""
    init_from: Path
    """Folder with the weights, configuration and tokenizer to start from, in Hugging Face format."""
    init_name: str = ""
    """How the starting model is called in the lineage, e.g. `nano`; empty takes the folder."""

    def identity(self, *, rows_sha256: str, init_sha256: str) -> dict[str, Any]:
        """All that decides the resulting weights: data and starting weights by content, and the settings."""
        settings = self.model_dump(mode="json", exclude=_NOT_IDENTITY)
        return {"rows_sha256": rows_sha256, "init_sha256": init_sha256, **settings}


def identity_hash(identity: dict[str, Any]) -> str:
    """16 hex digits over a job's identity."""
    return hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()[:16]
