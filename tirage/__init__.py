"""tirage: language-model agents that solve problems with sandboxed code, and the loop that trains them on what happened."""

from types import ModuleType
from typing import TYPE_CHECKING, Any

from tirage import search as _search_room
from tirage.core import Problem, Rollout, Tree, Verdict

if TYPE_CHECKING:
    from tirage.doors import Solution, improve, solve

__version__ = "0.1.0"

__all__ = ["Problem", "Rollout", "Solution", "Tree", "Verdict", "__version__", "improve", "search", "solve"]


class _SearchDoor(ModuleType):
    """The room `tirage.search` is also the door: `tirage.search("...", strategy="mcts")`."""

    def __call__(self, question: str, **settings: Any) -> "Solution":
        from tirage import doors

        return doors.search(question, **settings)


_search_room.__class__ = _SearchDoor


def __getattr__(name: str) -> object:
    """Load the doors on first use, so that importing tirage stays light."""
    if name in ("Solution", "improve", "solve"):
        from tirage import doors

        # Kept here, because loading the doors loads the module `tirage.improve`, whose name would hide the door.
        globals().update(Solution=doors.Solution, improve=doors.improve, solve=doors.solve)
        return globals()[name]
    raise AttributeError(f"module 'tirage' has no attribute {name!r}")
