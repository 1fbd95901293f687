import random
from collections.abc import Callable, Sequence

import pytest

from tirage.evaluation import Outcome

Make = Callable[..., list[Outcome]]


@pytest.fixture
def outcomes() -> Make:
    """Outcomes from a table of truth values: one row per problem, one entry per sample."""

    def make(rows: Sequence[Sequence[bool | None]], **fields: object) -> list[Outcome]:
        return [
            Outcome(problem_id=f"p{index:03}", sample=sample, correct=correct, **fields)  # type: ignore[arg-type]
            for index, row in enumerate(rows)
            for sample, correct in enumerate(row)
        ]

    return make


@pytest.fixture
def condition() -> Make:
    """A made-up condition over named families; the wall times are random and come from another generator than the rest."""

    def make(rate: float, *, seed: int, families: Sequence[str] = ("arith", "date"), n: int = 40, tool: float = 0.5) -> list[Outcome]:
        draw, clock = random.Random(seed), random.SystemRandom()
        made = []
        for family in families:
            for index in range(n):
                used = draw.random() < tool
                made.append(
                    Outcome(
                        problem_id=f"{family}-{index}",
                        family=family,
                        tier=str(8 + index % 3),
                        correct=draw.random() < rate,
                        used_tool=used,
                        answer=str(draw.randint(0, 5)),
                        stop="answered",
                        tokens_in=80,
                        tokens_out=draw.randint(20, 90),
                        model_calls=1 + used,
                        wall_s=clock.random(),
                    )
                )
        return made

    return make
