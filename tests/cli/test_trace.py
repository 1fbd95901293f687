import json
import math
from pathlib import Path

import pytest
from typer.testing import CliRunner

from tests.traces.collector import collecting, values
from tirage.cli.traces.trace import trace_app
from tirage.core.errors import ConfigError, DataError
from tirage.testing.builders import Turn, make_problem, make_rollout
from tirage.traces import TraceStore
from tirage.training.lineage import DatasetLineage, InitLineage, Lineage, weights_sha256, write_lineage
from tirage.training.recipes.rft import RFT, RFTConfig

PROBLEM = make_problem()


@pytest.fixture
def run(tmp_path):
    folder = tmp_path / "first"
    calls = Turn(text="Let me see.\n", code="6*7", output="42", hint="Use code. ")
    with TraceStore(folder) as store:
        store.append(make_rollout(calls, Turn(text="It is 42."), stage="before", sample=0))
        store.append(make_rollout(Turn(text="It is 41."), stage="before", sample=1, correct=False, answer="41"))
        store.append(make_rollout(Turn(text="Hmm."), stage="before", sample=2, correct=None))
        store.append(make_rollout(calls, Turn(text="It is 42!"), stage="control", sample=0))
    return folder


def _ok(*arguments):
    result = CliRunner().invoke(trace_app, [str(argument) for argument in arguments], catch_exceptions=False)
    assert result.exit_code == 0
    return result.stdout


def _fails(*arguments):
    result = CliRunner().invoke(trace_app, [str(argument) for argument in arguments])
    assert result.exception is not None
    return result


def test_ls_prints_a_line_per_rollout(run):
    lines = _ok("ls", run).splitlines()
    assert len(lines) == 6
    assert lines[0].split()[:4] == ["#", "key", "family", "tier"]
    assert lines[1].split()[:2] == ["0", f"before/{PROBLEM.id}/0"]
    assert [line.split()[4] for line in lines[1:5]] == ["right", "wrong", "ungraded", "right"]
    assert lines[5] == "4 of 4 rollouts: 2 right, 1 wrong, 1 ungraded"
    assert "\x1b" not in "".join(lines)


@pytest.mark.parametrize(
    ("options", "numbers"),
    [
        (["--correct"], [0, 3]),
        (["--wrong"], [1]),
        (["--ungraded"], [2]),
        (["--stage", "control"], [3]),
        (["--stage", "before", "--correct"], [0]),
        (["--family", "all"], [0, 1, 2, 3]),
        (["--limit", "2"], [0, 1]),
    ],
)
def test_ls_filters_and_speaks_json(run, options, numbers):
    rows = [json.loads(line) for line in _ok("ls", run, "--json", *options).splitlines()]
    assert [row["number"] for row in rows] == numbers
    assert all(row["key"].startswith(row["stage"]) for row in rows)


def test_the_tally_counts_what_was_asked_for(run):
    assert _ok("ls", run, "--wrong").splitlines()[-1] == "1 of 1 rollouts: 1 wrong"
    assert _ok("ls", run, "--ungraded").splitlines()[-1] == "1 of 1 rollouts: 1 ungraded"
    assert _ok("ls", run, "--limit", "1").splitlines()[-1].startswith("1 of 4 rollouts: 2 right")


def test_show_by_key_prefix_and_place(run):
    key = f"before/{PROBLEM.id}/0"
    text = _ok("show", run, key)
    assert "    hint │ Use code." in text
    assert "  policy │ Let me see." in text
    assert "    tool │ 42" in text
    assert _ok("show", run, "--index", "0") == text
    assert _ok("show", run, "control") == _ok("show", run, "--index", "-1")
    assert "↓ 1  call  [hint hint-1]" in _ok("show", run, key, "--tree")
    assert "It is 42" not in _ok("show", run, key, "--node", "1")


def test_show_json(run):
    record = json.loads(_ok("show", run, "--index", "1", "--json"))
    assert (record["key"], record["tree"]["chosen"]) == (f"before/{PROBLEM.id}/1", 1)
    tree = json.loads(_ok("show", run, "--index", "0", "--tree", "--json"))
    assert [node["parent"] for node in tree["nodes"]] == [-1, 0, 1]
    assert tree["nodes"][2]["correct"] is True


