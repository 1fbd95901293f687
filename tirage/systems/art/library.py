"""ART's task library: tasks in clusters, each with programs to show, from YAML files that people may add to."""

import os
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any

import yaml

from tirage.agents.replies import Unreadable
from tirage.core.errors import ConfigError, DataError
from tirage.systems.art.program import TaskProgram, parse

MOST_EDITS = 5
"""Programs that people may add to one task (ART, section 3.4)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """A task with programs that solve instances of it."""

    name: str
    cluster: str
    """Which family it is of: arithmetic, code, search, reasoning, strings."""
    description: str
    programs: tuple[TaskProgram, ...]
    """Its own; those shown first come first."""
    edits: tuple[TaskProgram, ...] = ()
    """Those that people added, the newest first."""

    @property
    def shown(self) -> tuple[TaskProgram, ...]:
        """All programs in the order of showing: people's before its own."""
        return self.edits + self.programs

    @property
    def text(self) -> str:
        """What similarity is measured by: the description and the inputs of its own programs, so that an edit moves no task."""
        return "\n".join([self.description, *(program.input for program in self.programs)])


def load_library(*files: Path) -> tuple[Task, ...]:
    """The shipped tasks with what `files` add: to a task that is known its programs as edits, new tasks to the end.

    A file that is not there yet adds nothing. Raises `DataError` naming the file and the entry that is wrong.
    """
    library = {task.name: task for task in _shipped()}
    for path in files:
        if not path.exists():
            continue
        for entry in _entries(path.read_text(encoding="utf-8"), str(path)):
            known = library.get(str(entry.get("name")))
            if known is None:
                task = _task(entry, str(path))
            else:
                task = _task({**entry, "cluster": known.cluster, "description": known.description}, str(path))
                task = replace(known, edits=task.programs + known.edits)
            library[task.name] = task
    return tuple(library.values())


def add_program(path: Path, task: str, program: str, *, cluster: str = "", description: str = "") -> None:
    """Add a program that a person wrote or corrected to the file at `path`, for the task of that name.

    `cluster` and `description` are needed for a task that the library does not have. Raises `DataError` for a program that cannot be read
    or has no answer, `ConfigError` for the sixth one of a task.
    """
    try:
        if parse(program).answer is None:
            raise Unreadable("it does not end in [EOQ] and an answer")
    except Unreadable as error:
        raise DataError(f"the program for task {task!r} cannot be added: {error}") from None
    entries = _entries(path.read_text(encoding="utf-8"), str(path)) if path.exists() else []
    entry = next((item for item in entries if item.get("name") == task), None)
    if entry is None:
        about = {key: value for key, value in (("cluster", cluster), ("description", description)) if value}
        entry = {"name": task, **about, "programs": []}
        entries.append(entry)
    if len(entry["programs"]) >= MOST_EDITS:
        raise ConfigError(f"task {task!r} has {MOST_EDITS} programs in {path}; take one out before adding another")
    entry["programs"].insert(0, program.strip() + "\n")
    fresh = path.with_name(path.name + ".new")
    fresh.write_text(yaml.dump({"tasks": entries}, Dumper=_Blocks, sort_keys=False, allow_unicode=True), encoding="utf-8")
    os.replace(fresh, path)


async def best_cluster(library: Iterable[Task], evaluate: Callable[[Sequence[Task]], Awaitable[float]]) -> str:
    """The cluster whose tasks, shown as demonstrations, give the best accuracy on held-out problems; ties to the first.

    `evaluate` is asked once for each cluster. ART, section 3.2: some 50 labelled examples of the new task.
    """
    clusters: dict[str, list[Task]] = {}
    for task in library:
        clusters.setdefault(task.cluster, []).append(task)
    if not clusters:
        raise ConfigError("the task library is empty; give load_library a file with tasks")
    scores = {name: await evaluate(tasks) for name, tasks in clusters.items()}
    return max(scores, key=scores.__getitem__)


@cache
def _shipped() -> tuple[Task, ...]:
    text = resources.files(__package__).joinpath("library.yaml").read_text(encoding="utf-8")
    return tuple(_task(entry, "art_library.yaml") for entry in _entries(text, "art_library.yaml"))


def _entries(text: str, name: str) -> list[dict[str, Any]]:
    try:
        entries = yaml.safe_load(text)["tasks"]
        if isinstance(entries, list) and all(isinstance(entry, dict) and isinstance(entry.get("programs"), list) for entry in entries):
            return entries
        raise TypeError("tasks must be a list of entries with programs")
    except (yaml.YAMLError, KeyError, TypeError) as error:
        raise DataError(f"task library {name} is malformed ({error}); see tirage/agents/art_library.yaml for the form") from error


def _task(entry: dict[str, Any], name: str) -> Task:
    label = entry.get("name")
    missing = [key for key in ("name", "cluster", "description") if not isinstance(entry.get(key), str)]
    if missing:
        raise DataError(f"task library {name}: task {label!r} has no {missing[0]}")
    try:
        programs = tuple(parse(str(program)) for program in entry["programs"])
    except Unreadable as error:
        raise DataError(f"task library {name}: a program of task {label!r} cannot be read: {error}") from None
    return Task(name=entry["name"], cluster=entry["cluster"], description=entry["description"], programs=programs)


class _Blocks(yaml.SafeDumper):
    """Texts of several lines as they are read best."""


_Blocks.add_representer(
    str, lambda dumper, text: dumper.represent_scalar("tag:yaml.org,2002:str", text, style="|" if "\n" in text else None)
)
