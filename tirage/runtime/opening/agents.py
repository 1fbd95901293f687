"""A configuration and open parts to an agent."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from tirage.agents.arms import Arms
from tirage.agents.demonstrations import Demonstrations, load_demonstrations
from tirage.agents.elicitation import Elicitation
from tirage.agents.explorer import Agent
from tirage.agents.hints import HintPlan, load_library
from tirage.agents.model_policy import ModelPolicy
from tirage.agents.policy import Policy
from tirage.agents.refine import Refining
from tirage.agents.search_options import PathLimits
from tirage.core.errors import ConfigError
from tirage.judging.critic import CHECK, NANO_CHECK
from tirage.models.base import Model, Sampling
from tirage.models.profile import profile_of
from tirage.models.several import Several
from tirage.runtime.config import AgentConfig, HintsConfig, RewardConfig, SamplingConfig, SearchConfig
from tirage.runtime.opening.dialects import names_tools, open_dialect, spoken, system_message
from tirage.runtime.opening.sampling import sampling_for
from tirage.runtime.opening.searching import refines, reward_model, search_maker, search_options, tree_budget
from tirage.runtime.opening.toolbox import session_tools
from tirage.runtime.opening.topologies import team_options
from tirage.sandbox.base import Limits, Sandbox
from tirage.search.best_of_n import BestOfN
from tirage.systems.parts import AgentParts
from tirage.systems.registry import build
from tirage.tools.base import Tool
from tirage.verification.verifiers import Verifiers

SYSTEM_OF = {"rstar": "rstar", "plans": "cpl"}
"""Strategies whose moves only the policy of a published system can make, and that system."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenParts:
    """What agents are made over, open for as long as they work."""

    model: Model
    sandbox: Sandbox
    limits: Limits = field(default_factory=Limits)
    """Of one cell or command in the sandbox."""
    tools: Mapping[str, Tool] = field(default_factory=dict)
    """Those that need no session, as `open_tools` gives them."""
    verifiers: Verifiers | None = None
    """Say which answers are the same; None compares them quickly. Only an oracle sees the reference answer through them."""


def make_agent(
    parts: OpenParts,
    config: AgentConfig,
    sampling: SamplingConfig,
    *,
    hints: HintsConfig | None = None,
    several: bool = False,
    oracle: bool = False,
) -> Agent:
    """The agent that `config` describes over open parts.

    Args:
        parts: The model, the sandbox and what else is open.
        config: How problems are driven.
        sampling: What the user says of sampling; `sampling_for` completes it.
        hints: Hints to place; None gives none.
        several: More than one draw of a prompt is wanted, whatever the agent does, so greedy sampling is no default.
        oracle: Whether a valuer may ask the verifiers, which know the reference answer. For training data only.

    Raises:
        ConfigError: Settings that do not go together, such as a tool that the dialect cannot call.
    """
    config = spoken(config, parts.model)
    completed = sampling_for(sampling, config, parts.model, several=several)
    made = _agent_parts(parts, config, completed, hints, parts.verifiers if oracle else None)
    if config.name is not None:
        return _system(config, made)
    if config.options or set(config.models) - {item.summarise for item in config.searches}:
        raise ConfigError("agent.options and agent.models belong to a published system; set agent.name, or leave them out")
    if config.search is None:
        return _chains(config, made)
    search = config.search
    if search.prm is None and config.prm is not None:
        search = search.model_copy(update={name: getattr(config, name) for name in RewardConfig.model_fields})
    # The search's own limits come first; those of the agent complete them.
    budget = config.budget.model_copy(update=search.budget.model_dump(exclude_none=True))
    search = search.model_copy(update={"budget": budget})
    return _searching(search, made, parts.verifiers if oracle else None)


def _chains(config: AgentConfig, parts: AgentParts) -> Agent:
    """Independent chains; the answer is the majority, or has the most value where there is a reward model."""
    valuer = None if config.prm is None else reward_model(config)
    options = replace(parts.search_options, budget=tree_budget(config.budget), valuer=valuer)
    vote = "majority" if valuer is None else "value"
    return parts.explorer(search=lambda seed: BestOfN(config.best_of, vote=vote), search_options=options)


def _system(config: AgentConfig, parts: AgentParts) -> Agent:
    """The published system that a configuration names."""
    assert config.name is not None
    if config.search is not None:
        raise ConfigError(f"agent.name={config.name} brings its own search; leave agent.search out and set agent.options")
    options = team_options(config.options) if config.name == "team" else config.options
    valuer = reward_model(config) if config.prm is not None else None
    guided = replace(parts.search_options, budget=tree_budget(config.budget), valuer=valuer)
    return build(config.name, replace(parts, search_options=guided), options)


def _searching(search: SearchConfig, parts: AgentParts, verifiers: Verifiers | None) -> Agent:
    """A tree search; `verifiers` is what an oracle asks."""
    model = parts.model
    grow = search_maker(search, taught=not profile_of(model).instructed)
    parts = replace(
        parts,
        search=grow,
        limits=replace(parts.limits, concurrency=search.concurrency, max_steps=search.max_steps),
        search_options=search_options(search, parts, verifiers=verifiers),
    )
    if search.strategy in SYSTEM_OF:
        return build(SYSTEM_OF[search.strategy], parts)

    def policy_of(single: Model) -> ModelPolicy:
        return replace(parts, model=single).policy(moves=load_library() if search.hint_moves != "none" else (), separator=search.separator)

    first = policy_of(model)
    policy: Policy = first
    if search.models and parts.by_name:
        policy = Arms(first, {name: policy_of(parts.by_name[name]) for name in search.models})
    return parts.explorer(Refining(policy, first) if refines(search) else policy, search=grow)


def _agent_parts(
    parts: OpenParts, config: AgentConfig, sampling: Sampling, hints: HintsConfig | None, oracle: Verifiers | None
) -> AgentParts:
    """What every agent of this configuration is built from; `oracle` is asked by valuers that know the reference answer."""
    model, tools = parts.model, parts.tools
    profile = profile_of(model)
    own = session_tools(config, parts.limits, tools)
    usable = {**own, **tools}
    dialect = open_dialect(config, usable)
    if profile.has_template is False:
        raise ConfigError(f"{model.name} has no chat template to ask it by; give one with --set model_options.chat_template=FILE")
    found = AgentParts(
        model=model,
        others=tuple(model.others.values()) if isinstance(model, Several) else (),
        by_name=model.others if isinstance(model, Several) else {},
        sampling=sampling,
        dialect=dialect,
        system=system_message(config, model, usable, tools if "python" in own and not names_tools(config) else {}),
        demonstrations=_demonstrations(config),
        elicitation=Elicitation() if config.elicit else None,
        hints=None if hints is None else HintPlan(library=load_library(hints.library), positions=hints.positions, rounds=hints.rounds),
        tools=usable if config.dialect != "plain" else {},
        sandbox=parts.sandbox,
        limits=PathLimits(max_calls=config.max_calls, max_failures=config.max_failures),
        check=CHECK if profile.instructed else NANO_CHECK,
        verifiers=None if oracle is None else oracle.of,
    )
    return found if parts.verifiers is None else replace(found, alike=parts.verifiers.of)


def _demonstrations(config: AgentConfig) -> Demonstrations | None:
    if config.demonstrations is None:
        return None
    return load_demonstrations(config.demonstrations, place=config.demonstrations_in, nearest=config.demonstrations_nearest)
