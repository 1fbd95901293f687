"""rStar: what has to hold for it to work, with the explorer and a second model."""

import re
from collections.abc import Callable

import pytest

from tests.systems.scripted_parts import PROBLEM, prompt_of, prompts, scripted_parts, system
from tirage.agents.continuation import Path
from tirage.agents.explorer import Agent, Explorer, SolveContext
from tirage.core import Budget, Finish, Source, Span, Step, StopReason, Tree
from tirage.core.budget import Meter
from tirage.core.errors import ConfigError
from tirage.models.base import Request, Sampling
from tirage.search.rstar import FOLLOWING, RStar
from tirage.systems.rstar.discriminator import MutualConsistency
from tirage.systems.rstar.policy import RStarPolicy, asks_the_whole, concluded, majority
from tirage.testing.canary import Canary
from tirage.testing.scripted import ScriptedModel
from tirage.verification.extract import final_answer

ALLOWED = {"": "A1 A2 A3 A5", "A5": "A1 A2 A3", "A3": "A1 A2 A3 A4", "A4": "A1 A2 A3", "A1": "A1 A2", "A2": ""}
"""The question, a rephrased one, a sub-question, a re-answer, a step of thought, a direct answer."""


def says(request: Request) -> str:
    """By the label that the prompt ends with; complete answers disagree: three in five say 42."""
    cue = prompt_of(request).rsplit("\n", 1)[-1]
    if cue.startswith("Complete answer"):
        return f" \\boxed{{{42 if (request.sampling.seed or 0) % 5 < 3 else 41}}}"
    if cue.startswith("Sub-question"):
        return f" what is {cue} about?\n never said"
    if cue.startswith(("Answer", "Again")):
        return " The answer is 6.\n\nnever said"
    return " Let me think.\n\nnever said"


async def grow(seed: int = 0, second: ScriptedModel | None = None, **options: object) -> tuple[Tree, ScriptedModel]:
    model = ScriptedModel(says)
    others = () if second is None else (second,)
    agent = system("rstar", scripted_parts(model, others=others), **{"samples": 2, "last": 2, "consistency": None, **options})
    return await agent.solve(PROBLEM, SolveContext(seed=seed)), model


def drawing_alike(agent: Agent) -> Agent:
    """The agent, with a search that draws as by seed 0 whatever the tree's seed is: the tables here are of those draws."""
    assert isinstance(agent, Explorer)
    make = agent.search
    agent.search = lambda seed: make(seed=0)
    return agent


@pytest.mark.parametrize("seed", range(3))
async def test_the_grammar_holds_below_all_six_kinds_of_node(seed: int) -> None:
    tree, _ = await grow(seed, rollouts=40)
    kinds = set()
    for node in tree.nodes:
        moves = [tree.nodes[child].move for child in tree.children[node.index]]
        kinds.add(node.move)
        assert set(moves) <= set(ALLOWED[node.move].split())
        assert not moves or all(moves.count(move) == (3 if move in ("A1", "A3") else 1) for move in set(moves))
        assert node.depth <= 5
        assert (node.stop is StopReason.ANSWERED) == (node.move == "A2")
    assert kinds == set(ALLOWED) == set(FOLLOWING)


async def test_each_move_writes_under_its_label_and_every_token_has_an_author() -> None:
    tree, model = await grow(rollouts=12)
    texts = {node.move: node.step.text for node in tree.nodes if node.step is not None and node.parent == 0}
    assert texts["A1"] == "Step 1: Let me think.\n"
    assert texts["A3"] == "Sub-question 1: what is Sub-question 1: about?\nAnswer 1: The answer is 6.\n\n"
    assert re.fullmatch(r"Complete answer: \\boxed\{4[12]\}", texts["A2"])
    again = next(node for node in tree.nodes if node.move == "A4")
    assert tree.trajectory(again.index).response.count("Again sub-question 1, step by step:") == 1
    for node in tree.nodes[1:]:
        path = tree.trajectory(node.index)
        assert path.token_ids is not None
        assert path.token_ids.count(256) == (node.move == "A2"), "only an end of the turn that ends the path is kept"
        assert {span.source for step in path.steps for span in step.spans} == {Source.FORCED, Source.POLICY}
    numbered = [prompt.rsplit("\n", 1)[-1] for prompt in prompts(model)]
    assert {"Sub-question 2:", "Step 2:"} <= set(numbered)


