"""A workflow as an agent: a play over roles, performed on one tree."""

from collections.abc import Callable, Mapping
from typing import Protocol

from tirage.agents.approval import Desk, Terminated
from tirage.agents.growth import Log, StepEvent
from tirage.agents.transcript import Company, OutOfBudget, Transcript
from tirage.core.budget import Budget, Meter
from tirage.core.problem import Problem
from tirage.core.tree import Tree
from tirage.verification.alike import Alike, quickly


class Play(Protocol):
    """A workflow: which role is asked what, and which turn is the answer."""

    # A play may have an attribute `sees_key`: True hands it the reference answer. Without it nothing in it can reach one.

    @property
    def id(self) -> str:
        """Its name with what makes it what it is."""
        ...

    async def play(self, script: Transcript) -> None:
        """Take turns, and `offer` the answer as soon as there is one. `OutOfBudget` is let through."""
        ...


class Workflow:
    """The agent that performs a play; fits the `Agent` port."""

    def __init__(
        self,
        play: Play,
        company: Company,
        *,
        budget: Budget | None = None,
        desk: Desk | None = None,
        alike: Alike = quickly,
        shots: Mapping[str, str] | None = None,
    ) -> None:
        """`budget`: of each problem by itself; `desk`: where turns wait for a person, of one run; `alike`: which answers are the same.

        `shots`: worked examples by role.
        """
        self.alike = alike
        self.shots = shots or {}
        self.desk = desk
        self.play = play
        self.company = company
        self.budget = budget or Budget()

    async def solve(
        self,
        problem: Problem,
        *,
        seed: int,
        meter: Meter | None = None,
        on_step: Callable[[StepEvent], None] | None = None,
        log: Log | None = None,
    ) -> Tree:
        """Perform the play; at a limit the best answer so far is the tree's. Raises what `stepper.FATAL` names, and `Paused`."""
        tree = Tree(problem_id=problem.id, policy_id=f"{self.play.id}|{self.company.id}", seed=seed, prompt=())
        script = Transcript(
            problem=problem.asked,
            tree=tree,
            meter=Meter(self.budget, above=meter),
            company=self.company,
            desk=self.desk,
            key=problem.answer if getattr(self.play, "sees_key", False) else None,
            log=log,
            on_step=on_step,
            alike=self.alike,
            shots=self.shots,
        )
        try:
            await self.play.play(script)
        except OutOfBudget as reason:
            tree.ended = f"budget: {reason}"
        except Terminated as reason:
            tree.ended = str(reason)
        finally:
            await script.bench.close()
        return tree
