"""Supervised fine-tuning on token rows with TRL, inside the trainer process.

Ids and labels reach the loss as they were recorded. The order of batches is planned before the first step
(`batches`), so a resumed run continues exactly where it stopped.
"""

import math
import shutil
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import datasets
import torch
import transformers
from transformers import AutoModelForCausalLM, AutoTokenizer, TrainerCallback
from trl import SFTConfig, SFTTrainer
from trl.trainer.sft_trainer import DataCollatorForLanguageModeling

from tirage.core.errors import TrainingError
from tirage.models.profile import PROFILE_FILE
from tirage.training.batches import BLANK, lr_factor, padded_tokens, plan_steps, split_micro
from tirage.training.dataset import Dataset
from tirage.training.durable import sync_folder, sync_tree
from tirage.training.job_folder import FailureKind, JobFolder, JobState
from tirage.training.lineage import DatasetLineage, InitLineage, Lineage, weights_sha256, write_lineage
from tirage.training.metrics import MetricsWriter
from tirage.training.rows import IGNORED
from tirage.training.spec import SFTSpec

COMPLETE = "COMPLETE"
"""Marker file of a checkpoint all of whose files are on disk."""
_TOKENIZER_FILES = (
    "tokenizer.json",
    "tokenizer_config.json",
    "tokenizer.model",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.json",
    "merges.txt",
    "chat_template.jinja",
    "chat_template.json",
    "generation_config.json",
    PROFILE_FILE,
)
_TINY = 50_000_000


class TrainingStopped(TrainingError):
    """Training cannot go on, with the kind of failure it counts as."""

    def __init__(self, kind: FailureKind, message: str) -> None:
        super().__init__(message)
        self.kind = kind


class Cancelled(Exception):
    """The job was asked to stop and has saved where it is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rows:
    """The rows that are trained, and how many are not."""

    input_ids: list[list[int]]
    labels: list[list[int]]
    too_long: int
    fully_masked: int


def load_rows(dataset: Dataset, max_length: int) -> Rows:
    """Rows that fit and carry loss. Raises `TrainingStopped` when none does."""
    input_ids, labels, too_long, masked = [], [], 0, 0
    for row in dataset.rows():
        if len(row.input_ids) > max_length:
            too_long += 1
        elif all(label == IGNORED for label in row.labels[1:]):
            masked += 1
        else:
            input_ids.append(list(row.input_ids))
            labels.append(list(row.labels))
    if not input_ids:
        raise TrainingStopped(
            FailureKind.DATA,
            f"dataset {dataset.folder} has no row to train on: {too_long} longer than max_length={max_length}, {masked} fully masked; "
            "raise max_length or look at the recipe's manifest",
        )
    return Rows(input_ids=input_ids, labels=labels, too_long=too_long, fully_masked=masked)


class _Watch(TrainerCallback):  # type: ignore[misc]
    """Writes metrics, marks complete checkpoints, stops on NaN and on request."""

    def __init__(self, folder: JobFolder, metrics: MetricsWriter, tokens: Sequence[int]) -> None:
        self.folder, self.metrics, self.tokens = folder, metrics, tokens
        self.stop_asked = False
        self._step_began = time.monotonic()
        self._elapsed = 0.0

    def ask_to_stop(self, *_: Any) -> None:
        """Signal handler: finish the step, save, end."""
        self.stop_asked = True

    def on_step_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        self._step_began = time.monotonic()

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        self._elapsed = time.monotonic() - self._step_began
        self.folder.heartbeat.touch()
        if self.stop_asked:
            control.should_save = control.should_training_stop = True

    def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, Any], **_: Any) -> None:
        if "loss" not in logs:
            return
        loss, norm = float(logs["loss"]), float(logs.get("grad_norm", 0.0))
        step = int(state.global_step)
        rate = self.tokens[step - 1] / max(self._elapsed, 1e-9)
        self.metrics.write(step=step, steps=len(self.tokens), loss=loss, lr=float(logs["learning_rate"]), grad_norm=norm, tokens_per_s=rate)
        if not math.isfinite(loss) or not math.isfinite(norm):
            raise TrainingStopped(
                FailureKind.NAN,
                f"step {step}: loss {loss}, gradient norm {norm}; lower learning_rate or max_grad_norm, or use precision=float32",
            )

    def on_save(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        saved = self.folder.steps / f"checkpoint-{state.global_step}"
        sync_tree(saved)
        (saved / COMPLETE).touch()
        sync_folder(saved)


class _RowTrainer(SFTTrainer):  # type: ignore[misc]
    """TRL's trainer reading planned batches."""

    micro_batches: list[list[int]]
    lr_factors: list[float]
    lr_scheduler: Any

    def get_train_dataloader(self) -> Any:
        """Batches in planned order; the plan is one epoch long in the trainer's eyes."""
        blank = len(self.train_dataset) - 1
        batches = [[blank if row == BLANK else row for row in batch] for batch in self.micro_batches]
        loader = torch.utils.data.DataLoader(self.train_dataset, batch_sampler=batches, collate_fn=self.data_collator)
        return self.accelerator.prepare(loader)

    def create_scheduler(self, num_training_steps: int, optimizer: Any = None) -> Any:
        """The planned learning rates."""
        if self.lr_scheduler is None:
            factors = [*self.lr_factors, self.lr_factors[-1]]
            self.lr_scheduler = torch.optim.lr_scheduler.LambdaLR(
                optimizer or self.optimizer, lambda step: factors[min(step, len(factors) - 1)]
            )
            self._created_lr_scheduler = True
        return self.lr_scheduler

    def create_model_card(self, *args: Any, **kwargs: Any) -> None:
        """Checkpoints to resume from need none."""


