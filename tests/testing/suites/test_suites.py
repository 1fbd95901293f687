"""The suites of models, verifiers, recipes, systems, tools and embedders: what is shipped keeps its promises, what is broken is found."""

import asyncio
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

import tirage.testing
from tirage.core.errors import ToolError
from tirage.core.problem import Problem
from tirage.core.verdict import Verdict
from tirage.models.base import Completion, Request
from tirage.systems.registry import shipped
from tirage.systems.spec import SystemSpec
from tirage.testing import check_embedder, check_model, check_recipe, check_system, check_tool, check_verifier, require
from tirage.testing.builders import Turn, make_problem, make_rollout
from tirage.testing.scripted import ScriptedModel
from tirage.testing.suites.findings import Finding
from tirage.tools.function import tool
from tirage.tools.retrieval.embedders import HashingEmbedder, Vectors
from tirage.training.preference import Attempt, Pair, PairRecipe
from tirage.training.recipes import RFT, HintRFT, RFTConfig
from tirage.verification import VerifierBase, open_verifier
from tirage.workflows.agent import Workflow
from tirage.workflows.roles import Role
from tirage.workflows.turns import WorkflowRun

CASE = Problem(prompt="What is 6 times 7?", answer="42")


def failed(findings: Sequence[Finding]) -> str:
    return "\n".join(f"{item.name}: {item.detail}" for item in findings if not item.kept)


# models


@pytest.mark.parametrize("mode", ["ids", "text", "chat"])
async def test_a_scripted_model_keeps_its_promises(mode: Any) -> None:
    require(await check_model(ScriptedModel(lambda request: "It is forty-two, I should think.", mode=mode)))


async def test_broken_models_are_found() -> None:
    class Broken(ScriptedModel):
        def __init__(self, **changes: Any) -> None:
            super().__init__(lambda request: "It is forty-two, I should think.")
            self._changes = changes

        async def complete(self, request: Request) -> tuple[Completion, ...]:
            return tuple(replace(item, **self._changes) for item in await super().complete(request))

    class Endless(ScriptedModel):
        async def complete(self, request: Request) -> tuple[Completion, ...]:
            return await super().complete(replace(request, sampling=replace(request.sampling, max_tokens=500, stop=())))

    assert "its ids decode to" in failed(await check_model(Broken(text="something else")))
    assert "usage.model_calls" in failed(await check_model(Broken(usage=replace(Completion(text="", finish="stop").usage))))
    assert "it finished by 'eos'" in failed(await check_model(Broken(finish="eos")))
    told = failed(await check_model(Endless(lambda request: "It is forty-two.")))
    assert "max_tokens=1 gave 17 tokens" in told
    assert "did not stop it" in told


# verifiers


@pytest.mark.parametrize("name", ["math", "exact", "numeric"])
async def test_shipped_verifiers_keep_their_promises(name: str) -> None:
    require(await check_verifier(open_verifier(name), CASE, right="So \\boxed{42}", wrong="So \\boxed{41}"))


async def test_broken_verifiers_are_found() -> None:
    class Own(VerifierBase):
        name = "own/1"

        async def equal(self, answer: str, gold: str) -> bool | None:
            return answer == gold

    class Lenient(Own):
        async def verify(self, problem: Problem, response: str) -> Verdict:
            return Verdict(correct=True, score=1.0, verifier="lenient")

    class Fragile(Own):
        async def equal(self, answer: str, gold: str) -> bool | None:
            return int(answer) == int(gold)

    async def told(verifier: Any) -> str:
        return failed(await check_verifier(verifier, CASE, right="It is \\boxed{42}", wrong="\\boxed{41}"))

    assert await told(Own()) == ""
    assert "was not rejected" in await told(Lenient())
    assert "signed 'lenient', not 'own/1'" in await told(Lenient())
    assert "without a reference the response was accepted" in await told(Lenient())
    assert "ValueError" in await told(Fragile())


# recipes


def test_shipped_recipes_keep_their_promises() -> None:
    require(check_recipe(RFT, config=RFTConfig(stage="sample")))
    rescued = []
    for number in range(4):
        problem = make_problem(f"What is {number} times 7?", str(number * 7))
        rescued.append(make_rollout(Turn(text="3."), problem=problem, stage="train-alone", correct=False, answer="3"))
        turns = (Turn(hint="Let me use Python.\n", code=f"print({number} * 7)", output="OUTPUT"), Turn(text=f"So {number * 7}."))
        rescued.append(make_rollout(*turns, problem=problem, stage="train-hinted"))
    require(check_recipe(HintRFT, traces=rescued))


class Ranked(PairRecipe):
    name = "ranked"

    def pairs(self, problem: Problem, attempts: Sequence[Attempt]) -> Iterator[Pair]:
        right, wrong = ([item for item in attempts if item.correct is wanted] for wanted in (True, False))
        yield from (Pair(chosen, rejected) for chosen, rejected in zip(right, wrong, strict=False))


