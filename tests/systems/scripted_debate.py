"""A debate whose debaters and judge are scripted."""

from tirage.agents.explorer import SolveContext
from tirage.core.problem import Problem
from tirage.systems.debate import (
    Debate,
)
from tirage.testing.models import ScriptedModel
from tirage.workflows.agent import WorkflowAgent
from tirage.workflows.role_models import RoleModels

KEY = "nonce-4711"
PROBLEM = Problem(prompt="What is 6 * 7?", answer=KEY, metadata={"solution": KEY})
PRO = "Position: six sevens\nEvidence: by counting\nRebuttal: yours is too low"
CON = "Position: 41\nEvidence: by heart\nRebuttal: yours is too high"


async def hold(verdicts, *, workflow=None, pro=PRO, con=CON, problem=PROBLEM, **options):
    model = ScriptedModel(tags={"pro": {"": pro}, "con": {"": con}, "judge": verdicts}, name="model-of-the-judge")
    debaters = {name: ScriptedModel({"": said}, name=f"model-of-{name}") for name, said in (("pro", pro), ("con", con))}
    cast = RoleModels(model=model, models=debaters)
    agent = WorkflowAgent(workflow or Debate(), cast, budget=options.pop("budget", None))
    tree = await agent.solve(problem, SolveContext(seed=5, **options))
    return tree, model, debaters
