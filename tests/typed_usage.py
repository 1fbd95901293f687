"""What an editor infers for the doors and the building blocks. Type-checked only: nothing here runs."""

from collections.abc import Iterator
from pathlib import Path
from typing import assert_type

import tirage
from tirage import Agent, Budget, Model, Policy, Problem, Rollout, Sandbox, Search, Solution, Tool, Tree, Valuer, Verdict, Verifier, tool
from tirage.agents.dialects.base import Dialect, FencedPython, NativeTools
from tirage.agents.driver import StepEvent
from tirage.agents.explorer import Explorer, SolveContext
from tirage.agents.model_policy import ModelPolicy
from tirage.agents.policy import Draft
from tirage.core import Meter, Node, Observation, Source, Span, Step, StopReason, ToolCall, Trajectory, Usage
from tirage.evaluation import AtK, Interval, Outcome, Paired, Report, compare_paired, pass_at_k, read_outcomes, wilson
from tirage.judging.valuers import Confidence
from tirage.models.base import Completion, Request, Sampling
from tirage.models.local import open_local
from tirage.models.openai import open_openai
from tirage.problems import ProblemSet, ProblemSource, load_problems
from tirage.rollouts.runner import Runner, StageProgress
from tirage.runtime.config import AgentConfig, ImproveConfig, RunConfig, SamplingConfig, SearchConfig, SolveConfig
from tirage.runtime.config_files import load_config
from tirage.runtime.event_loop import run_sync
from tirage.runtime.runtime import Runtime
from tirage.runtime.solving import solve_async
from tirage.sandbox import ExecResult, Session, open_sandbox
from tirage.search.best_of_n import BestOfN
from tirage.testing.models import ReplayModel, ScriptedModel
from tirage.testing.sandbox import TableSandbox
from tirage.tools.function import FunctionTool
from tirage.tools.python import PythonTool
from tirage.traces import TraceStore
from tirage.traces.base import TraceSink
from tirage.training.dataset import Dataset
from tirage.training.manifest import Manifest
from tirage.training.recipes import RFT, HintRFT
from tirage.training.rows import TokenRow
from tirage.training.selection import Recipe
from tirage.verification import open_verifier


def doors(config: ImproveConfig) -> None:
    """The sync doors and what they give."""
    solution = tirage.solve("1 + 1?", model="nano", answer="2", best_of=3)
    assert_type(solution, Solution)
    assert_type(solution.answer, str | None)
    assert_type(solution.verdict, Verdict | None)
    assert_type(solution.trajectory, Trajectory | None)
    assert_type(solution.tree, Tree)
    assert_type(solution.run, Path | None)
    assert_type(tirage.improve(config), Report)
    assert_type(tirage.improve("round.yaml", run=Path("runs/x")), Report)
    assert_type(load_config(ImproveConfig, Path("round.yaml")), ImproveConfig)


@tool
def weather(city: str, days: int = 1) -> str:
    """Forecast for a city."""
    return f"{days} days of sun in {city}"


def every_argument(agent: Agent, model: Model) -> None:
    """Each way to say how a problem is solved."""
    assert_type(weather, FunctionTool)
    offered: list[Tool] = [weather]
    tirage.solve(Problem(prompt="1 + 1?", answer="2"), hint=False, run=None, seed=7)
    tirage.solve("1 + 1?", strategy="mcts", options={"width": 2}, budget=Budget(tokens_out=8000, nodes=64), run="runs/x")
    tirage.solve("1 + 1?", strategy=SearchConfig(strategy="beam"), model=model, tools=[*offered, str.upper, "mine:search"])
    tirage.solve("1 + 1?", agent="octotools", options={"steps": 3}, run=Path("runs/x"))
    tirage.solve("1 + 1?", agent=AgentConfig(best_of=3))
    tirage.solve("1 + 1?", agent=agent)


def what_is_no_argument() -> None:
    """A slip of the finger is seen by the type checker."""
    tirage.solve("1 + 1?", widht=3)  # type: ignore[call-arg]
    tirage.solve("1 + 1?", budget={"tokens": 8000})  # type: ignore[arg-type]
    tirage.solve("1 + 1?", best_of="3")  # type: ignore[arg-type]


