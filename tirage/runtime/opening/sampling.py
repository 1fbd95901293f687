"""Whose sampling holds: the user's, else the published system's, else the model's, else tirage's."""

from dataclasses import replace

from tirage.models.base import Model, Sampling
from tirage.models.profile import profile_of, resolve_sampling
from tirage.runtime.config import AgentConfig, SamplingConfig
from tirage.systems.registry import find


def sampling_for(user: SamplingConfig, driven: AgentConfig, model: Model, *, several: bool = False) -> Sampling:
    """The user's sampling, completed; `several`: more than one draw of a prompt is wanted, whatever the agent does."""
    system = {} if driven.name is None else find(driven.name).sampling
    several = several or driven.best_of > 1 or driven.search is not None or driven.name is not None
    found = resolve_sampling(user.model_dump(), system, profile_of(model), several=several)
    # Only a user who asks for top_k is told that a back end has none.
    return found if user.top_k is not None or model.capabilities.top_k else replace(found, top_k=0)
