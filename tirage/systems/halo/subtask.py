"""HALO's work on one subtask: roles answer, a judge and a scorer say what the answers are worth, the search says who goes on from which."""

import random
from collections.abc import Sequence
from dataclasses import dataclass, field

from tirage.search.role_search import RoleSearch, Status
from tirage.systems.halo.roles import BOXED, FORMS, JUDGE, SCORER
from tirage.workflows.roles import Role
from tirage.workflows.turns import Call, Turn, WorkflowRun


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """A subtask that was worked on."""

    subtask: str
    turn: Turn[str]
    """Its answer."""
    success: bool


@dataclass(slots=True, kw_only=True)
class SubtaskWork:
    """A subtask while roles work on it."""

    flow: WorkflowRun
    search: RoleSearch
    """Below the planner's turn."""
    roles: Sequence[Role[str]]
    query: str
    subtask: str
    attempts: int
    """Simulations from one answer, until one succeeds."""
    iterations: int
    """Expansions at most."""
    draw: random.Random
    """Chooses who speaks in a simulation."""
    turns: dict[int, Turn[str]] = field(default_factory=dict, init=False)
    """Answers by node, those of simulations too."""
    above: dict[int, int] = field(default_factory=dict, init=False)
    """Answer to the answer that it goes on from."""
    won: int | None = field(default=None, init=False)
    """The first success of a simulation."""

    async def perform(self) -> Done:
        """Search until an answer is found, nothing is left to try, or the iterations are spent."""
        for _ in range(self.iterations):
            node = self.search.ask()
            if node is None:
                break
            chosen = self.search.tell(node, await self._answer(node, self.roles))
            reward = self.search.back_up(chosen, await self._simulate(chosen))
            self.flow.note(self.turns[chosen], f"backup {reward:+}")
        else:
            self.search.ask()
        best = self.search.choose()
        success = self.search.status[best] == "success"
        if not success and self.won is not None:
            # What was judged to do is not thrown away because the search did not come by again.
            best, success = self.won, True
        return Done(subtask=self.subtask, turn=self.turns[best], success=success)

    async def _simulate(self, start: int) -> bool:
        """Whether one of several workflows on from an answer, roles at random, succeeds. An end is what it is and costs nothing."""
        status = self.search.status[start]
        if status != "continue":
            return status == "success"
        for attempt in range(self.attempts):
            node = start
            for _ in range(self.search.level(start), self.search.depth):
                ((node, status),) = await self._answer(node, [self.draw.choice(self.roles)], simulation=attempt + 1)
                if status == "success":
                    self.won = node if self.won is None else self.won
                    return True
                if status == "fail":
                    break
        return False

    async def _answer(self, after: int, roles: Sequence[Role[str]], *, simulation: int = 0) -> list[tuple[int, Status]]:
        """An answer by each role to what there is at `after`, judged and scored; success is offered at once."""
        flow, known = self.flow, {"query": self.query, "subtask": self.subtask}
        asked = {**known, "history": self._history(after), "form": FORMS.get(flow.problem.kind, BOXED)}
        solved = await flow.together([Call(role=role, fields=asked, after=after, draw=simulation) for role in roles])
        shown = [{**known, "answer": turn.value} for turn in solved]
        judged = await flow.together([Call(role=JUDGE, fields=fields, after=turn.node) for turn, fields in zip(solved, shown, strict=True)])
        scored = await flow.together(
            [
                Call(role=SCORER, fields={**fields, "status": verdict.value.status}, after=verdict.node)
                for verdict, fields in zip(judged, shown, strict=True)
            ]
        )
        for turn, verdict, score in zip(solved, judged, scored, strict=True):
            self.turns[turn.node], self.above[turn.node] = turn, after
            status = verdict.value.status
            flow.rate(turn, score.value.score, f"simulation {simulation}: {status}" if simulation else status)
            if status == "success":
                flow.offer(turn)
        return [(turn.node, verdict.value.status) for turn, verdict in zip(solved, judged, strict=True)]

    def _history(self, node: int) -> str:
        """What was said on the path down to `node`."""
        said: list[str] = []
        while node in self.turns:
            said.append(f"{self.turns[node].role} said:\n{self.turns[node].value}\n\n")
            node = self.above[node]
        return "".join(reversed(said))
