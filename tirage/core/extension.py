"""Extension points: wherever a name is accepted, so is `module:attribute`, and installed packages add names by entry points.

Loading a name runs code, so only names that the user typed or configured are loaded: flags, configuration files, arguments of Python calls.
A name that stands in data, such as a trace, a problem file, a dataset, an index or a request of a client, may come from somebody else.
Whoever reads such data compares the name with those that the user gave, and refuses it (`refuse_foreign`) where it names code or a server.
"""

import difflib
import importlib
import importlib.metadata
import inspect
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Generic, TypeVar

from tirage.core.errors import ConfigError

T = TypeVar("T")


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
    found = _import(module, word, kind)
    for part in attribute.split("."):
        if not hasattr(found, part):
            known = [name for name in dir(found) if not name.startswith("_")]
            near = difflib.get_close_matches(part, known, n=1)
            hint = f"did you mean {near[0]!r}?" if near else "give the name of something that it defines"
            raise ConfigError(f"{kind} {word!r} does not load: {module} has no attribute {attribute!r}; {hint}")
        found = getattr(found, part)
    return found


def _import(module: str, word: str, kind: str) -> Any:
    here = str(Path.cwd())
    sys.path.insert(0, here)
    importlib.invalidate_caches()
    try:
        return importlib.import_module(module)
    except ConfigError:
        raise
    except ModuleNotFoundError as error:
        if error.name is not None and f"{module}.".startswith(f"{error.name}."):
            remedy = f"it is neither in {here} nor installed; correct the name, or run in the folder that holds it"
            raise ConfigError(f"{kind} {word!r} does not load: there is no module {error.name!r}; {remedy}") from error
        raise ConfigError(f"{kind} {word!r} does not load ({_line(error)}); install what {module} imports") from error
    except (Exception, SystemExit) as error:  # the module's own code runs here
        raise ConfigError(f"{kind} {word!r} does not load ({_line(error)}); correct the module {module}") from error
    finally:
        sys.path.remove(here)
        # Last, so that the module finds its neighbours later on and hides nothing that is installed.
        if here not in sys.path:
            sys.path.append(here)


def refuse_foreign(word: str, where: str, remedy: str) -> None:
    """Raise `ConfigError` where a name that was read from data names code or a server; `where` holds it.

    `remedy` says how a user who trusts it gives the name.
    """
    if is_place(word):
        raise ConfigError(f"{where} names code, {word!r}, which is not run because a file says so; if you trust it, {remedy}")
    if word.startswith(("http://", "https://")):
        raise ConfigError(f"{where} names the server {word!r}, to which nothing is sent because a file says so; if you trust it, {remedy}")


def make_with(make: Callable[..., Any], settings: Mapping[str, Any]) -> Any:
    """What `make` makes, called with those of `settings` that its parameters name. Raises what it raises."""
    known = inspect.signature(make).parameters
    return make(**{name: value for name, value in settings.items() if name in known})


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
    except (Exception, SystemExit) as error:  # a package's own code runs here
        owner = entry.dist.name if entry.dist is not None else "a package"
        raise ConfigError(f"{kind} {name!r} of {owner} does not load ({_line(error)}); update or remove it") from error


def _line(error: BaseException) -> str:
    return " ".join(f"{type(error).__name__}: {error}".split())[:200]


@dataclass(frozen=True, slots=True)
class ExtensionPoint(Generic[T]):
    """One kind of thing that users and packages bring: how it is called, where packages offer it, and what fits."""

    kind: str
    """As messages call it, such as `strategy`."""
    group: str
    """Entry-point group, such as `tirage.strategies`."""
    wanted: str
    """What has to be at the place, for messages."""
    fits: Callable[[Any], bool]
    """Whether an object is that."""

    @property
    def offers(self) -> list[str]:
        """Names that installed packages offer."""
        return list(offered(self.group))

    def has(self, name: str) -> bool:
        """Whether `name` is `module:attribute` or a name that an installed package offers; nothing is loaded."""
        return is_place(name) or name in offered(self.group)

    def load(self, name: str) -> T:
        """The object that a user named. Raises `ConfigError` where it does not load or is something else."""
        found = load_offered(self.group, name, self.kind) if name in offered(self.group) else load_place(name, self.kind)
        if not self.fits(found):
            what = f"the class {found.__name__}" if isinstance(found, type) else f"of type {type(found).__name__}"
            raise ConfigError(f"{self.kind} {name!r} is {what}; give {self.wanted}")
        result: T = found
        return result

    def unknown(self, name: str, known: list[str]) -> ConfigError:
        """The error for a name that is none of `known`, with the nearest of them."""
        near = difflib.get_close_matches(name, known, n=1)
        guess = f" (did you mean {near[0]!r}?)" if near else ""
        return ConfigError(f"{self.kind} {name!r} is not known{guess}; known: {', '.join(known)}, or module:attribute of {self.wanted}")
