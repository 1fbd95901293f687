"""The orchestration task with tirage: `Runner`, `Explorer`, `ModelPolicy`, `OpenAIModel`, a verifier and a store.

Variants: `memory` keeps rollouts in a list, `disk` appends them to a `TraceStore`, `ids` continues token ids with
log-probabilities, runs its tool as code in a session double and appends to a `TraceStore`; `http` is the model's HTTP layer
alone, the part of the cost that is not orchestration.
"""

import asyncio
import json
import sys
import tempfile
from pathlib import Path

from task import ANSWER, CALLS_EACH, CLOSING, MODEL, PRODUCT, WARM_UP, Clock, Load, Spent, multiply, question, read_load, report

from tirage.agents.dialects.base import OUTPUT_FENCE, FencedPython, NativeTools
from tirage.agents.explorer import Explorer
from tirage.agents.model_policy import ModelPolicy
from tirage.core import Observation, Problem, Rollout, ToolCall, Verdict
from tirage.models.base import Model, Sampling
from tirage.models.openai import OpenAIModel, open_openai
from tirage.models.openai.server import Server
from tirage.models.openai.wire import Facts
from tirage.models.template import HFRenderer
from tirage.rollouts.runner import Runner, Stage
from tirage.runtime.event_loop import run_sync
from tirage.sandbox.base import ExecResult, Session
from tirage.search.best_of_n import BestOfN
from tirage.testing.sandbox import TableSandbox
from tirage.tools.base import Tool, ToolSpec
from tirage.tools.python import PythonTool
from tirage.traces import TraceSink, TraceStore
from tirage.verification.extract import extract

TOKENIZER = Path(__file__).parents[2] / "tirage" / "models" / "nano"
CODE = "print('product:', 6 * 7)"
CELL = f"I multiply the two factors with Python.\n```python\n{CODE}\n```\n{OUTPUT_FENCE}"


class Memory:
    """Rollouts in a list."""

    def __init__(self) -> None:
        self.rollouts: list[Rollout] = []

    def append(self, rollout: Rollout) -> None:
        """Keep it."""
        self.rollouts.append(rollout)

    def keys(self, stage: str | None = None) -> set[str]:
        """Keys of the stage."""
        return {rollout.key for rollout in self.rollouts if stage in (None, rollout.stage)}


class Holds:
    """Right when the answer stands in the response."""

    name = "holds/1"

    async def verify(self, problem: Problem, response: str) -> Verdict:
        """A verdict."""
        return Verdict(correct=ANSWER in response, verifier=self.name, answer=ANSWER)


class Multiply(Tool):
    """The peers' function tool."""

    spec = ToolSpec(
        name="multiply",
        description="Multiply two whole numbers.",
        parameters={"type": "object", "properties": {"a": {"type": "integer"}, "b": {"type": "integer"}}, "required": ["a", "b"]},
    )

    async def call(self, call: ToolCall, session: Session | None) -> Observation:
        """Run one call."""
        return Observation(text=multiply(**json.loads(call.arguments)), call_id=call.id)


async def run(load: Load) -> Spent:
    """Do the load."""
    if load.variant == "http":
        return await _http(load)
    model = await _open(load)
    with tempfile.TemporaryDirectory() as folder:
        agent = _agent(model, load)
        warm = Stage(name="warm", problems=_problems(WARM_UP), model=model.name)
        await Runner(agent, lambda _: Holds(), Memory(), seed=0).run(warm)
        stage = Stage(name="load", problems=_problems(load.rollouts), model=model.name)
        store: TraceSink = Memory() if load.variant == "memory" else TraceStore(folder)
        runner = Runner(agent, lambda _: Holds(), store, seed=0, concurrency=load.slots)
        clock = Clock()
        clock.start(load)
        progress = await runner.run(stage)
        spent = clock.stop(progress.correct)
        if isinstance(store, TraceStore):
            store.close()
    await model.close()
    return spent


def _agent(model: Model, load: Load) -> Explorer:
    if load.task == "answer":
        tool, dialect = None, FencedPython()
    elif load.variant == "ids":
        tool, dialect = PythonTool(), FencedPython()
    else:
        tool, dialect = Multiply(), NativeTools()
    tools: dict[str, Tool] = {} if tool is None else {tool.spec.name: tool}
    sampling = Sampling(temperature=1.0, max_tokens=256, logprobs=load.variant == "ids")
    return Explorer(
        ModelPolicy(model, dialect, sampling=sampling, tools=[tool.spec for tool in tools.values()]),
        tools=tools,
        sandbox=TableSandbox({CODE: ExecResult(stdout=PRODUCT + "\n")}) if load.variant == "ids" else None,
        search=lambda seed: BestOfN(1),
        answer_of=lambda response: extract(response).answer,
    )


async def _open(load: Load) -> OpenAIModel:
    if load.variant == "ids":
        facts = Facts(completions=True, ids=True, logprobs=0, stop_included=True, seed=True)
        return OpenAIModel(Server(load.url, connections=2 * load.slots), MODEL, facts, HFRenderer(TOKENIZER))
    return await open_openai(load.url, MODEL, connections=2 * load.slots, facts=Facts(chat=True, tools=True, seed=True))


def _problems(count: int) -> tuple[Problem, ...]:
    return tuple(Problem(prompt=question(number), answer=ANSWER) for number in range(count))


async def _http(load: Load) -> Spent:
    """As many calls through the HTTP layer alone."""
    server = Server(load.url, connections=2 * load.slots)
    payload = {"model": MODEL, "messages": [{"role": "user", "content": question(0)}], "max_tokens": 256, "temperature": 1.0}

    async def work(numbers: "iter[int]") -> None:
        for _ in numbers:
            await server.post("/chat/completions", payload)

    await work(iter(range(WARM_UP)))
    clock = Clock()
    clock.start(load)
    numbers = iter(range(load.rollouts * CALLS_EACH[load.task]))
    await asyncio.gather(*(work(numbers) for _ in range(load.slots)))
    spent = clock.stop(load.rollouts)
    await server.close()
    return spent


def ids_script() -> list[dict[str, object]]:
    """Answers of a server that takes and gives token ids, in the tokenizer of the embedded model."""
    renderer = HFRenderer(TOKENIZER)
    eos = min(renderer.eos_ids)
    shown = ",".join(map(str, renderer.encode(PRODUCT + "\n")))
    last = _completion(CLOSING, (*renderer.encode(CLOSING), eos), None)
    first = _completion(CELL, renderer.encode(CELL), OUTPUT_FENCE)
    return [{"path": "/v1/completions", "mark": shown, "body": last}, {"path": "/v1/completions", "body": first}]


def _completion(text: str, ids: tuple[int, ...], stop: str | None) -> dict[str, object]:
    choice = {
        "index": 0,
        "text": text,
        "finish_reason": "stop",
        "stop_reason": stop,
        "token_ids": list(ids),
        "prompt_token_ids": "@PROMPT_IDS@",
        "logprobs": {"token_logprobs": [-0.25] * len(ids)},
    }
    usage = {"prompt_tokens": 100, "completion_tokens": len(ids), "total_tokens": 100 + len(ids)}
    return {"id": "cmpl-1", "object": "text_completion", "created": 1, "model": MODEL, "choices": [choice], "usage": usage}


if __name__ == "__main__":
    if sys.argv[1] == "ids-script":
        print(json.dumps(ids_script()))
    else:
        report(run_sync(run(read_load())))
