"""What every system promises.

    require(await check_system(SPEC))

The models are scripted: they say `replies`, or that the answer is 42, whatever they are asked.
"""

import asyncio
import random
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import Any

from tirage.agents.explorer import Agent, Explorer, SolveContext
from tirage.agents.search_options import PathLimits, SearchOptions
from tirage.core.budget import Budget
from tirage.core.errors import ConfigError
from tirage.core.problem import Problem
from tirage.core.tree import ROOT, Tree
from tirage.models.base import Request, Sampling
from tirage.sandbox.base import Limits, Sandbox
from tirage.systems.parts import AgentParts
from tirage.systems.registry import build
from tirage.systems.spec import SystemSpec
from tirage.testing.canary import Canary
from tirage.testing.scripted import Reply, ScriptedModel
from tirage.testing.suites.findings import Finding, Skipped, demand, try_each
from tirage.tools.python import PythonTool
from tirage.workflows.agent import WorkflowAgent

Replies = Callable[[Request], str | Reply]
PROBLEM = Problem(prompt="What is 6 times 7?", answer="42")
STEP = 64
"""Tokens of a turn at most, where the budget is tried."""
PATIENCE_S = 60.0
PIECES = (
    *("", " ", "\n", "The", " answer", " is", " 17", "{", "}", '"', "```", "```python\n", "print(1)\n", "```output", "\n\n", "Step 1:"),
    *("<step>", "</step>", "<answer>", "</answer>", "\\boxed{", "Score: ", "Verdict: ", "correct", "stop", "<think>", "</think>", "[1, 2]"),
)


@dataclass(frozen=True, slots=True)
class _Case:
    spec: SystemSpec
    replies: Replies
    options: dict[str, Any]
    parts: dict[str, Any] = field(default_factory=dict)

    def agent(self, model: ScriptedModel, **parts: Any) -> Agent:
        """The system over a model."""
        given: dict[str, Any] = {
            "sampling": Sampling(temperature=1.0, max_tokens=2048),
            "tools": {"python": PythonTool(limits=Limits(wall_s=5.0))},
            "limits": PathLimits(concurrency=4),
            "search_options": SearchOptions(budget=Budget(model_calls=60)),
        }
        return build(self.spec, AgentParts(model=model, **{**given, **self.parts, **parts}), self.options)

    async def solve(self, model: ScriptedModel, problem: Problem = PROBLEM, seed: int = 0, **parts: Any) -> Tree:
        """A tree, within a minute."""
        return await asyncio.wait_for(self.agent(model, **parts).solve(problem, SolveContext(seed=seed)), PATIENCE_S)


def forty_two(request: Request) -> str:
    """What the models say unless the caller knows better."""
    return "6 times 7 is 42, so the answer is \\boxed{42}."


async def check_system(
    spec: SystemSpec, replies: Replies = forty_two, *, options: dict[str, Any] | None = None, sandbox: Sandbox | None = None
) -> list[Finding]:
    """Check a system with `options`; `replies` say what its roles can read, and `sandbox` runs what they write, if anything."""
    return await try_each("system", _Case(spec, replies, options or {}, {"sandbox": sandbox}), PROMISES)


def _spec(case: _Case) -> None:
    spec = case.spec
    demand(isinstance(spec, SystemSpec), f"it is a {type(spec).__name__}; give a SystemSpec")
    demand(spec.name.strip() and ":" not in spec.name, f"its name is {spec.name!r}")
    demand(spec.summary.strip(), "it has no summary, which lists show")
    demand(isinstance(spec.defaults, dict), "its options cannot be told from its signature")


def _strict(case: _Case) -> None:
    try:
        build(case.spec, AgentParts(model=ScriptedModel(case.replies), sampling=Sampling()), {"no_such_option": 1})
    except ConfigError:
        return
    demand(False, "an option that it does not have is taken")


async def _solves(case: _Case) -> None:
    for mode in ("ids", "chat"):
        model = ScriptedModel(case.replies, mode=mode)
        tree = await case.solve(model)
        broken = [node.error for node in tree.nodes if node.error is not None]
        demand(not broken, f"something broke around its model ({mode}): {broken[:1]}")
        demand(model.requests, f"it asked no model ({mode})")
        demand(tree.chosen != ROOT, f"it chose no node ({mode}); offer a turn, or have a role that answers")
        demand(tree.problem_id in (PROBLEM.id, PROBLEM.asked.id), "its tree is of another problem")


async def _metered(case: _Case) -> None:
    for budget in (100, 700):
        model = ScriptedModel(lambda request: "I think, and think again. Score: 7. " * 40)
        limited = SearchOptions(budget=Budget(tokens_out=budget))
        tree = await case.solve(model, sampling=Sampling(temperature=1.0, max_tokens=STEP), search_options=limited)
        written = tree.usage.tokens_out
        demand(written <= budget + STEP, f"a budget of {budget} tokens was overrun to {written}, by more than a turn of {STEP}")


async def _same(case: _Case) -> None:
    trees = [await case.solve(ScriptedModel(case.replies), seed=3) for _ in range(2)]
    first, second = ([(node.parent, node.sample, node.move, node.step and node.step.text) for node in tree.nodes] for tree in trees)
    demand(first == second, "the same seed gave two different trees")


async def _unseen(case: _Case) -> None:
    canary, model = Canary(), ScriptedModel(case.replies)
    agent = case.agent(model)
    if isinstance(agent, WorkflowAgent) and agent.workflow.sees_key:
        raise Skipped("it is declared to see the reference answer")
    if not isinstance(agent, WorkflowAgent | Explorer):
        raise Skipped(f"of a {type(agent).__name__} only the requests can be watched")
    canary.guard(agent)
    await asyncio.wait_for(agent.solve(canary.problem, SolveContext(seed=0)), PATIENCE_S)
    try:
        canary.check(model)
    except AssertionError as error:
        demand(False, str(error))


async def _blind(case: _Case) -> None:
    asked = []
    for answer in ("42", "977", None):
        model = ScriptedModel(case.replies)
        agent = case.agent(model)
        if isinstance(agent, WorkflowAgent) and agent.workflow.sees_key:
            raise Skipped("it is declared to see the reference answer")
        await asyncio.wait_for(agent.solve(Problem(prompt=PROBLEM.prompt, answer=answer), SolveContext(seed=0)), PATIENCE_S)
        asked.append(sorted((asdict(request) for request in model.requests), key=repr))
    demand(asked[0] == asked[1] == asked[2], "what its models are asked depends on the reference answer")


async def _babble(case: _Case) -> None:
    for seed in range(3):
        draw = random.Random(seed)

        def say(request: Request, draw: random.Random = draw) -> Reply:
            return Reply(text="".join(draw.choice(PIECES) for _ in range(draw.randrange(14))), cut=draw.random() < 0.2)

        limited = SearchOptions(budget=Budget(tokens_out=1500, model_calls=80))
        tree = await case.solve(ScriptedModel(say), seed=seed, sampling=Sampling(temperature=1.0, max_tokens=120), search_options=limited)
        broken = [node.error for node in tree.nodes if node.error is not None]
        demand(not broken, f"a model that says nothing sensible broke it: {broken[:1]}")


PROMISES: dict[str, Callable[[_Case], Any]] = {
    "it has a name, a summary and options": _spec,
    "an unknown option is refused": _strict,
    "it solves a problem, by token ids and by chat": _solves,
    "its budget holds to within a turn": _metered,
    "the same seed gives the same tree": _same,
    "the reference answer is out of its reach": _unseen,
    "what it asks does not depend on the reference answer": _blind,
    "it ends on a model that babbles": _babble,
}
