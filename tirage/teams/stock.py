"""Teams by name: the shapes that papers compare."""

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from difflib import get_close_matches

from tirage.core.errors import ConfigError
from tirage.core.seeds import derive_seed
from tirage.teams.topology import LAST, MAJORITY, Member, Topology

IndexPairs = list[tuple[int, int]]
DENSITY = 0.5
"""Probability of an edge in `random`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """How n members are joined; edges are pairs of their places."""

    what: str
    spatial: Callable[[int, int], IndexPairs] = lambda n, seed: []
    """Of the number of members and a seed."""
    temporal: Callable[[int], IndexPairs] = lambda n: []
    decision: Callable[[int], int | str] = lambda n: MAJORITY
    """Place of the member who decides, or a way to decide."""
    roles: Callable[[int], list[str]] = lambda n: ["solver"] * n
    size: int = 4
    """Members unless the caller says how many."""
    least: int = 1
    rounds: int = 1
    """Rounds unless the caller says how many."""


def _random(n: int, seed: int) -> IndexPairs:
    draw = random.Random(derive_seed("random topology", n, seed))
    return [(i, j) for i in range(n) for j in range(i + 1, n) if draw.random() < DENSITY]


def _fan(n: int) -> IndexPairs:
    """The first speaks to all but the last, and those to the last."""
    return [(0, i) for i in range(1, n - 1)] + [(i, n - 1) for i in range(1, n - 1)]


SHAPES: dict[str, Shape] = {
    "single": Shape(what="nobody hears anybody: one agent, or several that vote", size=1),
    "chain": Shape(what="each speaks to the next", spatial=lambda n, seed: [(i, i + 1) for i in range(n - 1)], decision=lambda n: LAST),
    "star": Shape(what="the first speaks to all others", spatial=lambda n, seed: [(0, i) for i in range(1, n)]),
    "tree": Shape(what="each speaks to two more", spatial=lambda n, seed: [((i - 1) // 2, i) for i in range(1, n)]),
    "complete": Shape(
        what="each speaks to all after it",
        spatial=lambda n, seed: [(i, j) for i in range(n) for j in range(i + 1, n)],
        decision=lambda n: LAST,
    ),
    "random": Shape(what="each speaks to each after it with probability 1/2", spatial=_random),
    "layered": Shape(
        what="the first half speaks to the second",
        spatial=lambda n, seed: [(i, j) for i in range((n + 1) // 2) for j in range((n + 1) // 2, n)],
    ),
    "debate": Shape(
        what="all hear what all others said in the round before",
        temporal=lambda n: [(i, j) for i in range(n) for j in range(n) if i != j],
        least=2,
        rounds=2,
    ),
    "planner-executor-critic": Shape(
        what="a plan, executors that carry on from each other, a critic whom planner and executors hear in the next round",
        spatial=lambda n, seed: sorted({*((0, i) for i in range(1, n - 1)), *((i, i + 1) for i in range(1, n - 1))}),
        temporal=lambda n: [(n - 1, i) for i in range(n - 1)],
        decision=lambda n: n - 2,
        roles=lambda n: ["planner", *["executor"] * (n - 2), "critic"],
        size=3,
        least=3,
        rounds=2,
    ),
    "hierarchical": Shape(
        what="a planner, role agents that work side by side, a judge who decides",
        spatial=lambda n, seed: _fan(n),
        decision=lambda n: n - 1,
        roles=lambda n: ["planner", *["worker"] * (n - 2), "judge"],
        least=3,
    ),
}


def stock(shape: str, members: int | Sequence[Member] | None = None, *, rounds: int | None = None, seed: int = 0) -> Topology:
    """A team of a shape in `SHAPES`, of so many members or of those given; `seed` matters to `random` alone.

    Raises `ConfigError` for an unknown shape, too few members, and rounds in which an edge is never used.
    """
    chosen = SHAPES.get(shape)
    if chosen is None:
        near = get_close_matches(shape, SHAPES, n=1)
        guess = f"did you mean {near[0]!r}? " if near else ""
        raise ConfigError(f"there is no topology {shape!r}; {guess}stock ones: {', '.join(SHAPES)}")
    given = chosen.size if members is None else members
    size = given if isinstance(given, int) else len(given)
    if size < chosen.least:
        raise ConfigError(f"topology {shape!r} needs at least {chosen.least} members, got {size}; add some or choose another shape")
    team = _team(chosen.roles(size)) if isinstance(given, int) else tuple(given)
    decision = chosen.decision(size)
    return Topology(
        name=shape,
        members=team,
        spatial=tuple((team[i].name, team[j].name) for i, j in chosen.spatial(size, seed)),
        temporal=tuple((team[i].name, team[j].name) for i, j in chosen.temporal(size)),
        rounds=chosen.rounds if rounds is None else rounds,
        decision=decision if isinstance(decision, str) else team[decision].name,
    )


def _team(roles: Sequence[str]) -> tuple[Member, ...]:
    """Members named by their role, with a number where several share it."""
    names = [f"{role}-{roles[:index].count(role) + 1}" if roles.count(role) > 1 else role for index, role in enumerate(roles)]
    return tuple(Member(name=name, role=role) for name, role in zip(names, roles, strict=True))
