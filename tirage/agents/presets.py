"""Published systems that run on the explorer: each a search, a policy and what steers them, put together."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Literal

from tirage.agents.discriminator import MutualConsistency
from tirage.agents.explorer import Explorer
from tirage.agents.finish import BY_CALL, BY_LINE, FinishTool, GivingUp, Thinking
from tirage.agents.hints import HintPlan, load_library
from tirage.agents.judging import Rating, Reflecting
from tirage.agents.kit import Kit
from tirage.agents.plans import PLANNING, PlanSteps, solution
from tirage.agents.requests import Mode, choose_mode
from tirage.agents.rstar import REASONING, RStarPolicy, concluded
from tirage.agents.shots import behind
from tirage.agents.valuers import Oracle, Signed
from tirage.core.errors import ConfigError
from tirage.core.hint import HintPosition
from tirage.core.tree import Tree
from tirage.search.best_of_n import BestOfN
from tirage.search.consistency import Mode as Survival
from tirage.search.dfs import DepthFirst
from tirage.search.lats import LATS
from tirage.search.plans import PlanSearch
from tirage.search.rstar import RStar, Schedule
from tirage.search.votes import best


def start(kit: Kit, *, rounds: int = 2, position: HintPosition = HintPosition.END_OF_THINKING, n: int = 1) -> Explorer:
    """START (arXiv 2503.04625): hint after hint in the model's own thinking; `n` chains, the majority's answer (by value, if any)."""
    plan = HintPlan(library=load_library(), positions=(position,), rounds=rounds)
    vote = "majority" if kit.steering.valuer is None else "value"
    return replace(kit, hints=plan).explorer(search=lambda seed: BestOfN(n, vote=vote))


def tir(kit: Kit, *, n: int = 8, select: Literal["majority", "value"] = "majority", max_calls: int = 4) -> Explorer:
    """Qwen2.5-Math's tool-integrated reasoning (arXiv 2409.12122): `max_calls` blocks per chain; maj@n, or RM@n with `select=value`."""
    steering = kit.steering
    if select == "value" and steering.valuer is None:
        steering = replace(steering, valuer=kit.critic())
    limits = replace(kit.limits, max_calls=max_calls, last_word=False)
    return kit.explorer(search=lambda seed: BestOfN(n) if select == "majority" else _Best(n), limits=limits, steering=steering)


def dfsdt(kit: Kit, *, width: int = 2, answers: int = 1, max_query: int = 200, max_steps: int = 12) -> Explorer:
    """DFSDT (ToolLLM, arXiv 2307.16789): depth first, attempts told of their siblings; at most `max_query` model calls.

    `max_steps` counts a path's nodes as ToolBench does: a thought is one, a call two (its name, its input).
    """
    for option, given in (("max_query", max_query), ("max_steps", max_steps)):
        if given < 1:
            raise ValueError(f"{option} must be at least 1, got {given}")
    native = kit.dialect.uses_schemas
    tools = {**kit.tools, "finish": FinishTool()}
    if kit.system is not None:
        kit = replace(kit, system=BY_CALL if native else f"{kit.system} {BY_LINE}")
    own = kit.steering.budget.model_calls
    budget = replace(kit.steering.budget, model_calls=max_query if own is None else min(max_query, own))
    return kit.explorer(
        Thinking(kit.policy(more=tools) if native else kit.policy(dialect=GivingUp(kit.dialect))),
        search=lambda seed: DepthFirst(width=width, answers=answers, aware=True, deepest=max_steps),
        limits=replace(kit.limits, max_steps=max_steps, max_calls=max_query, max_failures=max_query, concurrency=1),
        steering=replace(kit.steering, budget=budget),
        tools=tools,
    )


def lats(
    kit: Kit,
    *,
    n: int = 5,
    w: float = 1.0,
    ahead: int = 4,
    depth: int = 7,
    iterations: int = 30,
    lm_share: float = 0.5,
    oracle_reward: bool = False,
) -> Explorer:
    """LATS (arXiv 2310.04406): ratings blended with agreement, checked ends, reflections on failures.

    `oracle_reward` asks the verifier, as the paper's code does: for upper bounds and training data only.
    """
    if not 0 <= lm_share <= 1:
        raise ValueError(f"lm_share must lie in [0, 1], got {lm_share}")
    if oracle_reward and kit.verifiers is None:
        raise ConfigError("lats: oracle_reward needs the verifiers of a run; use it with `tirage rollout`, or leave it out")
    inner = kit.steering.valuer or kit.critic(Rating(kit.model))
    if oracle_reward and kit.verifiers is not None:
        inner = Oracle(kit.verifiers, Rating(kit.model))
    return kit.explorer(
        search=lambda seed: LATS(seed=seed, w=w, n=n, ahead=ahead, depth=depth, iterations=iterations),
        steering=replace(kit.steering, valuer=Reflecting(inner, kit.model), merge="state", lm_share=lm_share),
        limits=replace(kit.limits, max_steps=depth),
    )


def rstar(
    kit: Kit,
    *,
    samples: int = 10,
    last: int = 32,
    rollouts: int = 16,
    c: float = 2.0,
    schedule: Schedule = "constant",
    depth: int = 5,
    consistency: Survival | None = "middle",
) -> Explorer:
    """RStar (arXiv 2408.06195): five actions, and a second model that completes masked paths; `consistency` None leaves that out."""
    steering = kit.steering
    if consistency is not None:
        steering = replace(steering, chooser=MutualConsistency(kit.second, mode=consistency, alike=kit.alike))
    return kit.explorer(
        RStarPolicy(
            kit.model,
            sampling=kit.policy().sampling,
            system=behind(REASONING, kit.shots),
            samples=samples,
            last=last,
            alike=kit.alike,
        ),
        search=lambda seed: RStar(seed=seed, c=c, schedule=schedule, depth=depth, rollouts=rollouts),
        steering=steering,
        limits=replace(kit.limits, max_steps=depth),
        tools={},
        answer_of=concluded,
    )


def cpl(kit: Kit, *, c: float = 1.5, n: int = 3, root: int = 5, depth: int = 6, iterations: int = 200) -> Explorer:
    """CPL (arXiv 2409.08642): tree search over the steps of a plan that ends in one solution; values in [-1, 1]."""
    dialect = PlanSteps(turns=choose_mode(kit.model, uses_schemas=False) is Mode.TURNS)
    return kit.explorer(
        replace(kit, system=PLANNING, tools={}).policy(dialect=dialect),
        search=lambda seed: PlanSearch(seed=seed, c=c, n=n, root=root, depth=depth, iterations=iterations),
        steering=replace(kit.steering, valuer=Signed(kit.steering.valuer or kit.critic()), merge="text"),
        limits=replace(kit.limits, max_steps=depth + 1),
        tools={},
        answer_of=solution,
    )


class _Best(BestOfN):
    """Of N chains the one that the valuer likes best (RM@N)."""

    def __init__(self, n: int) -> None:
        super().__init__(n, vote="value")

    def choose(self, tree: Tree, answers: Mapping[int, str | None]) -> int:
        return best(tree, answers)
