"""A workflow as an agent: a workflow over roles, performed on one tree."""

from collections.abc import Mapping
from typing import Protocol

from tirage.agents.explorer import Agent, SolveContext
from tirage.core.budget import Budget, Meter, OutOfBudget
from tirage.core.problem import Problem
from tirage.core.tree import Tree
from tirage.verification.alike import Alike, quickly
from tirage.workflows.approval import ApprovalGate, Terminated
from tirage.workflows.role_models import RoleModels
from tirage.workflows.turns import WorkflowRun


class Workflow(Protocol):
    """A workflow: which role is asked what, and which turn is the answer. A workflow is a subclass."""

    sees_key: bool = False
    """Whether it is handed the reference answer; else nothing in it can reach one."""

    @property
    def id(self) -> str:
        """Its name with what makes it what it is."""
        ...

    async def run(self, flow: WorkflowRun) -> None:
        """Take turns, and `offer` the answer as soon as there is one. `OutOfBudget` is let through."""
        ...


class WorkflowAgent(Agent):
    """The agent that performs a workflow; fits the `Agent` port."""

    def __init__(
        self,
        workflow: Workflow,
        role_models: RoleModels,
        *,
        budget: Budget | None = None,
        gate: ApprovalGate | None = None,
        alike: Alike = quickly,
        shots: Mapping[str, str] | None = None,
    ) -> None:
        """`budget`: of each problem by itself; `gate`: where turns wait for a person, of one run; `alike`: which answers are the same.

        `shots`: worked examples by role.
        """
        self.alike = alike
        self.shots = shots or {}
        self.gate = gate
        self.workflow = workflow
        self.role_models = role_models
        self.budget = budget or Budget()

    async def solve(self, problem: Problem, context: SolveContext) -> Tree:
        """Perform the workflow; at a limit the best answer so far is the tree's. Raises what `step_executor.FATAL` names, and `Paused`."""
        tree = Tree(problem_id=problem.id, policy_id=f"{self.workflow.id}|{self.role_models.id}", seed=context.seed, prompt=())
        flow = WorkflowRun(
            problem=problem.asked,
            tree=tree,
            meter=Meter(self.budget, above=context.meter),
            role_models=self.role_models,
            gate=self.gate,
            key=problem.answer if self.workflow.sees_key else None,
            log=context.log,
            on_step=context.on_step,
            alike=self.alike,
            shots=self.shots,
        )
        try:
            await self.workflow.run(flow)
        except OutOfBudget as reason:
            tree.ended = f"budget: {reason}"
        except Terminated as reason:
            tree.ended = str(reason)
        finally:
            await flow.tool_runner.close()
        return tree
