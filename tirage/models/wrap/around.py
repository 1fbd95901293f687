"""What all wrappers share: everything but `complete` is the wrapped model's."""

from tirage.models.base import Capabilities, Model, Renderer
from tirage.models.profile import Profile, profile_of


class Around:
    """Stands in front of a model; subclasses say what `complete` adds."""

    def __init__(self, model: Model) -> None:
        """`model` is closed with the wrapper."""
        self.model = model

    @property
    def name(self) -> str:
        """The wrapped model's name: a wrapper does not change what is said."""
        return self.model.name

    @property
    def capabilities(self) -> Capabilities:
        """The wrapped model's."""
        return self.model.capabilities

    @property
    def profile(self) -> Profile:
        """The wrapped model's."""
        return profile_of(self.model)

    @property
    def renderer(self) -> Renderer | None:
        """The wrapped model's."""
        return self.model.renderer

    async def close(self) -> None:
        """Close the wrapped model."""
        await self.model.close()