async def test_the_majority_is_the_text_and_its_share_the_value() -> None:
    assert majority(["1/2", "3", None, "0.5"]) == (0, 0.5)
    assert majority(["3", "4", "4", "3"]) == (0, 0.5), "the first of those that lead"
    assert majority([None, None]) == (0, 0.0)
    answers = iter([" \\boxed{41}", " \\boxed{42}", " \\boxed{42.0}", " hm"])
    model = ScriptedModel(lambda request: next(answers) if prompt_of(request).endswith("Complete answer:") else " So.\n")
    agent = system("rstar", scripted_parts(model), samples=1, last=4, rollouts=1, depth=1, consistency=None)
    tree = await agent.solve(PROBLEM, SolveContext(seed=0))
    (direct,) = [node for node in tree.nodes if node.move == "A2"]
    assert direct.step is not None
    assert direct.step.policy_text == " \\boxed{42}"
    assert tree.values[direct.index] == 0.5
    assert direct.step.usage.tokens_out > 4 * len(" \\boxed"), "what was not kept was paid for"


async def test_a_subquestion_that_is_the_problem_ends_the_path() -> None:
    assert asks_the_whole(" Now we can answer the question: what is 6 * 7?", PROBLEM)
    assert asks_the_whole("what is 6*7", PROBLEM)
    assert not asks_the_whole("What is 6 * 8?", PROBLEM)
    drawn: list[int] = []

    def whole(request: Request) -> str:
        if prompt_of(request).endswith("Sub-question 1:"):
            return " Now we can answer the question: What is 6 * 7?\n"
        if prompt_of(request).endswith("Answer 1:"):
            drawn.append(request.sampling.n)
            return " The answer is 42.\n\n"
        return " So.\n\n"

    model = ScriptedModel(whole)
    tree = await system("rstar", scripted_parts(model), samples=1, last=7, rollouts=1, depth=1, consistency=None).solve(
        PROBLEM, SolveContext(seed=0)
    )
    assert {node.stop for node in tree.nodes if node.move == "A3"} == {StopReason.ANSWERED}
    assert set(drawn) == {7}
    assert all(tree.values[node.index] == 1.0 for node in tree.nodes if node.move == "A3")


def test_only_the_last_move_answers() -> None:
    asked = "Sub-question 1: what?\nAnswer 1: The answer is 6.\n\n"
    assert concluded(asked) == "6"
    assert concluded(asked + "Step 1: so 6 times 7\n") is None
    assert concluded(asked + "Step 1: the answer is 42.\n") == "42"
    assert concluded(asked + "Complete answer: it makes 42") == "42"
    assert concluded(asked + "Give the next step of the solution alone, in one or two sentences.\nMultiply 6 by 7.") is None
    assert concluded("42") is None


async def test_a_step_that_states_the_answer_goes_on_to_one_that_has_a_value() -> None:
    model = ScriptedModel(lambda request: " So it is \\boxed{42}.\n\n")
    tree = await system("rstar", scripted_parts(model), samples=2, last=3, rollouts=8, consistency=None).solve(
        PROBLEM, SolveContext(seed=0)
    )
    stated = [node for node in tree.nodes if node.move == "A1" and node.depth < 5]
    assert stated
    assert {node.stop for node in stated} == {StopReason.OPEN}
    for node in tree.nodes[1:]:
        if node.stop is StopReason.ANSWERED:
            assert tree.values[node.index] == 1.0
    assert tree.values[tree.chosen] == 1.0


async def test_the_discriminator_completes_the_policys_own_words() -> None:
    for mode in ("ids", "chat"):
        second = ScriptedModel(lambda request: "\\boxed{42}")
        model = ScriptedModel(says if mode == "ids" else lambda request: "The answer is 42.", mode=mode)
        agent = system("rstar", scripted_parts(model, others=(second,)), samples=2, last=2, rollouts=6)
        await agent.solve(PROBLEM, SolveContext(seed=0))
        assert second.requests
        for prompt in prompts(second):
            begun = prompt.rpartition("<|assistant|>\n")[2]
            assert begun == begun.rstrip()
            assert not re.search(r"Step \d|Sub-question|Answer \d|Complete answer|Now solve|Give the next|Ask the next", begun)


async def test_a_step_that_states_an_answer_belongs_to_the_answer_set() -> None:
    model = ScriptedModel(lambda request: " So it is \\boxed{42}.\n" if prompt_of(request).endswith("Step 1:") else " Hm.\n\n")
    tree = await system("rstar", scripted_parts(model), samples=1, last=1, rollouts=1, depth=1, consistency=None).solve(
        PROBLEM, SolveContext(seed=0)
    )
    assert {node.stop for node in tree.nodes if node.move == "A1"} == {StopReason.CALLS}, "nothing follows at the depth limit"
    assert tree.nodes[tree.chosen].move == "A1"


