"""Extension points: wherever a name is accepted, so is `module:attribute`, and installed packages add names by entry points."""

import importlib
import importlib.metadata
import sys
from functools import cache
from pathlib import Path
from typing import Any

from tirage.core.errors import ConfigError


def is_place(word: str) -> bool:
    """Whether `word` has the form `module:attribute`."""
    module, colon, attribute = word.partition(":")
    return bool(colon) and all(part.isidentifier() for part in (*module.split("."), *attribute.split(".")))


def load_place(word: str, kind: str) -> Any:
    """The object at `module:attribute`; modules are looked for in the working directory as well.

    `kind` says in messages what is expected there: "tool", "strategy", ... Raises `ConfigError` for a form, a module or an attribute
    that is wrong, and for a module that fails.
    """
    if not is_place(word):
        raise ConfigError(f"{word!r} names no {kind}; write module:attribute")
    module, _, attribute = word.partition(":")
    here = str(Path.cwd())
    sys.path.insert(0, here)
    try:
        found: Any = importlib.import_module(module)
        for part in attribute.split("."):
            found = getattr(found, part)
    except ConfigError:
        raise
    except Exception as error:  # the module's own code runs here
        told = " ".join(f"{type(error).__name__}: {error}".split())[:200]
        raise ConfigError(f"{kind} {word!r} does not load ({told}); give an importable module and an attribute of it") from error
    finally:
        sys.path.remove(here)
    return found


@cache
def offered(group: str) -> dict[str, importlib.metadata.EntryPoint]:
    """By name: what installed packages offer in an entry-point group, such as `tirage.systems`. Nothing is loaded yet."""
    entries = sorted(importlib.metadata.entry_points(group=group), key=lambda entry: entry.name)
    return {entry.name: entry for entry in entries}


def load_offered(group: str, name: str, kind: str) -> Any:
    """What an installed package offers as `name`. Raises `ConfigError` when its code fails."""
    entry = offered(group)[name]
    try:
        return entry.load()
    except Exception as error:  # a package's own code runs here
        owner = entry.dist.name if entry.dist is not None else "a package"
        told = " ".join(f"{type(error).__name__}: {error}".split())[:200]
        raise ConfigError(f"{kind} {name!r} of {owner} does not load ({told}); update or remove it") from error
