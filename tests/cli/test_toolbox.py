"""Collections and functions as tools of a configuration: of solve, of published systems, of runs on disk."""

import json
import sys
import threading
from collections.abc import Iterator
from http.server import ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from tests.cli.almanac import ALMANAC
from tests.cli.calling_server import Calling
from tests.cli.command_line import problems, run, script
from tirage.agents.explorer import SolveContext
from tirage.core import Problem, Tree
from tirage.core.step import Source
from tirage.runtime.config import AgentConfig, RunConfig, SamplingConfig
from tirage.runtime.config_files import build_config
from tirage.runtime.opening.toolbox import open_tools
from tirage.runtime.runtime import Runtime
from tirage.testing.scripted import ScriptedModel
from tirage.tools.retrieval import Collection
from tirage.traces.jsonl import TraceStore
from tirage.training.rows import mask_spans

ASK = "<think>I need the diet.</think><|begin_of_query|>What do sea otters eat?<|end_of_query|>"
ANSWER = "<think>So urchins.</think><answer>urchins</answer>"


@pytest.fixture
def index(tmp_path: Path) -> str:
    path = tmp_path / "docs.sqlite"
    with Collection(path) as made:
        list(made.add([("otters", "Sea otters eat urchins."), ("rock", "Basalt is a dark rock.")]))
    return str(path)


def fingerprint(index: str) -> str:
    with Collection(Path(index)) as made:
        return made.fingerprint


async def grow(model: ScriptedModel, **config: Any) -> Tree:
    """What the agent of a configuration makes of one problem."""
    settings = RunConfig(agent=build_config(AgentConfig, config, "test"), sampling=SamplingConfig(max_tokens=2000))
    async with Runtime(settings, model=model) as runtime:
        return await runtime.agent().solve(Problem(prompt="What do sea otters eat?"), SolveContext(seed=0))


def searching(index: str, **more: Any) -> list[Any]:
    return ["python", {"index": index, **more}]


async def test_code_of_the_fenced_dialect_searches_and_what_it_reads_is_not_trained_on(index: str) -> None:
    code = 'Look it up.\n```python\nfound = tools.docs(query="what do sea otters eat", k=1)\nprint(found)\n```\n```output'
    model = ScriptedModel([code, "\\boxed{urchins}"])
    tree = await grow(model, tools=searching(index, name="docs", about="notes on animals"))
    path = tree.trajectory(tree.chosen)
    assert "tools.docs(query: string, k: integer from 1 to 20 = 3) -> text: " in path.prompt[0].text
    assert "Look something up in notes on animals" in path.prompt[0].text
    (seen,) = path.steps[0].observations
    assert seen.text == "[1] otters\nSea otters eat urchins.\n"
    (call,) = seen.data["calls"]
    assert (call["tool"], call["status"], call["collection"], len(call["chunks"])) == ("docs", "ok", fingerprint(index), 1)
    _, labels = mask_spans(path.spans, frozenset({Source.POLICY}))
    assert bytes(token for token in labels if 0 <= token < 256).decode() == code.removesuffix("```output") + "\\boxed{urchins}"


async def test_code_of_the_fenced_dialect_calls_functions_of_a_folder(index: str, tmp_path: Path) -> None:
    (tmp_path / "tools").mkdir()
    (tmp_path / "tools" / "almanac.py").write_text(ALMANAC, encoding="utf-8")
    model = ScriptedModel(["```python\nprint(tools.almanac(topic='Xanth'), tools.search(query='otters'))\n```\n```output", "\\boxed{417}"])
    tree = await grow(model, tools=searching(index), tools_from=[str(tmp_path / "tools")])
    (seen,) = tree.trajectory(tree.chosen).steps[0].observations
    assert seen.text.startswith("a year of Xanth has 417 days [1] otters")
    assert [call["tool"] for call in seen.data["calls"]] == ["almanac", "search"]


async def test_a_module_of_the_working_directory_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "almanac_here.py").write_text(ALMANAC, encoding="utf-8")
    monkeypatch.setattr(sys, "path", list(sys.path))
    async with open_tools(AgentConfig(tools_from=("almanac_here:almanac",)), ScriptedModel()) as tools:
        assert list(tools) == ["almanac"]
    # Its neighbours can be imported later on, and hide nothing that is installed.
    assert sys.path[-1] == str(tmp_path)


async def test_code_reads_whole_passages(index: str) -> None:
    text = " ".join(f"Fact {number} of basalt is here." for number in range(25))
    with Collection(Path(index)) as made:
        list(made.add([("long", text)]))
    model = ScriptedModel(['```python\nprint(tools.search(query="fact of basalt"))\n```\n```output', "\\boxed{1}"])
    tree = await grow(model, tools=searching(index, k=1))
    assert tree.trajectory(tree.chosen).steps[0].observations[0].text == f"[1] long\n{text}\n"
    assert len(text) > 600