def test_a_page_replaces_nothing_unasked(run, tmp_path):
    page = run / "tree.html"
    assert str(page) in _ok("tree", run / "traces.jsonl", "--index", "0").replace("\n", "")
    page.write_text("mine")
    failed = _fails("tree", run, "--index", "0")
    assert isinstance(failed.exception, ConfigError)
    assert str(failed.exception) == f"{page} exists; choose another place (--out) or say that it may be replaced (--force)"
    assert page.read_text() == "mine"
    _ok("tree", run, "--index", "0", "--out", tmp_path / "other.html")
    assert page.read_text() == "mine"
    _ok("tree", run, "--index", "0", "--force")
    assert page.read_text().startswith("<!doctype html>")


def test_json_holds_no_number_that_json_lacks(run):
    rollout = make_rollout(Turn(text="7"), stage="odd")
    rollout.tree.value_sum[1], rollout.tree.visits[1] = math.nan, 1
    with TraceStore(run) as store:
        store.append(rollout)
    for options in ("--tree", "--node=1"):
        text = _ok("show", run, "--index", "-1", options, "--json")
        assert '"NaN"' in text
        assert "NaN" not in text.replace('"NaN"', "")


@pytest.mark.parametrize(
    ("arguments", "kind", "message"),
    [
        (["show", "RUN"], ConfigError, "either its KEY or --index N"),
        (["show", "RUN", "key", "--index", "0"], ConfigError, "either its KEY or --index N"),
        (["show", "RUN", "before/"], DataError, "3 keys begin with 'before/'"),
        (["show", "RUN", f"befor/{PROBLEM.id}/0"], DataError, f"did you mean before/{PROBLEM.id}/0"),
        (["show", "RUN", "--index", "4"], DataError, "no rollout number 4; it holds 4"),
        (["show", "RUN", "--index", "0", "--node", "9"], DataError, "no node 9; its steps are 1 to 2"),
        (["ls", "RUN", "--stage", "befor"], DataError, "no stage 'befor'; did you mean 'before'"),
        (["ls", "RUN", "--family", "x"], DataError, "no family 'x'; it has: all"),
        (["ls", "RUN", "--ungraded", "--correct"], ConfigError, "--ungraded excludes"),
        (["grep", "RUN", "(", "-E"], ConfigError, "not a regular expression"),
        (["export", "RUN", "-f", "trl", "--out", "RUN"], ConfigError, "exists"),
        (["export", "RUN", "-f", "trl"], ConfigError, "--format and --out for a file, or --otlp URL"),
        (["export", "RUN", "-f", "trl", "--out", "x", "--content"], ConfigError, "with --content"),
        (["export", "RUN", "--otlp", "http://localhost:4318", "--leaves"], ConfigError, "leave out"),
    ],
)
def test_wrong_names_get_a_remedy(run, arguments, kind, message):
    result = _fails(*(str(run) if argument == "RUN" else argument for argument in arguments))
    assert type(result.exception) is kind
    assert message in str(result.exception)


def test_wrong_folders_get_a_suggestion(run, tmp_path):
    for wrong, message in (
        (tmp_path / "frist", f"does not exist; did you mean {run}?"),
        (tmp_path, f"holds no traces.jsonl, but {run} do"),
        (tmp_path / "zzzzzz", "name a folder that a run has written to"),
    ):
        error = _fails("ls", wrong).exception
        assert isinstance(error, DataError)
        assert message in str(error)
    assert _ok("ls", run / "traces.jsonl") == _ok("ls", run)


def test_grep(run):
    assert _ok("grep", run, "use CODE").splitlines() == [
        f"before/{PROBLEM.id}/0#1 hint: Use code. ",
        f"control/{PROBLEM.id}/0#1 hint: Use code. ",
    ]
    assert _ok("grep", run, "42", "--source", "tool", "--limit", "1") == f"before/{PROBLEM.id}/0#1 tool: 42\n"
    hits = [json.loads(line) for line in _ok("grep", run, r"It is \d+!", "-E", "--json").splitlines()]
    assert [(hit["key"], hit["node"], hit["source"], hit["match"]) for hit in hits] == [
        (f"control/{PROBLEM.id}/0", 2, "policy", "It is 42!")
    ]
    assert _ok("grep", run, "nowhere") == ""


