"""CPL: what has to hold for it to work, with the explorer."""

import math
import re
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import replace

import pytest

from tests.search.toys import PRIORS, VALUES
from tests.systems.scripted_parts import PROBLEM, prompt_of, prompts, scripted_parts, system
from tirage.agents.explorer import SolveContext
from tirage.agents.search_options import SearchOptions
from tirage.agents.valuation import Estimate, Valuer
from tirage.core import Finish, Problem, StopReason, Trajectory, Tree
from tirage.core.step import join_ids
from tirage.models.base import Completion, Request
from tirage.search.plans import PlanSearch, preference_pairs
from tirage.systems.cpl import NEXT, PlanSteps, solution
from tirage.testing.canary import Canary
from tirage.testing.scripted import Reply, Script, ScriptedModel, write
from tirage.verification.extract import final_answer

STEP = re.compile(r"<step>(\w+)</step>")


def text_of(tree: Tree, index: int) -> str:
    """The letters of a path."""
    return "".join(STEP.findall("".join(node.step.text for node in tree.path(index) if node.step is not None)))


class Weighted(ScriptedModel):
    """Its draws at a place are sampled with given probabilities, in turn."""

    def __init__(self, say: Callable[[str, int], str], priors: tuple[float, ...] = PRIORS) -> None:
        super().__init__(self._say)
        self._plan, self._priors = say, priors
        self._asked: Counter[str] = Counter()
        self._number = 0

    def _say(self, request: Request) -> str:
        place = "".join(STEP.findall(prompt_of(request).rpartition("<|assistant|>")[2]))
        self._number = self._asked[place]
        self._asked[place] += 1
        return self._plan(place, self._number)

    async def complete(self, request: Request) -> tuple[Completion, ...]:
        (said,) = await super().complete(request)
        score = math.log(self._priors[self._number % len(self._priors)])
        return (replace(said, logprobs=(score,) * len(said.ids or ())),)


class Table(Valuer):
    """Values in [0, 1], of which the search sees twice, less one; an answer that begins with `right` is right."""

    def __init__(self, open_: Mapping[str, float], right: str = "none", otherwise: float = 0.0) -> None:
        self.open, self.right, self.otherwise = open_, right, otherwise

    async def value(self, problem: Problem, path: Trajectory, seed: int) -> Estimate:
        if path.stop is StopReason.ANSWERED:
            return Estimate(value=float((final_answer(path.response) or "").startswith(self.right)))
        return Estimate(value=(1 + self.open.get("".join(STEP.findall(path.response)), self.otherwise)) / 2)


def plan(letter: str) -> str:
    return f"<step>{letter}</step>"


async def test_the_first_eight_selections_by_hand() -> None:
    """The table of `tests/search/test_plans.py`, with a model, its probabilities and a value head."""
    scores: list[list[float]] = []

    class Told(PlanSearch):
        """Keeps what the descents find at the root."""

        def select(self, tree: Tree) -> int:
            scores.append([self.score(tree, 0, child) for child in tree.children[0]])
            return super().select(tree)

    def say(place: str, number: int) -> str:
        letter = "abc"[number]
        if place == "" or letter != "c":
            return plan(letter)
        return "no plan, no solution" if place == "a" else f"So \\boxed{{{'yes' if place == 'b' else 'no'}}}"

    made_of = scripted_parts(Weighted(say), search_options=SearchOptions(valuer=Table(VALUES, right="yes")))
    agent = system("cpl", replace(made_of, search=lambda seed: Told(seed=seed, root=3, iterations=8)))
    tree = await agent.solve(PROBLEM, SolveContext(seed=0))
    by_hand = [
        *([0.9, 0.45, 0.15], [0.1196, 0.7794, 0.2598], [0.2708, 1.1354, 0.3354], [0.3937, 0.4881, 0.3969]),
        *([0.5, 0.1929, 0.45], [0.0970, 0.2132, 0.4975], [0.1490, 0.2318, -0.5197]),
    ]
    assert scores == [[], *(pytest.approx(row, abs=1e-4) for row in by_hand)]
    parents = [node.parent for node in tree.nodes[1::3]]
    assert [text_of(tree, parent) for parent in parents] == ["", "a", "b", "ba", "bb", "aa", "c", "baa"]
    assert [node.prior for node in tree.nodes[1:4]] == pytest.approx(PRIORS)
    inner = {text_of(tree, node.index): tree.visits[node.index] for node in tree.nodes if node.stop is StopReason.OPEN}
    assert {text: count for text, count in inner.items() if count} == (
        {"": 15, "a": 4, "b": 8, "c": 2, "aa": 2, "ba": 4, "bb": 2, "baa": 2}
    )
    sums = {text_of(tree, node.index): tree.value_sum[node.index] for node in tree.nodes if node.stop is StopReason.OPEN}
    expected = {"": -4.4, "a": -2.0, "b": -1.0, "c": -1.4, "aa": -1.2, "ba": -1.6, "bb": -1.0, "baa": -1.0}
    assert {text: sums[text] for text in expected} == pytest.approx(expected)
    ends = [node.index for node in tree.nodes if node.stop is not StopReason.OPEN]
    assert sorted(tree.value_sum[index] for index in ends) == [-1.0] * 6 + [1.0]


