"""Published systems from the command line and from Python, as a user meets them."""

import json
import re
from pathlib import Path

import pytest

import tirage
from tests.cli.almanac import ALMANAC
from tests.cli.command_line import problems, run, script
from tirage.core.errors import ConfigError
from tirage.runtime.config import AgentConfig
from tirage.runtime.config_files import load_config
from tirage.runtime.opening.toolbox import found_tools
from tirage.runtime.opening.topologies import open_topology
from tirage.systems.registry import shipped
from tirage.traces.jsonl import TraceStore

PATHS = (" Let me think.", "\\boxed{2}")


def test_the_table_names_each_agent_and_its_options(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(capsys, "solve", "--agent", "list", "--json")
    listed = json.loads(out)
    assert code == 0
    assert set(listed) == set(shipped()) >= {"start", "tir", "dfsdt", "lats", "rstar", "cpl"}
    assert listed["lats"]["options"] == ["n", "w", "ahead", "depth", "iterations", "lm_share", "oracle_reward", "demonstrations"]
    told = run(capsys, "solve", "--agent", "list")[1]
    assert "rStar: five reasoning actions" in told
    assert "options: rounds=2, position=end_of_thinking, n=1" in told
    assert "options: max_steps=10, outputs=direct, timeout_s=120.0" in told
    assert "lm_share=0.5, oracle_reward=false" in told


def test_an_agent_solves_with_its_options(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    model = script(tmp_path, "\\boxed{0.5}", "\\boxed{3}", "\\boxed{1/2}")
    code, out, _ = run(capsys, "solve", "1 / 2?", "--agent", "tir", "-o", "n=3", "-m", model, "--answer", "1/2", "--json")
    found = json.loads(out)
    assert (code, found["answer"], found["correct"], found["usage"]["model_calls"]) == (0, "0.5", True, 3)
    code, out, _ = run(capsys, "solve", "1 / 2?", "--agent", "tir", "-o", "n=3", "-m", model)
    assert "answer: 0.5" in out
    assert "── chain 2, step 1\n" in out


def test_steps_are_shown_with_their_branch_their_attempt_and_their_role(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    told = ["\\boxed{2}", "\\boxed{3}", "Conclusion: correct", "Conclusion: incorrect"]
    code, out, err = run(capsys, "solve", "1 + 1?", "-a", "critic-filter", "-o", "n=2", "-m", script(tmp_path, *told))
    assert code == 0, err
    shown = [line.removeprefix("── ") for line in out.splitlines() if line.startswith("──")]
    assert shown == ["chain 1, step 1: solver", "chain 2, step 1: solver", "chain 1, step 2: critic", "chain 2, step 2: critic"]
    model = script(tmp_path, *["so it goes"] * 200)
    options = ["-o", "samples=1", "-o", "last=1", "-o", "rollouts=1", "-o", "depth=2", "-o", "consistency=null"]
    code, out, err = run(capsys, "solve", "1 + 1?", "-a", "rstar", *options, "-m", model)
    assert code == 0, err
    assert "── chain 8, step 1: A5\n" in out
    assert re.search(r"── chain \d, step 2: A1\n.*\n── chain \d, step 2, attempt 2: A\d\n", out, re.DOTALL)


def test_halo_takes_its_defaults_of_a_model_that_writes_no_json(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    model = script(tmp_path, *["\\boxed{2}"] * 12)
    options = ["-o", "subtasks=1", "-o", "iterations=1", "-o", "attempts=0"]
    code, out, err = run(capsys, "solve", "1 + 1?", "-a", "halo", *options, "-m", model, "--json")
    assert code == 0, err
    found = json.loads(out)
    assert (found["answer"], found["usage"]["model_calls"]) == ("2", 12)
    code, out, _ = run(capsys, "solve", "1 + 1?", "-a", "halo", *options, "-m", script(tmp_path, "", *["\\boxed{2}"] * 11))
    assert "── chain 1, step 1: parser\n(nothing was written)\n── chain 1, step 2: templater\n\\boxed{2}\n" in out


@pytest.mark.parametrize(("name", "noted"), [("octotools", True), ("tir", False)])
def test_who_asks_nano_to_follow_instructions_is_told(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, name: str, noted: bool
) -> None:
    def unopened(*args: object, **options: object) -> None:
        raise ConfigError("enough")

    monkeypatch.setattr("tirage.cli.solving.solve.solve_async", unopened)
    code, _, err = run(capsys, "solve", "1 + 1?", "-a", name, "-m", "nano")
    assert (code, "enough" in err) == (2, True)
    assert ("nano writes only what it was trained to, so the roles of octotools find little" in err) is noted


def test_octotools_is_given_the_tools_of_a_folder(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    (tmp_path / "tools").mkdir()
    (tmp_path / "tools" / "almanac.py").write_text(ALMANAC, encoding="utf-8")
    plan = ['{"concise_summary": "days"}', '{"tool_name": "almanac", "sub_goal": "look it up"}', '{"command": {"topic": "Xanth"}}']
    model = script(tmp_path, *plan, '{"stop_signal": true}', "\\boxed{417}")
    code, out, err = run(capsys, "solve", "How long?", "-a", "octotools", "--tools", str(tmp_path / "tools"), "-m", model)
    assert code == 0, err
    assert "── chain 1, step 4: executor\na year of Xanth has 417 days\n" in out
    assert "answer: 417" in out
    with pytest.raises(ConfigError, match="there is no folder tolls; name one with modules of tools, or module:attribute"):
        found_tools("tolls")


def test_rstar_runs_with_a_second_model(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    (tmp_path / "b").mkdir()
    model = script(tmp_path, *["\\boxed{2}"] * 60)
    second = script(tmp_path / "b", *["\\boxed{2}"] * 60)
    options = ["-o", "samples=1", "-o", "last=1", "-o", "rollouts=2", "-o", "depth=1"]
    code, out, err = run(capsys, "solve", "1 + 1?", "-a", "rstar", *options, "-m", model, "--second", second, "--json")
    assert code == 0, err
    assert json.loads(out)["answer"] == "2"


def test_rstar_and_plans_are_strategies_of_the_search(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    model = script(tmp_path, *["\\boxed{2}"] * 400)
    asked = ["search", "1 + 1?", "-m", model, "--json", "--concurrency", "1", "-b", "nodes=12"]
    code, out, err = run(capsys, *asked, "-s", "rstar", "-o", "rollouts=1", "-o", "depth=1", "--run", str(tmp_path / "r"))
    assert code == 0, err
    (tree,) = json.loads(out)["trees"]
    assert (tree["answer"], tree["nodes"], tree["value"]) == ("2", 8, 1.0)
    assert tree["tokens_judging"] > 0
    code, out, err = run(capsys, *asked, "-s", "plans", "--valuer", "confidence", "-o", "iterations=1", "--run", str(tmp_path / "p"))
    assert code == 0, err
    (tree,) = json.loads(out)["trees"]
    assert (tree["answer"], tree["nodes"]) == ("2", 5)
    assert tree["value"] == pytest.approx(2 * 2.718281828**-0.125 - 1), "moved to [-1, 1]"


def test_many_problems_are_rolled_out_by_an_agent(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    asked = problems(tmp_path, '{"prompt": "1 + 1?", "answer": "2"}', '{"prompt": "1 + 2?", "answer": "3"}')
    model, folder = script(tmp_path, *["\\boxed{2}"] * 4), tmp_path / "run"
    told = ["rollout", asked, "-m", model, "--run", str(folder), "--set", "agent.name=tir", "--set", "agent.options.n=2"]
    code, _, err = run(capsys, *told)
    assert code == 0, err
    assert [len(rollout.tree.nodes) for rollout in TraceStore(folder).read()] == [3, 3]
    assert (folder / "searches.jsonl").read_text().count("settled") == 4, "an interrupted tree goes on where it was"
    code, _, err = run(capsys, *told[:-2], "--set", "agent.search={strategy: mcts}", "--run", str(tmp_path / "other"))
    assert code == 2
    assert "agent.name=tir brings its own search" in err
    code, _, err = run(capsys, "rollout", asked, "-m", model, "--run", str(tmp_path / "third"), "--set", "agent.options.n=2")
    assert code == 2
    assert "set agent.name" in err


def test_an_evaluation_of_t1_tells_how_good_its_checks_are(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    asked = problems(tmp_path, '{"prompt": "1 + 1?", "answer": "2"}')
    model, folder = script(tmp_path, "\\boxed{2}", "\\boxed{3}", "Verdict: correct", "Verdict: wrong"), tmp_path / "run"
    options = ["--set", "agent.name=t1", "--set", "agent.options.n=2", "--set", "agent.options.rule=best"]
    code, out, err = run(capsys, "eval", asked, "-m", model, "--run", str(folder), *options, "--json")
    assert code == 0, err
    (section,) = json.loads(out)["deterministic"]["sections"]
    rows = section["rows"]
    assert (rows["candidates"], rows["precision of the check"], rows["abstained"]) == ("2", "50.0 %", "100.0 %"), "nothing was run"
    assert rows["choice among N is right"] == "1: 50.0 %; 2: 100.0 %"
    (rollout,) = TraceStore(folder).read()
    assert rollout.sampling["temperature"] == 0.8, "greedy candidates would be the same"


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["x", "-a", "latz"], "did you mean 'lats'"),
        (["x", "-a", "rstar", "-o", "width=3"], "its options: samples"),
        (["x", "-a", "start", "-o", "position=middle"], "'position' cannot be 'middle': Input should be 'start', 'marker'"),
        (["x", "-a", "tir", "-o", "select=best"], "'select' cannot be 'best': Input should be 'majority' or 'value'"),
        (["x", "-a", "halo", "-o", "roles=two"], "halo: option 'roles' cannot be 'two': Input should be a valid integer"),
        (["x", "-a", "octotools", "-o", "outputs=final,long"], "'outputs.1' cannot be 'long': Input should be 'base', 'final' or 'direct'"),
        (["x", "-a", "art", "-o", "edits=nowhere.yaml"], "there is no file nowhere.yaml with edits"),
        (["x", "-a", "rstar", "-o", "consistency=some"], "'consistency' cannot be 'some': Input should be 'loose', 'middle'"),
        (["x", "-a", "critic-filter", "-o", "rule=worst"], "critic-filter: option 'rule' cannot be 'worst'"),
        (["x", "-a", "dfsdt", "-o", "max_query=0"], "max_query must be at least 1, got 0"),
        (["x", "-a", "tir", "-o", "n=0"], "best-of-N needs N >= 1"),
        (["x", "-a", "tir", "-o", "n=two"], "tir: option 'n' cannot be 'two': Input should be a valid integer"),
        (["x", "-a", "rstar", "-o", "schedule=steep"], "option 'schedule' cannot be 'steep': Input should be 'constant', 'exponential'"),
        (["x", "-a", "critic-filter", "-o", "n=-1"], "critic-filter: option 'n' cannot be -1: Input should be greater than 0"),
        (["x", "-a", "lats", "-o", "oracle_reward=true"], "needs the verifiers of a run"),
        (["x", "-a", "lats", "--best-of", "2"], "--best-of does not go with --agent lats"),
        (["x", "-o", "n=2"], "belong to an agent"),
        ([], "there is no question"),
    ],
)
def test_what_is_wrong_is_one_line(capsys: pytest.CaptureFixture[str], tmp_path: Path, arguments: list[str], says: str) -> None:
    code, _, err = run(capsys, "solve", *arguments, "-m", script(tmp_path, "\\boxed{1}"))
    assert code == 2
    assert says in " ".join(err.split())


def test_an_option_from_python_that_an_agent_does_not_take(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="agent 'tir' has no option 'gate'; its options: n, select"):
        tirage.solve("1 + 1?", model=script(tmp_path, "\\boxed{1}"), agent="tir", options={"gate": None})


def test_the_room_is_a_door(tmp_path: Path) -> None:
    model = script(tmp_path, "\\boxed{1}", "\\boxed{2}", "\\boxed{2}")
    solution = tirage.solve("1 + 1?", model=model, agent="tir", options={"n": 3})
    assert solution.answer == "2"
    assert len(solution.tree.nodes) == 4


def test_an_agent_is_read_from_a_file(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    file = tmp_path / "agent.yaml"
    file.write_text("name: tir\noptions: {n: 3, max_calls: 1}\n", encoding="utf-8")
    model = script(tmp_path, "\\boxed{1}", "\\boxed{2}", "\\boxed{2}")
    code, out, _ = run(capsys, "solve", "1 + 1?", "--agent", str(file), "-m", model, "--json")
    assert (code, json.loads(out)["answer"], json.loads(out)["usage"]["model_calls"]) == (0, "2", 3)
    code, out, _ = run(capsys, "solve", "1 + 1?", "--agent", str(file), "-o", "n=1", "-m", script(tmp_path, "\\boxed{4}"), "--json")
    assert (code, json.loads(out)["usage"]["model_calls"]) == (0, 1)
    for text, says in (
        ("name: teem", "system 'teem' is not known (did you mean 'team'?)"),
        ("name: tir\noptions: {m: 3}", "agent 'tir' has no option 'm'; its options: n, select, max_calls"),
        ("name: tir\noption: {n: 3}", "option: unknown key; did you mean 'options'?"),
        ("- tir", "must be a mapping of keys to values"),
    ):
        file.write_text(text, encoding="utf-8")
        code, _, err = run(capsys, "solve", "1 + 1?", "--agent", str(file), "-m", model)
        assert (code, err.count("\n")) == (2, 1), err
        assert says in err
    file.write_text("nam: tir\n", encoding="utf-8")
    code, _, err = run(capsys, "solve", "1 + 1?", "--agent", str(file), "-m", model)
    assert code == 2
    assert "did you mean 'name'" in err


def test_the_files_among_the_examples_are_valid() -> None:
    examples = Path(__file__).parents[2] / "examples"
    agent = load_config(AgentConfig, examples / "agent.yaml")
    assert (agent.name, agent.budget.tokens) == ("t1", 4000)
    team = open_topology(str(examples / "team.yaml"))
    assert (team.decider, [len(layer) for layer in team.layers()]) == ("judge", [1, 2, 1])
