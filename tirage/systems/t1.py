"""T1 (Kang et al. 2025, arXiv 2504.04718): best of N for small models, a check by tool as filter, a reward for what is left.

One problem costs N candidates, `checks` checks of each that has an answer, and a valuation of each survivor where the reward is a model's.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Literal

from pydantic import ConfigDict, PositiveInt

from tirage.agents.prompts import TOOL_CALLING, TOOL_INTEGRATED_REASONING
from tirage.agents.replies import whole
from tirage.agents.valuation import Valuer
from tirage.judging.candidate_pool import CheckedCandidate, Rule, read_pool, select
from tirage.judging.critic import NANO_CHECK
from tirage.judging.generative_reward import GenerativeReward
from tirage.judging.valuers import Confidence
from tirage.models.profile import profile_of
from tirage.systems.candidates import appraise, draw_and_check, remark, spelt
from tirage.systems.options import workflow_of
from tirage.systems.parts import AgentParts
from tirage.systems.prompts import prompt
from tirage.systems.spec import SystemSpec
from tirage.workflows.agent import Workflow, WorkflowAgent
from tirage.workflows.roles import Role
from tirage.workflows.turns import WorkflowRun

SOLVER = Role(
    name="solver",
    system=TOOL_INTEGRATED_REASONING,
    template="{problem}",
    read=whole,
    default="",
    tools=("python",),
    answers=True,
)
VERIFIER = Role(
    name="verifier",
    template=prompt("t1", "verifier"),
    read=whole,
    default="",
    tools=("python",),
)
CALLING_SOLVER = replace(SOLVER, system=TOOL_CALLING)
CALLING_VERIFIER = replace(
    VERIFIER,
    template=prompt("t1", "calling-verifier"),
)
"""For native tool calls: with retrieval among the tools it checks facts, and its verdict in words counts."""
NANO_SOLVER = replace(SOLVER, system="")
NANO_VERIFIER = replace(VERIFIER, template=NANO_CHECK)

RewardKind = Literal["none", "share", "confidence", "token"]


@dataclass(frozen=True, slots=True, kw_only=True)
class T1(Workflow):
    """The workflow."""

    n: PositiveInt = 8
    """Candidates."""
    checks: PositiveInt = 1
    """Checks of each candidate, of which the majority counts; a single one is greedy."""
    rule: Rule = "weighted"
    reward: RewardKind = "confidence"
    """r: all the same; the share of its checks that a candidate passes, an abstention counting half; the mean probability of its tokens;
    the probability that the model calls it correct."""
    width: PositiveInt = 4
    """Candidates that are drawn and checked before the next are drawn: a budget is spent on both."""
    solver: Role[str] = SOLVER
    verifier: Role[str] = VERIFIER
    valuer: Valuer | None = None
    """Gives r instead of `reward`: a process reward model, for example."""
    __pydantic_config__: ClassVar = ConfigDict(arbitrary_types_allowed=True)

    @property
    def id(self) -> str:
        """With what shapes the choice."""
        reward = self.reward if self.valuer is None else type(self.valuer).__name__.lower()
        return f"t1-{self.n}x{self.checks}-{self.rule}-{reward}"

    async def run(self, flow: WorkflowRun) -> None:
        """Draw and check, `width` candidates at a time; the choice among what there is, also when the budget ends it."""
        try:
            for start in range(0, self.n, self.width):
                draws = range(start, min(self.n, start + self.width))
                checked = await draw_and_check(flow, self.solver, self.verifier, draws, checks=self.checks)
                await self._rate(flow, [item for item in read_pool(flow.tree, flow.problem) if item.node in checked and item.survives])
            pool = read_pool(flow.tree, flow.problem)
            if not any(item.survives for item in pool):
                await self._rate(flow, [item for item in pool if item.checks])
        finally:
            await self._choose(flow)

    async def _choose(self, flow: WorkflowRun) -> None:
        tree = flow.tree
        pool = await spelt(flow, read_pool(tree, flow.problem))
        for item in pool:
            if None in item.checks:
                remark(tree, item.node, f"abstained={item.checks.count(None)}/{len(item.checks)}")
        chosen, fallback = select(pool, rule=self.rule)
        if pool:
            tree.chosen = (chosen or pool[0]).node
        if fallback:
            remark(tree, tree.chosen, fallback)

    async def _rate(self, flow: WorkflowRun, items: Sequence[CheckedCandidate]) -> None:
        """Give candidates their reward."""
        if self.valuer is not None:
            if items:
                await appraise(flow, [item.node for item in items], self.valuer)
        elif self.reward == "share":
            for item in items:
                passed = sum(0.5 if check is None else float(check) for check in item.checks)
                flow.tree.values[item.node] = passed / len(item.checks)


def build(parts: AgentParts, **options: Any) -> WorkflowAgent:
    """The agent; hints among the parts draw the candidates with them. `options` are fields of `T1`.

    A model that follows no instructions is asked in the words that `nano` knows; by native calls the roles use all tools of the parts.
    Raises `ConfigError` for an option that there is not.
    """
    workflow, taught = workflow_of(T1, options), not profile_of(parts.model).instructed
    if taught:
        workflow = replace(workflow, solver=NANO_SOLVER, verifier=NANO_VERIFIER)
    elif parts.dialect.uses_schemas:
        tools = tuple(parts.tools)
        solver = replace(CALLING_SOLVER, tools=tools) if workflow.solver == SOLVER else workflow.solver
        verifier = replace(CALLING_VERIFIER, tools=tools) if workflow.verifier == VERIFIER else workflow.verifier
        workflow = replace(workflow, solver=solver, verifier=verifier)
    if workflow.valuer is None:
        workflow = replace(workflow, valuer=parts.search_options.valuer)
    if workflow.valuer is None and workflow.reward == "confidence":
        workflow = replace(workflow, valuer=Confidence())
    if workflow.valuer is None and workflow.reward == "token":
        workflow = replace(workflow, valuer=GenerativeReward(parts.model, template=NANO_CHECK) if taught else GenerativeReward(parts.model))
    return parts.workflow(workflow, agents=parts.hinted())


SPEC = SystemSpec(
    name="t1",
    paper="2504.04718",
    summary="T1: candidates checked by the model's own code, the best of those that pass",
    build=build,
    sampling={"temperature": 0.8},
    workflow=T1,
    options=("n", "checks", "rule", "reward", "width"),
    shots=("solver", "verifier"),
    takes_reward=True,
    until_spent=True,
)
