"""A team of four in a few lines: who speaks to whom is data, every turn is a node of one tree, each edge has its tokens."""

import asyncio

from tirage.agents.explorer import SolveContext
from tirage.core import Budget, Problem, Tree
from tirage.teams.pictures import draw
from tirage.teams.team import Team, tokens_per_edge, with_saboteur
from tirage.teams.topology import Member, Topology
from tirage.testing.models import ScriptedModel
from tirage.verification.extract import final_answer
from tirage.workflows.agent import WorkflowAgent
from tirage.workflows.role_models import RoleModels

TEAM = Topology(
    name="two-opinions",
    members=(Member(name="planner", role="planner"), Member(name="ada"), Member(name="bob"), Member(name="judge", role="judge")),
    spatial=(("planner", "ada"), ("planner", "bob"), ("ada", "judge"), ("bob", "judge")),
    decision="judge",
)
PROBLEM = Problem(prompt="A jug and a cup hold 11 litres, the jug 10 more than the cup. How much does the cup hold?")
SCRIPT = {
    "planner": ["1. Write both as equations. 2. Subtract."],
    "ada": ["c + (c + 10) = 11, so 2c = 1: \\boxed{0.5}"],
    "bob": ["11 - 10 = \\boxed{1}"],
    "judge": ["Bob's jug would hold 11, not 11 - 1. Ada is right: \\boxed{1/2}"],
}


async def work(topology: Topology, budget: Budget | None = None) -> tuple[Tree, ScriptedModel]:
    """One problem; a scripted model stands for all members."""
    model = ScriptedModel(tags=SCRIPT)
    return await WorkflowAgent(Team(topology), RoleModels(model=model), budget=budget).solve(PROBLEM, SolveContext(seed=0)), model


async def main() -> None:
    """The team, its ledger, the same on a budget, and with a saboteur."""
    print(draw(TEAM, "ascii"))
    tree, _ = await work(TEAM)
    print("spoke:", " ".join(node.move for node in tree.nodes[1:]))
    print("answer:", final_answer(tree.trajectory(tree.chosen).own_text))
    for (speaker, listener), tokens in tokens_per_edge(TEAM, tree).items():
        print(f"{speaker} -> {listener}: {tokens} tokens")
    short, _ = await work(TEAM, Budget(model_calls=2))
    print(f"with 2 calls: {short.ended}, answer so far {final_answer(short.trajectory(short.chosen).own_text)}")
    _, model = await work(with_saboteur(TEAM, "bob"))
    told = bytes(model.requests[2].ids or ()).decode()
    print("bob is told to mislead:", "Mislead the others" in told)


if __name__ == "__main__":
    asyncio.run(main())
