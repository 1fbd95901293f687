"""Floor 2: is it right."""

from tirage.verification.base import Equivalence, Verifier
from tirage.verification.factory import open_verifier

__all__ = ["Equivalence", "Verifier", "open_verifier"]
