import json
import os
import signal
import subprocess
import sys
import time

import pytest

from tests.workflows.two_steps import PROBLEM, perform
from tirage.core.errors import DataError
from tirage.core.step import Source
from tirage.workflows.approval import Action, ApprovalDecision, ApprovalGate, ApprovalRequest, Paused, PausedLog, PausedRun
from tirage.workflows.turns import PERSON


class Says:
    def __init__(self, *decisions):
        self.decisions = list(decisions)
        self.requests = []

    async def decide(self, request):
        self.requests.append(request)
        return self.decisions.pop(0) if self.decisions else None


async def test_approved_goes_on():
    boss = Says(ApprovalDecision(action=Action.APPROVE))
    model, tree = await perform(ApprovalGate([boss]), {"planner": ["multiply"], "executor": ["42"]})
    assert boss.requests == [ApprovalRequest(number=0, role="planner", text="multiply", asked="Plan: 6 * 7?")]
    assert tree.trajectory(tree.chosen).response == "42"
    assert "by multiply" in tree.trajectory(tree.chosen).prompt[0].text
    model.assert_done()


async def test_a_modified_turn_is_the_persons_own_words():
    _, tree = await perform(
        ApprovalGate([Says(ApprovalDecision(action=Action.MODIFY, text="add"))]), {"planner": ["multiply"], "executor": ["13"]}
    )
    assert [node.move for node in tree.nodes[1:]] == ["planner", PERSON, "executor"]
    assert [span.source for span in tree.nodes[2].step.spans] == [Source.FORCED]
    assert "by add" in tree.trajectory(3).prompt[0].text


async def test_a_rejected_turn_is_taken_again_with_the_objection():
    boss = Says(ApprovalDecision(action=Action.REJECT, text="too short"), ApprovalDecision(action=Action.APPROVE))
    model, tree = await perform(ApprovalGate([boss]), {"planner": ["x", "multiply"], "executor": ["42"]})
    asked = bytes(model.requests[1].ids).decode()
    assert "Plan: 6 * 7?" in asked
    assert "rejected:\nx" in asked
    assert "too short" in asked
    assert [request.number for request in boss.requests] == [0, 1]
    assert "by multiply" in tree.trajectory(tree.chosen).prompt[0].text


async def test_what_is_escalated_goes_to_the_next_in_charge():
    first, second = Says(ApprovalDecision(action=Action.ESCALATE)), Says(ApprovalDecision(action=Action.APPROVE))
    await perform(ApprovalGate([first, second]), {"planner": ["multiply"], "executor": ["42"]})
    assert [request.level for request in second.requests] == [1]
    with pytest.raises(Paused):
        await perform(ApprovalGate([Says(ApprovalDecision(action=Action.ESCALATE))]), {"planner": ["multiply"], "executor": []})


async def test_terminated_ends_with_what_there_is():
    _, tree = await perform(
        ApprovalGate([Says(ApprovalDecision(action=Action.TERMINATE, by="Ann", text="enough"))]), {"planner": ["m"], "executor": []}
    )
    assert (tree.ended, tree.chosen, len(tree.nodes)) == ("ended by Ann: enough", 0, 2)


async def test_a_paused_run_goes_on_from_its_file(tmp_path):
    record, gate, file = PausedLog(), ApprovalGate(), tmp_path / "run.json"

    def write(request):
        PausedRun(problem=PROBLEM, seed=1, agent={"team": "x"}, settled=tuple(record.settled), waiting=request).save(file)

    gate.on_wait = write
    with pytest.raises(Paused, match="planner"):
        await perform(gate, {"planner": ["multiply"], "executor": []}, log=record)
    run = PausedRun.load(file)
    assert run.waiting == ApprovalRequest(number=0, role="planner", text="multiply", asked="Plan: 6 * 7?")
    again = ApprovalGate(decided={0: ApprovalDecision(action=Action.APPROVE)})
    model, tree = await perform(again, {"planner": [], "executor": ["42"]}, log=PausedLog(run.settled))
    model.assert_done()
    assert tree.trajectory(tree.chosen).response == "42"


PROGRAM = """
import asyncio, pathlib, sys
from tests.workflows.two_steps import PROBLEM, perform
from tirage.workflows.approval import ApprovalGate, PausedRun, PausedLog
record, file = PausedLog(), pathlib.Path(sys.argv[1])

class Asleep:
    async def decide(self, request):
        await asyncio.sleep(600)

def write(request):
    PausedRun(problem=PROBLEM, seed=1, agent={}, settled=tuple(record.settled), waiting=request).save(file)

asyncio.run(perform(ApprovalGate([Asleep()], on_wait=write), {"planner": ["multiply"], "executor": []}, log=record))
"""


def wait_and_kill(file):
    """A process that waits for a decision and is killed while it does."""
    child = subprocess.Popen([sys.executable, "-c", PROGRAM, str(file)], env={**os.environ, "PYTHONPATH": os.getcwd()})
    try:
        deadline = time.monotonic() + 60
        while not file.exists() and child.poll() is None and time.monotonic() < deadline:
            time.sleep(0.05)
        assert file.exists()
    finally:
        child.send_signal(signal.SIGKILL)
        child.wait()


async def test_a_run_that_is_killed_while_it_waits_goes_on_in_another_process(tmp_path):
    file = tmp_path / "run.json"
    wait_and_kill(file)
    run = PausedRun.load(file)
    gate = ApprovalGate(decided={0: ApprovalDecision(action=Action.MODIFY, text="add up")})
    model, tree = await perform(gate, {"planner": [], "executor": ["42"]}, log=PausedLog(run.settled))
    model.assert_done()
    assert "by add up" in tree.trajectory(tree.chosen).prompt[0].text


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("{", "is no JSON"),
        ("[]", "is no paused run of this version"),
        (json.dumps({"tirage": "paused-run", "version": 2}), "is no paused run of this version"),
        (json.dumps({"tirage": "paused-run", "version": 1, "seed": "x"}), "PausedRun"),
    ],
)
def test_a_file_that_does_not_fit(tmp_path, text, reason):
    file = tmp_path / "run.json"
    file.write_text(text)
    with pytest.raises(DataError, match=reason):
        PausedRun.load(file)
    with pytest.raises(DataError, match="cannot be read"):
        PausedRun.load(tmp_path / "none.json")


async def test_a_file_of_another_run_is_refused():
    record = PausedLog()
    await perform(ApprovalGate([Says(ApprovalDecision(action=Action.APPROVE))]), {"planner": ["m"], "executor": ["42"]}, log=record)
    moved = [type(item)(**{**{name: getattr(item, name) for name in item.__slots__}, "sample": 9}) for item in record.settled]
    with pytest.raises(DataError, match="does not fit the agent"):
        await perform(ApprovalGate(), {"planner": [], "executor": []}, log=PausedLog(moved))
