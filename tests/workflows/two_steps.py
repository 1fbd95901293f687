"""A workflow of two roles, the first of whose turns needs approval."""

from tirage.agents.explorer import SolveContext
from tirage.agents.replies import whole
from tirage.core.problem import Problem
from tirage.testing.models import ScriptedModel
from tirage.workflows.agent import Workflow, WorkflowAgent
from tirage.workflows.role_models import RoleModels
from tirage.workflows.roles import Role

PLANNER = Role(name="planner", template="Plan: {problem}", read=whole, default="", approve=True)
EXECUTOR = Role(name="executor", template="{problem} by {plan}", read=whole, default="", answers=True)
PROBLEM = Problem(prompt="6 * 7?")


class TwoSteps(Workflow):
    id = "two-steps"

    async def run(self, flow):
        plan = await flow.ask(PLANNER)
        flow.offer(await flow.ask(EXECUTOR, after=plan.node, plan=plan.value))


async def perform(gate, script, log=None):
    model = ScriptedModel(tags=script)
    return model, await WorkflowAgent(TwoSteps(), RoleModels(model=model), gate=gate).solve(PROBLEM, SolveContext(seed=1, log=log))
