"""From a search configuration to a maker of searches and what steers them."""

from collections.abc import Callable, Sequence

from tirage.agents.hints import load_library
from tirage.agents.search_options import SearchOptions
from tirage.agents.valuation import Valuer
from tirage.core.budget import Budget
from tirage.core.errors import ConfigError
from tirage.core.problem import Problem
from tirage.core.trajectory import Trajectory
from tirage.judging.valuers import Batched, Confidence, Execution, Oracle, Stages
from tirage.models.reward import open_reward_model
from tirage.runtime.config import BudgetConfig, RewardConfig, SearchConfig
from tirage.search.base import SearchMaker
from tirage.search.hint_moves import HintedChildren, HintedRounds
from tirage.search.stopping import Converged, Saturated, Solved, StopRule
from tirage.search.strategies import option_names, strategy
from tirage.systems.parts import AgentParts
from tirage.verification.verifiers import Verifiers

ROUNDS = 2
"""Hints that one path takes, of different families."""
SELF_VALUED = frozenset({"rstar"})
"""Strategies whose policy values paths itself."""
FREE: dict[str, Callable[[], Valuer]] = {"confidence": Confidence, "execution": Execution}
RULES: dict[str, Callable[[], StopRule]] = {"solved": Solved, "converged": Converged, "saturated": Saturated}


def refines(config: SearchConfig) -> bool:
    """Whether the strategy may continue paths that have ended."""
    return "refine" in option_names(config.strategy)


def search_maker(config: SearchConfig, *, taught: bool = False) -> SearchMaker:
    """A maker of fresh searches; `taught`: its model does only what it was trained to, and knows no refining.

    Raises `ConfigError` naming what the strategy does not know.
    """
    try:
        options = dict(config.options)
        if config.models:
            if "moves" not in option_names(config.strategy):
                raise ValueError(f"strategy {config.strategy!r} does not choose among models; take ab-mcts, or leave out models")
            # The run's own model is the arm without a name.
            options["moves"] = ("", *config.models)
        if refines(config) and not taught:
            options.setdefault("refine", True)
        make = strategy(config.strategy, options)
    except (ValueError, TypeError) as error:
        raise ConfigError(f"search: {error}") from None
    if config.hint_moves == "none":
        return make
    families = {hint.id: hint.family for hint in load_library()}
    if config.hint_moves == "siblings":
        return lambda seed: HintedChildren(make(seed=seed), families, seed=seed)
    return lambda seed: HintedRounds(make(seed=seed), families, rounds=ROUNDS, seed=seed)


LIMITS = {
    "tokens": "tokens_out",
    "tokens_in": "tokens_in",
    "calls": "model_calls",
    "tool_calls": "tool_calls",
    "sandbox_s": "sandbox_s",
    "seconds": "wall_s",
    "usd": "cost_usd",
    "nodes": "nodes",
    "depth": "depth",
}
"""The limits of a configuration, and what a `Budget` calls them."""


def limit_word(reason: str) -> str:
    """Why a tree ended, with the configuration's word where that is a limit of a `Budget`; other reasons stay as they are."""
    name = reason.removeprefix("budget: ")
    return next((f"budget: {key}" for key, limit in LIMITS.items() if reason != name == limit), reason)


def tree_budget(config: BudgetConfig) -> Budget:
    """The budget of one tree."""
    return Budget(**{name: getattr(config, key) for key, name in LIMITS.items()})


def budget_config(budget: Budget) -> BudgetConfig:
    """The same limits as configuration."""
    return BudgetConfig(**{key: getattr(budget, name) for key, name in LIMITS.items()})


def search_options(config: SearchConfig, parts: AgentParts, *, verifiers: Verifiers | None) -> SearchOptions:
    """What guides the trees. `parts` makes the critic, `verifiers` is what an oracle asks."""
    valuer = _valuer(config, parts, verifiers=verifiers)
    if config.cheap != "none" and valuer is not None:
        valuer = Stages(FREE[config.cheap](), valuer, gate=config.gate)
    return SearchOptions(
        valuer=valuer,
        budget=tree_budget(config.budget),
        stop_rules=lambda: [RULES[name]() for name in config.stop],
        merge="state" if config.merge else None,
    )


def reward_model(config: RewardConfig) -> Valuer:
    """The reward model as a valuer. Raises `ConfigError` where none is named, or what is named is none."""
    if config.prm is None:
        raise ConfigError("valuer 'prm' needs a process reward model; set agent.search.prm=PATH")
    model = open_reward_model(config.prm, separator=config.prm_separator)

    def values(paths: Sequence[tuple[Problem, Trajectory]]) -> list[float | None]:
        return [
            *model.scores([(problem.prompt, [step.text for step in path.steps]) for problem, path in paths], aggregate=config.prm_score)
        ]

    return Batched(values)


def _valuer(config: SearchConfig, parts: AgentParts, *, verifiers: Verifiers | None) -> Valuer | None:
    match "prm" if config.valuer == "auto" and config.prm is not None else config.valuer:
        case "none":
            return None
        case "confidence" | "execution":
            return FREE[config.valuer]()
        case "prm":
            return reward_model(config)
        case "oracle":
            if verifiers is None:
                raise ConfigError(
                    "valuer 'oracle' needs the verifiers of a run; use it with `tirage search --problems` or `tirage rollout`"
                )
            return Oracle(verifiers.of)
        case _:
            if config.valuer == "auto" and (config.strategy in SELF_VALUED or not search_maker(config)(seed=0).valued):
                return None
            return parts.critic(checks=config.checks)
