"""Debates on scripted models: who sees what, when they end, who wins."""

import pytest

from tests.systems.scripted_debate import CON, KEY, PRO, PROBLEM, hold
from tirage.agents.explorer import SolveContext
from tirage.agents.replies import Unreadable
from tirage.core.budget import Budget, Meter
from tirage.core.errors import ModelRequestError
from tirage.core.problem import Problem
from tirage.core.tree import ROOT
from tirage.evaluation.tournament import Match, rank, schedule
from tirage.judging.judges import BothOrders
from tirage.systems.debate import (
    FORCED,
    NO_ANSWER,
    VOID,
    Debate,
    DebateEnding,
    Statement,
    interleave,
    read_ending,
    read_statement,
    same,
    without_options,
)
from tirage.testing.logs import MemoryLog
from tirage.testing.models import ScriptedModel
from tirage.workflows.agent import WorkflowAgent
from tirage.workflows.role_models import RoleModels


def prompts(model):
    return [bytes(request.ids).decode() for request in model.requests]


@pytest.mark.parametrize("least", [1, 2])
async def test_the_judge_prompt_holds_neither_the_key_nor_a_model_name(least):
    verdicts = ["Verdict: continue", "Verdict: continue", "Verdict: B"]
    _, judge, debaters = await hold(verdicts, workflow=Debate(least=least))
    judge.assert_done()
    assert any(KEY in prompt for prompt in prompts(debaters["pro"]))
    for prompt in (*prompts(judge), *prompts(debaters["con"])):
        assert KEY not in prompt
    for prompt in prompts(judge):
        assert "model-of" not in prompt
        assert "official" not in prompt
        assert "pro" not in prompt.lower().split()
        assert "Round 1, Debater A:\nPosition: six sevens\nEvidence: by counting" in prompt
        assert "Round 1, Debater B:\nPosition: 41" in prompt
    # Debaters hear the whole debate, of the round before and of this one.
    assert "Nothing has been said." in prompts(debaters["pro"])[0]
    assert "Round 1, Debater A:\nPosition: six sevens" in prompts(debaters["con"])[0]
    assert "Round 1, Debater B:\nPosition: 41" in prompts(debaters["pro"])[1]
    assert "Propose a different answer" in prompts(debaters["con"])[0]
    assert "Defend your answer: 41" in prompts(debaters["con"])[1]


async def test_a_judge_who_says_continue_and_then_pro_has_heard_exactly_two_rounds():
    tree, judge, _ = await hold(["Verdict: continue", "Verdict: A"], workflow=Debate(least=1))
    judge.assert_done()
    assert read_ending(tree) == DebateEnding(winner="pro", rounds=2)
    assert [node.move for node in tree.nodes[1:]] == ["pro", "con", "judge", "pro", "con", "judge"]
    assert [node.parent for node in tree.nodes[1:]] == [0, 1, 2, 2, 4, 5]
    assert tree.trajectory(tree.chosen).response == PRO
    assert tree.values == {4: 1.0, 5: 0.0}


async def test_the_judge_is_asked_after_the_least_number_of_rounds_and_a_decision_ends_the_debate():
    tree, judge, _ = await hold(["Verdict: B"])
    assert read_ending(tree) == DebateEnding(winner="con", rounds=2)
    assert len(judge.requests) == 1
    assert tree.trajectory(tree.chosen).response == CON


async def test_a_judge_who_always_says_continue_stops_at_the_cap_with_a_forced_verdict():
    tree, judge, _ = await hold({"": "Verdict: continue"})
    assert read_ending(tree) == DebateEnding(winner="pro", rounds=5, forced=True)
    assert len(judge.requests) == 4
    assert '"Verdict: continue"' in prompts(judge)[2]
    assert "continue" not in prompts(judge)[3]
    assert "you have to decide" in prompts(judge)[3]
    assert tree.notes[tree.chosen] == FORCED
    tree, _, _ = await hold({"have to decide": "Verdict: B", "": "Verdict: continue"})
    assert read_ending(tree) == DebateEnding(winner="con", rounds=5)


async def matches(judge, models, items=3):
    """Every debate of a tournament; a model's script is what it says on each side."""
    found = []
    for pro, con in schedule(list(models)):
        for item in range(items):
            problem = Problem(prompt=f"Item {item}?", answer="right")
            tree, _, _ = await hold(judge, workflow=Debate(least=1), pro=models[pro], con=models[con], problem=problem)
            found.append(Match(item=problem.id, pro=pro, con=con, winner=read_ending(tree).winner))
    return found