def needle(place: str, number: int) -> str:
    """Three ways at each place; the third step is a solution."""
    digits = f"{place}{number % 3}"
    return f"So \\boxed{{{digits}}}" if len(digits) == 3 else plan(digits[-1])


@pytest.mark.parametrize(("known", "iterations"), [(False, 40), (True, 12)])
@pytest.mark.parametrize("goal", ["210", "000", "222", "121"])
async def test_one_right_leaf_among_27(goal: str, known: bool, iterations: int) -> None:
    valuer = Table({goal[:1]: 1.0, goal[:2]: 1.0} if known else {}, right=goal, otherwise=-1.0 if known else 0.0)
    agent = system(
        "cpl", scripted_parts(Weighted(needle, (0.5,)), search_options=SearchOptions(valuer=valuer)), root=3, iterations=iterations
    )
    tree = await agent.solve(PROBLEM, SolveContext(seed=0))
    assert final_answer(tree.trajectory(tree.chosen).response) == goal


async def test_duplicates_make_one_child_and_a_violation_is_worth_minus_one_and_never_selected() -> None:
    said = [plan("a"), f"{plan('a')}  never said", "Let me see.", f"{plan('b')}", "I <step>guess \\boxed{1}</step>"]
    model = ScriptedModel([*said, *["<step> </step>"] * 6])
    agent = system("cpl", scripted_parts(model, search_options=SearchOptions(valuer=Table({}))), iterations=3)
    tree = await agent.solve(PROBLEM, SolveContext(seed=0))
    model.assert_done()
    stops = [tree.nodes[child].stop for child in tree.children[0]]
    assert stops == [StopReason.OPEN, StopReason.MERGED, StopReason.MALFORMED, StopReason.OPEN, StopReason.MALFORMED]
    assert [tree.visits[child] for child in tree.children[0]] == [2, 0, 1, 2, 1]
    assert [tree.value_sum[child] for child in (3, 5)] == [-1.0, -1.0]
    assert {node.parent for node in tree.nodes[1:]} == {0, 1, 4}
    assert tree.notes[2] == "same state as node 1"


async def test_equal_solutions_are_told_apart_by_their_text() -> None:
    model = ScriptedModel(["First \\boxed{1}", "Second \\boxed{1}", " First \\boxed{1} "])
    tree = await system(
        "cpl", scripted_parts(model, search_options=SearchOptions(valuer=Table({}, right="1"))), root=3, iterations=1
    ).solve(PROBLEM, SolveContext(seed=0))
    assert [node.stop for node in tree.nodes[1:]] == [StopReason.ANSWERED, StopReason.ANSWERED, StopReason.MERGED]


async def test_the_seventh_step_is_one_too_many() -> None:
    numbers = iter(range(10_000))
    model = ScriptedModel(lambda request: plan(f"s{next(numbers)}"))
    agent = system("cpl", scripted_parts(model, search_options=SearchOptions(valuer=Table({}, otherwise=0.9))), n=1, root=1, iterations=30)
    tree = await agent.solve(PROBLEM, SolveContext(seed=0))
    assert [node.depth for node in tree.nodes] == list(range(8))
    assert (tree.nodes[7].stop, tree.visits[7], tree.value_sum[7]) == (StopReason.CALLS, 1, -1.0)
    assert tree.chosen in (0, 7), "there is no answer"


