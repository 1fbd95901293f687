"""HALO: a plan, roles invented for each subtask, and a tree search over who speaks next: the auditor sees the catch, but only late."""

import asyncio
import json
import re

from tirage.agents.explorer import SolveContext
from tirage.core import Problem, Tree
from tirage.models.base import Request
from tirage.systems.halo.halo import Halo
from tirage.testing.models import ScriptedModel
from tirage.workflows.agent import WorkflowAgent
from tirage.workflows.role_models import RoleModels

PROBLEM = Problem(prompt="A snail climbs 3 m a day and slips 2 m a night. When is it out of a well of 10 m?", answer="8")


def read(request: Request) -> str:
    """The prompt of a request to the scripted model, which speaks bytes."""
    return bytes(request.ids or ()).decode()


def audit(request: Request) -> str:
    """The auditor needs somebody's draft to see what is wrong with it."""
    return "On day 8 it is out before it slips: \\boxed{8}" if "Climber said" in read(request) else "Nothing to audit."


def judge(request: Request) -> str:
    """Says success of the right answer, sends a draft on, and drops the rest."""
    answer = read(request).rpartition("\nAnswer:\n")[2]
    return json.dumps({"status": "success" if "boxed{8}" in answer else "continue" if "boxed{10}" in answer else "fail"})


def plan(request: Request) -> str:
    """One subtask is enough."""
    return json.dumps({"subtask": "stop" if "Answer (" in read(request) else "Find the day."})


def draft(request: Request) -> str:
    """A stage of a prompt."""
    expert = re.search(r"the expert (\w+)", read(request))
    return json.dumps({"prompt": f"You are the {expert[1]}." if expert else PROBLEM.prompt})


MODEL = ScriptedModel(
    tags={
        "parser": lambda _: json.dumps({"task_type": "mathematics", "core_intent": "find a day", "key_details": ["3 m", "2 m", "10 m"]}),
        "templater": draft,
        "optimiser": lambda _: "I would not change a thing.",  # no JSON: the template stays as it was, and a note says so
        "writer": draft,
        "planner": plan,
        "designer": lambda _: json.dumps({"roles": [{"name": "Auditor", "purpose": "Checks."}, {"name": "Climber", "purpose": "Counts."}]}),
        "Auditor": audit,
        "Climber": lambda _: "1 m a day makes \\boxed{10}",
        "judge": judge,
        "scorer": lambda _: json.dumps({"score": 0.6}),
    }
)


def show(tree: Tree) -> None:
    """The roles' answers as a tree, with what the search knows of them."""
    for node in tree.nodes[1:]:
        if node.move in ("Auditor", "Climber"):
            depth = sum(above.move in ("Auditor", "Climber") for above in tree.path(node.index)) - 1
            visits, total = tree.visits[node.index], tree.value_sum[node.index]
            print(
                f"{'    ' * depth}{node.move}: {tree.trajectory(node.index).response}  [N={visits} W={total:.1f}; {tree.notes[node.index]}]"
            )


async def main() -> None:
    """Solve it, and show who said what."""
    tree = await WorkflowAgent(Halo(attempts=1), RoleModels(model=MODEL)).solve(PROBLEM, SolveContext(seed=0))
    show(tree)
    defaults = sum("default taken" in note for note in tree.notes.values())
    print(f"answer: {tree.trajectory(tree.chosen).response} | {tree.usage.model_calls} model calls, {defaults} replies could not be read")


asyncio.run(main())
