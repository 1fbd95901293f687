"""Floor 1: where problems come from."""

from tirage.problems.base import ProblemSet
from tirage.problems.sources import FileSource, GymSource, LookupSource, ProblemSource, load_problems

__all__ = ["FileSource", "GymSource", "LookupSource", "ProblemSet", "ProblemSource", "load_problems"]
