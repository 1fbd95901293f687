"""Critic-CoT: step labels, the critic as a filter, refinement from the first wrong step."""

from typing import Any

import pytest

from tests.systems.scripted_critic import PROBLEM, STEPS, perform
from tirage.agents.replies import Unreadable
from tirage.core.budget import Budget
from tirage.core.errors import ConfigError, ModelRequestError
from tirage.core.problem import Problem
from tirage.core.tree import ROOT
from tirage.judging.candidate_pool import CheckedCandidate
from tirage.judging.critique_text import corrected, read_check, read_critique, split_steps
from tirage.models.base import Sampling
from tirage.rollouts.runner import judge
from tirage.systems.critic_cot import (
    NANO_CRITIC,
    NEVER_ACCEPTED,
    REFINED,
    UNFILTERED,
    CriticFilter,
    CriticRefinement,
    build_refinement,
    elect,
)
from tirage.systems.parts import AgentParts
from tirage.testing.models import ScriptedModel
from tirage.training.recipes.critique import fault
from tirage.verification.factory import open_verifier

GOOD = "Step 1: All is well. Step 1 is correct."
BAD = "Step 1: Oh no. Step 1 is **incorrect**."


def solution(answer: object) -> str:
    return f"Step 1: It is \\boxed{{{answer}}}."


def test_labels_end_with_the_first_wrong_step():
    critique = read_critique("Step 1: Fine.\nStep 1 is correct.\nStep 2: Yes. Step 2 is correct.\nStep 3: No. Step 3 is incorrect.\n")
    assert critique.labels(5) == (1, 1, -1)
    assert (critique.wrong_step, critique.finds(5)) == (3, False)
    assert critique.words[3] == "Step 3: No. Step 3 is incorrect."
    assert critique.words[1] == "Step 1: Fine.\nStep 1 is correct."


def test_a_missing_conclusion_neither_rejects_nor_accepts():
    critique = read_critique("Step 1: Fine. Step 1 is correct.\nStep 2: Hm.\nStep 3: Step 3 is right.")
    assert critique.labels(3) == (1, 0, 1)
    assert (critique.rejects, critique.finds(3)) == (False, None)
    assert critique.labels(4) == (1, 0, 1, 0)
    assert fault(critique, steps=3, student_right=True, correction_right=True, validation="steps") == "right-solution-not-accepted"
    assert read_critique("Step 1 is not correct").labels(2) == (-1,)


def test_what_else_a_critique_says():
    critique = read_critique("Step 1 is incorrect.\nConclusion: incorrect\n<correction>\nStep 1: \\boxed{14}\n</correction> done")
    assert (critique.verdict, critique.correction) == (False, "Step 1: \\boxed{14}")
    assert read_critique("**Conclusion:** correct").finds(3) is True
    assert read_critique("Verdict: wrong").wrong_step == 1
    assert read_check("The result is 42. The test says that the proposed answer is not right.\nVerdict: wrong").correction == "\\boxed{42}"
    with pytest.raises(Unreadable, match="no step is labelled"):
        read_critique("Nice work!")
    assert corrected("so \\boxed{3}", read_critique("Verdict: wrong")) == "\\boxed{3}"
    assert corrected("so 3", read_critique("Verdict: wrong")) is None


@pytest.mark.parametrize(
    ("text", "steps"),
    [
        ("Step 1: a\nb\nStep 2: c", ("Step 1: a\nb\n", "Step 2: c")),
        ("Well.\nStep 1: a\n\n**Step 2**: c\n", ("Well.\nStep 1: a\n\n", "**Step 2**: c\n")),
        ("a\n\nb\nc", ("a\n\n", "b\n", "c")),
        ("", ("",)),
    ],
)
def test_steps_joined_give_the_solution_back(text, steps):
    assert split_steps(text) == steps
    assert "".join(steps) == text


def filter_script(answers, critiques):
    return {"solver": [solution(answer) for answer in answers], "critic": [BAD if wrong else GOOD for wrong in critiques]}


async def test_the_filter_makes_the_vote_right():
    model = ScriptedModel(tags=filter_script("WWWWWRRR", [1, 1, 1, 1, 0, 0, 0, 0]))
    tree = await perform(model, n=8, width=1)
    model.assert_done()
    assert "{R}" in tree.trajectory(tree.chosen).response
    assert UNFILTERED not in tree.notes.get(tree.chosen, "")
    assert tree.usage.model_calls == 16


async def test_a_critique_without_a_conclusion_does_not_reject():
    told = filter_script("WWWWWRRR", [1] * 5) | {"critic": [BAD] * 5 + ["Step 1: Hm, let me see."] * 3}
    tree = await perform(ScriptedModel(tags=told), n=8, width=1)
    assert "{R}" in tree.trajectory(tree.chosen).response
    assert UNFILTERED not in tree.notes.get(tree.chosen, "")


async def test_where_all_are_rejected_all_vote_and_it_is_noted():
    tree = await perform(ScriptedModel(tags=filter_script("WWWWWRRR", [1] * 8)), n=8, width=1)
    assert "{W}" in tree.trajectory(tree.chosen).response
    assert UNFILTERED in tree.notes[tree.chosen]


def test_few_survivors_that_disagree_do_not_outvote_the_rest():
    def made(answer, passes):
        return CheckedCandidate(node=1, answer=answer, checks=(passes,))

    rest = [made("W", False)] * 62
    # N = 64: fewer than min(6, 64 // 16) = 4 survivors.
    assert elect([*rest, made("R", True), made("S", True)])[1] == UNFILTERED
    assert elect([*rest, made("R", True), made("R", True)]) == (made("R", True), "")
    assert elect([*rest[:60], *[made("R", True)] * 3, made("S", None)])[0].answer == "R"
    # N = 128: fewer than min(6, 128 // 16) = 6.
    for right, chosen in ((4, "W"), (5, "R")):
        pool = [*[made("W", False)] * (127 - right), *[made("R", True)] * right, made("S", True)]
        assert elect(pool)[0].answer == chosen
    assert elect([]) == (None, "")