def newest_checkpoint(folder: JobFolder) -> Path | None:
    """The newest checkpoint with a completion marker; partial ones are removed."""
    marked: list[tuple[int, Path]] = []
    for path in folder.steps.glob("checkpoint-*"):
        if (path / COMPLETE).exists():
            marked.append((int(path.name.rpartition("-")[2]), path))
        else:
            shutil.rmtree(path)
    return max(marked)[1] if marked else None


def train(folder: JobFolder, spec: SFTSpec) -> None:
    """Train to the end and write the checkpoint. Raises `Cancelled`, `TrainingStopped` or whatever broke."""
    if spec.threads is not None:
        torch.set_num_threads(spec.threads)
    if spec.device == "cuda" and not torch.cuda.is_available():
        raise TrainingStopped(FailureKind.CONFIG, "device=cuda but PyTorch sees no CUDA device; use device=cpu or auto")
    on_cuda = spec.device != "cpu" and torch.cuda.is_available()
    dataset = Dataset(spec.dataset)
    model, tokenizer = _load(spec)
    context = getattr(model.config, "max_position_embeddings", None) or 1 << 30
    rows = load_rows(dataset, min(spec.max_length or context, context))
    lengths = [len(ids) for ids in rows.input_ids]
    steps = plan_steps(lengths, batch_size=spec.batch_size, seed=spec.seed, epochs=spec.epochs, max_steps=spec.max_steps)
    rate = spec.learning_rate if spec.learning_rate is not None else default_rate(model.num_parameters(), lora=spec.lora_rank is not None)
    resume = newest_checkpoint(folder)
    trainer = _trainer(folder, spec, model, tokenizer, rows, len(steps), rate, on_cuda)
    trainer.micro_batches = split_micro(steps, spec.micro_batches)
    trainer.lr_factors = [lr_factor(step, len(steps), spec.warmup_fraction, spec.schedule) for step in range(len(steps))]
    folder.move(JobState.RUNNING)
    folder.event(
        "plan", steps=len(steps), rows=len(lengths), too_long=rows.too_long, fully_masked=rows.fully_masked, resume=_step_of(resume)
    )
    with MetricsWriter(folder.metrics, resume_step=_step_of(resume)) as metrics:
        watch = _Watch(folder, metrics, padded_tokens(steps, lengths))
        trainer.add_callback(watch)
        with _on_sigterm(watch.ask_to_stop):
            trainer.train(resume_from_checkpoint=str(resume) if resume else None)
    if watch.stop_asked and trainer.state.global_step < len(steps):
        raise Cancelled
    _write_checkpoint(folder, spec, trainer, dataset, _summary(spec, rows, len(steps), rate, trainer))


