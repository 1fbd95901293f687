import gzip
import json
import os
from pathlib import Path

import pyarrow
import pyarrow.parquet
import pytest

from tirage.core.errors import ConfigError, DataError
from tirage.core.problem import Problem
from tirage.problems.files import Columns, read_problems, write_problems


def lines(path: Path, *rows: object) -> Path:
    path.write_text("".join((row if isinstance(row, str) else json.dumps(row)) + "\n" for row in rows))
    return path


def test_written_problems_come_back_unchanged(tmp_path):
    problems = [
        Problem(prompt="1+1?", answer="2", kind="math", source="here", split="train", metadata={"family": "sums", "deep": {"a": [1]}}),
        Problem(prompt="größer?", answer="ß", kind="text", verifier="exact"),
    ]
    assert write_problems(problems, tmp_path / "deep" / "set.jsonl") == 2
    assert list(read_problems(tmp_path / "deep" / "set.jsonl")) == problems


def test_an_edited_row_that_kept_its_id_is_refused(tmp_path):
    write_problems([Problem(prompt="1+1?", answer="2")], tmp_path / "set.jsonl")
    text = (tmp_path / "set.jsonl").read_text().replace('"answer": "2"', '"answer": "3"')
    (tmp_path / "set.jsonl").write_text(text)
    with pytest.raises(DataError, match=r"set\.jsonl:1: .*delete its `id`"):
        read_problems(tmp_path / "set.jsonl")


def test_usual_column_names_are_found_and_numbers_become_text(tmp_path):
    path = lines(tmp_path / "a.jsonl", {"question": "q1", "answer": 4}, "", {"question": "q2", "answer": 0.5, "other": None})
    problems = read_problems(path, split="heldout")
    assert [(p.prompt, p.answer, p.split, p.source, p.verifier) for p in problems] == [
        ("q1", "4", "heldout", "a.jsonl", "math"),
        ("q2", "0.5", "heldout", "a.jsonl", "math"),
    ]


def test_columns_marker_and_metadata(tmp_path):
    path = lines(tmp_path / "a.jsonl", {"text": "q", "solution": "2 + 2 = 4\n#### 4", "level": 3, "family": "sums"})
    columns = Columns(prompt="text", answer="solution", answer_after="####", metadata=("level", "family"))
    (problem,) = read_problems(path, columns=columns)
    assert (problem.answer, problem.metadata, problem.family) == ("4", {"level": 3, "family": "sums"}, "sums")


def test_options_are_lettered_and_an_index_becomes_a_letter(tmp_path):
    rows = [{"question": "Which?", "choices": ["red", "blue"], "answer": answer} for answer in (1, "A")]
    problems = read_problems(lines(tmp_path / "a.jsonl", *rows), columns=Columns(choices="choices", kind="choice"))
    assert problems[0].prompt == "Which?\n\n(A) red\n(B) blue"
    assert [(p.answer, p.verifier) for p in problems] == [("B", "choice"), ("A", "choice")]


def test_repeated_problems_are_kept_once_and_limit_counts_rows(tmp_path):
    path = lines(tmp_path / "a.jsonl", *({"question": f"q{n // 2}", "answer": 1} for n in range(8)))
    assert len(read_problems(path)) == 4
    assert len(read_problems(path, limit=3)) == 2


def test_gzip_and_parquet(tmp_path):
    with gzip.open(tmp_path / "a.jsonl.gz", "wt") as file:
        file.write('{"question": "q", "answer": "1"}\n')
    pyarrow.parquet.write_table(pyarrow.table({"question": ["q", "r"], "answer": [1, 2]}), tmp_path / "a.parquet")
    assert read_problems(tmp_path / "a.jsonl.gz")[0].answer == "1"
    assert [p.answer for p in read_problems(tmp_path / "a.parquet")] == ["1", "2"]


def test_saved_datasets_folder(tmp_path):
    datasets = pytest.importorskip("datasets", reason="needs the train extra: pip install 'tirage[train]'")
    both = datasets.DatasetDict({name: datasets.Dataset.from_dict({"question": [name], "answer": ["1"]}) for name in ("train", "test")})
    both.save_to_disk(str(tmp_path / "set"))
    assert read_problems(tmp_path / "set", part="test")[0].prompt == "test"
    with pytest.raises(DataError, match="has the splits train, test; name one"):
        read_problems(tmp_path / "set")


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("{broken", "a.jsonl:2: not JSON"),
        ("[1, 2]", "a.jsonl:2: a JSON object is expected, found list"),
        ({"question": "  ", "answer": 1}, "a.jsonl:2: the question is '  '"),
        ({"question": "q"}, "a.jsonl:2: no answer column"),
        ({"question": "q", "answer": None}, "a.jsonl:2: the problem has no reference answer"),
        ({"question": "q", "answer": [1]}, "a.jsonl:2: the answer is a list"),
        ({"ask": "q", "answer": 1}, "the row has 'ask', 'answer'; name its prompt_column"),
    ],
)
def test_a_malformed_row_is_named_with_its_line(tmp_path, row, message):
    path = lines(tmp_path / "a.jsonl", {"question": "fine", "answer": 1}, row)
    with pytest.raises(DataError) as caught:
        read_problems(path)
    assert message in str(caught.value)


