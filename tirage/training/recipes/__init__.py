"""Recipes: stored traces in, training rows and a manifest out. One file per published recipe.

A recipe is a class with `settings`, a pydantic model of what it lets you choose, that is made with them and has the port `Recipe`. Besides
those of this package `module:attribute` names one, and packages offer them in the entry-point group `tirage.recipes`.
"""

import importlib
import pkgutil
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any

from pydantic import BaseModel, ValidationError

from tirage.core.errors import ConfigError
from tirage.core.extension import ExtensionPoint
from tirage.training.recipes.critique import CritiqueConfig, CritiqueRecipe
from tirage.training.recipes.hint_rft import HintRFT, HintRFTConfig
from tirage.training.recipes.rft import RFT, RFTConfig
from tirage.training.selection import Recipe

__all__ = [
    "OWN",
    "RFT",
    "CritiqueConfig",
    "CritiqueRecipe",
    "HintRFT",
    "HintRFTConfig",
    "RFTConfig",
    "make_recipe",
    "recipe_names",
    "shipped",
]


def is_recipe(found: object) -> bool:
    """Whether an object is the class of a recipe."""
    settings = getattr(found, "settings", None)
    made = isinstance(found, type) and isinstance(settings, type) and issubclass(settings, BaseModel)
    return made and callable(getattr(found, "build", None)) and isinstance(getattr(found, "name", None), str)


OWN: ExtensionPoint[Callable[[Any], Recipe]] = ExtensionPoint(
    "recipe", "tirage.recipes", "a recipe's class, such as a subclass of tirage.training.preference.PairRecipe with a name", is_recipe
)


@cache
def shipped() -> dict[str, Callable[[Any], Recipe]]:
    """The recipes of this package by name, in the order of their files."""
    found: dict[str, Callable[[Any], Recipe]] = {}
    for item in pkgutil.iter_modules(__path__):
        module = importlib.import_module(f"{__name__}.{item.name}")
        own = (value for value in vars(module).values() if is_recipe(value) and value.__module__ == module.__name__)
        found |= {value.name: value for value in own}
    return found


def recipe_names() -> list[str]:
    """Every name that `make_recipe` takes: those shipped, then those of installed packages."""
    return [*shipped(), *(name for name in OWN.offers if name not in shipped())]


def make_recipe(name: str, settings: Mapping[str, Any] | None = None) -> Recipe:
    """The recipe called `name`, or at `module:attribute`, with `settings`. Raises `ConfigError` for an unknown name or setting."""
    if name not in shipped() and not OWN.has(name):
        raise OWN.unknown(name, recipe_names())
    kind: Any = shipped().get(name) or OWN.load(name)
    try:
        return kind(kind.settings.model_validate(dict(settings or {})))  # type: ignore[no-any-return]
    except ValidationError as error:
        first = error.errors()[0]
        known = sorted(kind.settings.model_fields)
        raise ConfigError(f"recipe {name}: {'.'.join(map(str, first['loc']))}: {first['msg']}; settings: {', '.join(known)}") from error
