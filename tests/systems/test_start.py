"""START: what has to hold for it to work, on scripted models, the explorer and the real sandbox."""

from collections.abc import AsyncIterator

import pytest

from tests.systems.scripted_parts import CODE, PROBLEM, prompt_of, prompts, scripted_parts, system
from tirage.agents.explorer import SolveContext
from tirage.agents.hints import load_library
from tirage.agents.step_executor import NO_MORE_CODE
from tirage.core import Finish, HintPosition, ObservationStatus, Source, StopReason, Trajectory, Tree
from tirage.models.base import Request
from tirage.rollouts.runner import judge
from tirage.sandbox import SandboxConfig, open_sandbox
from tirage.sandbox.base import Sandbox
from tirage.testing.canary import Canary
from tirage.testing.scripted import Script, ScriptedModel
from tirage.training.rows import IGNORED, mask_spans, trained_sources
from tirage.verification.answer import MathVerifier
from tirage.verification.extract import final_answer


@pytest.fixture
async def sandbox() -> AsyncIterator[Sandbox]:
    async with open_sandbox(SandboxConfig(preload=())) as opened:
        yield opened


async def solve(script: Script, sandbox: Sandbox, *, thinks: bool = True, **options: object) -> tuple[Tree, Trajectory, ScriptedModel]:
    model = ScriptedModel(script, thinks=thinks)
    tree = await system("start", scripted_parts(model, sandbox=sandbox), **options).solve(PROBLEM, SolveContext(seed=0))
    model.assert_done()
    return tree, tree.trajectory(tree.chosen), model


async def test_marker_mode_keeps_up_to_wait_then_the_hint_and_the_hint_is_masked(sandbox: Sandbox) -> None:
    said = ["<think>\n6 times 7 is 41. Wait, or 43?\n</think>", CODE, "</think>\n\\boxed{42}"]
    _, path, _ = await solve(said, sandbox, rounds=1, position="marker")
    (use,) = path.hints
    assert (use.position, use.reason) == (HintPosition.MARKER, "Wait")
    assert path.steps[0].text == "<think>\n6 times 7 is 41. Wait"
    assert "43" not in path.response
    (hint,) = [span for span in path.spans if span.source is Source.HINT]
    assert path.response.startswith(path.steps[0].text + hint.text + "```python")
    ids, labels = mask_spans(path.spans, trained_sources(hint_loss=False))
    place = len(path.prompt[0].ids or ()) + use.offset
    assert ids[place : place + len(hint.ids or ())] == hint.ids
    assert set(labels[place : place + len(hint.ids or ())]) == {IGNORED}


async def test_two_rounds_give_two_hints_of_different_families_and_one_answer(sandbox: Sandbox) -> None:
    said = ["<think>\nIt is 41.\n</think>", CODE, "It is 42.\n</think>", "Yes.\n</think>\nThe answer is \\boxed{42}."]
    _, path, model = await solve(said, sandbox, rounds=2)
    hints = [span.text.strip() for span in path.spans if span.source is Source.HINT]
    assert len(hints) == 2 == len({use.family for use in path.hints})
    assert [sum(hint in prompt for hint in hints) for prompt in prompts(model)] == [0, 1, 1, 2]
    assert path.response.count("</think>") == 1
    assert path.response.count("boxed") == 1


async def test_a_wrong_answer_becomes_right_after_the_output(sandbox: Sandbox) -> None:
    """The model is right where it has seen the output, and nowhere else; it computes only where a hint told it to."""

    def say(request: Request) -> str:
        said = prompt_of(request)
        if "```output\n42\n```" in said:
            return "The answer is \\boxed{42}."
        return CODE if any(hint.text in said for hint in load_library()) else "The answer is \\boxed{41}."

    plain, _, _ = await solve(say, sandbox, thinks=False, rounds=0)
    hinted, _, _ = await solve(say, sandbox, thinks=False, rounds=1)
    verifier = MathVerifier()
    assert [(await judge(tree, PROBLEM, verifier))[tree.chosen].correct for tree in (plain, hinted)] == [False, True]
    await verifier.close()


async def test_a_failing_block_shows_the_last_line_and_the_debug_counter_ends_the_use_of_code(sandbox: Sandbox) -> None:
    failing = "```python\nboom\n```\n```output"
    _, path, _ = await solve(["<think>\nHm.\n</think>", *[failing] * 3, "</think>\n\\boxed{41}"], sandbox, rounds=1)
    shown = [item for step in path.steps for item in step.observations]
    assert [item.status for item in shown] == [ObservationStatus.ERROR] * 3
    assert path.response.count("```output\nNameError: name 'boom' is not defined\n```") == 3
    assert path.response.count(NO_MORE_CODE) == 1
    assert path.response.index(NO_MORE_CODE) > path.response.rindex("NameError")
    assert path.stop is StopReason.ANSWERED
    tree, path, _ = await solve(["<think>\nHm.\n</think>", *[failing] * 4], sandbox, rounds=1)
    assert path.stop is StopReason.CALLS, "code after the notice is refused"
    assert tree.usage.tool_calls == 3


async def test_without_code_after_a_hint_the_run_ends(sandbox: Sandbox) -> None:
    _, path, _ = await solve(["<think>\n41.\n</think>", "Still 41.\n</think>", "Sure.\n</think>\n\\boxed{41}"], sandbox, rounds=2)
    assert path.stop is StopReason.ANSWERED
    assert len(path.hints) == 2
    assert not path.used_tool


async def test_two_rounds_that_agree_with_code_that_ran_stop_the_hints_early(sandbox: Sandbox) -> None:
    said = ["<think>\nIt is 42.\n</think>", CODE, "So 42.0.\n</think>", "The answer is \\boxed{42}."]
    _, path, _ = await solve(said, sandbox, rounds=3)
    assert len(path.hints) == 1
    assert [step.finish for step in path.steps] == [Finish.CUT, Finish.CALL, Finish.STEP, Finish.STOP]
    assert path.response.endswith("So 42.0.\n</think>The answer is \\boxed{42}.")
    assert path.token_ids is not None


@pytest.mark.parametrize("second", ["So 43.\n</think>", None])
async def test_without_agreement_or_without_code_the_hints_go_on(sandbox: Sandbox, second: str | None) -> None:
    round_two = [CODE, second] if second is not None else ["So 42.\n</think>"]
    said = ["<think>\nIt is 42.\n</think>", *round_two, "Hm, 42.\n</think>", "</think>\n\\boxed{42}"]
    _, path, _ = await solve(said, sandbox, rounds=3)
    assert len(path.hints) == 3


async def test_several_chains_are_voted_on(sandbox: Sandbox) -> None:
    said = iter(["\\boxed{41}", "\\boxed{0.5}", "\\boxed{1/2}"])
    tree, path, _ = await solve(lambda request: next(said), sandbox, thinks=False, rounds=0, n=3)
    assert final_answer(path.response) == "0.5"
    assert tree.nodes[tree.chosen].sample == 1


async def test_the_reference_is_out_of_reach(sandbox: Sandbox) -> None:
    canary = Canary()
    model = ScriptedModel(["<think>\nIt is 41.\n</think>", CODE, "</think>\n\\boxed{42}"], thinks=True)
    agent = system("start", scripted_parts(model, sandbox=sandbox), rounds=1)
    canary.guard(agent)
    await agent.solve(canary.problem, SolveContext(seed=0))
    canary.check(model)
    assert canary.handed > 5
