import json

import pytest
from pydantic import BaseModel

from tirage.agents.explorer import SolveContext
from tirage.agents.replies import Unreadable, as_json, number, numbered, one_of, whole
from tirage.core.budget import Budget, Meter
from tirage.core.errors import ConfigError, ModelRequestError, ModelUnavailable
from tirage.core.problem import Problem
from tirage.core.step import Finish, Source
from tirage.core.trajectory import StopReason
from tirage.core.tree import ROOT
from tirage.rollouts.runner import judge
from tirage.sandbox import SandboxConfig, open_sandbox
from tirage.testing.logs import MemoryLog
from tirage.testing.models import Reply, ScriptedModel
from tirage.tools.python import PythonTool
from tirage.verification.factory import open_verifier
from tirage.workflows.agent import Workflow, WorkflowAgent
from tirage.workflows.role_models import RoleModels
from tirage.workflows.roles import Role
from tirage.workflows.turns import Call, WorkflowRun

PLANNER = Role(name="planner", template="Plan: {problem}", system="You plan.", read=whole, default="just do it")
EXECUTOR = Role(name="executor", template="{problem}\nPlan: {plan}", read=whole, default="", tools=("python",), answers=True)
CRITIC = Role(name="critic", template="Is {answer} right for {problem}?", read=one_of("yes", "no"), default="no")
PROBLEM = Problem(prompt="What is 6 * 7?", answer="nonce-4711", metadata={"solution": "nonce-4711"})


class PlanDoCheck(Workflow):
    id = "plan-do-check"

    async def run(self, flow: WorkflowRun) -> None:
        plan = await flow.ask(PLANNER)
        done = await flow.ask(EXECUTOR, after=plan.node, plan=plan.value)
        flow.offer(done)
        verdict = await flow.ask(CRITIC, after=done.node, answer=done.value)
        flow.rate(done, float(verdict.value == "yes"))


SCRIPT = {
    "planner": ["multiply"],
    "executor": ["```python\nprint(6 * 7)\n```\n```output", "So \\boxed{42}."],
    "critic": ["Looks good: YES"],
}


async def perform(model, workflow=None, **options):
    async with open_sandbox(SandboxConfig()) as sandbox:
        cast = RoleModels(model=model, tools={"python": PythonTool()}, sandbox=sandbox)
        agent = WorkflowAgent(workflow or PlanDoCheck(), cast, budget=options.pop("budget", None))
        return await agent.solve(PROBLEM, SolveContext(seed=7, **options))


async def test_turns_are_nodes_of_one_tree():
    model = ScriptedModel(tags=SCRIPT)
    tree = await perform(model)
    model.assert_done()
    assert [node.move for node in tree.nodes] == ["", "planner", "executor", "executor", "critic"]
    assert [node.parent for node in tree.nodes] == [-1, 0, 1, 2, 3]
    assert [node.stop for node in tree.nodes[1:]] == [StopReason.OPEN, StopReason.OPEN, StopReason.ANSWERED, StopReason.OPEN]
    assert tree.chosen == 3
    assert tree.values == {3: 1.0}
    assert tree.usage.model_calls == 4
    assert tree.usage.tool_calls == 1


async def test_a_path_is_what_one_model_read_and_wrote():
    tree = await perform(ScriptedModel(tags=SCRIPT))
    path = tree.trajectory(3)
    assert path.prompt[0].text == "<|user|>\nWhat is 6 * 7?\nPlan: multiply\n<|assistant|>\n"
    assert path.response.startswith("```python\nprint(6 * 7)\n```\n```output\n42\n```\nSo")
    assert path.token_ids is not None
    assert tree.trajectory(4).response == "Looks good: YES"
    assert tree.trajectory(1).prompt[0].text.startswith("<|system|>\nYou plan.")
    assert Source.PROMPT not in {span.source for step in path.steps for span in step.spans}


