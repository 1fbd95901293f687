"""Debate: models are ranked by how well they defend an answer, and attack one, before a judge who does not know which is right."""

import asyncio

from tirage.agents.explorer import SolveContext
from tirage.core import Problem, Tree
from tirage.evaluation.tournament import Match, rank, schedule
from tirage.judging.judges import BothOrders
from tirage.models.base import Request
from tirage.systems.debate import Debate, read_ending
from tirage.testing.models import ScriptedModel
from tirage.workflows.agent import WorkflowAgent
from tirage.workflows.role_models import RoleModels

PROBLEMS = [Problem(prompt=f"What is {n} * {n}?", answer=str(n * n)) for n in (12, 15)]
EVIDENCE = {"reasoner": "I added the number to itself, step by step, and got the same sum twice.", "parrot": "Everybody knows it."}


def debater(name: str) -> ScriptedModel:
    """A model that defends what it is told to, or else 100, with the evidence it is capable of."""

    def said(request: Request) -> str:
        asked = bytes(request.ids or ()).decode()
        answer = asked.partition("You defend this answer: ")[2].partition("\n")[0] or "100"
        return f"Position: {answer}\nEvidence: {EVIDENCE[name]}\nRebuttal: That was not shown."

    return ScriptedModel(said, name=name)


def verdict(request: Request) -> str:
    """A judge who looks for steps, and takes the first where both or none show them."""
    debate = bytes(request.ids or ()).decode()
    first, second = ("step by step" in debate.split(f"Debater {side}:")[1].split("Round")[0] for side in "AB")
    return "Verdict: B" if second and not first else "Verdict: A"


async def hold(pro: str, con: str, problem: Problem) -> Tree:
    """One debate; the judge is asked in both orders, and where it does not agree with itself there is another round."""
    cast = RoleModels(model=ScriptedModel(verdict), models={"pro": debater(pro), "con": debater(con)})
    return await WorkflowAgent(Debate(most=3, review=BothOrders), cast).solve(problem, SolveContext(seed=0))


async def main() -> None:
    """Every ordered pair on every problem."""
    matches = []
    for pro, con in schedule(list(EVIDENCE)):
        for problem in PROBLEMS:
            tree = await hold(pro, con, problem)
            ending = read_ending(tree)
            matches.append(Match(item=problem.id, pro=pro, con=con, winner=ending.winner))
            print(f"{pro} defends {problem.answer} against {con}: {ending.winner} wins after {ending.rounds} rounds")
    print(tree.trajectory(tree.chosen).response)
    table = rank(matches, list(EVIDENCE))
    for row in table.standings:
        print(f"{row.model}: {row.wins} wins, defending {row.pro.rate:.0%}, challenging {row.con.rate:.0%}, rating {row.rating:.0f}")
    print(f"the official answer held in {table.pro.rate:.0%}")


asyncio.run(main())
