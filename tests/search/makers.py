"""Every strategy with room for a large tree."""

from tirage.search.base import SearchMaker
from tirage.search.strategies import option_names, strategy

ROOM = {
    "plans": {"iterations": 400, "depth": 9, "n": 4},
    "lats": {"iterations": 400, "depth": 9},
    "rstar": {"rollouts": 400, "depth": 9},
    "gumbel": {"simulations": 240, "considered": 12, "width": 4},
}
"""Options under which a strategy has room for 200 nodes in the wide worlds here."""


def maker(name: str) -> SearchMaker:
    options = {key: value for key, value in ROOM.get(name, {}).items() if key in option_names(name)}
    if name in ("best-of-n", "weighted-n"):
        options = {"n": 300}
    if name in ("beam", "tot", "dvts"):
        options = {"width": 8 if name != "dvts" else 1, "branch": 4}
        options |= {"groups": 8} if name == "dvts" else {}
    return strategy(name, options)
