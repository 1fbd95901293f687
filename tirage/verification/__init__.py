"""Floor 2: is it right."""

from tirage.verification.base import Verifier
from tirage.verification.factory import open_verifier

__all__ = ["Verifier", "open_verifier"]
