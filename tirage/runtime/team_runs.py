"""A team at work on one question, kept in a file while a turn waits for a person."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tirage.agents.driver import StepEvent
from tirage.core.errors import DataError
from tirage.core.problem import Problem
from tirage.runtime.config import AgentConfig, BudgetConfig, SamplingConfig, SolveConfig
from tirage.runtime.config_files import with_settings
from tirage.runtime.solving import Solution, solve_async
from tirage.teams.topology import Topology
from tirage.workflows.approval import ApprovalGate, ApprovalRequest, PausedLog, PausedRun


@dataclass(frozen=True, slots=True, kw_only=True)
class TeamRun:
    """What makes a run, in a form that a paused one keeps."""

    topology: Topology
    model: str = "nano"
    models: tuple[str, ...] = ()
    approve: tuple[str, ...] = ()
    temperature: float | None = None
    max_tokens: int | None = None
    budget: BudgetConfig = field(default_factory=BudgetConfig)
    settings: tuple[str, ...] = ()
    """Further keys of the configuration, as `--set` takes them."""

    def as_data(self) -> dict[str, Any]:
        """JSON data."""
        return {
            "model": self.model,
            "models": list(self.models),
            "approve": list(self.approve),
            "temperature": self.temperature,
            "max_tokens": self.max_tokens,
            "budget": self.budget.model_dump(exclude_none=True),
            "settings": list(self.settings),
            "topology": self.topology.to_dict(),
        }

    @classmethod
    def from_data(cls, data: Mapping[str, Any]) -> "TeamRun":
        """Back from `as_data`, or from what the version before wrote, whose only limit was `tokens`. Raises `DataError` for other data."""
        try:
            given = dict(data)
            topology = Topology.from_dict(given.pop("topology"))
            budget = BudgetConfig.model_validate(given.pop("budget", None) or {"tokens": given.pop("tokens", None)})
            lists: dict[str, Any] = {name: tuple(given.pop(name, ())) for name in ("models", "approve", "settings")}
            return cls(topology=topology, budget=budget, **lists, **given)
        except (KeyError, TypeError, ValueError) as error:
            raise DataError(f"the paused run is of no team that this version knows ({error})") from error


@dataclass(slots=True)
class Waiting:
    """Writes a run down whenever a turn waits."""

    run: TeamRun
    problem: Problem
    record: PausedLog
    file: Path | None
    gate: ApprovalGate = field(init=False)

    def __post_init__(self) -> None:
        """The gate has nobody in charge until the caller puts somebody there."""
        self.gate = ApprovalGate(on_wait=self.keep)

    def keep(self, request: ApprovalRequest | None) -> None:
        """Write the run as it stands."""
        if self.file is not None:
            decided = {str(number): decision for number, decision in self.gate.decided.items()}
            settled = tuple(self.record.settled)
            run = self.run.as_data()
            PausedRun(problem=self.problem, seed=0, agent=run, settled=settled, decided=decided, waiting=request).save(self.file)

    async def perform(self, on_step: Callable[[StepEvent], None] | None = None) -> Solution:
        """Run the team to its end; the file then says so. Raises `Paused` when a turn waits, and the `TirageError` family."""
        run = self.run
        options = {"topology": run.topology, "gate": self.gate, "approve": run.approve}
        flags = SolveConfig(
            model=run.model,
            agent=AgentConfig(name="team", models=run.models),
            sampling=SamplingConfig(temperature=run.temperature, max_tokens=run.max_tokens),
            budget=run.budget,
        )
        config = with_settings(flags, run.settings)
        config = config.model_copy(update={"agent": config.agent.model_copy(update={"options": options})})
        solution = await solve_async(self.problem, config, on_step=on_step, log=self.record)
        self.keep(None)
        return solution
