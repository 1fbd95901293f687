"""rStar as an agent: the policy of five actions, the tree search over them, and the discriminator."""

from dataclasses import replace

from tirage.agents.explorer import Explorer
from tirage.search.consistency import Survival
from tirage.search.rstar import RStar, Schedule
from tirage.systems.parts import AgentParts
from tirage.systems.rstar.discriminator import MutualConsistency
from tirage.systems.rstar.policy import REASONING, RStarPolicy, concluded
from tirage.systems.spec import SystemSpec
from tirage.workflows.shots import POLICY, behind


def rstar(
    parts: AgentParts,
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
    search_options = parts.search_options
    if consistency is not None:
        search_options = replace(search_options, chooser=MutualConsistency(parts.second, mode=consistency, alike=parts.alike))
    return parts.explorer(
        RStarPolicy(
            parts.model,
            sampling=parts.policy().sampling,
            system=behind(REASONING, parts.shots),
            samples=samples,
            last=last,
            alike=parts.alike,
        ),
        search=lambda seed: RStar(seed=seed, c=c, schedule=schedule, depth=depth, rollouts=rollouts),
        search_options=search_options,
        limits=replace(parts.limits, max_steps=depth),
        tools={},
        answer_of=concluded,
    )


SPEC = SystemSpec(
    name="rstar",
    paper="2408.06195",
    summary="rStar: five reasoning actions in a tree search, answers confirmed by a second model",
    build=rstar,
    sampling={"temperature": 0.8, "top_p": 0.95, "top_k": 40, "max_tokens": 1024},
    takes_reward=True,
    needs_instructions=True,
    shots=(POLICY,),
)
