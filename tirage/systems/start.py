"""START: hints to use code, spliced into the thinking round after round (arXiv 2503.04625)."""

from dataclasses import replace

from tirage.agents.explorer import Explorer
from tirage.agents.hints import HintPlan, load_library
from tirage.core.hint import HintPosition
from tirage.search.best_of_n import BestOfN
from tirage.systems.parts import AgentParts
from tirage.systems.spec import SystemSpec
from tirage.workflows.shots import POLICY


def start(parts: AgentParts, *, rounds: int = 2, position: HintPosition = HintPosition.END_OF_THINKING, n: int = 1) -> Explorer:
    """START (arXiv 2503.04625): hint after hint in the model's own thinking; `n` chains, the majority's answer (by value, if any)."""
    plan = HintPlan(library=load_library(), positions=(position,), rounds=rounds)
    vote = "majority" if parts.search_options.valuer is None else "value"
    return replace(parts, hints=plan).explorer(search=lambda seed: BestOfN(n, vote=vote))


SPEC = SystemSpec(
    name="start",
    paper="2503.04625",
    summary="START: hints to use code, spliced into the thinking round after round",
    build=start,
    sampling={"temperature": 0.6, "top_p": 0.95, "max_tokens": 32768},
    takes_reward=True,
    shots=(POLICY,),
)
