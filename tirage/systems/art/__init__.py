"""ART: programs of sub-steps after demonstrations of related tasks (arXiv 2303.09014)."""

from tirage.systems.art.art import SPEC

__all__ = ["SPEC"]
