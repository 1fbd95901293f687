"""`tirage search` and `tirage compare --strategies`, as a user meets them."""

import json
from pathlib import Path

import pytest

import tirage
from tests.cli.command_line import problems, run, script
from tirage.core.errors import ConfigError
from tirage.runtime.config import BudgetConfig, SearchConfig

CHAINS = ("\\boxed{1}", "\\boxed{2}", "\\boxed{2}")


def test_strategies_are_listed_with_their_options(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(capsys, "search", "--list", "--json")
    listed = json.loads(out)
    assert code == 0
    assert {"greedy", "best-of-n", "beam", "dvts", "tot", "best-first", "dfs", "dfsdt", "mcts", "puct", "gumbel", "ab-mcts"} <= set(listed)
    assert "width" in listed["mcts"]["options"]
    assert "mcts" in run(capsys, "search", "--list")[1]


def test_one_problem_is_searched_kept_and_shown(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    model, folder = script(tmp_path, *CHAINS), tmp_path / "run"
    asked = ["search", "1 + 1?", "--answer", "2", "-s", "best-of-3", "-m", model, "--run", str(folder), "--concurrency", "1"]
    code, out, _ = run(capsys, *asked)
    assert code == 0
    assert "answer: 2 correct" in out
    assert "3 nodes, 1 deep, 3 answered" in out
    # The same command again does nothing but tell.
    assert run(capsys, *asked, "--json")[0] == 0
    code, out, _ = run(capsys, *asked, "--json")
    (tree,) = json.loads(out)["trees"]
    assert (tree["answer"], tree["correct"], tree["nodes"], tree["ended"], tree["model_calls"]) == ("2", True, 3, "exhausted", 3)
    assert "\\boxed{2}" in run(capsys, "trace", "show", str(folder), "--index", "0", "--tree")[1]
    code, out, _ = run(capsys, "trace", "tree", str(folder), "--format", "dot")
    assert out.startswith("digraph")
    code, out, _ = run(capsys, "trace", "tree", str(folder))
    assert (folder / "tree.html").exists()
    assert run(capsys, "trace", "tree", str(folder), "--out", str(folder / "tree.html"))[0] == 2


@pytest.mark.parametrize(
    ("budget", "nodes", "ended"),
    [("nodes=0", 0, "budget: nodes"), ("calls=1", 1, "budget: calls"), ("tokens=0", 0, "budget: tokens")],
)
def test_an_empty_or_tiny_budget_gives_an_answer_or_none(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, budget: str, nodes: int, ended: str
) -> None:
    code, out, _ = run(
        capsys, "search", "1 + 1?", "-s", "best-of-3", "-m", script(tmp_path, *CHAINS), "-b", budget, "--run", str(tmp_path / "r"), "--json"
    )
    assert code == 0
    assert [(tree["nodes"], tree["ended"]) for tree in json.loads(out)["trees"]] == [(nodes, ended)]
    if not nodes:
        told = run(
            capsys, "search", "1 + 1?", "-s", "best-of-3", "-m", script(tmp_path, *CHAINS), "-b", budget, "--run", str(tmp_path / "r")
        )[1]
        assert "answer: none" in told
        assert "budget" in told


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["x", "-s", "mctss"], "did you mean 'mcts'"),
        (["x", "-s", "mcts", "-o", "depth=3"], "its options: width"),
        (["x", "-s", "mcts", "-o", "c=-1"], "needs c >= 0"),
        (["x", "-b", "token=3"], "did you mean 'tokens'"),
        (["x", "-b", "tokens"], "write it as key=value"),
        (["x", "--valuer", "taste"], "valuer"),
        (["x", "--stop", "soon"], "stop"),
        (["x", "--problems", "nano:heldout"], "give the text of one problem, or --problems"),
        ([], "give the text of one problem, or --problems"),
        (["  "], "empty"),
        (["x", "-m", "nanoo"], "did you mean 'nano'"),
    ],
)
def test_what_is_wrong_is_one_line(capsys: pytest.CaptureFixture[str], tmp_path: Path, arguments: list[str], says: str) -> None:
    code, out, err = run(capsys, "search", *arguments, "--run", str(tmp_path / "r"))
    assert code == 2
    assert says in err
    assert len(err.strip().splitlines()) == 1
    assert out == ""