async def test_only_answers_are_judged():
    tree = await perform(ScriptedModel(tags=SCRIPT))
    verifier = open_verifier("math")
    try:
        verdicts = await judge(tree, Problem(prompt="What is 6 * 7?", answer="42"), verifier)
    finally:
        await verifier.close()
    assert {index: verdict.correct for index, verdict in verdicts.items()} == {3: True}


async def test_nobody_sees_the_key_but_a_role_that_is_declared_to():
    model = ScriptedModel(tags=SCRIPT)
    await perform(model)
    assert not any("nonce-4711" in repr(request) for request in model.requests)
    seer = Role(name="seer", template="The key is {key}.", read=whole, default="", sees_key=True)

    class See(Workflow):
        id = "see"
        sees_key = True

        async def run(self, flow):
            assert "nonce-4711" not in repr(flow.problem)
            await flow.ask(seer)

    open_model = ScriptedModel(["aha"])
    await perform(open_model, See())
    assert "nonce-4711" in repr(open_model.requests[0].messages or bytes(open_model.requests[0].ids))

    class Peep(Workflow):
        id = "peep"
        sees_key = True

        async def run(self, flow):
            await flow.ask(Role(name="peep", template="{key}", read=whole, default=""))

    with pytest.raises(ValueError, match="role 'peep' is asked without 'key'"):
        await perform(ScriptedModel(["x"]), Peep())

    class Undeclared(Workflow):
        id = "undeclared"

        async def run(self, flow):
            assert flow.key is None
            await flow.ask(seer)

    with pytest.raises(ValueError, match="role 'seer' is asked without 'key'"):
        await perform(ScriptedModel(["x"]), Undeclared())


@pytest.mark.parametrize("calls", [0, 1, 2, 3])
async def test_a_limit_ends_the_play_with_the_best_answer_so_far(calls):
    tree = await perform(ScriptedModel(tags=SCRIPT), budget=Budget(model_calls=calls))
    assert tree.ended == "budget: model_calls"
    assert tree.usage.model_calls == calls
    assert tree.chosen == (ROOT, ROOT, 2, 3)[calls]


async def test_a_budget_above_is_shared():
    above = Meter(Budget(model_calls=1))
    tree = await perform(ScriptedModel(tags=SCRIPT), meter=above)
    assert (tree.ended, above.spent.model_calls, above.reserved.model_calls) == ("budget: model_calls", 1, 0)


async def test_what_is_in_the_log_is_not_asked_again():
    whole_log = MemoryLog()
    first = await perform(ScriptedModel(tags=SCRIPT), log=whole_log)
    assert len(whole_log.kept) == 4
    for cut in range(5):
        log = MemoryLog(whole_log.kept[:cut])
        left = ["planner", "executor", "executor", "critic"][cut:]
        model = ScriptedModel(tags={role: SCRIPT[role][-left.count(role) :] if role in left else [] for role in SCRIPT})
        again = await perform(model, log=log)
        model.assert_done()
        assert len(model.requests) == 4 - cut
        assert [(node.parent, node.move, node.step.text) for node in again.nodes[1:]] == [
            (node.parent, node.move, node.step.text) for node in first.nodes[1:]
        ]


async def test_turns_together_join_in_the_order_of_asking():
    class Three(Workflow):
        id = "three"

        async def run(self, flow):
            turns = await flow.together([Call(role=CRITIC, fields={"answer": number}, draw=number) for number in range(3)])
            assert [turn.value for turn in turns] == ["yes", "no", "no"]
            assert [turn.readable for turn in turns] == [True, False, True]

    said = {"Is 0": "yes", "Is 1": "well", "Is 2": "no"}
    tree = await perform(ScriptedModel(said), Three())
    assert [(node.parent, node.sample, node.step.text) for node in tree.nodes[1:]] == [(0, 0, "yes"), (0, 1, "well"), (0, 2, "no")]
    assert tree.notes == {2: "default taken: none of yes, no"}


