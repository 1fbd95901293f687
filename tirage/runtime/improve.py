"""The loop, a paragraph per stage: the file to read first.

    problems -> agents reason and act -> verify -> traces -> rows -> a trained checkpoint -> measured again

One round in the manner of START (arXiv 2503.04625): hints elicit tool use while sampling, rejection sampling keeps what
the verifier accepts, and fine-tuning moves the behaviour into the weights, where it is measured without hints. A later
round samples the checkpoint before it as it is, and trains the base on what was right (START's second round). Every
stage is resumable: what is finished is never redone, what was half done is redone.
"""

from dataclasses import dataclass
from pathlib import Path

from tirage.core.problem import Problem
from tirage.evaluation import Report, write_report
from tirage.problems import load_problems
from tirage.rollouts.runner import unique
from tirage.runtime.config import AgentConfig, ImproveConfig, SamplingConfig
from tirage.runtime.config_files import load_config
from tirage.runtime.event_loop import run_sync
from tirage.runtime.opening.models import served_like, weights_of
from tirage.runtime.round_report import RoundRecord, measured_round, round_report, sampled_round
from tirage.runtime.runs import RunFolder
from tirage.runtime.stages import Display, Plan, Silent, roll_plans
from tirage.training.filters import HeldOut
from tirage.training.job import Checkpoint, run_job
from tirage.training.manifest import Manifest
from tirage.training.recipes import RFT, HintRFT, RFTConfig
from tirage.training.selection import NothingKept, SelectionConfig
from tirage.training.spec import SFTSpec