def test_a_recipe_of_pairs_keeps_them_too() -> None:
    require(check_recipe(Ranked))


def test_broken_recipes_are_found() -> None:
    class Everything(RFT):
        """Trains what tools wrote."""

        def _keep(self, build: Any, candidate: Any, run: str) -> Any:
            ids = tuple(token for span in candidate.trajectory.spans for token in span.ids or ())
            add = build.spool.add
            build.spool.add = lambda row, *more: add(replace(row, input_ids=ids, labels=ids), *more)
            try:
                return super()._keep(build, candidate, run)
            finally:
                build.spool.add = add

    class Unordered(Ranked):
        def pairs(self, problem: Problem, attempts: Sequence[Attempt]) -> Iterator[Pair]:
            Unordered.version += 1
            yield from super().pairs(problem, attempts)

    assert "trains tokens that the policy did not write" in failed(check_recipe(Everything, config=RFTConfig(stage="sample")))
    assert "depends on the order" in failed(check_recipe(Unordered))
    assert "made no pair" in failed(check_recipe(Ranked, traces=[make_rollout()]))


# systems


@pytest.mark.parametrize("name", ["tir", "t1", "socratic", "start", "critic-filter", "debate" if "debate" in shipped() else "lats"])
async def test_shipped_systems_keep_their_promises(name: str) -> None:
    require(await check_system(shipped()[name]))


class _Once(Workflow):
    role = Role(name="solver", template="{problem}", read=str, default="", answers=True)

    @property
    def id(self) -> str:
        return "once"

    async def run(self, flow: WorkflowRun) -> None:
        flow.offer(await flow.ask(self.role))


async def test_broken_systems_are_found() -> None:
    class Silent(_Once):
        async def run(self, flow: WorkflowRun) -> None:
            await flow.ask(self.role)

    class Leaky(_Once):
        sees_key = True

        async def run(self, flow: WorkflowRun) -> None:
            flow.offer(await flow.ask(replace(self.role, template="{problem} {hint}"), hint=flow.key))

    class Dice(_Once):
        async def run(self, flow: WorkflowRun) -> None:
            flow.offer(await flow.ask(replace(self.role, template="{problem} {now}"), now=time.perf_counter_ns()))

    def spec(workflow: Workflow, **more: Any) -> SystemSpec:
        return SystemSpec(name="own", summary="Asks once.", build=lambda parts: parts.workflow(workflow), **more)

    require(await check_system(spec(_Once())))
    assert "it chose no node" in failed(await check_system(spec(Silent())))
    leaky = await check_system(spec(Leaky()))
    assert {item.detail for item in leaky if item.status == "skipped"} == {"it is declared to see the reference answer"}
    assert "depends on the reference answer" in failed(await check_system(spec(Dice())))
    unsummed = await check_system(replace(spec(_Once()), summary=""))
    assert "it has no summary" in failed(unsummed)


# tools


async def test_tools_are_checked() -> None:
    def add(left: int, right: int) -> int:
        """The sum."""
        return left + right

    @tool
    def picky(word: str) -> str:
        """Breaks on what is long."""
        return word * (3 // max(1, 5 - len(word)))

    require(await check_tool(add, {"left": 1, "right": 2}))
    told = failed(await check_tool(picky, {"word": "a", "other": 1}))
    assert "good arguments gave invalid" in told
    assert ToolError.__name__ not in failed(await check_tool(picky, {"word": "ab"}))
    assert "good arguments gave" in failed(await check_tool(add, {"left": 1, "right": "x"}))


async def test_a_tool_that_breaks_on_odd_texts_is_found() -> None:
    @tool
    def first(word: str) -> str:
        """The first letter."""
        return word[0]

    assert "IndexError" in failed(await check_tool(first, {"word": "ab"}))


# embedders


def test_embedders_are_checked() -> None:
    require(check_embedder(HashingEmbedder()))

    class Long(HashingEmbedder):
        def embed(self, texts: Sequence[str], *, query: bool = False) -> Vectors:
            return super().embed(texts) * np.float32(2)

    class Moody(HashingEmbedder):
        count = 0

        def embed(self, texts: Sequence[str], *, query: bool = False) -> Vectors:
            self.count += 1
            return super().embed([f"{text} {self.count}" for text in texts])

    assert "scale them to 1" in failed(check_embedder(Long()))
    assert "other vectors the second time" in failed(check_embedder(Moody()))


def test_suites_are_imported_when_asked_for() -> None:
    code = "import sys, tirage.testing.scripted; print([name for name in sys.modules if name.startswith('tirage.testing.suites')])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
    with pytest.raises(AttributeError, match="no attribute 'check_nothing'"):
        assert tirage.testing.check_nothing
    assert asyncio.iscoroutinefunction(check_system)