async def test_a_broken_turn_gives_the_default_and_a_dead_server_ends_the_run():
    tree = await perform(ScriptedModel(tags={**SCRIPT, "planner": [ModelRequestError("too long")]}))
    assert tree.nodes[1].error is not None
    assert tree.nodes[1].error.message == "too long"
    assert "Plan: just do it" in tree.trajectory(3).prompt[0].text
    assert tree.chosen == 3
    with pytest.raises(ModelUnavailable):
        await perform(ScriptedModel([ModelUnavailable("no server")]))


async def test_a_role_with_a_tool_that_nobody_has():
    class Search(Workflow):
        id = "search"

        async def run(self, flow):
            await flow.ask(Role(name="finder", template="x", read=whole, default="", tools=("search",)))

    with pytest.raises(ConfigError, match="role 'finder' wants the tool 'search', which is not there; tools: python"):
        await perform(ScriptedModel(), Search())


async def test_a_turn_cut_at_its_limit_is_read_as_far_as_it_went():
    tree = await perform(ScriptedModel(tags={**SCRIPT, "planner": [Reply(text="multipl", cut=True)]}))
    assert (tree.nodes[1].stop, tree.nodes[1].step.finish) == (StopReason.OPEN, Finish.LENGTH)
    assert "Plan: multipl" in tree.trajectory(3).prompt[0].text


class Verdict(BaseModel):
    ok: bool
    why: str = ""


@pytest.mark.parametrize(
    ("read", "text", "value"),
    [
        (as_json(Verdict), 'I think {x}\n```json\n{"ok": true, "why": "a {b}"}\n```', Verdict(ok=True, why="a {b}")),
        (as_json(Verdict), '{"ok": false} then {"ok": true}', Verdict(ok=True)),
        # The object that is meant: not its inner one, not an example, before it or behind it, not one that fits nothing.
        (as_json(Verdict), '{"ok": true, "why": "x", "more": {"ok": false,}}', Verdict(ok=True, why="x")),
        (as_json(Verdict), '{"ok": true}\n\nFor example, {"ok": false} would mean a mistake.', Verdict(ok=True)),
        (as_json(Verdict), '```json\n{"ok": true}\n```\nAn example of the other reply:\n```json\n{"ok": false}\n```', Verdict(ok=True)),
        (as_json(Verdict), "The format is {\"ok\": false}. Mine:\n{\"ok\": true, 'why': 'a'}", Verdict(ok=True, why="a")),
        (as_json(Verdict), '{"ok": true}\nI also found {"name": "x"} in it.', Verdict(ok=True)),
        (as_json(Verdict), 'For example:\n{"ok": true}', Verdict(ok=True)),
        (one_of("stop", "continue"), "do not Stop, CONTINUE.", "continue"),
        (one_of("stop", "continue", label="Conclusion:"), "stop\nConclusion: **stop** continue", "stop"),
        (number(0, 1), "Score: 0.75", 0.75),
        (numbered(2), "1. a?\n- b?\n\n3) c?", ("a?", "b?")),
    ],
)
def test_reading(read, text, value):
    assert read(text) == value


@pytest.mark.parametrize(
    ("read", "text", "reason"),
    [
        (as_json(Verdict), "no", "there is no JSON object"),
        (as_json(Verdict), json.dumps({"ok": "perhaps"}), "ok: Input should be a valid boolean"),
        (as_json(Verdict), 'E.g. {"ok": true} or for example {"ok": false}', "different examples"),
        (as_json(Verdict), '{"why": "cut", "ok', "there is no JSON object"),
        (one_of("stop"), "nonstop", "none of stop"),
        (number(0, 1), "7", r"7 is not in \[0, 1\]"),
        (numbered(3), " \n", "no line"),
        (whole, " ", "the reply is empty"),
    ],
)
def test_what_cannot_be_read(read, text, reason):
    with pytest.raises(Unreadable, match=reason):
        read(text)