def test_export(run, tmp_path):
    out = tmp_path / "rows.jsonl"
    assert _ok("export", run, "--format", "trl", "--out", out, "--correct").endswith("2 rows in " + str(out) + "\n")
    assert len(out.read_text().splitlines()) == 2
    done = json.loads(_ok("export", run, "-f", "openai", "--out", out, "--force", "--stage", "before", "--json"))
    assert done == {"path": str(out), "rows": 3, "skipped": {}}
    assert json.loads(out.read_text().splitlines()[1])["messages"][-1]["content"] == "It is 41."


def test_export_to_a_collector(run):
    pytest.importorskip("opentelemetry.exporter.otlp.proto.http", reason="pip install 'tirage[otel]'")
    with collecting() as collector:
        told = _ok("export", run, "--otlp", collector.url, "--stage", "before", "--correct")
        assert told == f"4 spans of 1 rollouts sent to {collector.url}\n"
        assert [span.name for span in collector.spans] == [
            "invoke_workflow before",
            *["chat made-up@0", "execute_tool python"],
            "chat made-up@0",
        ]
        done = json.loads(_ok("export", run, "--otlp", collector.url, "--content", "--json"))
        assert done == {"rollouts": 4, "spans": 12}
        arguments = [values(span.attributes).get("gen_ai.tool.call.arguments") for span in collector.spans if "python" in span.name]
        assert arguments == [None, '{"code": "6*7"}', '{"code": "6*7"}']


@pytest.mark.parametrize("command", ["ls", "show", "export", "grep", "why"])
def test_help_has_an_example(command):
    assert f"Example: tirage trace {command} runs/first" in _ok(command, "--help")


@pytest.fixture
def checkpoint(run, tmp_path):
    """A checkpoint folder as a training job leaves it, made of what RFT built from the run."""
    dataset, folder, base = tmp_path / "rows", tmp_path / "checkpoint", tmp_path / "base"
    manifest = RFT(RFTConfig(stage="control")).build(TraceStore(run), dataset, run=str(run))
    for place in (folder, base):
        place.mkdir()
        (place / "model.safetensors").write_bytes(place.name.encode())
    lineage = Lineage(
        checkpoint_sha256=weights_sha256(folder),
        dataset=DatasetLineage(path=str(dataset), rows_sha256=manifest.rows_sha256, manifest_sha256=_manifest_hash(dataset)),
        init_from=InitLineage(model=str(base), sha256=weights_sha256(base)),
        job={"epochs": 1},
    )
    write_lineage(folder, lineage)
    return folder


def _manifest_hash(dataset):
    import hashlib

    return hashlib.sha256((dataset / "manifest.json").read_bytes()).hexdigest()


def test_why_goes_from_a_checkpoint_to_its_model_calls(checkpoint):
    text = _ok("why", checkpoint)
    lines = text.splitlines()
    assert [line.split()[:2] for line in lines[1:7]] == [
        ["ok", "checkpoint"],
        ["ok", "manifest"],
        ["ok", "rows"],
        ["ok", "traces"],
        ["ok", "row"],
        ["ok", "start"],
    ]
    assert "1 rows (1 from control) <- 1 traces of 1 problems <- 2 model calls" in text
    assert "node 1 <- made-up@0 after hint hint-1:" in text
    data = json.loads(_ok("why", checkpoint, "--json"))
    assert data["sound"] is True
    assert [call["node"] for call in data["generations"][0]["calls"]] == [1, 2]


def test_why_says_which_link_is_broken(checkpoint, run):
    path = Path(run) / "traces.jsonl"
    path.write_bytes(path.read_bytes().replace(b"It is 42!", b"It is 43!"))
    result = _fails("why", checkpoint)
    assert isinstance(result.exception, DataError)
    assert "1 broken links, first: traces" in str(result.exception)
    assert "broken    traces" in result.stdout
    assert json.loads(_fails("why", checkpoint, "--json").stdout)["sound"] is False


def test_why_of_something_else(run):
    error = _fails("why", run).exception
    assert isinstance(error, DataError)
    assert "name the folder of a checkpoint" in str(error)