def test_strategies_are_compared_at_the_same_budget(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    path = problems(tmp_path, *(f'{{"prompt": "{n} + 1?", "answer": "2"}}' for n in range(4)))
    model = script(tmp_path, *(CHAINS * 20))
    arguments = [
        "compare",
        "--strategies",
        "greedy,best-of-3",
        "-p",
        path,
        "-m",
        model,
        "--budget",
        "tokens=500",
        "--run",
        str(tmp_path / "c"),
    ]
    code, out, _ = run(capsys, *arguments)
    assert code == 0
    assert "best-of-3 vs greedy" in out
    assert "could be shared" in " ".join(out.split())
    assert (tmp_path / "c" / "report.html").exists()
    assert (tmp_path / "c" / "strategies.png").stat().st_size > 1000
    for wrong, says in (
        (["compare", "--strategies", "greedy", "-p", path], "at least two"),
        (["compare", "--strategies", "greedy,mcts"], "--strategies needs --problems"),
        (["compare"], "give two run folders, or --strategies"),
    ):
        code, _, err = run(capsys, *wrong)
        assert code == 2
        assert says in err


def test_a_separator_makes_thoughts_of_a_turn(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    model, folder = script(tmp_path, "first, ", "then \\boxed{2}"), str(tmp_path / "r")
    code, out, _ = run(capsys, "search", "1 + 1?", "-s", "greedy", "-m", model, "--separator", ", ", "--run", folder, "--json")
    (tree,) = json.loads(out)["trees"]
    assert (code, tree["nodes"], tree["depth"], tree["answer"]) == (0, 2, 2, "2")


def test_several_models_are_arms_of_one_tree(tmp_path: Path) -> None:
    (tmp_path / "b").mkdir()
    first, second = script(tmp_path, *["\\boxed{1}"] * 60), script(tmp_path / "b", *["\\boxed{2}"] * 60)
    arms = SearchConfig(strategy="ab-mcts", models=(second,), valuer="confidence", budget=BudgetConfig(nodes=60), concurrency=1)
    solution = tirage.solve("1 + 1?", strategy=arms, model=first)
    said = {(node.move, node.step.text) for node in solution.tree.nodes[1:] if node.step is not None}
    assert said == {("", "\\boxed{1}"), (second, "\\boxed{2}"), ("refine", "\\boxed{1}"), (f"refine:{second}", "\\boxed{2}")}
    with pytest.raises(ConfigError, match="does not choose among models"):
        tirage.solve("1 + 1?", strategy=SearchConfig(strategy="mcts", models=(second,)), model=first)
    with pytest.raises(ConfigError, match="different tokenizers"):
        tirage.solve("1 + 1?", strategy=SearchConfig(strategy="ab-mcts", models=("nano",), valuer="confidence"), model=first)


def test_the_costly_valuer_is_asked_only_where_the_cheap_one_agrees(tmp_path: Path) -> None:
    for gate, judged in ((0.4, True), (0.6, False)):
        (tmp_path / str(gate)).mkdir()
        # Nothing was run, so the cheap estimate is 0.5; the check that follows each answer is asked for above the gate only.
        model = script(tmp_path / str(gate), *(["\\boxed{1}", "Verdict: correct"] * 2 if judged else ["\\boxed{1}"] * 2))
        weighted = SearchConfig(strategy="weighted-n", options={"n": 2}, valuer="critic", cheap="execution", gate=gate, concurrency=1)
        solution = tirage.solve("1 + 1?", strategy=weighted, model=model)
        assert set(solution.tree.values.values()) == ({1.0} if judged else {0.5})
        assert (solution.tree.judging.model_calls == 2) is judged
