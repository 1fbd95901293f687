"""Models of one's own: `module:attribute` of a model, of its class, or of a function that makes one, async or not.

Installed packages offer them in the entry-point group `tirage.models`.
"""

import inspect
from collections.abc import Mapping
from typing import Any

from tirage.core.errors import ConfigError
from tirage.core.extension import ExtensionPoint, make_with
from tirage.models.base import Model

_PORT = ("name", "capabilities", "renderer", "complete", "close")


def is_model(found: object) -> bool:
    """Whether an object has the members of a model."""
    return not isinstance(found, type) and all(hasattr(found, member) for member in _PORT)


OWN: ExtensionPoint[Any] = ExtensionPoint(
    "model", "tirage.models", "a model, its class or a function that makes one", lambda found: callable(found) or is_model(found)
)


async def open_own_model(name: str, settings: Mapping[str, Any]) -> Model:
    """The model `name`; what makes one is called with those of `settings` that its parameters name, such as `tokenizer`.

    Raises `ConfigError` for what does not load or is no model, and what making it raises.
    """
    found = OWN.load(name)
    if not is_model(found):
        found = make_with(found, settings)
        if inspect.isawaitable(found):
            found = await found
    if not is_model(found):
        missing = [member for member in _PORT if not hasattr(found, member)]
        lacks = f", which has no {missing[0]!r}" if missing else ""
        raise ConfigError(f"model {name!r} makes a {type(found).__name__}{lacks}; give {OWN.wanted}")
    model: Model = found
    return model