RUN_FROM_DATASET = "../.."
"""The run folder as seen from its datasets, so that a run can be moved and still be traced."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Splits:
    """The problems of a round; no text is in two of them."""

    train: tuple[Problem, ...]
    heldout: tuple[Problem, ...]
    unseen: tuple[Problem, ...]


def improve(config: str | Path | ImproveConfig, *, run: str | Path | None = None) -> Report:
    """Run one improvement round and return its report; an interrupted round resumes.

    Args:
        config: A YAML file, or what it would hold.
        run: The run folder; `runs/NAME` by default.

    Raises:
        TirageError: One of its family; what was finished before stays finished.
    """
    settings = config if isinstance(config, ImproveConfig) else load_config(ImproveConfig, Path(config))
    folder = Path(run) if run is not None else Path("runs") / settings.name
    return run_sync(improve_round(settings, folder, Silent()))


async def improve_round(config: ImproveConfig, folder: Path, show: Display) -> Report:
    """Run or resume one round in `folder`; returns the report, which is also written there as JSON and HTML.

    Raises the `TirageError` family; what was finished before stays finished.
    """
    base_weights = weights_of(config.model)
    splits = load_splits(config)
    with RunFolder(folder, config) as run:
        show.note(f"{len(splits.train)} training, {len(splits.heldout)} held-out, {len(splits.unseen)} unseen-family problems")
        round_ = _Round(config, run, splits, show)
        await round_.base()
        tuned = await round_.train("hint-rft", base_weights)
        for number in range(2, config.rounds + 1):
            await round_.again(number, served_like(config.model, str(tuned.path)))
            try:
                tuned = await round_.train(later_round(number), base_weights)
            except NothingKept:
                round_.note(
                    f"Round {number} found nothing to train on: none of its samples was fit, so the rounds end with the one before."
                )
                break
        await round_.measure("after", served_like(config.model, str(tuned.path)), unseen=True)
        if config.control:
            await round_.control(base_weights, steps=tuned.steps)
        report = round_report(config, run, round_.record)
        write_report(report, folder)
        return report


def load_splits(config: ImproveConfig) -> Splits:
    """The problems of the round. Training problems whose text is also held out are dropped here already."""
    heldout = unique(load_problems(config.problems.heldout))
    unseen = unique(load_problems(config.problems.unseen)) if config.problems.unseen is not None else ()
    kept_out = {problem.prompt for problem in (*heldout, *unseen)}
    train = unique(problem for problem in load_problems(config.problems.train) if problem.prompt not in kept_out)
    return Splits(train=train, heldout=heldout, unseen=unseen)


class _Round:
    """One round under way."""

    def __init__(self, config: ImproveConfig, run: RunFolder, splits: Splits, show: Display) -> None:
        self.config = config
        self.run = run
        self.splits = splits
        self.show = show
        self.record = RoundRecord()

    async def base(self) -> None:
        """Everything that samples from the base model, so that a server is started once.

        Measure it as it is; see which training problems it fails alone (greedy, as START does); sample those problems
        with hints and demonstrations; sample them without, with the same effort, for the control; and measure what
        hints and demonstrations alone give.
        """
        config, splits, free = self.config, self.splits, _free(self.config)
        greedy = _greedy(config)
        plans = [
            Plan(name="before", problems=splits.heldout, sampling=greedy, agent=free),
            Plan(name="before-unseen", problems=splits.unseen, sampling=greedy, agent=free),
            Plan(name="train-alone", problems=splits.train, sampling=greedy, agent=free),
            Plan(
                name="train-hinted",
                problems=splits.train,
                sampling=config.sampling,
                hints=config.hints,
                samples=config.samples,
                varied=True,
            ),
            Plan(name="hinted", problems=splits.heldout, sampling=greedy, hints=config.hints),
        ]
        if config.control:
            effort = config.samples * config.rounds
            plans.append(
                Plan(name="train-unhinted", problems=splits.train, sampling=config.sampling, samples=effort, agent=free, varied=True)
            )
        await self._roll(config.model, plans)

    async def again(self, number: int, model: str) -> None:
        """Measure the checkpoint of the round before `number`, and sample it, as it is."""
        config, splits, free = self.config, self.splits, _free(self.config)
        plans = [
            Plan(name=measured_round(number - 1), problems=splits.heldout, sampling=_greedy(config), agent=free),
            Plan(
                name=sampled_round(number), problems=splits.train, sampling=config.sampling, samples=config.samples, agent=free, varied=True
            ),
        ]
        await self._roll(model, plans)

    async def control(self, base: str, *, steps: int) -> None:
        """Train the base on its own unhinted samples and measure it; where none is right, the control is the base itself."""
        try:
            checkpoint = await self.train("control", base, steps=steps)
            model = served_like(self.config.model, str(checkpoint.path))
        except NothingKept:
            self.note("The control found nothing to train on: none of the base model's unhinted samples was fit, so it is the base model.")
            model = self.config.model
        await self.measure("control", model)

    def note(self, text: str) -> None:
        """Tell now, and in the report."""
        self.show.note(text)
        self.record.notes.append(text)

    async def measure(self, stage: str, model: str, *, unseen: bool = False) -> None:
        """Measure a checkpoint on the held-out problems, greedy and without hints."""
        greedy, free = _greedy(self.config), _free(self.config)
        plans = [Plan(name=stage, problems=self.splits.heldout, sampling=greedy, agent=free)]
        if unseen:
            plans.append(Plan(name=f"{stage}-unseen", problems=self.splits.unseen, sampling=greedy, agent=free))
        await self._roll(model, plans)

    async def train(self, name: str, base: str, *, steps: int | None = None) -> Checkpoint:
        """Build the rows and fine-tune the base on them: on the hinted traces, or, for the control, on the unhinted ones."""
        manifest = self._build(name)
        self.record.datasets[name] = manifest
        settings = self.config.training.model_dump()
        if steps is not None:
            settings["max_steps"] = steps
        spec = SFTSpec(
            **settings | {"dataset": self.run.dataset(name), "init_from": base, "init_name": self.config.model, "seed": self.config.seed}
        )
        with self.run.timed(f"train {name}"):
            checkpoint = await run_job(self.run.job(name), spec, on_progress=lambda job: self.show.job(name, job.step, job.steps, job.loss))
        self.record.checkpoints[name] = checkpoint
        return checkpoint

    def _build(self, name: str) -> Manifest:
        """Score, filter, modify, deduplicate and decontaminate against everything held out."""
        heldout = HeldOut(
            (problem.prompt for problem in (*self.splits.heldout, *self.splits.unseen)), mode=self.config.problems.overlap_mode
        )
        out = self.run.dataset(name)
        if name != "hint-rft":
            stage = "train-unhinted" if name == "control" else sampled_round(int(name.removeprefix(later_round(""))))
            settings = {key: getattr(self.config.recipe, key) for key in SelectionConfig.model_fields}
            own = RFTConfig(**settings, stage=stage, per_problem=self.config.recipe.per_problem, require_tool=name != "control")
            return RFT(own).build(self.run.store, out, run=RUN_FROM_DATASET, heldout=heldout)
        chosen = self.config.recipe.model_copy(update={"hinted_stage": "train-hinted", "unhinted_stage": "train-alone"})
        return HintRFT(chosen).build(self.run.store, out, run=RUN_FROM_DATASET, heldout=heldout)

    async def _roll(self, model: str, plans: list[Plan]) -> None:
        await roll_plans(self.config, self.run, self.show, plans, model=model)


def later_round(number: int | str) -> str:
    """Name of the dataset and the job of a round after the first."""
    return f"rft-{number}"


def _free(config: ImproveConfig) -> AgentConfig:
    """The agent without what is given only while sampling with hints: demonstrations and elicitation."""
    return config.agent.model_copy(update={"demonstrations": None, "elicit": False})


def _greedy(config: ImproveConfig) -> SamplingConfig:
    """Measurements are greedy, with the run's own token limit."""
    return SamplingConfig(temperature=0.0, top_p=1.0, max_tokens=config.sampling.max_tokens)