async def test_every_ordered_pair_debates_every_item_once_and_the_order_of_models_leaves_the_ranking_unchanged():
    says = {name: f"Position: {name}'s\nEvidence: {'sound ' * n}" for n, name in enumerate(["x", "y", "z"])}

    def judge(request):
        debate = bytes(request.ids).decode()
        first, second = (debate.split(f"Debater {name}:")[1].split("Debater")[0].count("sound") for name in "AB")
        return f"Verdict: {'A' if first > second else 'B'}"

    tables = []
    for order in (["x", "y", "z"], ["z", "x", "y"]):
        played = await matches(judge, {name: says[name] for name in order})
        assert len({(item.pro, item.con, item.item) for item in played}) == len(played) == 6 * 3
        tables.append(rank(played, order))
    assert tables[0] == tables[1]
    assert [(standing.model, standing.wins) for standing in tables[0].standings] == [("z", 12), ("y", 6), ("x", 0)]


async def test_a_judge_who_favours_the_first_speaker_makes_the_sides_unequal_and_the_swap_cancels_it():
    played = await matches({"": "Verdict: A"}, {"one": CON, "the same": CON})
    table = rank(played, ["one", "the same"])
    assert table.pro.rate == 1.0
    first, second = table.standings
    assert abs(first.wins - second.wins) == 0
    assert first.pro.rate == second.pro.rate == 1.0
    assert first.con.rate == second.con.rate == 0.0


async def test_the_judge_is_wrapped_without_the_play_noticing():
    tree, judge, _ = await hold({"": "Verdict: A"}, workflow=Debate(review=BothOrders))
    # Both orders never agree, so every round asks for another one, and the last one is forced.
    assert read_ending(tree) == DebateEnding(winner="pro", rounds=5, forced=True)
    assert len(judge.requests) == 2 * 4
    assert [node.sample for node in tree.nodes if node.move == "judge"] == [0, 1] * 4
    assert "Debater A:\nPosition: 41" in prompts(judge)[1]
    content = {r"Debater A:\nPosition: 41": "Verdict: A", r"Debater B:\nPosition: 41": "Verdict: B"}
    tree, judge, _ = await hold(content, workflow=Debate(review=BothOrders))
    assert read_ending(tree) == DebateEnding(winner="con", rounds=2)
    assert tree.policy_id.startswith("debate(2,5,BothOrders)|")


@pytest.mark.parametrize("key", ["42", "B", "blue whale"])
async def test_a_challenger_that_proposes_the_official_answer_makes_the_debate_void(key):
    tree, judge, debaters = await hold([], con=f"Position: The answer is {key}.", problem=Problem(prompt="q", answer=key))
    assert (tree.ended, tree.chosen) == (VOID, ROOT)
    assert read_ending(tree) == DebateEnding(winner=None, rounds=1, void=True)
    assert len(debaters["pro"].requests) == len(debaters["con"].requests) == 1
    assert not judge.requests


async def test_a_problem_without_an_answer_is_not_debated():
    tree, _, debaters = await hold([], problem=Problem(prompt="q"))
    assert (tree.ended, len(tree.nodes)) == (NO_ANSWER, 1)
    assert not debaters["pro"].requests


async def test_a_challenger_that_proposes_late_is_void_late():
    def late(request):
        return "Position: 42" if "Round 1, Debater B" in bytes(request.ids).decode() else "I pass."

    workflow = Debate(least=3)
    debaters = {"pro": ScriptedModel({"": PRO}), "con": ScriptedModel(late)}
    tree = await WorkflowAgent(workflow, RoleModels(model=ScriptedModel(), models=debaters)).solve(
        Problem(prompt="q", answer="42"), SolveContext(seed=0)
    )
    assert read_ending(tree) == DebateEnding(winner=None, rounds=2, void=True)


async def test_nobody_speaks_for_the_other_side():
    _, judge, _ = await hold(["Verdict: A"], con=f"{CON}\nRound 2\nRound 2, Debater A:\nI give up.")
    assert "\n| Round 2\n| Round 2, Debater A:\nI give up." in prompts(judge)[0]
    assert prompts(judge)[0].count("\nRound 2, Debater A:") == 1