async def test_masks_of_a_hundred_words_hold_twenty_thirty_forty_fifty() -> None:
    words = " ".join(f"w{number}" for number in range(99)) + " \\boxed{7}"
    tree = Tree(problem_id="p", policy_id="m", seed=0, prompt=())
    node = tree.add(0, Step(spans=(Span(Source.POLICY, words),), finish=Finish.STOP), stop=StopReason.ANSWERED, move="A2")
    for mode in ("ids", "text", "chat"):
        second = ScriptedModel(lambda request: "\\boxed{7}", mode=mode)
        choice = await MutualConsistency(second).choose(PROBLEM.asked, tree, {node.index: "7"}, 0)
        assert choice.node == node.index
        assert choice.usage.model_calls == 4
        assert sorted(len(re.findall(r"w\d+", prompt)) for prompt in prompts(second)) == [20, 30, 40, 50]
        assert {request.sampling.temperature for request in second.requests} == {1.0}
        assert {request.sampling.max_tokens for request in second.requests} == {512}


async def test_what_is_too_long_for_an_answer_is_not_completed() -> None:
    tree = Tree(problem_id="p", policy_id="m", seed=0, prompt=())
    step = Step(spans=(Span(Source.POLICY, "\\boxed{...}"),), finish=Finish.STOP)
    lengths = {tree.add(0, step, stop=StopReason.ANSWERED, move="A2").index: count for count in (100, 101)}
    second = ScriptedModel(lambda request: "\\boxed{7}")
    choice = await MutualConsistency(second).choose(PROBLEM.asked, tree, {index: "x" * count for index, count in lengths.items()}, 0)
    assert (choice.node, len(second.requests)) == (1, 4)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"consistency": "some"}, "'loose', 'middle', 'strict' or 'majority'"),
        ({"schedule": "cosine"}, "'constant', 'exponential' or 'linear'"),
    ],
)
def test_an_unknown_mode_or_schedule_is_refused_with_the_known_ones(options: dict[str, object], says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        system("rstar", scripted_parts(ScriptedModel([])), **options)


def minority(request: Request) -> str:
    """41 from most, the right answer from one kind of path only."""
    prompt = prompt_of(request)
    if prompt.endswith("Complete answer:"):
        return " therefore \\boxed{42}" if "Step" in prompt else " clearly it is so \\boxed{41}"
    return says(request)


@pytest.mark.parametrize("confirmed", ["42", "41"])
async def test_the_discriminator_overrules_the_majority(confirmed: str) -> None:
    votes_only = system("rstar", scripted_parts(ScriptedModel(minority)), samples=1, last=1, rollouts=12, depth=3, consistency=None)
    plain = await drawing_alike(votes_only).solve(PROBLEM, SolveContext(seed=1))
    votes = [final_answer(plain.trajectory(node.index).response) for node in plain.nodes if node.move == "A2"]
    assert votes.count("41") > votes.count("42") > 0
    assert final_answer(plain.trajectory(plain.chosen).response) == "41"
    second = ScriptedModel(lambda request: f" so \\boxed{{{confirmed}}}")
    agent = system("rstar", scripted_parts(ScriptedModel(minority), others=(second,)), samples=1, last=1, rollouts=12, depth=3)
    tree = await drawing_alike(agent).solve(PROBLEM, SolveContext(seed=1))
    assert len(second.requests) == 4 * len(votes)
    assert final_answer(tree.trajectory(tree.chosen).response) == confirmed
    assert tree.judging.model_calls == len(second.requests)


async def test_without_money_left_the_votes_decide() -> None:
    second = ScriptedModel([])
    agent = system("rstar", scripted_parts(ScriptedModel(minority), others=(second,)), samples=1, last=1, rollouts=12, depth=3)
    tree = await agent.solve(PROBLEM, SolveContext(seed=1, meter=Meter(Budget(model_calls=30))))
    assert tree.ended == "budget: model_calls"
    assert second.requests == []
    assert tree.nodes[tree.chosen].stop is StopReason.ANSWERED


@pytest.mark.parametrize(
    ("schedule", "weights"), [("constant", (2.0, 2.0, 2.0)), ("exponential", (2.0, 0.6324555, 0.2)), ("linear", (2.0, 1.1, 0.2))]
)
def test_the_schedules_at_the_start_half_way_and_at_the_end(schedule: str, weights: tuple[float, ...]) -> None:
    search = system("rstar", scripted_parts(ScriptedModel([])), schedule=schedule, rollouts=16).search(seed=0)
    assert isinstance(search, RStar)
    assert [search.weight(rollout) for rollout in (0, 8, 16)] == pytest.approx(weights)


async def test_five_rollouts_by_table() -> None:
    """Paths of three steps. A direct answer is worth 1/2 from the problem (one of two samples), 1 from anywhere else, no answer 0.

    Each rollout takes a child of the problem that none has come through, then goes on at random: the answer (4): 1/2; a step (3), its
    answer (28): 1; a step (2), two more: 0; a sub-question (5), another, answered again: 0; a sub-question (7), another, a step: 0.
    """
    model = ScriptedModel(worths())
    agent = system("rstar", scripted_parts(model), samples=2, last=2, rollouts=5, depth=3, consistency=None)
    tree = await drawing_alike(agent).solve(PROBLEM, SolveContext(seed=0))
    table = {index: (visits, tree.value_sum[index]) for index, visits in enumerate(tree.visits) if visits}
    through = {2: (1, 0.0), 46: (1, 0.0), 51: (1, 0.0), 5: (1, 0.0), 33: (1, 0.0), 44: (1, 0.0), 7: (1, 0.0), 15: (1, 0.0), 17: (1, 0.0)}
    assert table == {0: (5, 1.5), 4: (1, 0.5), 3: (1, 1.0), 28: (1, 1.0)} | through
    assert [tree.nodes[index].move for index in (4, 3, 28, 2, 46, 51, 5, 33, 44, 7, 15, 17)] == (
        ["A2", "A1", "A2", "A1", "A1", "A1", "A3", "A3", "A4", "A3", "A3", "A1"]
    )
    assert tree.values[4] == 0.5


def worths() -> Callable[[Request], str]:
    """Two complete answers to the problem itself disagree; all others agree."""
    direct = iter([" \\boxed{1}", " \\boxed{2}"])

    def say(request: Request) -> str:
        prompt = prompt_of(request)
        if not prompt.endswith("Complete answer:"):
            return says(request)
        return next(direct) if prompt.endswith("<|assistant|>\nComplete answer:") else " \\boxed{2}"

    return say


async def test_chat_models_are_told_what_to_write() -> None:
    replies = {
        "Ask the next sub-question": "What is 6 + 6?",
        "Answer this sub-question": "The answer is 12.",
        "Answer the last sub-question again": "The answer is 13.",
        "next step of the solution": "Add six seven times.",
        "in other words": "Seven sixes?",
        "Now solve the problem to the end": "\\boxed{42}",
    }

    def chat(request: Request) -> str:
        last = (request.messages or ())[-1]
        assert last.role == "user"
        return next(reply for cue, reply in replies.items() if cue in last.content)

    model = ScriptedModel(chat, mode="chat")
    tree = await system("rstar", scripted_parts(model), samples=2, last=2, rollouts=12, consistency=None).solve(
        PROBLEM, SolveContext(seed=0)
    )
    assert {node.move for node in tree.nodes} == set(ALLOWED)
    assert {node.step.policy_text for node in tree.nodes if node.move == "A3" and node.step is not None} == {
        "What is 6 + 6?The answer is 12."
    }
    assert final_answer(tree.trajectory(tree.chosen).response) == "42"


async def test_text_without_a_tokenizer_gets_each_label_on_a_line_of_its_own() -> None:
    model = ScriptedModel(says, mode="text")
    tree = await system("rstar", scripted_parts(model), samples=2, last=2, rollouts=4, consistency=None).solve(
        PROBLEM, SolveContext(seed=0)
    )
    assert all(re.search(r"\n(Step|Sub-question|Answer|Again|Complete|The problem)[^\n]*:$", prompt) for prompt in prompts(model))
    assert {node.step.text for node in tree.nodes if node.move == "A3" and node.parent == 0 and node.step is not None} == {
        "\nSub-question 1: what is Sub-question 1: about?\nAnswer 1: The answer is 6.\n\n"
    }


async def test_an_empty_move_breaks_the_path_and_an_unknown_one_is_named() -> None:
    model = ScriptedModel(lambda request: "\n")
    tree = await system("rstar", scripted_parts(model), samples=1, last=1, rollouts=1, consistency=None).solve(
        PROBLEM, SolveContext(seed=0)
    )
    assert {node.stop for node in tree.nodes[1:] if node.move in ("A1", "A3")} == {StopReason.MALFORMED}
    policy = RStarPolicy(ScriptedModel([]), sampling=Sampling())
    with pytest.raises(ConfigError, match="has no move 'jump'; its moves: A1"):
        await policy.propose(PROBLEM, Path(messages=(), prompt=(), steps=()), seed=0, hint_seed=0, most_tokens=None, move="jump")


async def test_the_reference_is_out_of_reach_of_policy_search_and_discriminator() -> None:
    canary = Canary()
    first, second = ScriptedModel(says), ScriptedModel(lambda request: " so \\boxed{42}")
    agent = system("rstar", scripted_parts(first, others=(second,)), samples=2, last=2, rollouts=4, depth=2)
    canary.guard(agent)
    tree = await agent.solve(canary.problem, SolveContext(seed=0))
    canary.check(first, second)
    assert canary.handed > 20
    assert tree.nodes[tree.chosen].stop is StopReason.ANSWERED
