"""Toolset optimisation: OctoTools' own criterion on a synthetic table, and what an interruption leaves."""

import asyncio
import json
from collections.abc import Mapping
from pathlib import Path

import pytest

from tirage.core.errors import ConfigError, DataError
from tirage.evaluation import mcnemar_exact, optimise
from tirage.tools.base import Tool
from tirage.tools.function import FunctionTool
from tirage.tools.toolset import toolset


def named(*names: str) -> dict[str, Tool]:
    def nothing() -> str:
        """Nothing."""
        return ""

    return toolset(*(FunctionTool(nothing, name=name) for name in names))


BASE, CANDIDATES = named("base"), named("A", "B", "C")
RIGHT = {"": 50, "A": 55, "B": 48, "C": 50}
"""Right answers of 100."""


class Table:
    """An evaluation that looks its accuracy up."""

    def __init__(self, *, outcomes: bool = False, stop_after: int | None = None) -> None:
        self.asked: list[tuple[str, ...]] = []
        self.running = self.most = 0
        self.outcomes = outcomes
        self.stop_after = stop_after

    async def __call__(self, tools: Mapping[str, Tool]) -> float | dict[str, bool]:
        if len(self.asked) == self.stop_after:
            raise RuntimeError("stopped")
        self.asked.append(tuple(tools))
        self.running += 1
        self.most = max(self.most, self.running)
        await asyncio.sleep(0.001)
        self.running -= 1
        right = RIGHT["".join(set(tools) - {"base"})]
        # A solves the last problems and loses the first two; the others solve from the front.
        span = range(2, right + 2) if "A" in tools else range(right)
        return {f"p{index}": index in span for index in range(100)} if self.outcomes else right / 100


async def test_a_helps_b_hurts_c_does_nothing() -> None:
    table = Table()
    found = await optimise(BASE, CANDIDATES, table)
    assert list(found.tools) == ["base", "A"]
    assert found.tools["A"] is CANDIDATES["A"]
    assert table.asked == [("base",), ("base", "A"), ("base", "B"), ("base", "C")]
    assert [round(trial.delta, 9) for trial in found.trials] == [0.05, -0.02, 0.0]
    assert [trial.kept for trial in found.trials] == [True, False, False]
    assert "| A | 55.0 % | +5.0 |  |  |  |  | yes |" in found.table().splitlines()


async def test_outcomes_tell_how_sure_one_can_be() -> None:
    found = await optimise(BASE, CANDIDATES, Table(outcomes=True), concurrency=4)
    first = found.trials[0]
    assert (first.gained, first.lost) == (7, 2)
    # 2 P[X <= 2], X ~ Bin(9, 1/2) = 2 (1 + 9 + 36) / 2^9.
    assert first.p_value == mcnemar_exact(7, 2) == 92 / 512
    assert first.interval is not None
    assert first.interval.low <= 0 < 0.05 < first.interval.high
    assert "| base: base | 50.0 % |" in found.table()
    assert "| 0.180 | 7 | 2 | yes |" in found.table()


async def test_no_more_at_once_than_allowed() -> None:
    for concurrency in (1, 2):
        table = Table()
        await optimise(BASE, CANDIDATES, table, concurrency=concurrency)
        assert (table.most, len(table.asked)) == (concurrency, 4)


async def test_what_was_evaluated_is_not_evaluated_again(tmp_path: Path) -> None:
    state = tmp_path / "state.json"
    with pytest.raises(RuntimeError, match="stopped"):
        await optimise(BASE, CANDIDATES, Table(outcomes=True, stop_after=2), state=state)
    assert list(json.loads(state.read_text())["measured"]) == ["", "A"]
    rest = Table(outcomes=True)
    resumed = await optimise(BASE, CANDIDATES, rest, state=state)
    assert rest.asked == [("base", "B"), ("base", "C")]
    assert resumed == await optimise(BASE, CANDIDATES, Table(outcomes=True))
    with pytest.raises(DataError, match=r"another base set \(base\)"):
        await optimise(named("other"), CANDIDATES, rest, state=state)
    state.write_text("[]")
    with pytest.raises(DataError, match="holds no toolset evaluations"):
        await optimise(BASE, CANDIDATES, rest, state=state)


async def test_what_cannot_be_compared_is_refused() -> None:
    async def other_problems(tools: Mapping[str, Tool]) -> dict[str, bool]:
        return {"p1" if "A" in tools else "p2": True}

    async def percentages(tools: Mapping[str, Tool]) -> float:
        return 50.0

    with pytest.raises(DataError, match="with tool 'A' and that of the base set differ in problem 'p1'"):
        await optimise(BASE, CANDIDATES, other_problems)
    with pytest.raises(ConfigError, match=r"of the base set gave the accuracy 50.0"):
        await optimise(BASE, CANDIDATES, percentages)
    with pytest.raises(ConfigError, match="two tools are named 'base'"):
        await optimise(BASE, BASE, percentages)
    with pytest.raises(ConfigError, match="concurrency=0"):
        await optimise(BASE, CANDIDATES, percentages, concurrency=0)
