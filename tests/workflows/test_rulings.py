from functools import partial

import pytest

from tirage.core.errors import ModelRequestError, ModelUnavailable, NoRuling
from tirage.judging.judges import ByScore, Mean, Panel, Shown
from tirage.judging.presentation import blind, level, plain, shorten
from tirage.testing.models import ScriptedModel
from tirage.workflows.role_judges import ModelPairJudge, ModelScoreJudge, scoring
from tirage.workflows.role_models import RoleModels


class Says:
    """A judge that has made up its mind."""

    def __init__(self, said):
        self.said = said
        self.seeds = []

    async def prefer(self, question, first, second, seed):
        self.seeds.append(seed)
        return self.said

    async def score(self, question, answer, seed):
        self.seeds.append(seed)
        return self.said


@pytest.mark.parametrize(
    ("reply", "choice"),
    [
        ("A is fine.\nVerdict: A", "first"),
        ("Verdict: A? No.\nVerdict: **B**", "second"),
        ("Verdict: tie", "tie"),
        ("Both are good.", "tie"),
        ("A", "tie"),
    ],
)
async def test_a_model_is_asked_for_a_verdict_once(reply, choice):
    model = ScriptedModel(tags={"judge": [reply]})
    assert await ModelPairJudge(RoleModels(model=model)).prefer("How {many}?", "five {", "6}", 3) == choice
    model.assert_done()
    prompt = bytes(model.requests[0].ids).decode()
    assert "Question:\nHow {many}?\n\nAnswer A:\nfive {\n\nAnswer B:\n6}\n" in prompt
    assert model.requests[0].sampling.temperature == 0


@pytest.mark.parametrize(("reply", "score"), [("Score: 7", 0.7), ("10 mistakes. Score: 2.5", 0.25), ("Score: 11", None), ("7", None)])
async def test_a_model_scores_from_0_to_10(reply, score):
    assert await ModelScoreJudge(RoleModels(model=ScriptedModel([reply]))).score("q", "a", 0) == score


async def test_what_breaks_is_no_tie():
    with pytest.raises(NoRuling, match="judge: model failed: too long"):
        await ModelPairJudge(RoleModels(model=ScriptedModel([ModelRequestError("too long")]))).prefer("q", "a", "b", 0)
    with pytest.raises(ModelUnavailable):
        await ModelPairJudge(RoleModels(model=ScriptedModel([ModelUnavailable("no server")]))).prefer("q", "a", "b", 0)


async def test_scores_are_averaged_over_both_orders_of_the_scale():
    model = ScriptedModel({r"Scale:\n0: wrong": "Score: 4", r"Scale:\n10: right": "Score: 8"})
    orders = [ModelScoreJudge(RoleModels(model=model), role=scoring(best_first=best_first)) for best_first in (False, True)]
    assert await Mean(orders).score("q", "a", 0) == pytest.approx(0.6)
    assert len(model.requests) == 2


@pytest.mark.parametrize(
    ("scores", "spread", "mean"),
    [((0.2, 0.6), 1.0, 0.4), ((0.2, None), 1.0, 0.2), ((None, None), 1.0, None), ((0.2, 0.9), 0.5, None), ((0.5, 0.9), 0.5, 0.7)],
)
async def test_scores_that_do_not_agree_have_no_mean(scores, spread, mean):
    judges = [Says(score) for score in scores]
    assert await Mean(judges, spread=spread).score("q", "a", 7) == (None if mean is None else pytest.approx(mean))
    assert len({judge.seeds[0] for judge in judges}) == 2


@pytest.mark.parametrize(
    ("votes", "majority", "unanimous"),
    [
        (["first", "first", "second"], "first", "tie"),
        (["second", "second", "second"], "second", "second"),
        (["first", "tie", "second"], "tie", "tie"),
        (["first", "tie", "tie"], "tie", "tie"),
        (["first", "first", "second", "second"], "tie", "tie"),
    ],
)
async def test_a_panel_needs_more_than_half_or_all(votes, majority, unanimous):
    judges = [Says(vote) for vote in votes]
    assert await Panel(judges).prefer("q", "a", "b", 7) == majority
    assert await Panel(judges, unanimous=True).prefer("q", "a", "b", 7) == unanimous
    assert len({judge.seeds[0] for judge in judges}) == len(votes)


def test_one_judge_is_no_panel():
    with pytest.raises(ValueError, match="at least two judges, got 1"):
        Panel([Says("first")])
    with pytest.raises(ValueError, match="at least two judges, got 0"):
        Mean([])


async def test_scores_make_a_pair_judge_and_texts_may_be_cut_before():
    class Length:
        async def score(self, question, answer, seed):
            return None if not answer else len(answer) / 100

    assert await ByScore(Length()).prefer("q", "aaa", "a", 0) == "first"
    assert await ByScore(Length(), margin=0.02).prefer("q", "aaa", "a", 0) == "tie"
    assert await ByScore(Length()).prefer("q", "", "a", 0) == "tie"
    cut = ByScore(Shown(Length(), partial(shorten, words=3)))
    assert await cut.prefer("q", "Well. So it is. \\boxed{5}.", "Okay. \\boxed{55}.", 0) == "second"


@pytest.mark.parametrize(
    ("rewrite", "text", "shown"),
    [
        (blind, "As GPT-4 Turbo I checked it, Claude 3.5 Sonnet agrees.", "As a model I checked it, a model agrees."),
        (blind, "My name is Ada. As an engineer from Rome, I get 5.", "I get 5."),
        (blind, "Claude Shannon proved it; as a rule, it holds.", "Claude Shannon proved it; as a rule, it holds."),
        (blind, "It is \\boxed{Claude 3}.", "It is \\boxed{Claude 3}."),
        (partial(blind, names=("Team Red",)), "Team Red says 5.", "a model says 5."),
        (plain, "## Plan\n- **add** `them`\n> so *5*\n---\n", "Plan\nadd them\nso 5\n"),
        (plain, "```python\nprint(2*3*4)\n```\n✅ It is 24", "print(2*3*4)\nIt is 24"),
        (plain, "- 5", "- 5"),
        (plain, "2 * 3 * a_b and **Answer:** 6", "2 * 3 * a_b and Answer: 6"),
        (partial(shorten, words=4), "One two. Three four five. It is 6.", "It is 6."),
        (partial(shorten, words=5), "One two. Three four five. It is 6.", "One two. It is 6."),
        (partial(shorten, words=3), "The answer is 6. That was easy.", "The answer is 6. That was easy."),
    ],
)
def test_a_text_shown_without_what_should_not_count(rewrite, text, shown):
    assert rewrite(text) == shown
    assert rewrite(shown) == shown


def test_two_texts_are_shown_at_the_length_of_the_shorter():
    assert level("Go. Then more of it. It is 6.", "Well. It is 7.") == ("Go. It is 6.", "Well. It is 7.")
