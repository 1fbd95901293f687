"""Pretraining: data to disk once, then one pass over it with Muon and AdamW, scheduled by tokens and resumable."""

from __future__ import annotations

import itertools
import math
import multiprocessing
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from tokenizers import Tokenizer
from transformers import GenerationConfig, LlamaConfig, LlamaForCausalLM

from . import chat, mix, tokenizer
from .mix import Example

BF16 = any(torch.cpu.get_capabilities().get(name, False) for name in ("avx512_bf16", "amx_bf16"))
"""Whether this processor multiplies bfloat16 quickly; without such instructions it is some twenty times slower than float32."""


@dataclass(frozen=True)
class Phase:
    """A stretch of training: its mix (a key of `mix.PHASES`), its length in tokens, and the tokens of one step.

    The learning rate is one cosine over all phases, except that a phase with `restart` > 0 begins a new one at that share
    of the peak.
    """

    mix: str
    tokens: int
    tokens_per_step: int
    restart: float = 0.0


@dataclass(frozen=True)
class Settings:
    """Everything that decides the weights, except the code."""

    seed: int = 1
    phases: tuple[Phase, ...] = (
        Phase("broad", 7_800_000, 4096),
        Phase("skill", 4_800_000, 2048),
        Phase("copying", 3_800_000, 2048, restart=0.35),
        Phase("judging", 2_000_000, 2048, restart=0.35),
        Phase("following", 1_100_000, 2048, restart=0.25),
    )
    vocab: int = 1024
    tokenizer_examples: int = 8000
    shards: int = 8
    processes: int = 2
    threads: int = 2
    hidden: int = 256
    layers: int = 4
    heads: int = 4
    mlp: int = 704
    muon_lr: float = 3e-3
    adamw_lr: float = 2e-3
    weight_decay: float = 0.05
    warmup: float = 0.02
    final_lr: float = 0.03
    betas: tuple[float, float] = field(default=(0.9, 0.98))
    checkpoint_every: int = 250
    evaluate_every: int = 2_000_000


@dataclass(frozen=True)
class Data:
    """Token ids of all examples in one array, loss marks beside them, and where each example starts."""

    ids: np.ndarray
    marks: np.ndarray
    starts: np.ndarray

    def __len__(self) -> int:
        return len(self.starts) - 1

    @property
    def lengths(self) -> np.ndarray:
        """Tokens per example."""
        return np.diff(self.starts)


def encode(example: Example, bpe: Tokenizer) -> tuple[list[int], list[bool]]:
    """Ids and loss marks; segments are encoded one by one, as generation would produce them."""
    ids: list[int] = []
    marks: list[bool] = []
    for text, loss in example.segments:
        piece = bpe.encode(text, add_special_tokens=False).ids
        ids += piece
        marks += [loss] * len(piece)
    return ids, marks


