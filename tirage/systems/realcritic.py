"""RealCritic (Tang et al. 2025, arXiv 2501.14492): a critique is as good as the correction that it leads to.

The tree holds the original solution and, below each critique, its correction as a node of its own, judged like any answer; what the figures
of `tirage.evaluation.realcritic` are counted from.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from pydantic import PositiveInt

from tirage.agents.replies import whole
from tirage.core.errors import ConfigError
from tirage.judging.critic import NANO_CHECK
from tirage.judging.critique_text import Critique, corrected, read_check, read_critique
from tirage.models.profile import profile_of
from tirage.systems.candidates import put
from tirage.systems.options import workflow_of
from tirage.systems.parts import AgentParts
from tirage.verification.extract import final_answer
from tirage.workflows.agent import Workflow, WorkflowAgent
from tirage.workflows.roles import Role
from tirage.workflows.turns import WorkflowRun

CritiqueMode = Literal["direct", "self", "cross", "iterative"]
SOLVER = Role(
    name="solver",
    template="{problem}\n\nThink step by step. Put the final answer in \\boxed{{}}.",
    read=whole,
    default="",
    answers=True,
)
FORM = (
    'Go through it step by step: for each step begin a line with "Step i:", say whether it holds, and end with "Step i is correct." or '
    '"Step i is incorrect.". Then write one line "Conclusion: correct" or "Conclusion: incorrect". Then, between <correction> and '
    "</correction>, write the corrected solution: it follows the original up to the first incorrect step and goes on from there to the "
    "final answer in \\boxed{{}}. If the solution is correct, restate its answer there in \\boxed{{}}."
)
"""Braces are doubled: it is part of templates."""
CRITIC = Role(
    name="critic",
    template=f"Criticise the solution of a problem.\n\nProblem: {{problem}}\n\nSolution:\n{{solution}}\n\n{FORM}",
    read=read_critique,
    default=Critique(),
)
DOUBTER = replace(
    CRITIC,
    template=(
        "Criticise the solution of a problem again.\n\nProblem: {problem}\n\nSolution:\n{solution}\n\nYour critique so far:\n{history}\n\n"
        f"Doubt it: it may have missed a mistake or found one where there is none. Work it out anew, without copying. {FORM}"
    ),
)
"""Of the turns after the first."""
NANO_SOLVER = replace(SOLVER, template="{problem}", tools=("python",))
NANO_CRITIC = replace(CRITIC, template=NANO_CHECK, read=read_check, tools=("python",))
GIVEN, CORRECTED = "given", "corrected"
"""The moves of the original solution, where it comes from elsewhere, and of corrections."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RealCritic(Workflow):
    """The workflow."""

    mode: CritiqueMode = "self"
    """direct: solve, without any critique; self: criticise one's own solution; cross: a given one; iterative: `turns` critiques, of the
    given solution where there is one, else of one's own."""
    turns: PositiveInt = 3
    """Of the iterative mode."""
    given: Mapping[str, str] = field(default_factory=dict)
    """Solutions by problem id."""
    solver: Role[str] = SOLVER
    critic: Role[Critique] = CRITIC
    doubter: Role[Critique] = DOUBTER
    restates: bool = True
    """Whether the critic has to restate an answer that it calls correct; False takes it as restated."""

    @property
    def id(self) -> str:
        """With the mode."""
        return f"realcritic-{self.mode}" + (f"-{self.turns}" if self.mode == "iterative" else "")

    async def run(self, flow: WorkflowRun) -> None:
        """Solve, or criticise and correct. A critique without a correction leaves no answer."""
        solution, node = await self._original(flow)
        flow.tree.chosen = node
        history: list[str] = []
        for turn in range({"direct": 0, "iterative": self.turns}.get(self.mode, 1)):
            answer = final_answer(solution)
            said = await flow.ask(
                self.critic if turn == 0 else self.doubter,
                after=node,
                solution=solution,
                answer=answer,
                history="\n\n".join(history),
            )
            history.append(said.text)
            node = said.node
            correction = corrected(said.text, said.value, cut=said.cut) if said.error is None else None
            if correction is None and not said.cut and said.value.verdict and not self.restates and answer is not None:
                correction = f"\\boxed{{{answer}}}"
            if correction is not None:
                node = put(flow, CORRECTED, correction, after=node)
            flow.tree.chosen = node

    async def _original(self, flow: WorkflowRun) -> tuple[str, int]:
        """The solution that is criticised, and its node."""
        given = self.given.get(flow.tree.problem_id) if self.mode in ("cross", "iterative") else None
        if given is not None:
            return given, put(flow, GIVEN, given)
        if self.mode == "cross":
            raise ConfigError(f"there is no solution to criticise for problem {flow.tree.problem_id}; give one, or take another mode")
        turn = await flow.ask(self.solver)
        return turn.text, turn.node


def build(parts: AgentParts, **options: Any) -> WorkflowAgent:
    """The agent. `options` are fields of `RealCritic`; raises `ConfigError` for one that there is not.

    A model that follows no instructions is asked in the words that `nano` knows: what its program found is the correction of an answer that
    it calls wrong, and further turns ask it the same again.
    """
    workflow = workflow_of(RealCritic, options)
    if not profile_of(parts.model).instructed:
        workflow = replace(workflow, solver=NANO_SOLVER, critic=NANO_CRITIC, doubter=NANO_CRITIC, restates=False)
    return parts.workflow(workflow)
