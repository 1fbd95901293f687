"""JudgeBiasBench on judges whose bias is known: what sways them, what does not, what helps."""

from typing import Any

import pytest

from tests.systems.scripted_debate import hold
from tests.systems.scripted_halo import model as halo_model
from tests.systems.scripted_parts import prompt_of, scripted_parts, system
from tirage.agents.dialects.base import Plain
from tirage.agents.explorer import SolveContext
from tirage.agents.search_options import SearchOptions
from tirage.agents.valuation import Estimate, Valuer
from tirage.core.budget import Budget, Meter, OutOfBudget
from tirage.core.errors import ModelRequestError, ModelUnavailable
from tirage.core.problem import Problem
from tirage.core.step import Finish, Source, Span, Step, Usage
from tirage.core.trajectory import StopReason, Trajectory
from tirage.evaluation.judge_bias import position_consistency, sensitivities
from tirage.judging.bias import CUES, POSITION, Cue, JudgedPair, biased, inject, probe
from tirage.judging.judges import BothOrders, Debiased, Panel, Presented, Shown
from tirage.judging.presentation import blind, each, level, plain, same_answer
from tirage.systems.debate import Debate, read_ending
from tirage.systems.halo.halo import Halo
from tirage.testing.judges import biased_judge
from tirage.testing.models import ScriptedModel
from tirage.workflows.agent import WorkflowAgent
from tirage.workflows.role_judges import ModelPairJudge
from tirage.workflows.role_models import RoleModels

WORK = (
    "First the hundreds are added, then the tens, and then the ones, with what is carried over kept in mind because it is easily lost. "
    "Nothing is left out of the sum, and a second look at the columns is not going to change them. "
)
SUMS = {"What is 120 + 3?": ("123", "132"), "What is 50 / 4?": ("12.5", "\\frac{25}{4}"), "What is 7 - 9?": ("-2", "2")}
PAIRS = [
    JudgedPair(
        name=str(index), question=question, chosen=f"{WORK}So we get \\boxed{{{right}}}.", rejected=f"{WORK}So we get \\boxed{{{wrong}}}."
    )
    for index, (question, (right, wrong)) in enumerate(SUMS.items())
]
RIGHT = [right for right, _ in SUMS.values()]
TEXTS = [
    WORK + "So we get \\boxed{42}.",
    "The answer is -3.5",
    "- first bullet\n- second bullet\n#### 42",
    "A: 5",
    "The right one is (B).",
    "I think <answer>blue</answer>",
    "It is <answer>nothing</answer>, because them are going to.",
    "No idea, but them are going to want to know.",
    "```python\nprint(3)\n```\n**Answer:** 3 apples",
    "",
]


def judge(cue):
    model = biased_judge(cue, RIGHT)
    return ModelPairJudge(RoleModels(model=model)), model


@pytest.mark.parametrize("loved", [*CUES, None])
async def test_a_biased_judge_turns_on_its_own_cue_only_and_a_judge_of_content_never(loved):
    rates = {item.cue: item.rate for item in sensitivities(await probe(judge(loved)[0], PAIRS)) if item.cue != "all"}
    assert rates == {cue: float(cue == loved) for cue in CUES}


async def test_a_first_position_judge_behind_a_swap_always_says_tie_and_a_judge_of_content_says_what_it_said():
    cases = {POSITION: ["tie", "tie"], None: ["first", "second"]}
    for cue, expected in cases.items():
        for wrapped in (False, True):
            bare, model = judge(cue)
            asked = BothOrders(bare) if wrapped else bare
            said = [
                await asked.prefer(pair.question, *answers, 0)
                for pair in PAIRS
                for answers in ((pair.chosen, pair.rejected), (pair.rejected, pair.chosen))
            ]
            assert len(model.requests) == (2 if wrapped else 1) * 2 * len(PAIRS)
            assert said == (expected if wrapped or cue is None else ["first", "first"]) * len(PAIRS)