async def runtime(config: RunConfig, problem: Problem) -> None:
    """Configuration in, open parts out."""
    async with Runtime(config) as opened:
        assert_type(opened, Runtime)
        assert_type(opened.model, Model)
        assert_type(opened.sandbox, Sandbox)
        assert_type(opened.agent(), Agent)
        assert_type(await opened.agent(sampling=SamplingConfig(temperature=0)).solve(problem, SolveContext(seed=0)), Tree)
    assert_type(await solve_async(problem, SolveConfig(sampling=SamplingConfig(temperature=0))), Solution)
    assert_type(run_sync(solve_async(problem)), Solution)


def values(trajectory: Trajectory, tree: Tree, rollout: Rollout) -> None:
    """The vocabulary."""
    assert_type(trajectory.steps, tuple[Step, ...])
    assert_type(trajectory.steps[0].spans, tuple[Span, ...])
    assert_type(trajectory.steps[0].calls, tuple[ToolCall, ...])
    assert_type(trajectory.steps[0].observations, tuple[Observation, ...])
    assert_type(trajectory.token_ids, tuple[int, ...] | None)
    assert_type(trajectory.token_sources, tuple[Source, ...] | None)
    assert_type(trajectory.stop, StopReason)
    assert_type(tree.nodes[0], Node)
    assert_type(tree.leaves(), Iterator[int])
    assert_type(tree.usage + Usage(), Usage)
    assert_type(rollout.correct, bool | None)


async def scripted_parts(problem: Problem) -> None:
    """Whatever is built by hand fits the port it is handed to."""
    local: Model = await open_local("folder")
    served: Model = await open_openai("http://localhost:8000/v1", "name")
    doubles: list[Model] = [ScriptedModel(["hi"]), ReplayModel.load(Path("calls.jsonl"))]
    dialects: list[Dialect] = [FencedPython(), NativeTools()]
    policy: Policy = ModelPolicy(doubles[0], dialects[0], sampling=Sampling())
    tool: Tool = PythonTool()
    search: Search = BestOfN(4)
    valuer: Valuer = Confidence()
    assert_type(valuer.sees_answer, bool)
    assert_type(search.is_closed(0), bool)
    async with open_sandbox() as sandbox:
        port: Sandbox = sandbox
        session: Session = await port.open()
        assert_type(await session.run("1 + 1"), ExecResult)
        assert_type(await session.branch(), Session)
    agent: Agent = Explorer(policy, tools={"python": tool}, sandbox=TableSandbox({}), search=lambda seed: BestOfN(4))
    tree = await agent.solve(problem, SolveContext(seed=0, meter=Meter(Budget(tokens_out=100)), on_step=seen))
    assert_type(tree, Tree)
    assert_type(await served.complete(Request(sampling=Sampling(), text="hi")), tuple[Completion, ...])
    verifier: Verifier = open_verifier("math")
    assert_type(await verifier.verify(problem, "2"), Verdict)
    await local.close()


def seen(event: StepEvent) -> None:
    """A callback."""
    assert_type(event.node, Node)
    assert_type(event.problem, Problem)


async def draft(policy: Policy, problem: Problem) -> Draft | None:
    """A policy's two halves."""
    _, prompt = policy.prompt(problem)
    assert_type(prompt, tuple[Span, ...])
    return None


def data(source: ProblemSource, outcomes: list[Outcome], runner: Runner) -> None:
    """Problems, traces, rows and numbers."""
    problems = load_problems(source)
    assert_type(problems, ProblemSet)
    assert_type(problems[0], Problem)
    store = TraceStore("runs/x")
    port: TraceSink = store
    port.keys()
    assert_type(store.read("before"), Iterator[Rollout])
    assert_type(read_outcomes(store.read()), list[Outcome])
    recipes: list[Recipe] = [RFT(), HintRFT()]
    assert_type(recipes[0].build(store, Path("rows")), Manifest)
    assert_type(Dataset("rows").rows(), Iterator[TokenRow])
    assert_type(pass_at_k(outcomes, 2), AtK)
    assert_type(wilson(3, 4), Interval)
    assert_type(compare_paired(outcomes, outcomes), Paired)


async def run_stage(runner: Runner, progress: StageProgress) -> None:
    """StageProgress is a value."""
    assert_type(progress.done, int)
    assert_type(progress.usage, Usage)
