"""rStar: five reasoning actions in a tree search, answers confirmed by a second model (arXiv 2408.06195)."""

from tirage.systems.rstar.rstar import SPEC

__all__ = ["SPEC"]
