"""Recipes: stored traces in, training rows and a manifest out. One file per published recipe."""

from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from tirage.core.errors import ConfigError
from tirage.training.recipes.critique import CritiqueConfig, CritiqueRecipe
from tirage.training.recipes.hint_rft import HintRFT, HintRFTConfig
from tirage.training.recipes.rft import RFT, RFTConfig
from tirage.training.selection import Recipe, SelectionConfig

__all__ = ["RECIPES", "RFT", "CritiqueConfig", "CritiqueRecipe", "HintRFT", "HintRFTConfig", "RFTConfig", "make_recipe"]

RECIPES = ("rft", "hint-rft", "critique")


def make_recipe(name: str, settings: Mapping[str, Any] | None = None) -> Recipe:
    """The recipe called `name` with `settings`. Raises `ConfigError` for an unknown name or setting."""
    configs: dict[str, type[SelectionConfig]] = {RFT.name: RFTConfig, HintRFT.name: HintRFTConfig, CritiqueRecipe.name: CritiqueConfig}
    try:
        if name == RFT.name:
            return RFT(RFTConfig.model_validate(dict(settings or {})))
        if name == HintRFT.name:
            return HintRFT(HintRFTConfig.model_validate(dict(settings or {})))
        if name == CritiqueRecipe.name:
            return CritiqueRecipe(CritiqueConfig.model_validate(dict(settings or {})))
    except ValidationError as error:
        first = error.errors()[0]
        known = sorted(configs[name].model_fields)
        raise ConfigError(f"recipe {name}: {'.'.join(map(str, first['loc']))}: {first['msg']}; settings: {', '.join(known)}") from error
    raise ConfigError(f"unknown recipe {name!r}; recipes: {', '.join(RECIPES)}")
