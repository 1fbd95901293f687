"""The strategies by name: what a configuration may ask for, and how it is made."""

import difflib
import inspect
import re
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

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
    "lats": (LATS, "all children at once, greedily on to an end, lessons of failures (the valuer's notes) shown later"),
    "plans": (PlanSearch, "plan-space search (CPL): raw priors, whole expansions; values in [-1, 1]"),
    "rstar": (RStar, "rStar: five reasoning actions, roll-outs at random; a second reading of the paths settles the answer"),
}
_COUNTED = re.compile(r"best-of-(\d+)")


def strategy(name: str, options: Mapping[str, Any] | None = None) -> SearchMaker:
    """A maker of fresh searches, whose seed goes to strategies that draw.

    Raises ValueError for an unknown name, for an option that the strategy does not have (naming those it has), or for a senseless value.
    """
    given = dict(options or {})
    counted = _COUNTED.fullmatch(name)
    if counted is not None:
        name, given = "best-of-n", {"n": int(counted[1]), **given}
    if name not in STRATEGIES:
        near = difflib.get_close_matches(name, STRATEGIES, n=1)
        raise ValueError(f"strategy {name!r} is not known{f'; did you mean {near[0]!r}?' if near else ''}; known: {', '.join(STRATEGIES)}")
    make = STRATEGIES[name][0]
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


def option_names(name: str) -> list[str]:
    """The options of a strategy."""
    if name == "greedy" or name not in STRATEGIES:
        return []
    make = STRATEGIES[name][0]
    return [option for option in _parameters(make.func if isinstance(make, partial) else make) if option != "seed"]


def _parameters(make: Callable[..., Any]) -> list[str]:
    return list(inspect.signature(make).parameters)


def _tuples(value: Any) -> Any:
    """Lists of a configuration file are tuples here."""
    return tuple(_tuples(item) for item in value) if isinstance(value, list) else value