async def test_octotools_gets_the_collection_among_its_tools(index: str) -> None:
    def says(**fields: object) -> str:
        return json.dumps(fields)

    model = ScriptedModel(
        tags={
            "analyser": [says(concise_summary="diet", relevant_tools="search")],
            "predictor": [says(tool_name="search", sub_goal="find it")],
            "commander": [says(command={"query": "otters eat", "k": 1})],
            "verifier": ["Conclusion: STOP"],
            "summariser": ["They eat \\boxed{urchins}."],
        }
    )
    tree = await grow(model, name="octotools", tools=[{"index": index}])
    observations = [seen for node in tree.nodes for seen in (node.step.observations if node.step else ())]
    assert [seen.text for seen in observations] == ["[1] otters\nSea otters eat urchins."]
    assert observations[0].data["collection"] == fingerprint(index)


async def test_a_model_tells_what_was_found_and_the_reranker_is_asked(index: str) -> None:
    tags: dict[str, Any] = {
        "policy": ['```python\nprint(tools.search(query="what do otters eat"))\n```\n```output', "\\boxed{urchins}"],
        "summariser": lambda _: "Urchins.",
        "rewriter": lambda _: "Diet of otters.",
    }
    model = ScriptedModel(tags=tags)
    tree = await grow(model, tools=searching(index, summarise="own", rewrite=True, rerank="lexical", mode="keywords"))
    (seen,) = tree.trajectory(tree.chosen).steps[0].observations
    assert seen.text == "Urchins.\n"
    assert [request.tag for request in model.requests] == ["policy", "rewriter", "summariser", "policy"]
    assert (seen.usage.model_calls, tree.usage.model_calls) == (2, 4)


@pytest.mark.parametrize(
    ("tools", "says"),
    [
        (["python", {"index": "none.sqlite"}], "there is no collection none.sqlite; make one with: tirage index add none.sqlite FOLDER"),
        (["python", {"index": "INDEX", "embedder": "bert"}], "unknown embedder 'bert': forms: hash, minilm"),
        (["python", {"index": "INDEX", "rerank": "nowhere"}], "reranker nowhere: no folder with a config.json; give `lexical`"),
        (["python", {"index": "INDEX", "mod": "ranks"}], "agent.tools.1.search.mod: unknown key; did you mean 'mode'?"),
        (["python", {"index": "INDEX", "k": 0}], "agent.tools.1.search.k: Input should be greater than or equal to 1"),
        (["python", {"k": 3}], "agent.tools.1.search.index: Field required"),
        (["python", "serach"], "agent.tools.1.tool: Input should be 'python' or 'shell'"),
        (["python", {"index": "INDEX", "name": "python"}], "two tools are named 'python'; give one of them another name"),
        (["python", {"index": "INDEX", "name": "a b"}], "agent.tools.1.search.name: String should match pattern"),
        (["python", {"index": "INDEX", "rewrite": True}], "rewrite and strict need a model; set summarise, e.g. to own"),
        (
            ["python", {"index": "INDEX", "summarise": "openai/x"}],
            "the model 'openai/x' is not open; name it among agent.models, or write own",
        ),
        ([{"index": "INDEX"}], "the fenced dialect calls tools.search(...) from Python; add python to agent.tools"),
        (["python", {"index": "INDEX", "name": "lambda"}], "code cannot call a tool named 'lambda'"),
    ],
)
def test_what_is_wrong_is_one_line(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, index: str, monkeypatch: pytest.MonkeyPatch, tools: list[Any], says: str
) -> None:
    monkeypatch.chdir(tmp_path)
    told = json.dumps(tools).replace("INDEX", index)
    asked = [problems(tmp_path, '{"prompt": "1 + 1?", "answer": "2"}'), "-m", script(tmp_path, "\\boxed{2}"), "--run", str(tmp_path / "r")]
    code, _, err = run(capsys, "rollout", *asked, "--set", f"agent.tools={told}")
    assert code in (2, 3)
    assert says in err.splitlines()[-1]


def test_the_schema_tells_of_collections(capsys: pytest.CaptureFixture[str]) -> None:
    schema = json.loads(run(capsys, "improve", "--schema")[1])
    assert {"index", "k", "mode", "rerank", "summarise", "embedder"} <= set(schema["$defs"]["SearchToolConfig"]["properties"])
    assert schema["$defs"]["AgentConfig"]["properties"]["tools"]["items"]["oneOf"][1] == {"$ref": "#/$defs/SearchToolConfig"}


class Asking(Calling):
    """A chat model that searches once and answers with what it was shown."""

    tool, arguments = "search", '{"query": "otters", "k": 1}'


@pytest.fixture
def model() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Asking) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}/v1#caller"
        server.shutdown()


def test_solve_takes_collections_by_a_flag_or_from_a_file(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, index: str, model: str
) -> None:
    (tmp_path / "agent.yaml").write_text(f"dialect: native\ntools: [python, {{index: {index}, about: notes}}]\n")
    (tmp_path / "bare.yaml").write_text("dialect: native\n")
    for told in (["-a", str(tmp_path / "agent.yaml")], ["-a", str(tmp_path / "bare.yaml"), "-c", index]):
        code, out, err = run(capsys, "solve", "Go.", "-m", model, *told, "--json")
        assert code == 0, err
        found = json.loads(out)
        assert (found["answer"], found["usage"]["tool_calls"]) == ("[1] otters\nSea otters eat urchins.", 1)