@contextmanager
def _on_sigterm(handler: Callable[..., None]) -> Iterator[None]:
    before = signal.signal(signal.SIGTERM, handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def default_rate(parameters: int, *, lora: bool) -> float:
    """Peak learning rate when none is given."""
    if parameters < _TINY:
        return 5e-4
    return 1e-4 if lora else 2e-5


def _step_of(checkpoint: Path | None) -> int:
    return int(checkpoint.name.rpartition("-")[2]) if checkpoint else 0


def _load(spec: SFTSpec) -> tuple[Any, Any]:
    try:
        model = AutoModelForCausalLM.from_pretrained(spec.init_from, dtype=torch.float32, local_files_only=True)
        tokenizer = AutoTokenizer.from_pretrained(spec.init_from, local_files_only=True)
    except (OSError, ValueError) as error:
        raise TrainingStopped(FailureKind.CONFIG, f"cannot load a model from {spec.init_from}: {error}") from error
    return model, tokenizer


def _trainer(folder: JobFolder, spec: SFTSpec, model: Any, tokenizer: Any, rows: Rows, steps: int, lr: float, on_cuda: bool) -> _RowTrainer:
    blank = [0]
    data = datasets.Dataset.from_dict({"input_ids": [*rows.input_ids, blank], "labels": [*rows.labels, [IGNORED]]})
    config = SFTConfig(
        output_dir=str(folder.steps),
        max_steps=steps,
        gradient_accumulation_steps=spec.micro_batches,
        learning_rate=lr,
        weight_decay=spec.weight_decay,
        max_grad_norm=spec.max_grad_norm,
        seed=spec.seed % 2**32,
        bf16=spec.precision == "bfloat16" or (spec.precision == "auto" and on_cuda),
        fp16=False,
        use_cpu=not on_cuda,
        gradient_checkpointing=spec.gradient_checkpointing,
        dataset_kwargs={"skip_prepare_dataset": True},
        max_length=None,
        packing=False,
        save_strategy="steps",
        save_steps=spec.save_every,
        save_total_limit=2,
        logging_steps=1,
        logging_nan_inf_filter=False,
        report_to="none",
        disable_tqdm=True,
        dataloader_pin_memory=False,
    )
    pad = next(token for token in (tokenizer.pad_token_id, tokenizer.eos_token_id, 0) if token is not None)
    return _RowTrainer(
        model=model,
        args=config,
        train_dataset=data,
        processing_class=tokenizer,
        data_collator=DataCollatorForLanguageModeling(pad_token_id=pad),
        peft_config=_lora(spec),
    )


def _lora(spec: SFTSpec) -> Any:
    if spec.lora_rank is None:
        return None
    from peft import LoraConfig

    return LoraConfig(
        r=spec.lora_rank,
        lora_alpha=spec.lora_alpha if spec.lora_alpha is not None else 2 * spec.lora_rank,
        lora_dropout=spec.lora_dropout,
        target_modules=spec.lora_targets if isinstance(spec.lora_targets, str) else list(spec.lora_targets),
        task_type="CAUSAL_LM",
    )


def _summary(spec: SFTSpec, rows: Rows, steps: int, lr: float, trainer: _RowTrainer) -> dict[str, Any]:
    losses = [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]
    return {
        "spec": spec.model_dump(mode="json"),
        "learning_rate": lr,
        "steps": steps,
        "rows": len(rows.input_ids),
        "rows_too_long": rows.too_long,
        "rows_fully_masked": rows.fully_masked,
        "first_loss": losses[0] if losses else None,
        "last_loss": losses[-1] if losses else None,
        "libraries": {name: version(name) for name in ("torch", "transformers", "trl")},
    }


def _write_checkpoint(folder: JobFolder, spec: SFTSpec, trainer: _RowTrainer, dataset: Dataset, summary: dict[str, Any]) -> None:
    scratch = folder.path / ".checkpoint"
    shutil.rmtree(scratch, ignore_errors=True)
    scratch.mkdir()
    model = trainer.model
    if spec.lora_rank is not None:
        model.save_pretrained(scratch / "adapter" if spec.lora_merge else scratch)
        model = model.merge_and_unload() if spec.lora_merge else None
    if model is not None:
        model.to(_stored_dtype(spec.init_from)).save_pretrained(scratch)
    for name in _TOKENIZER_FILES:
        if (spec.init_from / name).is_file():
            shutil.copyfile(spec.init_from / name, scratch / name)
    record = folder.read()
    init_sha = record.identity["init_sha256"] if record else weights_sha256(spec.init_from)
    lineage = Lineage(
        checkpoint_sha256=weights_sha256(scratch),
        dataset=DatasetLineage(path=str(spec.dataset), rows_sha256=dataset.manifest.rows_sha256, manifest_sha256=dataset.manifest_sha256),
        init_from=InitLineage(model=spec.init_name or str(spec.init_from), sha256=init_sha),
        job=summary,
    )
    write_lineage(scratch, lineage)
    sync_tree(scratch)
    shutil.rmtree(folder.checkpoint, ignore_errors=True)
    scratch.rename(folder.checkpoint)
    sync_folder(folder.path)
    shutil.rmtree(folder.steps, ignore_errors=True)


def _stored_dtype(init_from: Path) -> torch.dtype:
    """Weights are stored in the type they came in."""
    from safetensors import safe_open

    def dtypes() -> Iterator[torch.dtype]:
        for path in sorted(init_from.glob("*.safetensors")):
            with safe_open(path, framework="pt") as weights:
                yield from (weights.get_tensor(name).dtype for name in list(weights.keys())[:1])

    return next(dtypes(), torch.float32)


def quiet() -> None:
    """Keep the libraries' chatter out of the log."""
    transformers.logging.set_verbosity_warning()
    transformers.logging.disable_progress_bar()
    datasets.disable_progress_bars()