async def test_a_step_that_was_cut_off_is_no_step() -> None:
    model = ScriptedModel([Reply(text="<step>a very long", cut=True)])
    tree = await system("cpl", scripted_parts(model, search_options=SearchOptions(valuer=Table({}))), root=1, iterations=1).solve(
        PROBLEM, SolveContext(seed=0)
    )
    assert (tree.nodes[1].stop, tree.value_sum[1]) == (StopReason.LENGTH, -1.0)


async def test_pairs_have_a_better_and_a_worse_step_after_one_prefix() -> None:
    """All that begins with 2 is good, but one of its solutions; all else is bad."""
    valuer = Table(dict.fromkeys(("2", "20", "21", "22"), 1.0), right="2", otherwise=-1.0)

    def say(place: str, number: int) -> str:
        return needle(place, number) if place != "21" or number else "So \\boxed{1}"

    agent = system("cpl", scripted_parts(Weighted(say, (0.5,)), search_options=SearchOptions(valuer=valuer)), root=3, iterations=20)
    tree = await agent.solve(PROBLEM, SolveContext(seed=0))
    pairs = preference_pairs(tree)
    mean = {node.index: tree.value_sum[node.index] / tree.visits[node.index] for node in tree.nodes if tree.visits[node.index]}
    assert len(pairs) >= 3
    for chosen, rejected in pairs:
        assert mean[chosen] > 0 > mean[rejected]
        assert tree.nodes[chosen].parent == tree.nodes[rejected].parent
        read = [tree.trajectory(index).spans[: -len(tree.nodes[index].step.spans)] for index in (chosen, rejected)]
        assert join_ids(read[0]) == join_ids(read[1]) is not None, "the same tokens were read"
    assert {(text_of(tree, chosen), text_of(tree, rejected)) for chosen, rejected in pairs} == {("2", "0"), ("2", "1"), ("21", "21")}


@pytest.mark.parametrize(
    ("text", "finish"),
    [
        ("<step>add</step>", Finish.STEP),
        ("\n <step>add\nmore</step>", Finish.STEP),
        ("So \\boxed{1}.", Finish.STOP),
        ("So it is 1.", Finish.MALFORMED),
        ("<step></step>", Finish.MALFORMED),
        ("add</step>", Finish.MALFORMED),
        ("First, <step>add</step>", Finish.MALFORMED),
        ("<step>a<step>b</step>", Finish.MALFORMED),
        ("<step>add \\boxed{1}</step>", Finish.MALFORMED),
        ("<step>add \\boxed{1}", Finish.MALFORMED),
    ],
)
def test_exactly_one_step_or_a_boxed_solution(text: str, finish: Finish) -> None:
    sampling = scripted_parts(ScriptedModel([])).sampling
    completion = write(Reply(text=text), replace(sampling, stop=PlanSteps.stops), (), with_ids=True, first=True)
    assert PlanSteps().read("<step>before</step>" + text, completion).finish is finish


def test_the_answer_is_that_of_a_solution() -> None:
    assert solution("<step>a</step>So \\boxed{1}") == "1"
    assert solution("<step>a \\boxed{1}</step>") is None
    assert solution("<step>a</step><step>\\boxed{1}") is None
    assert solution("\\boxed{2}") == "2"


async def test_chat_models_are_asked_for_each_step() -> None:
    model = ScriptedModel([plan("a"), "So \\boxed{42}"], mode="chat")
    agent = system("cpl", scripted_parts(model, search_options=SearchOptions(valuer=Table({}, right="42"))), root=1, n=1, iterations=2)
    tree = await agent.solve(PROBLEM, SolveContext(seed=0))
    assert [message.content for message in model.requests[1].messages or ()][2:] == [plan("a"), NEXT]
    assert final_answer(tree.trajectory(tree.chosen).response) == "42"
    assert "between <step> and </step>" in prompts(model)[0]
    assert isinstance(agent.search(seed=0), PlanSearch)


def script() -> Script:
    def say(request: Request) -> str:
        if "Proposed answer" in prompt_of(request):
            return "Verdict: correct"
        return "So \\boxed{42}" if "</step>" in prompt_of(request).rpartition("<|assistant|>")[2] else plan("multiply")

    return say


async def test_the_reference_is_out_of_reach_of_policy_search_and_critic() -> None:
    canary = Canary()
    model = ScriptedModel(script())
    agent = system("cpl", scripted_parts(model), iterations=3)
    canary.guard(agent)
    tree = await agent.solve(canary.problem, SolveContext(seed=0))
    canary.check(model)
    assert tree.values[tree.chosen] == 1.0
    assert canary.handed > 20
