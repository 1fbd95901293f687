"""Qwen2.5-Math's tool-integrated reasoning (arXiv 2409.12122): several chains, the majority or the best by value."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Literal

from tirage.agents.explorer import Explorer
from tirage.core.tree import Tree
from tirage.search.best_of_n import BestOfN
from tirage.search.votes import best
from tirage.systems.parts import AgentParts
from tirage.systems.spec import SystemSpec
from tirage.workflows.shots import POLICY


def tir(parts: AgentParts, *, n: int = 8, select: Literal["majority", "value"] = "majority", max_calls: int = 4) -> Explorer:
    """Qwen2.5-Math's tool-integrated reasoning (arXiv 2409.12122): `max_calls` blocks per chain; maj@n, or RM@n with `select=value`."""
    search_options = parts.search_options
    if select == "value" and search_options.valuer is None:
        search_options = replace(search_options, valuer=parts.critic())
    limits = replace(parts.limits, max_calls=max_calls, last_word=False)
    return parts.explorer(
        search=lambda seed: BestOfN(n) if select == "majority" else _Best(n), limits=limits, search_options=search_options
    )


class _Best(BestOfN):
    """Of N chains the one that the valuer likes best (RM@N)."""

    def __init__(self, n: int) -> None:
        super().__init__(n, vote="value")

    def choose(self, tree: Tree, answers: Mapping[int, str | None]) -> int:
        return best(tree, answers)


SPEC = SystemSpec(
    name="tir",
    paper="2409.12122",
    summary="Qwen2.5-Math: reasoning with code in one turn, several chains, the majority's answer or the best by value",
    build=tir,
    sampling={"temperature": 0.7, "top_p": 0.8, "max_tokens": 2048},
    takes_reward=True,
    shots=(POLICY,),
)
