"""tirage: language-model agents that solve problems with sandboxed code, and the loop that trains them on what happened."""

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tirage.agents.explorer import Agent
    from tirage.agents.policy import Policy
    from tirage.agents.valuation import Valuer
    from tirage.core import Budget, Problem, Rollout, Tree, Verdict
    from tirage.models.base import Model
    from tirage.runtime.improve import improve
    from tirage.runtime.solving import Solution, solve
    from tirage.sandbox.base import Sandbox
    from tirage.search.base import Search
    from tirage.tools.base import Tool
    from tirage.tools.function import tool
    from tirage.verification.base import Verifier

__version__ = "0.1.0"

__all__ = [
    "Agent",
    "Budget",
    "Model",
    "Policy",
    "Problem",
    "Rollout",
    "Sandbox",
    "Search",
    "Solution",
    "Tool",
    "Tree",
    "Valuer",
    "Verdict",
    "Verifier",
    "__version__",
    "improve",
    "solve",
    "tool",
]

_PLACES = {
    "Agent": "tirage.agents.explorer",
    "Budget": "tirage.core",
    "Model": "tirage.models.base",
    "Policy": "tirage.agents.policy",
    "Problem": "tirage.core",
    "Rollout": "tirage.core",
    "Sandbox": "tirage.sandbox.base",
    "Search": "tirage.search.base",
    "Solution": "tirage.runtime.solving",
    "Tool": "tirage.tools.base",
    "Tree": "tirage.core",
    "Valuer": "tirage.agents.valuation",
    "Verdict": "tirage.core",
    "Verifier": "tirage.verification.base",
    "improve": "tirage.runtime.improve",
    "solve": "tirage.runtime.solving",
    "tool": "tirage.tools.function",
}


def __getattr__(name: str) -> object:
    """Load what is asked for, so that importing tirage stays light."""
    if name not in _PLACES:
        raise AttributeError(f"module 'tirage' has no attribute {name!r}; it has {', '.join(__all__)}")
    return getattr(importlib.import_module(_PLACES[name]), name)


def __dir__() -> list[str]:
    """What the package offers, loaded or not."""
    return sorted({*globals(), *__all__})
