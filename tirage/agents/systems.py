"""The published systems by name: what `--agent` may ask for, and how each is built. A new one is a line here."""

import difflib
import inspect
from collections.abc import Callable, Mapping
from dataclasses import replace
from importlib import resources
from typing import Any

import yaml

from tirage.agents.explorer import Agent
from tirage.agents.halo import halo
from tirage.agents.kit import Kit
from tirage.agents.options import arguments_for
from tirage.agents.plays import ART, CRITIC_FILTER, CRITIC_REFINEMENT, OCTOTOOLS, SOCRATIC, T1, Played, team
from tirage.agents.presets import cpl, dfsdt, lats, rstar, start, tir
from tirage.agents.shots import SLOTS, load_shots
from tirage.agents.ur2 import ur2
from tirage.core.errors import ConfigError

Build = Callable[..., Agent]
"""Takes a `Kit`, and the system's options by keyword. Raises ValueError or `ConfigError` for a senseless one."""

SYSTEMS: dict[str, tuple[Build, str]] = {
    "start": (start, "START: hints to use code, spliced into the thinking round after round"),
    "tir": (tir, "Qwen2.5-Math: reasoning with code in one turn, several chains, the majority's answer or the best by value"),
    "dfsdt": (dfsdt, "DFSDT (ToolLLM): depth first over tool calls, giving up and trying something else"),
    "lats": (lats, "LATS: tree search with a critic, reflections on failures shown to later attempts"),
    "rstar": (rstar, "rStar: five reasoning actions in a tree search, answers confirmed by a second model"),
    "cpl": (cpl, "CPL: tree search over the steps of a plan, then one solution"),
    "t1": (T1, "T1: candidates checked by the model's own code, the best of those that pass"),
    "critic-filter": (CRITIC_FILTER, "Critic-CoT: candidates that a critic rejects are dropped, the rest vote"),
    "critic-refinement": (CRITIC_REFINEMENT, "Critic-CoT: a solution mended from its first wrong step, or begun anew"),
    "octotools": (OCTOTOOLS, "OctoTools: analyse, then plan, call and check one tool at a time, and sum up"),
    "socratic": (SOCRATIC, "Socratic Questioning: sub-questions, whose answers are hints"),
    "art": (ART, "ART: a program of sub-steps after demonstrations of related tasks"),
    "team": (team, "a topology of agents at work: planner-executor-critic, or another by topology=NAME or FILE"),
    "ur2": (ur2, "UR2: reasoning that asks a collection for facts, told by a model; easy problems do without"),
    "halo": (halo, "HALO: a plan of subtasks, roles invented for each, and a tree search over which role speaks next"),
}

SAMPLING: Mapping[str, Mapping[str, float]] = yaml.safe_load(resources.files("tirage.agents").joinpath("sampling.yaml").read_text("utf-8"))
"""By system: what its paper samples with, by the keys of the sampling configuration (temperature, top_p, top_k, max_tokens)."""

REWARDED = ("start", "tir", "dfsdt", "lats", "rstar", "cpl", "t1", "ur2")
"""Systems in which a reward model has a say: it values paths or candidates, or weighs their votes."""
FROM_PYTHON = ("desk", "approve")
"""Options that no command line can write."""
CALL_BY_THEMSELVES = ("octotools", "art")
"""Systems that make the calls that their models describe, so that any tool goes with any dialect."""
FOR_INSTRUCTED = ("lats", "rstar", "cpl", "octotools", "socratic", "art", "halo")
"""Systems whose models have to follow instructions; the others also ask in the words of those that do not."""


def build(name: str, kit: Kit, options: Mapping[str, Any] | None = None) -> Agent:
    """The system `name` made of `kit`. Raises `ConfigError` for an unknown name or option, naming the known ones, or a senseless value."""
    if name not in SYSTEMS:
        near = difflib.get_close_matches(name, SYSTEMS, n=1)
        raise ConfigError(f"agent {name!r} is not known{f' (did you mean {near[0]!r}?)' if near else ''}; known: {', '.join(SYSTEMS)}")
    if kit.steering.valuer is not None and name not in REWARDED:
        raise ConfigError(f"agent {name!r} has no use for a reward model; those that have: {', '.join(REWARDED)}")
    known = option_names(name)
    for option in options or ():
        if option not in (*known, *FROM_PYTHON):
            raise ConfigError(f"agent {name!r} has no option {option!r}; its options: {', '.join(known) or 'none'}")
    builder, given = SYSTEMS[name][0], dict(options or {})
    shots = given.pop("demonstrations", None)
    if shots is not None:
        kit = replace(kit, shots=load_shots(str(shots), name))
    if not isinstance(builder, Played):
        given |= arguments_for(builder, name, {option: value for option, value in given.items() if option in known})
    try:
        return builder(kit, **given)
    except (ValueError, TypeError) as error:
        raise ConfigError(f"agent {name!r}: {error}") from None


def option_names(name: str) -> list[str]:
    """The options of a system."""
    return list(defaults(name))


def defaults(name: str) -> dict[str, Any]:
    """The options of a system with what they are where they are not given."""
    builder = SYSTEMS[name][0]
    slot = {"demonstrations": None} if name in SLOTS else {}
    if isinstance(builder, Played):
        return builder.defaults | slot
    known = inspect.signature(builder).parameters.items()
    return {option: parameter.default for option, parameter in known if option not in ("kit", *FROM_PYTHON)} | slot