def test_several_collections_are_told_apart_by_the_names_of_their_files(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, index: str, model: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Collection(tmp_path / "more-notes.sqlite") as made:
        list(made.add([("a", "Otters sleep on water.")]))
    monkeypatch.setattr(Asking, "tool", "search_more_notes")
    (tmp_path / "bare.yaml").write_text("dialect: native\n")
    told = ["solve", "Go.", "-m", model, "-a", str(tmp_path / "bare.yaml"), "-c", index, "-c"]
    code, out, err = run(capsys, *told, str(tmp_path / "more-notes.sqlite"), "--json")
    assert (code, json.loads(out)["answer"]) == (0, "[1] a\nOtters sleep on water."), err
    code, _, err = run(capsys, *told, index)
    assert code == 2
    assert "tools: two tools are named 'search_docs'; give one of them another name" in err


def test_a_run_on_disk_goes_on_with_the_same_collection_and_says_when_it_has_changed(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, index: str, model: str
) -> None:
    folder = tmp_path / "run"
    asked = problems(tmp_path, *(json.dumps({"prompt": f"Go {number}.", "answer": "x"}) for number in range(3)))
    told = ["rollout", asked, "-m", model, "--run", str(folder), "--set", "agent.dialect=native", "--concurrency", "1"]
    told += ["--set", f"agent.tools={json.dumps(searching(index, k=1))}"]
    assert run(capsys, *told, "--run-budget", "tokens=10")[0] == 0
    before = fingerprint(index)
    assert json.loads((folder / "tools.json").read_text()) == {"search": before}
    with Collection(Path(index)) as made:
        list(made.add([("more", "Otters sleep on water.")]))
    code, _, err = run(capsys, *told)
    assert code == 2
    assert (
        f"was begun with other content behind the tool 'search' (fingerprint {before}, now {fingerprint(index)}); put the former back"
        in err
    )
    with Collection(Path(index)) as made:
        made.remove("more")
    code, out, err = run(capsys, *told)
    assert (code, "3 of 3 rollouts" in out) == (0, True), err
    seen = [step.observations[0].data for rollout in TraceStore(folder).read() for step in rollout.trajectory.steps[:1]]
    assert [data["collection"] for data in seen] == [before] * 3
    with Collection(Path(index)) as made:
        made.remove("rock")
    assert run(capsys, *told)[0] == 0, "a finished run asks no tool"


def test_ur2_from_the_command_line(capsys: pytest.CaptureFixture[str], tmp_path: Path, index: str) -> None:
    model = script(tmp_path, ASK, "Otters eat urchins.", ANSWER)
    code, out, err = run(capsys, "solve", "What do they eat?", "-a", "ur2", "-c", index, "-m", model, "--json")
    assert code == 0, err
    found = json.loads(out)
    assert (found["answer"], found["usage"]["tool_calls"], found["usage"]["model_calls"]) == ("urchins", 1, 3)
    assert found["response"] == f"{ASK}\n<|begin_of_documents|>\nOtters eat urchins.\n<|end_of_documents|>\n{ANSWER}"
    code, _, err = run(capsys, "solve", "What do they eat?", "-a", "ur2", "-m", model)
    assert code == 2
    assert "asks one search tool, and there is none; give a collection with --collection FILE, or {index: FILE} among agent.tools" in err


def test_ur2_measures_without_retrieval_and_is_gated_by_that(capsys: pytest.CaptureFixture[str], tmp_path: Path, index: str) -> None:
    """Of two problems the model knows one by itself; the other one is searched for."""
    asked = problems(tmp_path, '{"prompt": "Known?", "answer": "urchins", "kind": "text"}')
    hard = tmp_path / "hard.jsonl"
    hard.write_text('{"prompt": "Unknown?", "answer": "urchins", "kind": "text"}\n')
    ur2, plain, folder = ["--set", "agent.name=ur2"], tmp_path / "plain", tmp_path / "gated"
    without = [*ur2, "--set", "agent.options.search=false", "--run", str(plain)]
    model = script(tmp_path, *[ANSWER] * 4)
    code, _, err = run(capsys, "rollout", asked, "-m", model, "-n", "4", *without)
    assert code == 0, err
    assert [rollout.correct for rollout in TraceStore(plain).read()] == [True] * 4
    both = tmp_path / "both.jsonl"
    both.write_text(Path(asked).read_text() + hard.read_text())
    model = script(tmp_path, ANSWER, ASK, "Otters eat urchins.", ANSWER)
    gated = [*ur2, "--set", f"agent.options.gate={plain}", "--set", f"agent.tools={json.dumps([{'index': index}])}", "--run", str(folder)]
    code, _, err = run(capsys, "rollout", str(both), "-m", model, "--concurrency", "1", *gated)
    assert code == 0, err
    assert [(rollout.problem.prompt, rollout.tree.usage.tool_calls) for rollout in TraceStore(folder).read()] == [
        ("Known?", 0),
        ("Unknown?", 1),
    ]
