"""LATS: what has to hold for it to work, with the explorer; the environment is code in the real sandbox where its state matters."""

import math
import re
from collections import Counter
from collections.abc import Callable

import pytest

from tests.systems.scripted_parts import CODE, PROBLEM, prompt_of, prompts, scripted_parts, system
from tirage.agents.driver import StepEvent
from tirage.agents.explorer import Explorer, SolveContext
from tirage.agents.search_options import SearchOptions
from tirage.agents.valuation import Estimate, Valuer
from tirage.core import Problem, StopReason, Trajectory, Tree, Verdict
from tirage.core.errors import ConfigError
from tirage.judging.valuers import Oracle
from tirage.models.base import Request
from tirage.sandbox import SandboxConfig, open_sandbox
from tirage.sandbox.base import ExecResult
from tirage.search.lats import LATS
from tirage.systems.lats import Rating, Reflecting
from tirage.testing.canary import Canary
from tirage.testing.sandbox import TableSandbox
from tirage.testing.scripted import Script, ScriptedModel
from tirage.verification.extract import final_answer

LEARNT = "What I learnt:"
PLACE = re.compile(r"```output\n([0-9]+)\n```")
GOALS = ("2101", "0000", "2222", "1210")


def walker(branching: int = 3, depth: int = 4) -> Callable[[Request], str]:
    """A graph: from each place the ways 0, 1, 2 in turn, by code that prints where it leads; the last step is an answer."""
    asked: Counter[str] = Counter()

    def say(request: Request) -> str:
        place = (["", *PLACE.findall(prompt_of(request))])[-1]
        way = f"{place}{asked[place] % branching}"
        asked[place] += 1
        return f"\\boxed{{{way}}}" if len(way) == depth else f"```python\nprint('{way}')\n```\n```output"

    return say


class Guide(Valuer):
    """Values by the way to a goal: `guide` tells how much of it is seen; without it all that is open is worth the same."""

    def __init__(self, goal: str, guide: float = 0.0) -> None:
        self.goal, self.guide = goal, guide

    async def value(self, problem: Problem, path: Trajectory, seed: int) -> Estimate:
        if path.stop is StopReason.ANSWERED:
            return Estimate(value=float(final_answer(path.response) == self.goal))
        place = PLACE.findall(path.response)[-1]
        return Estimate(value=0.1 + (self.guide * len(place) / 4 if self.goal.startswith(place) else 0.0))


def lats(script: Script, valuer: object = None, **options: object) -> tuple[Explorer, ScriptedModel, list[LATS]]:
    """The system over a scripted model whose reflections are numbered, and every search that it makes."""
    numbers = iter(range(1000))
    model = ScriptedModel(script, tags={"reflection": lambda request: f"lesson {next(numbers)}"})
    sandbox = TableSandbox(lambda code: ExecResult(stdout=code.split("'")[1] + "\n" if "'" in code else "42\n"))
    agent = system("lats", scripted_parts(model, sandbox=sandbox, search_options=SearchOptions(valuer=valuer)), **options)  # type: ignore[arg-type]
    make, made = agent.search, []

    def kept(*, seed: int) -> LATS:
        search = make(seed=seed)
        assert isinstance(search, LATS)
        made.append(search)
        return search

    agent.search = kept
    return agent, model, made


async def test_one_rewarding_leaf_is_found_within_thirty_iterations_and_sooner_with_heuristics() -> None:
    async def iterations(goal: str, guide: float) -> int:
        agent, _, made = lats(walker(), Guide(goal, guide), n=3)
        tree = await agent.solve(PROBLEM, SolveContext(seed=0))
        assert final_answer(tree.trajectory(tree.chosen).response) == goal
        assert made[0].done
        return made[0].iterations

    blind = [await iterations(goal, 0.0) for goal in GOALS]
    guided = [await iterations(goal, 0.8) for goal in GOALS]
    assert max(blind) <= 30
    assert guided == [1] * len(GOALS)
    assert sum(blind) > 2 * sum(guided)


async def test_a_failure_brings_one_reflection_into_the_next_prompt_and_never_more_than_three() -> None:
    answers = iter(range(100))
    agent, model, _ = lats(lambda request: f"\\boxed{{{next(answers)}}}", Guide("none"), n=6, iterations=1)
    tree = await agent.solve(PROBLEM, SolveContext(seed=0))
    asked = [prompt_of(request) for request in model.requests if request.tag == "policy"]
    assert [prompt.count(LEARNT) for prompt in asked] == [0, 1, 2, 3, 3, 3]
    assert f"{LEARNT} lesson 0" in asked[1]
    assert [re.findall(r"lesson (\d)", prompt) for prompt in asked[3:]] == [["2", "1", "0"], ["3", "2", "1"], ["4", "3", "2"]]
    assert [tree.notes[node.index] for node in tree.nodes[1:]] == [f"lesson {number}" for number in range(6)]
    assert all(LEARNT not in tree.trajectory(node.index).response for node in tree.nodes[1:])


