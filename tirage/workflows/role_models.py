"""Who plays the roles: a model for each, with tools where the role has some."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from tirage.agents.dialects.base import Dialect, FencedPython, Plain
from tirage.agents.explorer import Agent, Explorer
from tirage.agents.model_policy import ModelPolicy
from tirage.agents.search_options import PathLimits
from tirage.core.errors import ConfigError
from tirage.models.base import Model, Sampling
from tirage.sandbox.base import Sandbox
from tirage.tools.base import Tool
from tirage.workflows.roles import Role


@dataclass(frozen=True, slots=True, kw_only=True)
class RoleModels:
    """One model for all roles, or others by name."""

    model: Model
    models: Mapping[str, Model] = field(default_factory=dict)
    """By role name, where a role has a model of its own."""
    agents: Mapping[str, Agent] = field(default_factory=dict)
    """By role name: an agent that takes the role's turns in its own way, such as a search. It is asked with the role's user message."""
    shown: Mapping[str, Callable[[str], str]] = field(default_factory=dict)
    """By role name: how the texts are rewritten that a workflow gives the role, e.g. `{"scorer": blind}`. The problem stays as it is."""
    sampling: Sampling = field(default_factory=lambda: Sampling(temperature=0.7, max_tokens=1024))
    """Of roles that do not say otherwise."""
    tools: Mapping[str, Tool] = field(default_factory=dict)
    sandbox: Sandbox | None = None
    """Where tools run that need a session; each turn has a session of its own."""
    dialect: Dialect = field(default_factory=FencedPython)
    """How roles with tools write their calls."""
    limits: PathLimits = field(default_factory=PathLimits)

    @property
    def id(self) -> str:
        """The models' names."""
        others = [f"{role}={model.name}" for role, model in sorted(self.models.items())]
        return "+".join([self.model.name, *others])

    def agent_for(self, role: Role[Any]) -> Agent:
        """The agent for a role. Raises `ConfigError` for a tool that is not there."""
        if role.name in self.agents:
            return self.agents[role.name]
        missing = [name for name in role.tools if name not in self.tools]
        if missing:
            raise ConfigError(
                f"role {role.name!r} wants the tool {missing[0]!r}, which is not there; tools: {', '.join(sorted(self.tools)) or 'none'}"
            )
        model = self.models.get(role.name, self.model)
        tools = {name: self.tools[name] for name in role.tools}
        sampling = replace(
            self.sampling,
            temperature=self.sampling.temperature if role.temperature is None else role.temperature,
            max_tokens=role.max_tokens or self.sampling.max_tokens,
            logprobs=model.capabilities.logprobs,
        )
        policy = ModelPolicy(
            model,
            self.dialect if tools else Plain(),
            sampling=sampling,
            system=role.system or None,
            tools=tuple(tool.spec for tool in tools.values()),
        )
        policy.tag = role.name
        # A schema leaves no room for calls that are written in the text.
        policy.schema = None if tools else role.schema
        return Explorer(policy, tools=tools, sandbox=self.sandbox if tools else None, limits=self.limits)
