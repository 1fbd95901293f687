"""The same question with another reference, or none: every model is asked the same, byte for byte."""

import dataclasses
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.systems.scripted_parts import prompt_of, scripted_parts
from tirage.agents.explorer import Agent
from tirage.agents.hints import HintPlan, load_library
from tirage.agents.search_options import SearchOptions
from tirage.core import Budget, HintPosition, Problem, derive_seed
from tirage.models.base import Request
from tirage.rollouts.runner import Runner, Stage, rollout_key
from tirage.runtime.solving import solve_with
from tirage.search.strategies import STRATEGIES, strategy
from tirage.systems.registry import build, shipped
from tirage.testing.scripted import ScriptedModel
from tirage.tools.retrieval import Collection, SearchTool
from tirage.traces.jsonl import TraceStore
from tirage.verification.verifiers import Verifiers

REFERENCES = ("42", "977", None)
SAID = "Step 1: 6 * 7 = {}. Step 1 is correct.\nConclusion: correct\nVerdict: correct\nScore: 7\nSo the answer is \\boxed{{{}}}."


def says(request: Request) -> str:
    """Something for every role; it depends on the seed, so that other seeds show in what follows."""
    if "<query>" in prompt_of(request) and "<document>" not in prompt_of(request):
        return "<query>What is 6 * 7?</query>"
    number = (request.sampling.seed or 0) % 5 + 40
    return " correct" if request.tag == "reward" else SAID.format(number, number)


def asked(reference: str | None) -> Problem:
    return Problem(prompt="What is 6 * 7?", answer=reference, metadata={"key": [reference], "family": str(reference)})


def written(requests: Sequence[Request]) -> list[dict[str, Any]]:
    return [dataclasses.asdict(request) for request in requests]


async def requests_of(agent: Agent, model: ScriptedModel, reference: str | None, door: str, folder: Path) -> list[dict[str, Any]]:
    problem = asked(reference)
    if door == "solve":
        await solve_with(agent, problem)
    else:
        async with Verifiers() as verifiers:
            runner = Runner(agent, verifiers.of, TraceStore(folder), seed=3)
            await runner.run(Stage(name="s", problems=(problem,), samples=2, model="m"))
    # Side by side, two rollouts ask in whatever order their threads end.
    return sorted(written(model.requests), key=repr)


@pytest.mark.parametrize("door", ["solve", "rollout"])
@pytest.mark.parametrize("name", [*shipped(), *(f"search {name}" for name in STRATEGIES if name not in ("rstar", "plans"))])
async def test_what_models_are_asked_does_not_depend_on_the_reference(name: str, door: str, tmp_path: Path) -> None:
    found = []
    for number, reference in enumerate(REFERENCES):
        model = ScriptedModel(says, thinks=True)
        hints = HintPlan(library=load_library(), positions=(HintPosition.START,))
        made_of = scripted_parts(model, search_options=SearchOptions(budget=Budget(model_calls=24)), hints=hints)
        with Collection(tmp_path / f"facts{number}.sqlite") as collection:
            list(collection.add([("product", "6 * 7 is 42.")]))
            if name == "ur2":
                made_of = replace(made_of, tools={"search": SearchTool(collection)})
            searched = name.removeprefix("search ")
            agent = build(name, made_of) if name == searched else made_of.explorer(search=strategy(searched))
            found.append(await requests_of(agent, model, reference, door, tmp_path / str(number)))
    assert found[0], "nobody was asked"
    assert found[0] == found[1] == found[2]


def test_records_are_told_apart_by_the_reference_and_draws_are_not() -> None:
    first, other = asked("42"), asked("43")
    assert rollout_key("s", first, 0) != rollout_key("s", other, 0)
    assert first.asked == other.asked
    assert derive_seed(0, first.asked.id) == derive_seed(0, other.asked.id)
    assert first.asked.id != Problem(prompt="What is 6 * 8?", answer="42").asked.id


@pytest.mark.parametrize("name", ["rstar", "cpl"])
async def test_what_an_agent_reads_in_its_own_way_is_shown_and_graded(name: str) -> None:
    """Without its own reading both would take 391 for the answer."""

    def thinks(request: Request) -> str:
        if name == "cpl":
            return "First 391, but less 4. The answer is 391, no: \\boxed{387}"
        return "First multiply 17 by 23, which gives 391. So the answer is 387."

    agent = build(name, scripted_parts(ScriptedModel(thinks, mode="text"), search_options=SearchOptions(budget=Budget(model_calls=12))))
    solution = await solve_with(agent, Problem(prompt="What is 17 * 23 - 4?", answer="387"))
    assert solution.answer == "387"
    assert solution.verdict is not None
    assert (solution.verdict.correct, solution.verdict.answer) == (True, "387")
    assert solution.tree.answers[solution.tree.chosen] == "387"