async def test_a_good_answer_is_not_reflected_on() -> None:
    agent, model, _ = lats(["\\boxed{7}", CODE], Guide("7"), n=2, iterations=1)
    tree = await agent.solve(PROBLEM, SolveContext(seed=0))
    assert {request.tag for request in model.requests} == {"policy"}
    assert tree.notes == {}


async def test_the_environment_of_every_node_is_that_of_its_path() -> None:
    """A counter that each step raises: however the tree branches, a node at depth d has counted to d."""
    code = "```python\ncount = globals().get('count', 0) + 1\nprint(count, '{}')\n```\n```output"
    numbers = iter(range(1000))
    model = ScriptedModel(lambda request: code.format(next(numbers)), tags={"reflection": lambda request: "hm"})

    class Half(Valuer):
        async def value(self, problem: Problem, path: Trajectory, seed: int) -> Estimate:
            return Estimate(value=0.5)

    async with open_sandbox(SandboxConfig(preload=())) as sandbox:
        made_of = scripted_parts(model, sandbox=sandbox, search_options=SearchOptions(valuer=Half()))
        tree = await system("lats", made_of, n=2, depth=4, iterations=6).solve(PROBLEM, SolveContext(seed=0))
    assert len(tree.nodes) > 12
    for node in tree.nodes[1:]:
        assert node.step is not None
        assert node.step.observations[0].text.split()[0] == str(node.depth)


async def test_every_iteration_counts_once_q_stays_in_range_and_what_is_exhausted_is_left_alone() -> None:
    agent, _, made = lats(walker(), Guide("none"), n=3, iterations=200)
    closed: set[int] = set()

    def watch(event: StepEvent) -> None:
        assert event.node.parent not in closed
        closed.update(index for index in range(len(event.tree.nodes)) if made[0].is_closed(index))

    tree = await agent.solve(PROBLEM, SolveContext(seed=0, on_step=watch))
    assert len(tree.nodes) == 1 + 3 + 9 + 27 + 81
    assert tree.visits[0] == made[0].iterations == 27
    assert all(-1 <= total / count <= 1 for total, count in zip(tree.value_sum, tree.visits, strict=True) if count)
    assert closed == set(range(len(tree.nodes)))


async def test_uct_takes_the_running_mean_as_it_is() -> None:
    """Q + w sqrt(ln N_p / N); the mean is not divided by the visits once more."""
    agent, _, made = lats(walker(), Guide("none"), n=3, w=0.5, iterations=9)
    tree = await agent.solve(PROBLEM, SolveContext(seed=0))
    seen = [node for node in tree.nodes[1:] if tree.visits[node.index]]
    assert max(tree.visits[node.index] for node in seen) > 2
    for node in seen:
        visits = tree.visits[node.index]
        uct = tree.value_sum[node.index] / visits + 0.5 * math.sqrt(math.log(tree.visits[node.parent]) / visits)
        assert made[0].score(tree, node.parent, node.index) == pytest.approx(uct)


async def test_duplicates_get_nothing_and_agreement_is_half_of_a_value() -> None:
    """V = l LM + (1 - l) SC: two of three agree on the first, .5 * .8 + .5 * 2/3; the third stands alone, .5 * .4 + .5 * 1/3."""

    class Listed(Valuer):
        values = iter([0.8, 0.2, 0.4])

        async def value(self, problem: Problem, path: Trajectory, seed: int) -> Estimate:
            return Estimate(value=next(self.values, 0.0))

    same = CODE.replace("print(6 * 7)", "print(6*7)  # again")
    agent, _, _ = lats([CODE, same, "```python\nprint('7')\n```\n```output"], Listed(), n=3, depth=7, iterations=1)
    seen: list[dict[int, float]] = []
    tree = await agent.solve(PROBLEM, SolveContext(seed=0, on_step=lambda event: seen.append(dict(event.tree.values))))
    assert seen[0] == {1: pytest.approx(0.9)}
    assert seen[2] == {1: pytest.approx(0.4 + 1 / 3), 2: 0.2, 3: pytest.approx(0.2 + 1 / 6)}
    assert tree.nodes[2].stop is StopReason.MERGED
    assert (tree.visits[2], tree.value_sum[2], tree.children[2]) == (0, 0.0, [])


