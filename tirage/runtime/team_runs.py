"""A team at work on one question, kept in a file while a turn waits for a person."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tirage.agents.driver import StepEvent
from tirage.core.errors import DataError
from tirage.core.problem import Problem
from tirage.runtime.config import AgentConfig, BudgetConfig, SamplingConfig, SolveConfig
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
    tokens: int | None = None

    def as_data(self) -> dict[str, Any]:
        """JSON data."""
        data = {name: getattr(self, name) for name in ("model", "models", "approve", "temperature", "max_tokens", "tokens")}
        return {**data, "models": list(self.models), "approve": list(self.approve), "topology": self.topology.to_dict()}

    @classmethod
    def from_data(cls, data: Mapping[str, Any]) -> "TeamRun":
        """Back from `as_data`. Raises `DataError` for other data."""
        try:
            given = dict(data)
            topology = Topology.from_dict(given.pop("topology"))
            return cls(topology=topology, **{**given, "models": tuple(given["models"]), "approve": tuple(given["approve"])})
        except (KeyError, TypeError) as error:
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
        config = SolveConfig(
            model=run.model,
            agent=AgentConfig(name="team", options=options, models=run.models),
            sampling=SamplingConfig(temperature=run.temperature, max_tokens=run.max_tokens),
            budget=BudgetConfig(tokens=run.tokens),
        )
        solution = await solve_async(self.problem, config, on_step=on_step, log=self.record)
        self.keep(None)
        return solution
