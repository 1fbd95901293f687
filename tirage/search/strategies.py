"""The strategies by name: what a configuration may ask for, and how it is made.

Besides the names here, `module:attribute` of a class with the port of `Search` (see `SearchBase`), or of a function that makes one, is a
strategy, and so is what installed packages offer in the entry-point group `tirage.strategies`.
"""

import inspect
import re
import types
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Union, get_args, get_origin, get_type_hints

from tirage.core.errors import ConfigError
from tirage.core.extension import ExtensionPoint
from tirage.search.abmcts import ABMCTS
from tirage.search.base import Search, SearchMaker
from tirage.search.beam import Beam
from tirage.search.best_first import BestFirst
from tirage.search.best_of_n import BestOfN
from tirage.search.dfs import DepthFirst
from tirage.search.gumbel import GumbelHalving
from tirage.search.lats import LATS
from tirage.search.mcts import MCTS
from tirage.search.plans import PlanSearch
from tirage.search.rstar import RStar

Make = Callable[..., Search]

STRATEGIES: dict[str, tuple[Make, str]] = {
    "greedy": (partial(BestOfN, n=1), "one chain"),
    "best-of-n": (partial(BestOfN, n=16), "N chains, the majority's answer (self-consistency); `best-of-8` for another N"),
    "weighted-n": (partial(BestOfN, n=16, vote="value"), "N chains, each vote weighted by the valuer"),
    "beam": (Beam, "beam search over steps"),
    "tot": (partial(Beam, width=5, branch=5), "Tree of Thoughts, breadth first: beam search with b = width, k = branch"),
    "dvts": (partial(Beam, width=1, branch=4, groups=4), "diverse verifier tree search: independent beams of width 1"),
    "best-first": (BestFirst, "the best open node first"),
    "dfs": (partial(DepthFirst, threshold=0.5), "depth first, back where the value is below a threshold"),
    "dfsdt": (partial(DepthFirst, aware=True), "depth first, each attempt told what its siblings tried"),
    "mcts": (partial(MCTS, simulate=True), "Monte Carlo tree search by UCT"),
    "puct": (partial(MCTS, c=1.25, prior="normalised", simulate=True), "Monte Carlo tree search with the policy's prior"),
    "gumbel": (GumbelHalving, "sequential halving over the root's children, for a known budget"),
    "ab-mcts": (ABMCTS, "wider or deeper by Thompson sampling; several models as arms"),
    "lats": (LATS, "all children at once, greedily on to an end, reflections on failures (the valuer's notes) shown later"),
    "plans": (PlanSearch, "plan-space search (CPL): raw priors, whole expansions; values in [-1, 1]"),
    "rstar": (RStar, "rStar: five reasoning actions, roll-outs at random; a second reading of the paths settles the answer"),
}
_COUNTED = re.compile(r"best-of-(\d+)")
_PORT = ("ask", "tell", "is_closed", "choose")
OWN: ExtensionPoint[Make] = ExtensionPoint("strategy", "tirage.strategies", "a class that subclasses tirage.search.SearchBase", callable)


def strategy(name: str, options: Mapping[str, Any] | None = None) -> SearchMaker:
    """A maker of fresh searches, whose seed goes to strategies that draw.

    Raises `ConfigError` for an unknown name, and for one at `module:attribute` or of a package that does not load; ValueError for an option
    that the strategy does not have (naming those it has), or for an invalid value.
    """
    given = dict(options or {})
    counted = _COUNTED.fullmatch(name)
    if counted is not None:
        name, given = "best-of-n", {"n": int(counted[1]), **given}
    make = _find(name)
    known = option_names(name)
    for option in given:
        if option not in known:
            raise ValueError(f"strategy {name!r} has no option {option!r}; its options: {', '.join(known) or 'none'}")
    target, fixed = (make.func, dict(make.keywords)) if isinstance(make, partial) else (make, {})
    kinds = _kinds(target)
    for option, value in given.items():
        if option in kinds and not _is_of(kinds[option], value):
            raise ValueError(f"strategy {name!r}: option {option!r} cannot be {value!r}; give {_word(kinds[option])}")
    draws = "seed" in _parameters(target)
    whole = {**fixed, **{option: _tuples(value) for option, value in given.items()}}

    def made(*, seed: int) -> Search:
        search = target(**whole, **({"seed": seed} if draws else {}))
        missing = [method for method in _PORT if not callable(getattr(search, method, None))]
        if missing:
            raise ConfigError(f"strategy {name!r} makes a {type(search).__name__}, which has no {missing[0]!r}; give {OWN.wanted}")
        return search

    made(seed=0)
    return made


def names() -> list[str]:
    """Every name that `strategy` takes: those here, then those of installed packages."""
    return [*STRATEGIES, *(name for name in OWN.offers if name not in STRATEGIES)]


def about(name: str) -> str:
    """A strategy in one line. Raises as `strategy` for an unknown name."""
    if name in STRATEGIES:
        return STRATEGIES[name][1]
    return (inspect.getdoc(_find(name)) or "").partition("\n")[0].rstrip(".")


def option_names(name: str) -> list[str]:
    """The options of a strategy; none for an unknown name."""
    if _COUNTED.fullmatch(name):
        name = "best-of-n"
    if name == "greedy" or (name not in STRATEGIES and not OWN.has(name)):
        return []
    make = _find(name)
    return [option for option in _parameters(make.func if isinstance(make, partial) else make) if option != "seed"]


def _find(name: str) -> Make:
    if name in STRATEGIES:
        return STRATEGIES[name][0]
    if OWN.has(name):
        return OWN.load(name)
    raise OWN.unknown(name, names())


def _parameters(make: Callable[..., Any]) -> list[str]:
    """The keyword parameters; those that gather any others name no option."""
    gathering = (inspect.Parameter.VAR_KEYWORD, inspect.Parameter.VAR_POSITIONAL)
    return [name for name, parameter in inspect.signature(make).parameters.items() if parameter.kind not in gathering]


def _kinds(make: Callable[..., Any]) -> dict[str, Any]:
    """The annotations of the parameters, as far as they can be read."""
    try:
        return get_type_hints(make.__init__ if isinstance(make, type) else make)  # type: ignore[misc]
    except (NameError, TypeError, AttributeError):
        return {}


def _is_of(kind: Any, value: Any) -> bool:
    """Whether a value fits an annotation made of bool, int, float, str and None; anything else is left to the strategy."""
    if get_origin(kind) in (Union, types.UnionType):
        return any(_is_of(part, value) for part in get_args(kind))
    if kind in (None, type(None)):
        return value is None
    if kind in (int, float):
        return isinstance(value, int if kind is int else int | float) and not isinstance(value, bool)
    return isinstance(value, kind) if kind in (bool, str) else True


def _word(kind: Any) -> str:
    if get_args(kind):
        return " or ".join(_word(part) for part in get_args(kind))
    return "none" if kind is type(None) else getattr(kind, "__name__", str(kind))


def _tuples(value: Any) -> Any:
    """Lists of a configuration file are tuples here."""
    return tuple(_tuples(item) for item in value) if isinstance(value, list) else value
