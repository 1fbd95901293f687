"""UR2: one policy that reasons and retrieves (arXiv 2508.06165)."""

from tirage.systems.ur2.ur2 import SPEC

__all__ = ["SPEC"]
