"""Topologies by the words of a command line."""

import hashlib
import json
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from tirage.core.errors import ConfigError
from tirage.core.extension import refuse_foreign
from tirage.runtime.config_files import load_config
from tirage.teams.edges import EdgeOptimizer
from tirage.teams.learner import TopologyLearner
from tirage.teams.spec import TopologySpec
from tirage.teams.stock import SHAPES, stock
from tirage.teams.topology import Topology


def open_topology(source: str, members: int | None = None, rounds: int | None = None, seed: int = 0) -> Topology:
    """A stock topology by name, else a file. Raises `ConfigError` when it is neither, or for options that a file has no use for."""
    path = Path(source)
    if is_learned(source):
        raise ConfigError(f"{source} was learned from teams already; give the topology that it was learned for")
    if source in SHAPES or not (path.suffix or path.exists()):
        return stock(source, members, rounds=rounds, seed=seed)
    if members is not None or rounds is not None:
        raise ConfigError(f"members and rounds are for stock topologies; {source} says its own")
    return load_config(TopologySpec, path).topology()


def open_learned(path: Path) -> TopologyLearner:
    """What `tirage topology train` wrote, frozen. Raises `DataError` for another file."""
    if path.suffix == ".safetensors":
        from tirage.teams.gdesigner import GDesigner

        return GDesigner.load(path)
    return EdgeOptimizer.load(path)


def is_learned(source: str) -> bool:
    """Whether a word names a file of something learned, not the JSON of a topology."""
    path = Path(source)
    if path.suffix != ".json":
        return path.suffix == ".safetensors"
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return isinstance(data, dict) and "kind" in data


def topology_for(source: str, query: str, members: int | None = None, rounds: int | None = None, seed: int = 0) -> Topology:
    """As `open_topology`; what was learned is decoded for a query. Raises `ConfigError` where that is missing and matters."""
    if not is_learned(source):
        return open_topology(source, members, rounds, seed)
    if members is not None or rounds is not None:
        raise ConfigError(f"members and rounds are for stock topologies; {source} has those that it was learned with")
    learned = open_learned(Path(source))
    if not query and not isinstance(learned, EdgeOptimizer):
        raise ConfigError(f"{source} has a graph for each problem; say for which (--query 'What is 17 * 23?')")
    return learned.sample(query, seed)[0]


def is_team(name: str) -> bool:
    """Whether a word names a stock topology or a file of one."""
    return name in SHAPES or (Path(name).suffix in (".yaml", ".yml", ".json", ".safetensors") and Path(name).is_file())


def team_label(name: str) -> str:
    """What a report calls a team: a stock one by its name, a file by its stem with 6 hex digits of its content."""
    if name in SHAPES:
        return name
    return f"{Path(name).stem}@{hashlib.sha256(Path(name).read_bytes()).hexdigest()[:6]}"


def member_models(name: str, own: Collection[str] = ()) -> tuple[str, ...]:
    """Model strings that the members of a team name. Raises as the file's opening does.

    `own`: models that the user named. A topology may come from anybody: other code that it names is refused, by `ConfigError`.
    """
    team = open_learned(Path(name)).team if is_learned(name) else open_topology(name)
    return checked_models(team, name, own)


def checked_models(team: Topology, name: str, own: Collection[str] = ()) -> tuple[str, ...]:
    """The same of an open topology; `name` is where it comes from."""
    models = dict.fromkeys(member.model for member in team.members if member.model)
    for model in models:
        if model not in own:
            refuse_foreign(model, f"topology {name}", f"name it yourself, with -m {model} or among agent.models")
    return tuple(models)


def team_options(options: Mapping[str, Any]) -> dict[str, Any]:
    """The options of a team with its topology opened."""
    given = dict(options)
    source = given.get("topology")
    if isinstance(source, (int, float)):
        source = str(source)
    if not isinstance(source, str):
        return given
    if is_learned(source):
        return {**given, "topology": open_learned(Path(source))}
    members, rounds = given.pop("members", None), given.pop("rounds", None)
    return {**given, "topology": open_topology(source, members, rounds)}
