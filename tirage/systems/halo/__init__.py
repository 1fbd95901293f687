"""HALO: a plan of subtasks, roles invented for each, a tree search over who speaks next (arXiv 2505.13516)."""

from tirage.systems.halo.halo import SPEC

__all__ = ["SPEC"]