def _shard(job: tuple[int, int, int, int, str, str]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    seed, shard, shards, budget, path, phase = job
    bpe = Tokenizer.from_file(path)
    ids: list[int] = []
    marks: list[bool] = []
    starts = [0]
    for example in mix.Pool(seed, shard, shards, phase):
        more, mark = encode(example, bpe)
        if len(more) > tokenizer.CONTEXT:
            continue
        ids += more
        marks += mark
        starts.append(len(ids))
        if len(ids) >= budget:
            break
    return np.array(ids, np.uint16), np.array(marks, np.bool_), np.array(starts, np.int64)


def make_tokenizer(settings: Settings, folder: Path) -> None:
    """Trains the tokenizer on the first examples of another seed, unless it is there already."""
    if not (folder / "tokenizer.json").exists():
        texts = [e.text for e in itertools.islice(mix.Pool(settings.seed + 1), settings.tokenizer_examples)]
        tokenizer.save(tokenizer.train(texts, settings.vocab), folder)


def build(settings: Settings, phase: Phase, work: Path, folder: Path) -> Data:
    """The encoded examples of a phase, made once and read back afterwards."""
    stored = work / f"data-{phase.mix}.npz"
    if not stored.exists():
        work.mkdir(parents=True, exist_ok=True)
        path = str(folder / "tokenizer.json")
        jobs = [(settings.seed, s, settings.shards, phase.tokens // settings.shards, path, phase.mix) for s in range(settings.shards)]
        with multiprocessing.get_context("fork").Pool(settings.processes) as pool:
            parts = pool.map(_shard, jobs, chunksize=1)
        offsets = np.cumsum([0] + [len(p[0]) for p in parts])
        starts = np.concatenate([[0]] + [p[2][1:] + o for p, o in zip(parts, offsets, strict=False)])
        np.savez(stored, ids=np.concatenate([p[0] for p in parts]), marks=np.concatenate([p[1] for p in parts]), starts=starts)
    read = np.load(stored)
    return Data(read["ids"], read["marks"], read["starts"])


def batches(lengths: np.ndarray, tokens_per_step: int, seed: int) -> list[np.ndarray]:
    """Example numbers per step: similar lengths together within windows of 2,048, steps of a window in random order."""
    rng = np.random.default_rng(seed)
    order = rng.permutation(len(lengths))
    made: list[np.ndarray] = []
    for window in np.array_split(order, max(1, len(order) // 2048)):
        window = window[np.argsort(lengths[window], kind="stable")]
        here: list[np.ndarray] = []
        first = 0
        for i in range(len(window)):
            if (i - first + 1) * lengths[window[i]] > tokens_per_step and i > first:
                here.append(window[first:i])
                first = i
        here.append(window[first:])
        made += [here[i] for i in rng.permutation(len(here))]
    return made


def pad(data: Data, chosen: np.ndarray) -> tuple[torch.Tensor, torch.Tensor]:
    """Ids and marks `[batch, tokens]`, padded on the right; causal attention never looks there, so no mask is needed."""
    rows = [(data.starts[i], data.starts[i + 1]) for i in chosen]
    width = max(b - a for a, b in rows)
    ids = np.zeros((len(rows), width), np.int64)
    marks = np.zeros((len(rows), width), np.bool_)
    for r, (a, b) in enumerate(rows):
        ids[r, : b - a] = data.ids[a:b]
        marks[r, : b - a] = data.marks[a:b]
    return torch.from_numpy(ids), torch.from_numpy(marks)


def loss_of(model: LlamaForCausalLM, ids: torch.Tensor, marks: torch.Tensor) -> torch.Tensor:
    """Mean cross entropy over the marked tokens; the vocabulary projection runs on those positions only."""
    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=BF16):
        hidden = model.model(input_ids=ids, use_cache=False).last_hidden_state
        logits = model.lm_head(hidden[:, :-1][marks[:, 1:]])
    return F.cross_entropy(logits.float(), ids[:, 1:][marks[:, 1:]])


def new_model(settings: Settings, bpe: Tokenizer) -> LlamaForCausalLM:
    """A freshly initialised model with the tokenizer's special ids."""
    torch.manual_seed(settings.seed)
    config = LlamaConfig(
        vocab_size=settings.vocab,
        hidden_size=settings.hidden,
        num_hidden_layers=settings.layers,
        num_attention_heads=settings.heads,
        num_key_value_heads=settings.heads,
        intermediate_size=settings.mlp,
        max_position_embeddings=tokenizer.CONTEXT,
        rms_norm_eps=1e-5,
        tie_word_embeddings=True,
        bos_token_id=None,
        eos_token_id=bpe.token_to_id(chat.END),
        pad_token_id=bpe.token_to_id(chat.PAD),
    )
    return LlamaForCausalLM(config)


def optimizers(model: LlamaForCausalLM, settings: Settings) -> list[torch.optim.Optimizer]:
    """Muon for the hidden matrices, AdamW for embeddings and norms."""
    matrices = [p for n, p in model.named_parameters() if p.ndim == 2 and "embed" not in n]
    others = [p for n, p in model.named_parameters() if p.ndim != 2 or "embed" in n]
    muon = torch.optim.Muon(matrices, lr=settings.muon_lr, adjust_lr_fn="match_rms_adamw", weight_decay=settings.weight_decay)
    return [muon, torch.optim.AdamW(others, lr=settings.adamw_lr, betas=settings.betas, weight_decay=0.01)]


def rate(seen: int, settings: Settings) -> float:
    """Factor on the learning rates after `seen` tokens: linear warm-up, then cosine, once per cycle of phases."""
    begin, peak = 0, 1.0
    length = 0
    for phase in settings.phases:
        if phase.restart and length:
            if seen < begin + length:
                break
            begin, length, peak = begin + length, 0, phase.restart
        length += phase.tokens
    done = min(1.0, (seen - begin) / length)
    if done < settings.warmup:
        return peak * max(done, 1e-4) / settings.warmup
    along = (done - settings.warmup) / (1 - settings.warmup)
    return peak * (settings.final_lr + (1 - settings.final_lr) * 0.5 * (1 + math.cos(math.pi * along)))


def export(model: LlamaForCausalLM, folder: Path) -> None:
    """bf16 weights and configuration, as transformers and vLLM load them."""
    weights = {k: v.detach().to(torch.bfloat16).clone() for k, v in model.state_dict().items()}
    copy = LlamaForCausalLM(model.config).to(torch.bfloat16)
    copy.load_state_dict(weights)
    copy.generation_config = GenerationConfig(
        eos_token_id=model.config.eos_token_id, pad_token_id=model.config.pad_token_id, do_sample=False, max_new_tokens=400
    )
    with tempfile.TemporaryDirectory(dir=folder.parent) as fresh:
        copy.save_pretrained(fresh)
        for file in Path(fresh).iterdir():
            file.chmod(0o644)
            file.replace(folder / file.name)


def _resume(model: LlamaForCausalLM, steppers: list[torch.optim.Optimizer], stored: Path) -> tuple[int, int]:
    if not stored.exists():
        return 0, 0
    saved: dict[str, Any] = torch.load(stored, weights_only=True)
    model.load_state_dict(saved["model"])
    for stepper, state in zip(steppers, saved["steppers"], strict=True):
        stepper.load_state_dict(state)
    return saved["step"], saved["seen"]


def _save(model: LlamaForCausalLM, steppers: list[torch.optim.Optimizer], stored: Path, step: int, seen: int) -> None:
    state = {"model": model.state_dict(), "steppers": [s.state_dict() for s in steppers], "step": step, "seen": seen}
    torch.save(state, stored.with_suffix(".tmp"))
    stored.with_suffix(".tmp").replace(stored)


def train(settings: Settings, work: Path, folder: Path, probe: Callable[[LlamaForCausalLM, int], None]) -> LlamaForCausalLM:
    """One pass over the data of all phases.

    Args:
        settings: shapes and schedule.
        work: where the data and the resumable checkpoint lie.
        folder: where weights are exported to at every evaluation and at the end.
        probe: called with the model and the tokens seen at every evaluation.
    """
    torch.set_num_threads(settings.threads)
    model = new_model(settings, Tokenizer.from_file(str(folder / "tokenizer.json")))
    steppers = optimizers(model, settings)
    stored = work / "checkpoint.pt"
    done, seen = _resume(model, steppers, stored)
    total = sum(p.tokens for p in settings.phases)
    next_probe = (seen // settings.evaluate_every + 1) * settings.evaluate_every
    clock, since, smooth = time.time(), seen, 0.0
    for step, batch in enumerate(_plan(settings, work, folder), 1):
        if step <= done:
            continue
        loss = _step(model, steppers, settings, batch(), seen)
        seen += batch.tokens
        smooth = loss if not smooth else 0.98 * smooth + 0.02 * loss
        if step % 50 == 0:
            speed = (seen - since) / (time.time() - clock)
            left = (total - seen) / max(speed, 1) / 60
            share = f"{seen / 1e6:.2f}M/{total / 1e6:.2f}M tokens"
            print(f"step {step}  {share}  loss {smooth:.4f}  {speed:.0f} tok/s  {left:.0f} min left", flush=True)
            clock, since = time.time(), seen
        if step % settings.checkpoint_every == 0:
            _save(model, steppers, stored, step, seen)
        if seen >= next_probe:
            next_probe += settings.evaluate_every
            export(model, folder)
            probe(model, seen)
            clock, since = time.time(), seen
    export(model, folder)
    return model


@dataclass(frozen=True)
class Batch:
    """The examples of one step; called, it gives ids and marks `[batch, tokens]`."""

    data: Data
    chosen: np.ndarray

    def __call__(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Ids and marks, padded on the right."""
        return pad(self.data, self.chosen)

    @property
    def tokens(self) -> int:
        """Tokens of the examples, without padding."""
        return int(self.data.lengths[self.chosen].sum())


def _plan(settings: Settings, work: Path, folder: Path) -> Iterator[Batch]:
    """All steps of all phases; a phase ends at its number of tokens even where its stored data go on."""
    for phase in settings.phases:
        data = build(settings, phase, work, folder)
        print(f"{phase.mix}: {len(data)} examples, {data.starts[-1]} tokens, {data.marks.mean():.2f} of them with loss", flush=True)
        spent = 0
        for chosen in batches(data.lengths, phase.tokens_per_step, settings.seed):
            if spent >= phase.tokens:
                break
            batch = Batch(data, chosen)
            spent += batch.tokens
            yield batch


def _step(
    model: LlamaForCausalLM,
    steppers: list[torch.optim.Optimizer],
    settings: Settings,
    batch: tuple[torch.Tensor, torch.Tensor],
    seen: int,
) -> float:
    """One optimiser step after `seen` tokens; returns the loss."""
    factor = rate(seen, settings)
    for stepper, peak in zip(steppers, (settings.muon_lr, settings.adamw_lr), strict=True):
        for group in stepper.param_groups:
            group["lr"] = peak * factor
    model.train()
    loss = loss_of(model, *batch)
    loss.backward()
    torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    for stepper in steppers:
        stepper.step()
        stepper.zero_grad()
    return float(loss.detach())
