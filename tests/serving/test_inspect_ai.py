import asyncio
import gc
import sys
from contextlib import asynccontextmanager

import pytest

from tirage.agents.dialects.base import FencedPython, NativeTools
from tirage.agents.explorer import Explorer
from tirage.agents.model_policy import ModelPolicy
from tirage.core.budget import Budget
from tirage.core.errors import ConfigError, MissingExtra, ModelRequestError, ModelUnavailable
from tirage.core.message import ToolCall
from tirage.models.base import Sampling
from tirage.runtime.config import SamplingConfig, SolveConfig
from tirage.serving.inspect_ai import as_solver
from tirage.testing.models import Reply, ScriptedModel
from tirage.tools.function import tool
from tirage.traces import TraceStore

pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # Inspect leaves streams open


@tool
def multiply(a: int, b: int) -> int:
    """Multiplies."""
    return a * b


def plain(model):
    return Explorer(ModelPolicy(model, FencedPython(), sampling=Sampling()), tools={}, sandbox=None)


SUMS = {"17 \\* 23": "I think so: \\boxed{391}.", "2 \\+ 2": "\\boxed{5}"}


@pytest.fixture
def evaluate(tmp_path, monkeypatch):
    """Runs a task on two sums and gives its samples."""
    inspect = pytest.importorskip("inspect_ai", reason="pip install 'tirage[inspect]'")
    from inspect_ai.dataset import Sample
    from inspect_ai.scorer import match

    def run(solver, *questions, **options):
        samples = [Sample(input=question, target=target) for question, target in questions or (("17 * 23?", "391"), ("2 + 2?", "4"))]
        task = inspect.Task(dataset=samples, solver=solver, scorer=match())
        (log,) = inspect.eval(task, model="mockllm/model", log_dir=str(tmp_path / "logs"), display="none", **options)
        return log

    yield run
    gc.collect()  # those streams, while they are of this test


def test_an_agent_solves_an_inspect_task(evaluate, tmp_path):
    with TraceStore(tmp_path / "run") as store:
        log = evaluate(as_solver(plain(ScriptedModel(SUMS)), store=store))
        kept = {rollout.key: rollout for rollout in store.read()}
    assert log.status == "success"
    assert log.results.scores[0].metrics["accuracy"].value == 0.5
    first, second = log.samples
    assert [sample.output.completion for sample in log.samples] == ["391", "5"]
    assert [(message.role, message.text) for message in first.messages] == [
        ("user", "17 * 23?"),
        ("assistant", "I think so: \\boxed{391}."),
    ]
    told = first.metadata["tirage"]
    rollout = kept[told["key"]]
    assert rollout.trajectory.response == "I think so: \\boxed{391}."
    assert rollout.problem.prompt == "17 * 23?"
    assert (told["answer"], told["stop"], told["nodes"], told["ended"]) == ("391", "answered", 1, "")
    assert told["usage"]["tokens_out"] == rollout.tree.usage.tokens_out == first.output.usage.output_tokens > 0
    assert second.metadata["tirage"]["key"] in kept


def test_messages_hold_the_calls_and_an_agent_is_open_while_it_is_needed(evaluate):
    standing = []

    @asynccontextmanager
    async def opening():
        call = ToolCall(name="multiply", arguments='{"a": 17, "b": 23}', id="c1")
        model = ScriptedModel([Reply(tool_calls=(call,)), "It is \\boxed{391}."], mode="chat")
        standing.append("open")
        yield Explorer(
            ModelPolicy(model, NativeTools(), sampling=Sampling(), tools=(multiply.spec,)), tools={"multiply": multiply}, sandbox=None
        )
        standing.append("closed")

    log = evaluate(as_solver(opening, whole=True), ("17 * 23?", "391"), epochs=2, max_samples=1)
    assert standing == ["open", "closed"] * 2
    for sample in log.samples:
        assert [message.role for message in sample.messages] == ["user", "assistant", "tool", "assistant"]
        _, asked, answered, _ = sample.messages
        assert [(call.function, call.arguments, call.id) for call in asked.tool_calls] == [("multiply", {"a": 17, "b": 23}, "c1")]
        assert (answered.tool_call_id, answered.text) == ("c1", "391")
        assert sample.output.completion == "It is \\boxed{391}."
        assert sample.metadata["tirage"]["usage"]["tool_calls"] == 1


def test_samples_at_work_together_share_what_is_open(evaluate):
    opened = []

    class Meeting(ScriptedModel):
        both = asyncio.Event()

        async def complete(self, request):
            said = await super().complete(request)
            if len(self.requests) == 2:
                self.both.set()
            await self.both.wait()
            return said

    @asynccontextmanager
    async def opening():
        opened.append(1)
        yield plain(Meeting(SUMS))

    log = evaluate(as_solver(opening), max_samples=2)
    assert (log.status, len(log.samples), opened) == ("success", 2, [1])


def test_what_broke_is_an_error_and_not_a_wrong_answer(evaluate):
    model = ScriptedModel({"17": ModelUnavailable("it is gone"), "3": ModelRequestError("it is too long"), "2 \\+ 2": "\\boxed{4}"})
    log = evaluate(as_solver(plain(model)), ("17 * 23?", "391"), ("3?", "3"), ("2 + 2?", "4"), fail_on_error=False)
    assert "ModelUnavailable('it is gone')" in log.samples[0].error.message
    assert "model failed: ModelRequestError: it is too long" in log.samples[1].error.message
    assert (log.samples[2].error, log.samples[2].output.completion) == (None, "4")

    @asynccontextmanager
    async def opening():
        raise ConfigError("there is no such model")
        yield

    log = evaluate(as_solver(opening), fail_on_error=False)
    assert ["there is no such model" in sample.error.message for sample in log.samples] == [True, True]


def test_a_spent_budget_is_told(evaluate):
    log = evaluate(as_solver(plain(ScriptedModel(SUMS)), budget=Budget(model_calls=0)))
    told = log.samples[0].metadata["tirage"]
    assert (told["ended"], told["answer"], log.samples[0].output.completion) == ("budget: model_calls", None, "")


def test_a_model_string_and_a_configuration(evaluate, tmp_path):
    script = tmp_path / "script.txt"
    script.write_text("\\boxed{391}\n")
    model = f"scripted/{script}"
    for given in (model, SolveConfig(model=model, sampling=SamplingConfig(max_tokens=64))):
        log = evaluate(as_solver(given), ("17 * 23?", "391"))
        assert log.results.scores[0].metrics["accuracy"].value == 1.0


def test_one_store_takes_repeated_questions_and_epochs(evaluate, tmp_path):
    with TraceStore(tmp_path / "run") as store:
        solver = as_solver(plain(ScriptedModel(SUMS)), store=store, stage="exam")
        log = evaluate(solver, ("2 + 2?", "4"), ("2 + 2?", "4"), epochs=2)
        keys = sorted(sample.metadata["tirage"]["key"] for sample in log.samples)
        assert [key.rpartition("/")[2] for key in keys] == ["0", "1", "2", "3"]
        assert set(keys) == store.keys("exam")


def test_without_inspect(monkeypatch):
    monkeypatch.setitem(sys.modules, "inspect_ai.solver", None)
    with pytest.raises(MissingExtra, match=r"pip install 'tirage\[inspect\]'"):
        as_solver("nano")
