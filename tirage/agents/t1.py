"""T1 (Kang et al. 2025, arXiv 2504.04718): best of N for small models, a check by tool as filter, a reward for what is left.

One problem costs N candidates, `checks` checks of each that has an answer, and a valuation of each survivor where the reward is a model's.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Literal

from pydantic import ConfigDict, PositiveInt

from tirage.agents.critic import NANO_CHECK
from tirage.agents.genrm import GenerativeReward
from tirage.agents.kit import Kit
from tirage.agents.options import play_of
from tirage.agents.pool import Candidate, Rule, read_pool, select
from tirage.agents.prompts import TOOL_CALLING, TOOL_INTEGRATED_REASONING, prompt
from tirage.agents.roles import Role, whole
from tirage.agents.staging import appraise, draw_and_check, remark, spelt
from tirage.agents.transcript import Transcript
from tirage.agents.valuers import Confidence, Valuer
from tirage.agents.workflow import Workflow
from tirage.models.profile import profile_of

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

Reward = Literal["none", "share", "confidence", "token"]


@dataclass(frozen=True, slots=True, kw_only=True)
class T1:
    """The play."""

    n: PositiveInt = 8
    """Candidates."""
    checks: PositiveInt = 1
    """Checks of each candidate, of which the majority counts; a single one is greedy."""
    rule: Rule = "weighted"
    reward: Reward = "confidence"
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

    async def play(self, script: Transcript) -> None:
        """Draw and check, `width` candidates at a time; the choice among what there is, also when the budget ends it."""
        try:
            for start in range(0, self.n, self.width):
                draws = range(start, min(self.n, start + self.width))
                checked = await draw_and_check(script, self.solver, self.verifier, draws, checks=self.checks)
                await self._rate(
                    script, [item for item in read_pool(script.tree, script.problem) if item.node in checked and item.survives]
                )
            pool = read_pool(script.tree, script.problem)
            if not any(item.survives for item in pool):
                await self._rate(script, [item for item in pool if item.checks])
        finally:
            await self._choose(script)

    async def _choose(self, script: Transcript) -> None:
        tree = script.tree
        pool = await spelt(script, read_pool(tree, script.problem))
        for item in pool:
            if None in item.checks:
                remark(tree, item.node, f"abstained={item.checks.count(None)}/{len(item.checks)}")
        chosen, fallback = select(pool, rule=self.rule)
        if pool:
            tree.chosen = (chosen or pool[0]).node
        if fallback:
            remark(tree, tree.chosen, fallback)

    async def _rate(self, script: Transcript, items: Sequence[Candidate]) -> None:
        """Give candidates their reward."""
        if self.valuer is not None:
            if items:
                await appraise(script, [item.node for item in items], self.valuer)
        elif self.reward == "share":
            for item in items:
                passed = sum(0.5 if check is None else float(check) for check in item.checks)
                script.tree.values[item.node] = passed / len(item.checks)


def build(kit: Kit, **options: Any) -> Workflow:
    """The agent; a kit with hints draws the candidates with them. `options` are fields of `T1`.

    A model that follows no instructions is asked in the words that `nano` knows; by native calls the roles use all tools of the kit.
    Raises `ConfigError` for an option that there is not.
    """
    play, taught = play_of(T1, options), not profile_of(kit.model).instructed
    if taught:
        play = replace(play, solver=NANO_SOLVER, verifier=NANO_VERIFIER)
    elif kit.dialect.uses_schemas:
        tools = tuple(kit.tools)
        solver = replace(CALLING_SOLVER, tools=tools) if play.solver == SOLVER else play.solver
        verifier = replace(CALLING_VERIFIER, tools=tools) if play.verifier == VERIFIER else play.verifier
        play = replace(play, solver=solver, verifier=verifier)
    if play.valuer is None:
        play = replace(play, valuer=kit.steering.valuer)
    if play.valuer is None and play.reward == "confidence":
        play = replace(play, valuer=Confidence())
    if play.valuer is None and play.reward == "token":
        play = replace(play, valuer=GenerativeReward(kit.model, template=NANO_CHECK) if taught else GenerativeReward(kit.model))
    return kit.workflow(play, agents=kit.hinted())
