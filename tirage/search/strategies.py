"""The strategies by name: what a configuration may ask for, and how it is made."""

import difflib
import inspect
import re
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from tirage.core.extension import is_place, load_offered, load_place, offered
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
GROUP = "tirage.strategies"
"""The entry-point group in which packages offer a strategy: a class with `ask` and `tell`."""
_COUNTED = re.compile(r"best-of-(\d+)")


def strategy(name: str, options: Mapping[str, Any] | None = None) -> SearchMaker:
    """A maker of fresh searches, whose seed goes to strategies that draw.

    Raises ValueError for an unknown name, for an option that the strategy does not have (naming those it has), or for a senseless value.
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
    draws = "seed" in _parameters(target)
    whole = {**fixed, **{option: _tuples(value) for option, value in given.items()}}

    def made(*, seed: int) -> Search:
        return target(**whole, **({"seed": seed} if draws else {}))

    made(seed=0)
    return made


def names() -> list[str]:
    """Every name that `strategy` takes: those shipped, then those of installed packages."""
    return [*STRATEGIES, *(name for name in offered(GROUP) if name not in STRATEGIES)]


def is_strategy(name: str) -> bool:
    """Whether `name` is one of `names`, or has the form of a strategy of one's own, `module:attribute`."""
    return name in names() or is_place(name)


def about(name: str) -> str:
    """What a strategy is, in one line."""
    return STRATEGIES[name][1] if name in STRATEGIES else (_find(name).__doc__ or "").strip().partition("\n")[0]


def _find(name: str) -> Make:
    """What makes the searches of a strategy: shipped, at `module:attribute`, or offered by an installed package."""
    if name in STRATEGIES:
        return STRATEGIES[name][0]
    if not is_strategy(name):
        near = difflib.get_close_matches(name, names(), n=1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        raise ValueError(f"strategy {name!r} is not known{hint}; known: {', '.join(names())}, or module:attribute of a Search")
    found = load_place(name, "strategy") if is_place(name) else load_offered(GROUP, name, "strategy")
    if not callable(found) or not hasattr(found, "ask") or not hasattr(found, "tell"):
        raise ValueError(
            f"strategy {name!r} is no search; give a class with ask and tell, such as a subclass of tirage.search.search_base.SearchBase"
        )
    make: Make = found
    return make


def option_names(name: str) -> list[str]:
    """The options of a strategy."""
    if name == "greedy" or not is_strategy(name):
        return []
    make = _find(name)
    return [option for option in _parameters(make.func if isinstance(make, partial) else make) if option != "seed"]


def _parameters(make: Callable[..., Any]) -> list[str]:
    return list(inspect.signature(make).parameters)


def _tuples(value: Any) -> Any:
    """Lists of a configuration file are tuples here."""
    return tuple(_tuples(item) for item in value) if isinstance(value, list) else value
