"""Known: a model of which more is known than it tells."""

from collections.abc import Mapping
from typing import Any

from tirage.models.base import Completion, Model, Request
from tirage.models.profile import Profile, overridden, profile_of
from tirage.models.wrap.around import Around


class Known(Around):
    """The model with facts of its profile that the user told."""

    def __init__(self, model: Model, facts: Mapping[str, Any]) -> None:
        """Raises `ConfigError` for an unknown or invalid fact."""
        super().__init__(model)
        self._profile = overridden(profile_of(model), facts)

    @property
    def profile(self) -> Profile:
        """What is known of the model."""
        return self._profile

    async def complete(self, request: Request) -> tuple[Completion, ...]:
        """By the model."""
        return await self.model.complete(request)
