"""Verifiers by name.

Besides the names here, `module:attribute` of a verifier's class (or of a function that makes one, or of a verifier) is one, and so is what
installed packages offer in the entry-point group `tirage.verifiers`.
"""

from collections.abc import Callable, Mapping
from typing import Any

from tirage.core.errors import ConfigError
from tirage.core.extension import ExtensionPoint
from tirage.verification.answer import ChoiceVerifier, ExactVerifier, MathVerifier, NumericVerifier
from tirage.verification.base import Verifier
from tirage.verification.gym import GymVerifier

VERIFIERS: Mapping[str, Callable[..., Verifier]] = {
    "math": MathVerifier,
    "exact": ExactVerifier,
    "numeric": NumericVerifier,
    "choice": ChoiceVerifier,
    "gym": GymVerifier,
}
_PORT = ("verify", "equal", "close")
OWN: ExtensionPoint[Any] = ExtensionPoint(
    "verifier",
    "tirage.verifiers",
    "a verifier's class, such as a subclass of tirage.verification.VerifierBase",
    lambda found: callable(found) or is_verifier(found),
)


def is_verifier(found: object) -> bool:
    """Whether an object has the methods of a verifier."""
    return not isinstance(found, type) and all(callable(getattr(found, method, None)) for method in _PORT)


def open_verifier(name: str, **options: Any) -> Verifier:
    """Build the verifier `name`; close it when done. Worker processes start at the first answer that needs one.

    Hand it names that the user gave: `module:attribute` is loaded. For the names that problems carry there is `Verifiers`.

    Args:
        name: math, exact, numeric, choice, gym, a name that an installed package offers, or module:attribute.
        options: keywords of the verifier's class, e.g. `relative=0.01` for numeric.

    Raises:
        ConfigError: unknown name or option, or one that does not load or is no verifier.
    """
    if name not in VERIFIERS and not OWN.has(name):
        raise OWN.unknown(name, names())
    make: Any = VERIFIERS.get(name) or OWN.load(name)
    try:
        found: Verifier = make if is_verifier(make) else make(**options)
    except TypeError as error:
        raise ConfigError(f"verifier {name!r} does not take {options!r}: {error}") from error
    if not is_verifier(found):
        raise ConfigError(f"verifier {name!r} makes a {type(found).__name__}, which does not verify; give {OWN.wanted}")
    return found


def names() -> list[str]:
    """Every name that `open_verifier` takes: those here, then those of installed packages."""
    return [*VERIFIERS, *(name for name in OWN.offers if name not in VERIFIERS)]