def test_prompts_may_be_messages_and_references_nested_or_listed(tmp_path):
    ask = {"role": "user", "content": "2 + 2?"}
    path = lines(
        tmp_path / "a.jsonl",
        {"prompt": [ask], "reward_model": {"ground_truth": "4", "style": "rule"}},
        {"prompt": [{"role": "system", "content": "Be brief."}, ask], "answer": "4"},
        {"question": [[{"role": "user", "content": [{"type": "text", "text": "Capital?"}]}]], "answer": ["Paris", "paris", "Paris"]},
        {"id": "gsm/17", "prompt": "3 + 3?", "answer": 6},
    )
    first, second, third, fourth = read_problems(path)
    assert (first.prompt, first.answer) == ("2 + 2?", "4")
    assert second.prompt == "Be brief.\n\n2 + 2?"
    assert (third.prompt, third.answer, third.accepted) == ("Capital?", "Paris", ("Paris", "paris"))
    assert (fourth.answer, fourth.metadata) == ("6", {"row_id": "gsm/17"})
    write_problems([third, fourth], tmp_path / "b.jsonl")
    assert tuple(read_problems(tmp_path / "b.jsonl")) == (third, fourth)


@pytest.mark.parametrize("roles", [["user", "assistant", "user"], ["assistant"], ["system"]])
def test_a_conversation_is_no_prompt(tmp_path, roles):
    path = lines(tmp_path / "a.jsonl", {"prompt": [{"role": role, "content": "x"} for role in roles], "answer": "4"})
    with pytest.raises(DataError, match=r"a\.jsonl:1: .*one user message is expected"):
        read_problems(path)


def test_a_row_that_is_not_utf8_is_named(tmp_path):
    (tmp_path / "a.jsonl").write_bytes(b'{"question": "q", "answer": "\xff"}\n')
    with pytest.raises(DataError, match=r"a\.jsonl:1: not JSON"):
        read_problems(tmp_path / "a.jsonl")


def test_unanswered_problems_can_be_allowed(tmp_path):
    path = lines(tmp_path / "a.jsonl", {"question": "q"}, {"question": "r", "answer": ""})
    assert [p.answer for p in read_problems(path, columns=Columns(unanswered=True))] == [None, None]


def test_missing_empty_and_unknown_files(tmp_path):
    with pytest.raises(DataError, match="check the path"):
        read_problems(tmp_path / "none.jsonl")
    with pytest.raises(DataError, match="holds no problems"):
        read_problems(lines(tmp_path / "empty.jsonl"))
    with pytest.raises(ConfigError, match="cannot tell the format"):
        read_problems(lines(tmp_path / "a.txt", "x"))
    with pytest.raises(DataError, match="not a Parquet file"):
        read_problems(lines(tmp_path / "a.parquet", "x"))
    with pytest.raises(ConfigError, match="limit=0"):
        read_problems(lines(tmp_path / "a.jsonl", {"question": "q", "answer": 1}), limit=0)


def test_a_kind_without_a_default_verifier_must_name_one(tmp_path):
    path = lines(tmp_path / "a.jsonl", {"question": "q", "answer": 1})
    with pytest.raises(ConfigError, match="kind 'code' have no default verifier"):
        read_problems(path, columns=Columns(kind="code"))
    assert read_problems(path, columns=Columns(kind="code", verifier="exact"))[0].verifier == "exact"


def test_real_gsm8k_file():
    folder = Path(os.environ.get("TIRAGE_DATA", Path(__file__).parents[3] / "shared" / "data"))
    if not (folder / "tora-code-34b-gsm8k.jsonl").exists():
        pytest.skip(f"no real data in {folder}; set TIRAGE_DATA")
    problems = read_problems(folder / "tora-code-34b-gsm8k.jsonl")
    assert len(problems) == 1319
    assert (problems[0].answer, problems[0].prompt[:11]) == ("18", "Janet’s duc")
