"""tirage: language-model agents that solve problems with sandboxed code, and the loop that trains them on what happened."""

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tirage.core import Problem, Rollout, Tree, Verdict
    from tirage.runtime.solving import Solution, improve, solve

__version__ = "0.1.0"

__all__ = ["Problem", "Rollout", "Solution", "Tree", "Verdict", "__version__", "improve", "solve"]

_PLACES = {
    "Problem": "tirage.core",
    "Rollout": "tirage.core",
    "Solution": "tirage.runtime.solving",
    "Tree": "tirage.core",
    "Verdict": "tirage.core",
    "improve": "tirage.runtime.solving",
    "solve": "tirage.runtime.solving",
}


def __getattr__(name: str) -> object:
    """Load what is asked for, so that importing tirage stays light."""
    if name not in _PLACES:
        raise AttributeError(f"module 'tirage' has no attribute {name!r}")
    return getattr(importlib.import_module(_PLACES[name]), name)