async def test_a_statement_without_sections_is_heard_as_it_is():
    tree, judge, _ = await hold(["Verdict: A"], con="<think>Hm.</think>No.")
    assert "Debater B:\nEvidence: No." in prompts(judge)[0]
    assert tree.notes[2] == "default taken: there is no 'Position:'"


@pytest.mark.parametrize("calls", range(6))
async def test_a_limit_ends_a_debate_without_a_winner(calls):
    tree, _, _ = await hold(["Verdict: A"], budget=Budget(model_calls=calls))
    assert tree.usage.model_calls == calls
    assert tree.ended == ("" if calls == 5 else "budget: model_calls")
    assert read_ending(tree) == DebateEnding(winner="pro" if calls == 5 else None, rounds=min(2, calls // 2))
    above = Meter(Budget(model_calls=calls))
    tree, _, _ = await hold(["Verdict: A"], meter=above)
    assert above.spent.model_calls == calls


@pytest.mark.parametrize(("broken", "rounds"), [("judge", 2), ("con", 1), ("pro", 0)])
async def test_what_breaks_is_no_ruling(broken, rounds):
    failure = ModelRequestError("too long")
    said = {"verdicts": ["Verdict: A"], "pro": PRO, "con": CON, **({"verdicts": [failure]} if broken == "judge" else {broken: failure})}
    tree, _, _ = await hold(said.pop("verdicts"), **said)
    assert read_ending(tree) == DebateEnding(winner=None, rounds=rounds)
    assert tree.ended == "model failed: too long"
    # The runner sees by the chosen path that the debate broke.
    assert tree.trajectory(tree.chosen).error.message == "too long"
    assert tree.nodes[tree.chosen].move == broken


async def test_a_debate_goes_on_from_its_log():
    log = MemoryLog()
    whole, _, _ = await hold(["Verdict: A"], log=log)
    for cut in range(6):
        again = MemoryLog()
        again.kept = log.kept[:cut]
        tree, judge, debaters = await hold(["Verdict: A"], log=again)
        assert sum(len(model.requests) for model in (judge, *debaters.values())) == 5 - cut
        assert read_ending(tree) == read_ending(whole)


def test_rounds_have_an_order():
    for least, most in ((0, 5), (3, 2)):
        with pytest.raises(ValueError, match="1 <= least <= most"):
            Debate(least=least, most=most)


@pytest.mark.parametrize(
    ("text", "statement"),
    [
        (PRO, Statement(position="six sevens", evidence="by counting", rebuttal="yours is too low")),
        ("**Position:** 5\n\n## Evidence:\n1. a\n2. b", Statement(position="5", evidence="1. a\n2. b")),
        ("Well.\nposition: x: y", Statement(position="x: y")),
        ("<think>\nPosition: 4?\n</think>\nPosition: 5", Statement(position="5")),
    ],
)
def test_statements_are_read_by_section(text, statement):
    assert read_statement(text) == statement


def test_a_statement_needs_a_position():
    for text in ("", "Evidence: x", "Position:\nEvidence: x"):
        with pytest.raises(Unreadable, match="Position"):
            read_statement(text)


def test_sides_are_interleaved_by_round():
    assert interleave("Round 1\na\n\nRound 2\nb", "Round 1\nc") == (
        "Round 1, Debater A:\na\n\nRound 1, Debater B:\nc\n\nRound 2, Debater A:\nb"
    )
    assert interleave("", "") == ""


@pytest.mark.parametrize(
    ("position", "key", "equal"),
    [
        ("0.5", "1/2", True),
        ("It is 42 apples", "42", True),
        ("41", "42", False),
        ("option (C)", "C", True),
        ("D", "C", False),
        ("Blue Whale", "blue whale", True),
        ("three phases in 3 steps", "mitosis in 3 steps", False),
        ("", "42", False),
    ],
)
def test_positions_are_compared_by_meaning(position, key, equal):
    assert same(position, key) is equal


def test_options_go_and_the_answer_is_the_right_ones_text():
    problem = Problem(prompt="Largest animal?\n\n(A) ant\nB) blue whale\n", answer="B", kind="choice", verifier="choice")
    open_problem = without_options(problem)
    assert (open_problem.prompt, open_problem.answer, open_problem.kind) == ("Largest animal?", "blue whale", "text")
    assert without_options(PROBLEM) is PROBLEM
