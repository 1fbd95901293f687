"""A tournament of debaters: wins that do not depend on the side, rates of each side, ratings. Pure, and blind to the order of matches."""

import math
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import permutations
from typing import Literal

from tirage.evaluation.intervals import Interval, mean_interval

CENTRE = 1000.0
"""Mean of the ratings."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Match:
    """One debate."""

    item: str
    pro: str
    con: str
    winner: Literal["pro", "con"] | None
    """None: void or undecided."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Share:
    """Won of decided debates."""

    won: int
    of: int
    rate: float | None
    interval: Interval
    """Items are drawn, as debates over one item are not independent."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """One model's place."""

    model: str
    wins: int
    """In balanced debates; the ranking."""
    total: Share
    pro: Share
    """As defender of the official answer."""
    con: Share
    rating: float
    """Elo scale: 400 points are odds of ten to one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tournament:
    """The table."""

    standings: tuple[Standing, ...]
    """The best first; equal wins in the order of names."""
    pro: Share
    """How often the official answer held: the advantage of the side."""
    matches: int
    balanced: int
    """Debates that count: the swap over the same item was decided too."""
    undecided: int
    """Without a winner: void, or cut off by a limit."""


def schedule(models: Sequence[str]) -> list[tuple[str, str]]:
    """Every ordered pair (pro, con) once. Raises ValueError unless there are two different models, each named once."""
    if len(models) < 2 or len(set(models)) < len(models):
        raise ValueError(f"a tournament needs at least two models, each named once, not {', '.join(models) or 'none'}")
    return list(permutations(models, 2))


def rank(matches: Iterable[Match], models: Sequence[str], *, level: float = 0.95, seed: int = 0) -> Tournament:
    """The table of a double round-robin.

    Only balanced debates count, so what the side or the first word is worth cancels between two models: each has had both. A pair whose
    debate over an item is void or undecided in one direction does not count in the other. Raises ValueError for a debate that is there
    twice.
    """
    played = sorted(matches, key=lambda match: (match.item, match.pro, match.con))
    decided = {(match.item, match.pro, match.con): match for match in played if match.winner is not None}
    if len({(match.item, match.pro, match.con) for match in played}) < len(played):
        raise ValueError("a debate is there twice: the same item, the same two models on the same sides")
    balanced = [match for (item, pro, con), match in decided.items() if (item, con, pro) in decided]

    def share(won: Sequence[tuple[str, bool]]) -> Share:
        clusters: dict[str, list[float]] = defaultdict(list)
        for item, one in won:
            clusters[item].append(float(one))
        wins = sum(one for _, one in won)
        interval = mean_interval(list(clusters.values()), level=level, seed=seed)
        return Share(won=wins, of=len(won), rate=wins / len(won) if won else None, interval=interval)

    ratings = bradley_terry([(match.pro, match.con) if match.winner == "pro" else (match.con, match.pro) for match in balanced], models)
    standings = []
    for model in models:
        pro = [(match.item, match.winner == "pro") for match in balanced if match.pro == model]
        con = [(match.item, match.winner == "con") for match in balanced if match.con == model]
        total = share([*pro, *con])
        standings.append(
            Standing(model=model, wins=total.won, total=total, pro=share(pro), con=share(con), rating=round(ratings[model], 1))
        )
    return Tournament(
        standings=tuple(sorted(standings, key=lambda standing: (-standing.wins, standing.model))),
        pro=share([(match.item, match.winner == "pro") for match in balanced]),
        matches=len(played),
        balanced=len(balanced),
        undecided=len(played) - len(decided),
    )


def bradley_terry(wins: Iterable[tuple[str, str]], models: Sequence[str], *, draws: float = 0.5, rounds: int = 1000) -> dict[str, float]:
    """Ratings from (winner, loser) pairs, in any order; unlike Elo's running update they are the same for every order.

    Maximum likelihood of P(i beats j) = p_i / (p_i + p_j) (Bradley & Terry 1952, Biometrika 39) by the iteration
    p_i <- w_i / sum_j n_ij / (p_i + p_j) (Hunter 2004, Ann. Stat. 32, eq. 3), on the scale 400 log10 p with mean `CENTRE`.

    Args:
        wins: One entry per decided debate.
        models: Who is rated; all start equal.
        draws: Wins that every pair of models is given beforehand, each side so many, so that nobody is rated infinite. > 0.
        rounds: Most iterations.
    """
    won: dict[tuple[str, str], float] = {pair: draws for pair in permutations(sorted(models), 2)}
    for pair in wins:
        won[pair] += 1
    names = sorted(models)
    strength = dict.fromkeys(names, 1.0)
    for _ in range(rounds):
        new = {}
        for one in names:
            others = [other for other in names if other != one]
            met = math.fsum((won[one, other] + won[other, one]) / (strength[one] + strength[other]) for other in others)
            new[one] = math.fsum(won[one, other] for other in others) / met if others else 1.0
        mean = math.exp(math.fsum(map(math.log, new.values())) / len(new))
        new = {name: value / mean for name, value in new.items()}
        change = max(abs(math.log(new[name] / strength[name])) for name in names)
        strength = new
        if change < 1e-10:
            break
    return {name: CENTRE + 400 * math.log10(value) for name, value in strength.items()}
