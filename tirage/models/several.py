"""Several models opened together, as arms of one search: the first is the model, the others go with it."""

from collections.abc import Mapping

from tirage.models.base import Capabilities, Completion, Model, Renderer, Request
from tirage.models.profile import Profile, profile_of


class Several:
    """The model port of the first model; `others` by the names that moves use. Closing closes all."""

    def __init__(self, first: Model, others: Mapping[str, Model]) -> None:
        """All are open."""
        self.first = first
        self.others = dict(others)

    @property
    def name(self) -> str:
        """All names."""
        return "+".join([self.first.name, *(model.name for model in self.others.values())])

    @property
    def capabilities(self) -> Capabilities:
        """Those of the first."""
        return self.first.capabilities

    @property
    def profile(self) -> Profile:
        """That of the first."""
        return profile_of(self.first)

    @property
    def renderer(self) -> Renderer | None:
        """That of the first."""
        return self.first.renderer

    async def complete(self, request: Request) -> tuple[Completion, ...]:
        """By the first."""
        return await self.first.complete(request)

    async def close(self) -> None:
        """Close all."""
        for model in (self.first, *self.others.values()):
            await model.close()
