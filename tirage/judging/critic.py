"""The critic as a valuer: an agent checks the proposed answer, with tools, and ends in a verdict.

Tool-integrated verification, T1 (Kang et al. 2025, arXiv 2504.04718): a small model that may run code judges better than one that must
reason in its head. It sees the problem and the proposed answer, never the reference.
"""

import re

from tirage.agents.explorer import Agent, SolveContext
from tirage.agents.valuation import Estimate, Valuer, most_tokens_of
from tirage.core.problem import Problem
from tirage.core.seeds import derive_seed
from tirage.core.step import Finish, Usage
from tirage.core.trajectory import StopReason, Trajectory
from tirage.verification.extract import final_match
from tirage.verification.reading import answer_of

VERDICT = re.compile(r"Verdict:\W*(correct|right|wrong|incorrect|not (?:correct|right))\b", re.IGNORECASE)
NANO_CHECK = "Check: {problem}\nProposed answer: {answer}"
CHECK = (
    "A problem and a proposed answer follow. Find out whether the answer is right: work the problem out or test the answer with code. "
    "Do not trust the answer.\n\nProblem: {problem}\n\nProposed answer: {answer}\n\n"
    'End with one line: "Verdict: correct" or "Verdict: wrong".'
)
NO_ANSWER = 0.0
UNDECIDED = "no check came to a verdict"


class Critic(Valuer):
    """Share of checks that find the answer correct, in [0, 1]."""

    def __init__(self, agent: Agent, *, template: str = CHECK, checks: int = 1, inner: Valuer | None = None) -> None:
        """`agent` does the checking; `inner` values the paths that have not ended. Raises ValueError for less than one check."""
        if checks < 1:
            raise ValueError(f"a critic needs at least one check, got {checks}")
        self._agent = agent
        self._template = template
        self._checks = checks
        self._inner = inner
        path = agent.most_tokens
        self.most_tokens = None if path is None else max(checks * path, most_tokens_of(inner) or 0)

    async def value(self, problem: Problem, path: Trajectory, seed: int) -> Estimate:
        """0 for a path without an answer; None when no check came to a verdict."""
        if path.stop is StopReason.OPEN:
            return await self._inner.value(problem, path, seed) if self._inner is not None else Estimate(value=None)
        answer = answer_of(path, problem)
        if answer is None:
            return Estimate(value=NO_ANSWER)
        question = Problem(prompt=self._template.format(problem=problem.prompt, answer=answer))
        verdicts: list[bool] = []
        usage, note = Usage(), ""
        for check in range(self._checks):
            tree = await self._agent.solve(question, SolveContext(seed=derive_seed(seed, "check", check)))
            usage = usage + tree.usage
            checked = tree.trajectory(tree.chosen) if tree.chosen else None
            cut = checked is None or not checked.steps or checked.steps[-1].finish is Finish.LENGTH
            response = checked.own_text.rpartition("</think>")[2] if checked is not None else ""
            found = None if cut else final_match(VERDICT, response)
            if found is not None:
                verdicts.append(found.group(1).lower() in ("correct", "right"))
                note = note or response
        value = sum(verdicts) / len(verdicts) if verdicts else None
        return Estimate(value=value, note=note or f"abstained: {UNDECIDED}", usage=usage)
