"""Verifiers by name."""

import difflib
from collections.abc import Callable, Mapping
from typing import Any

from tirage.core.errors import ConfigError
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


def open_verifier(name: str, **options: Any) -> Verifier:
    """Build the verifier `name`; close it when done. Worker processes start at the first answer that needs one.

    Args:
        name: math, exact, numeric, choice or gym.
        options: keywords of the verifier's class, e.g. `relative=0.01` for numeric.

    Raises:
        ConfigError: unknown name or option.
    """
    if name not in VERIFIERS:
        near = difflib.get_close_matches(name, VERIFIERS, n=1)
        raise ConfigError(f"no verifier {name!r}{f'; did you mean {near[0]!r}?' if near else ''}; known: {', '.join(VERIFIERS)}")
    try:
        return VERIFIERS[name](**options)
    except TypeError as error:
        raise ConfigError(f"verifier {name!r} does not take {options!r}: {error}") from error
