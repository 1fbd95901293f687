"""Floor 2: is it right."""

from tirage.verification.base import Equivalence, Verifier
from tirage.verification.factory import open_verifier
from tirage.verification.verifier_base import VerifierBase

__all__ = ["Equivalence", "Verifier", "VerifierBase", "open_verifier"]
