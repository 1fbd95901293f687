"""The report of an improvement round: what was measured, what the gain is, and what to run next."""

from dataclasses import dataclass, field

from tirage.evaluation import Context, Outcome, Report, build_improvement_report, by_stage, read_outcomes
from tirage.runtime.config import ImproveConfig
from tirage.runtime.runs import RunFolder
from tirage.training.job import Checkpoint
from tirage.training.manifest import Manifest


def measured_round(number: int) -> str:
    """Stage in which the checkpoint of a round before the last is measured."""
    return f"after-round-{number}"


def sampled_round(number: int) -> str:
    """Stage in which the training problems are sampled for a round after the first."""
    return f"train-round-{number}"


def shown(rounds: int) -> dict[str, tuple[str, ...]]:
    """Condition of the report to the stages that make it."""
    return {
        "before": ("before", "before-unseen"),
        "with hints": ("hinted",),
        **{f"round {number}": (measured_round(number),) for number in range(1, rounds)},
        "control": ("control",),
        "after": ("after", "after-unseen"),
    }


PAIRS = (("before", "after"), ("control", "after"), ("before", "with hints"), ("before", "control"))


@dataclass(slots=True)
class RoundRecord:
    """What a round made on its way."""

    datasets: dict[str, Manifest] = field(default_factory=dict)
    checkpoints: dict[str, Checkpoint] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


def round_report(config: ImproveConfig, run: RunFolder, record: RoundRecord) -> Report:
    """Build the report from the stored traces, so that a resumed round reports what an uninterrupted one does."""
    stages = by_stage(read_outcomes(run.store.read()))
    conditions = {name: [item for part in parts for item in stages.get(part, [])] for name, parts in shown(config.rounds).items()}
    conditions = {name: _sorted(items) for name, items in conditions.items() if items}
    yields = {
        name: _sorted(stages[stage])
        for name, stage in (
            ("hinted", "train-hinted"),
            *((f"round {number}", sampled_round(number)) for number in range(2, config.rounds + 1)),
            ("unhinted", "train-unhinted"),
        )
        if stage in stages
    }
    return build_improvement_report(
        conditions,
        pairs=[pair for pair in PAIRS if set(pair) <= conditions.keys()],
        yields=yields,
        datasets={name: _funnel(manifest) for name, manifest in record.datasets.items()},
        context=Context(
            title=f"Improvement round: {config.name}",
            subtitle=f"{config.model}: START-style hints, Hint-RFT, measured on held-out problems without hints",
            notes=(*config.notes, *record.notes),
            lineage=_lineage(record),
            sections={"Training": _training(config, record)},
            next_command=_next_command(config),
        ),
        timing=run.seconds(),
    )


def _sorted(items: list[Outcome]) -> list[Outcome]:
    return sorted(items, key=lambda item: (item.problem_id, item.sample))


def _funnel(manifest: Manifest) -> dict[str, int]:
    counts = {"rollouts read": manifest.counts[0].entered} if manifest.counts else {}
    return counts | {f"after {step.step}": step.left for step in manifest.counts} | {"rows": manifest.rows}


def _lineage(record: RoundRecord) -> dict[str, str]:
    lines = {}
    for name, manifest in record.datasets.items():
        lines[f"dataset {name}"] = manifest.rows_sha256[:16]
    for name, checkpoint in record.checkpoints.items():
        lines[f"checkpoint {name}"] = checkpoint.sha256[:16]
    return lines


def _training(config: ImproveConfig, record: RoundRecord) -> dict[str, str]:
    rows = {}
    for name, checkpoint in record.checkpoints.items():
        manifest = record.datasets[name]
        rows[name] = f"{manifest.rows} rows, {manifest.tokens_trained} trained tokens, {checkpoint.steps} steps"
    rows["settings"] = ", ".join(f"{key} {value}" for key, value in config.training.model_dump(exclude_defaults=True).items()) or "defaults"
    return rows


def _next_command(config: ImproveConfig) -> str:
    return (
        "tirage improve examples/own_model.yaml "
        "--set model=vllm/Qwen/Qwen2.5-1.5B-Instruct --set problems.train.path=train.jsonl --set problems.heldout.path=test.jsonl"
        if config.model == "nano"
        else f"tirage trace ls runs/{config.name} --stage after --wrong"
    )