async def test_best_of_n_by_the_share_of_accepting_critiques_ends_at_a_share_of_one():
    told = {"solver": [solution(1), solution(2), solution(3)], "critic": [GOOD, BAD, GOOD, GOOD]}
    model = ScriptedModel(tags=told)
    tree = await perform(model, n=3, width=1, critiques=2, rule="best")
    assert "{2}" in tree.trajectory(tree.chosen).response
    assert sorted(tree.values.values()) == [0.5, 1.0]
    assert len(model.requests) == 2 + 4


SECOND_WRONG = "Step 1: A product first. Step 1 is correct.\nStep 2: 2 + 12 is 14. Step 2 is incorrect."


def shown(request) -> str:
    return bytes(token for token in request.ids if token < 256).decode()


async def test_a_refinement_reads_the_wrong_steps_critique_alone_and_keeps_what_was_right():
    right = "<correction>Step 2: 2 + 12 = 14.\nStep 3: So \\boxed{14}.</correction>"
    model = ScriptedModel(tags={"solver": [STEPS], "critic": [SECOND_WRONG, GOOD], "refiner": [right]})
    tree = await perform(model, CriticRefinement)
    model.assert_done()
    prompt = shown(model.requests[2])
    assert "2 + 12 is 14. Step 2 is incorrect." in prompt
    assert "A product first" not in prompt
    assert "are:\nStep 1: 3 * 4 = 12.\n" in prompt
    refined = tree.trajectory(tree.chosen).response
    assert refined == "Step 1: 3 * 4 = 12.\nStep 2: 2 + 12 = 14.\nStep 3: So \\boxed{14}."
    assert refined in shown(model.requests[3])
    assert [node.move for node in tree.nodes[1:]] == ["solver", "critic", "refiner", REFINED, "critic"]
    verifier = open_verifier("math")
    verdicts = await judge(tree, Problem(prompt=PROBLEM.prompt, answer="14"), verifier)
    await verifier.close()
    assert {node: verdict.correct for node, verdict in verdicts.items()} == {1: False, 4: True}


async def test_the_loop_ends_with_the_first_clean_critique():
    again = "<correction>\\boxed{0}</correction>"
    told = {"solver": [STEPS, STEPS], "critic": [BAD, BAD, BAD, GOOD], "refiner": [again] * 2}
    model = ScriptedModel(tags=told)
    tree = await perform(model, CriticRefinement, rounds=1, restarts=8)
    model.assert_done()
    asked = [request.tag for request in model.requests]
    assert asked == ["solver", "critic", "refiner", "critic", "solver", "critic", "refiner", "critic"]
    assert tree.trajectory(tree.chosen).response == "\\boxed{0}"


async def test_neither_a_solution_without_an_answer_nor_a_critic_that_broke_is_accepted():
    told: dict[str, Any] = {"solver": ["I wonder.", solution(1), solution(2)], "critic": [GOOD, ModelRequestError("too long"), GOOD]}
    tree = await perform(ScriptedModel(tags=told), CriticRefinement, rounds=0, restarts=3)
    assert tree.trajectory(tree.chosen).response == solution(2)
    assert NEVER_ACCEPTED not in tree.notes.get(tree.chosen, "")


async def test_what_is_never_accepted_leaves_the_first_answer():
    model = ScriptedModel(tags={"solver": ["I wonder.", STEPS, solution(9)], "critic": [BAD] * 3})
    tree = await perform(model, CriticRefinement, rounds=0, restarts=3)
    model.assert_done()
    assert tree.trajectory(tree.chosen).response == STEPS
    assert NEVER_ACCEPTED in tree.notes[tree.chosen]


@pytest.mark.parametrize("workflow", [CriticFilter, CriticRefinement])
@pytest.mark.parametrize(("calls", "chosen"), [(0, ROOT), (1, 1), (2, 1), (3, 1)])
async def test_a_limit_leaves_the_best_so_far(workflow, calls, chosen):
    model = ScriptedModel(tags={"solver": [solution(1)] * 4, "critic": [BAD, GOOD], "refiner": ["\\boxed{2}"]})
    options = {"n": 2, "width": 1} if workflow is CriticFilter else {}
    tree = await perform(model, workflow, budget=Budget(model_calls=calls), **options)
    assert (tree.usage.model_calls, tree.chosen, tree.ended) == (calls, chosen, "budget: model_calls")


@pytest.mark.parametrize("workflow", [CriticFilter, CriticRefinement])
async def test_nobody_sees_the_key(workflow):
    model = ScriptedModel(tags={"solver": [solution(1)] * 2, "critic": [BAD, GOOD], "refiner": ["\\boxed{2}"]})
    await perform(model, workflow, **({"n": 2, "width": 1} if workflow is CriticFilter else {}))
    assert len(model.requests) == 4
    assert not any("nonce-0815" in shown(request) for request in model.requests)


def test_options_are_checked_and_nano_is_asked_in_its_own_words():
    with pytest.raises(ConfigError, match="critic-refinement has no option 'd'; its options: rounds, restarts"):
        build_refinement(AgentParts(model=ScriptedModel(), sampling=Sampling()), d=3)
    (asked,) = NANO_CRITIC.messages({"problem": "1 + 1", "answer": "2"})
    assert asked.content == "Check: 1 + 1\nProposed answer: 2"
    assert NANO_CRITIC.read("Verdict: correct").finds(7) is True
