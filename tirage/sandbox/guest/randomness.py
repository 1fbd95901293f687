"""Carry random state over a fork: CPython reseeds `random` in the child, numpy does not."""

import sys
from typing import Any


def save() -> Any:
    """The state of `random`'s hidden generator; None when it is not in use."""
    module = sys.modules.get("random")
    try:
        return module.getstate() if module else None
    except Exception:  # the cell may have replaced the module with anything
        return None


def restore(state: Any) -> None:
    """Put back what `save` returned."""
    try:
        if state is not None:
            sys.modules["random"].setstate(state)
    except Exception:  # as in save: the module is the cell's
        pass


def fix(seed: int = 0) -> None:
    """Start `random` and numpy's global generator from a seed: equal programs draw equal numbers."""
    import random

    random.seed(seed)
    numpy = sys.modules.get("numpy")
    if numpy is not None:
        numpy.random.seed(seed % (1 << 32))