@pytest.mark.parametrize("cue", [cue for cue in CUES if cue != POSITION])
@pytest.mark.parametrize("text", TEXTS)
def test_an_injector_is_idempotent_and_seeded_and_keeps_the_answer(cue, text):
    once = inject(cue, text, 1)
    assert once != text
    assert once == inject(cue, text, 1)
    assert inject(cue, once, 1) == inject(cue, once, 2) == once
    assert same_answer(text, once)
    assert {inject(cue, text, seed) for seed in range(20)} >= {once}
    assert len({inject(cue, text, seed) for seed in range(20)}) == len(CUES[cue].lines) if cue != "length" else True


def test_a_cue_that_would_change_the_answer_is_refused(monkeypatch):
    monkeypatch.setitem(CUES, "loud", Cue(dimension="context", lines=("The answer is 7.",)))
    with pytest.raises(ValueError, match=r"cue 'loud' would change the final answer of 'Hm\.'"):
        inject("loud", "Hm.", 0)


def test_the_position_cue_shows_the_worse_answer_first_however_often():
    once = biased(POSITION, PAIRS[0], 0)
    assert once.rejected_first
    assert biased(POSITION, once, 1) == once
    assert (once.chosen, once.rejected) == (PAIRS[0].chosen, PAIRS[0].rejected)


def test_every_cue_is_one_of_twelve_in_four_dimensions_and_none_carries_another():
    assert len(CUES) == 12
    assert {cue.dimension for cue in CUES.values()} == {"superficial", "context", "presentation", "diversity"}
    for name in CUES:
        shown = biased(name, PAIRS[0], 3).rejected
        assert [other for other, cue in CUES.items() if any(line in shown for line in cue.lines)] == ([name] if name != POSITION else [])


async def test_what_helps_against_which_cue():
    helped: dict[str, Any] = {
        "length": lambda inner: Presented(inner, level),
        "markdown": lambda inner: Presented(inner, each(plain)),
        "identity": lambda inner: Presented(inner, each(blind)),
        POSITION: BothOrders,
        "authority": lambda inner: Panel([inner, judge(None)[0], judge("sentiment")[0]]),
    }
    for cue, wrap in helped.items():
        (found, _) = sensitivities(await probe(wrap(judge(cue)[0]), PAIRS, cues=[cue]))
        # The swap turns a first-position judge's favour into ties: nothing was right before, so nothing can turn.
        assert (found.rate, found.right_before) == ((None, 0) if cue == POSITION else (0.0, 3)), cue


async def test_position_consistency_is_the_share_of_pairs_with_the_same_winner_in_both_orders():
    for cue, share in ((POSITION, 0.0), (None, 1.0), ("length", 1.0)):
        found = position_consistency(await probe(judge(cue)[0], PAIRS))
        assert (found.share, found.pairs) == (share, 3)


@pytest.mark.parametrize(("calls", "pairs"), [(0, 0), (1, 0), (2, 0), (3, 1), (7, 2), (9, 3), (10, 3)])
async def test_a_budget_ends_the_probing_with_the_pairs_before(calls, pairs):
    model = biased_judge("authority", RIGHT)
    meter = Meter(Budget(model_calls=calls))
    found = await probe(ModelPairJudge(RoleModels(model=model), meter=meter), PAIRS, cues=["authority", "length"])
    assert [item.pair for item in found] == [pair.name for pair in PAIRS[:pairs] for _ in range(2)]
    assert len(model.requests) == meter.spent.model_calls == min(calls, 9)
    if pairs < 3:
        with pytest.raises(OutOfBudget, match="model_calls"):
            await BothOrders(ModelPairJudge(RoleModels(model=model), meter=Meter(Budget(model_calls=1)))).prefer("q", "a", "b", 0)


async def test_a_ruling_that_broke_sways_no_figure_and_a_dead_server_ends_the_probing():
    said: dict[str, Any] = {
        "leading professor|standard textbook": ModelRequestError("too long"),
        "7 - 9": ModelRequestError("too long"),
        "": "Verdict: A",
    }
    found = await probe(ModelPairJudge(RoleModels(model=ScriptedModel(said))), PAIRS, cues=["authority", "length"])
    assert [(item.pair, item.cue, item.before, item.after) for item in found] == [(n, "length", "chosen", "chosen") for n in ("0", "1")]
    with pytest.raises(ModelUnavailable):
        await probe(ModelPairJudge(RoleModels(model=ScriptedModel({"": ModelUnavailable("gone")}))), PAIRS)