async def test_an_oracle_is_asked_only_on_request_and_only_where_there_is_one() -> None:
    asked: list[str] = []

    class Judge:
        async def verify(self, problem: Problem, response: str) -> Verdict:
            asked.append(response)
            assert problem.answer == "42"
            return Verdict(correct="{42}" in response, verifier="test", detail="the reference is 42")

    model = ScriptedModel(["\\boxed{41}", "\\boxed{42}"], tags={"reflection": lambda request: "Count again."})
    agent = system("lats", scripted_parts(model, verifiers=lambda problem: Judge()), n=2, oracle_reward=True, iterations=1)
    tree = await agent.solve(PROBLEM, SolveContext(seed=0))
    assert asked == ["\\boxed{41}", "\\boxed{42}"]
    assert tree.values == {1: 0.0, 2: 1.0}
    assert tree.chosen == 2
    assert not any("reference" in prompt for prompt in prompts(model)), "what the oracle says teaches nobody"
    assert not getattr(system("lats", scripted_parts(model, verifiers=lambda problem: Judge())).search_options.valuer, "sees_answer", False)
    with pytest.raises(ConfigError, match="oracle_reward needs the verifiers"):
        system("lats", scripted_parts(model), oracle_reward=True)


@pytest.mark.parametrize(("said", "value"), [("Fine.\nScore: 7", 6 / 9), ("Score: 10", 1.0), ("Score: 11", None), ("no idea", None)])
async def test_ratings_of_one_to_ten_are_values(said: str, value: float | None) -> None:
    tree = Tree(problem_id="p", policy_id="m", seed=0, prompt=())
    path = Trajectory(problem_id="p", policy_id="m", seed=0, prompt=tree.prompt, steps=(), stop=StopReason.OPEN)
    found = await Rating(ScriptedModel([said])).value(PROBLEM.asked, path, 0)
    assert found.value == (None if value is None else pytest.approx(value))
    assert found.usage.model_calls == 1


async def test_ratings_are_given_in_the_light_of_what_was_learnt() -> None:
    def critic(request: Request) -> str:
        if request.tag == "rating":
            return "Score: 5"
        return "Verdict: wrong" if "Proposed answer" in prompt_of(request) else policy(request)

    policy = walker(branching=2, depth=3)
    agent, model, _ = lats(critic, n=2, iterations=2)
    await agent.solve(PROBLEM, SolveContext(seed=0))
    rated = [prompt_of(request) for request in model.requests if request.tag == "rating"]
    assert LEARNT not in rated[0]
    lessons = [re.findall(r"lesson \d", prompt.split("Solution so far:")[0]) for prompt in rated]
    assert (lessons[0], lessons[-1]) == ([], ["lesson 1", "lesson 0"])


@pytest.mark.parametrize("stop", [StopReason.LENGTH, StopReason.CALLS, StopReason.MALFORMED, StopReason.GAVE_UP])
async def test_an_end_without_an_answer_is_a_failure_too(stop: StopReason) -> None:
    class Fair(Valuer):
        async def value(self, problem: Problem, path: Trajectory, seed: int) -> Estimate:
            return Estimate(value=0.6, note="could be better")

    model = ScriptedModel(["Be brief."], mode="chat")
    path = Trajectory(problem_id="p", policy_id="m", seed=0, prompt=(), steps=(), stop=stop)
    assert (await Reflecting(Fair(), model).value(PROBLEM.asked, path, 0)).note == "Be brief."
    assert "A check of it: could be better" in prompts(model)[0]


def critical(request: Request) -> str:
    """A policy that is wrong first, and the critic who checks with code."""
    prompt = prompt_of(request)
    if request.tag == "rating":
        return "Score: 5"
    if request.tag == "reflection":
        return "Multiply, do not add."
    if "Proposed answer" in prompt:
        right = "Proposed answer: 42" in prompt
        return f"Verdict: {'correct' if right else 'wrong'}" if "```output\n42" in prompt else CODE
    return "\\boxed{42}" if "Multiply" in prompt else "\\boxed{13}"


async def test_the_reference_is_out_of_reach_of_policy_critic_rating_and_reflection() -> None:
    canary = Canary()
    model = ScriptedModel(critical)
    agent = system("lats", scripted_parts(model, sandbox=TableSandbox({"print(6 * 7)": ExecResult(stdout="42\n")})), n=2)
    canary.guard(agent)
    tree = await agent.solve(canary.problem, SolveContext(seed=0))
    canary.check(model)
    assert final_answer(tree.trajectory(tree.chosen).response) == "42", "the lesson helped"
    assert {request.tag for request in model.requests} == {"policy", "reflection"}
    assert not isinstance(agent.search_options.valuer, Oracle)