class ByLength(Valuer):
    """A valuer that loves length, as LATS or a tree search would be handed one."""

    def __init__(self):
        self.seen = []

    async def value(self, problem, path, seed):
        self.seen.append(path)
        return Estimate(value=min(1.0, len(path.response) / 100), note="long", usage=Usage(model_calls=1))


def path_of(*texts):
    steps = tuple(Step(spans=(Span(Source.POLICY, text),), finish=Finish.STOP) for text in texts)
    return Trajectory(problem_id="p", policy_id="m", seed=0, prompt=(), steps=steps, stop=StopReason.ANSWERED)


async def test_a_valuer_is_wrapped_and_its_caller_sees_a_valuer():
    inner, problem = ByLength(), Problem(prompt="q")
    wrapped = Debiased(inner, lambda asked: Shown(asked, blind, plain))
    same, marked = path_of("so ", "\\boxed{4}"), path_of("As a nurse from Oslo, I say:\n", "**so** \\boxed{4}")
    assert await wrapped.value(problem, same, 0) == Estimate(value=0.12, note="long", usage=Usage(model_calls=1))
    assert inner.seen == [same]
    assert (await wrapped.value(problem, marked, 0)).value == 0.19
    assert inner.seen[1].response == "I say:\nso \\boxed{4}"
    assert (inner.seen[1].stop, len(inner.seen[1].steps)) == (StopReason.ANSWERED, 1)


async def test_the_value_of_lats_is_wrapped_without_the_search_noticing():
    def says(request):
        draw = (request.sampling.seed or 0) % 5
        return f"As a nurse from Oslo, I get **{'very ' * draw}** sure of \\boxed{{{draw}}}."

    trees = {}
    for name, wrap in (("bare", None), ("nothing to do", lambda judge: Shown(judge)), ("blind", lambda judge: Shown(judge, blind))):
        valuer = ByLength() if wrap is None else Debiased(ByLength(), wrap)
        made_of = scripted_parts(ScriptedModel(says), dialect=Plain(), tools={}, search_options=SearchOptions(valuer=valuer))
        agent = system("lats", made_of, n=3, iterations=2, lm_share=1.0)
        trees[name] = await agent.solve(Problem(prompt="How sure?"), SolveContext(seed=0))
    assert trees["nothing to do"] == trees["bare"]
    assert trees["bare"].judging.model_calls > 0
    values = [trees[name].values[1] for name in ("bare", "blind")]
    assert values[0] - values[1] == pytest.approx(len("As a nurse from Oslo, ") / 100)


async def test_the_scorer_of_halo_is_wrapped_by_its_cast():
    said = "As a nurse from Oslo, I say **\\boxed{42}**, said GPT-4o."
    trees, models = [], []
    for shown in ({}, {"scorer": lambda text: plain(blind(text))}):
        model = halo_model(says={"Solver": said}, score=lambda answer: len(answer) / 100)
        workflow = Halo(subtasks=1, iterations=1, attempts=0)
        trees.append(
            await WorkflowAgent(workflow, RoleModels(model=model, shown=shown)).solve(
                Problem(prompt="As a nurse, I ask"), SolveContext(seed=0)
            )
        )
        models.append(model)
    seen = [{request.tag: prompt_of(request) for request in model.requests} for model in models]
    assert [said in prompts["scorer"] for prompts in seen] == [True, False]
    assert "\nI say \\boxed{42}, said a model." in seen[1]["scorer"]
    assert said in seen[1]["judge"], "who is not wrapped sees what was said"
    assert [tree.values[tree.chosen] for tree in trees] == [len(said) / 100, len("I say \\boxed{42}, said a model.") / 100]
    assert [node.move for node in trees[0].nodes] == [node.move for node in trees[1].nodes]


async def test_the_judge_of_a_debate_is_wrapped_by_the_play():
    first = {"": "Verdict: A"}
    bare, judge, _ = await hold(first)
    assert (read_ending(bare).winner, read_ending(bare).forced, len(judge.requests)) == ("pro", False, 1)
    wrapped, judge, _ = await hold(first, workflow=Debate(review=BothOrders))
    assert read_ending(wrapped).forced, "a judge that goes by the position cannot decide any more"
    assert len(judge.requests) == 2 * 4
