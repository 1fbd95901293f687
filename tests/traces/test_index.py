import sqlite3
import time

import pytest

from tirage.core.errors import ConfigError, DataError
from tirage.core.step import Source
from tirage.traces import TraceStore
from tirage.traces.index import Query, TraceIndex


@pytest.fixture
def store(tmp_path, make_rollout, make_broken):
    with TraceStore(tmp_path) as store:
        store.append(make_rollout(0, hinted=True))
        store.append(make_rollout(1, correct=False))
        store.append(make_rollout(2, correct=None))
        store.append(make_broken())
        store.append(make_rollout(3, empty=True))
        store.append(make_rollout(4, stage="after", question="Why?"))
        yield store


@pytest.fixture
def index(store):
    with TraceIndex(store) as index:
        assert index.catch_up() == 6
        yield index


def test_rows_say_what_the_rollouts_say(index, store):
    rows = index.rows()
    assert [row.number for row in rows] == list(range(6))
    for row, rollout in zip(rows, store.read(), strict=True):
        assert (row.key, row.stage, row.problem_id, row.sample) == (rollout.key, rollout.stage, rollout.problem.id, rollout.sample)
        assert row.correct == rollout.correct
        assert next(store.read_at([(row.offset, row.length)])) == rollout
    first = rows[0]
    assert (first.family, first.tier, first.model, first.answer, first.stop) == ("product", "2", "toy@abc123", "42", "answered")
    assert (first.tokens_in, first.tokens_out, first.calls, first.tool_calls, first.nodes) == (140, 52, 3, 1, 4)
    assert (first.score, first.hinted, first.used_tool, first.wall_s) == (1.0, True, True, 0.25)
    assert rows[3].error == "model: ModelUnavailable: connection refused"
    assert (rows[4].stop, rows[4].nodes, rows[4].score) == ("", 1, None)


@pytest.mark.parametrize(
    ("query", "numbers"),
    [
        (Query(), [0, 1, 2, 3, 4, 5]),
        (Query(stage="after"), [5]),
        (Query(stage="nowhere"), []),
        (Query(correct=True), [0, 5]),
        (Query(correct=False), [1, 4]),
        (Query(ungraded=True), [2, 3]),
        (Query(ungraded=False), [0, 1, 4, 5]),
        (Query(hinted=True), [0]),
        (Query(used_tool=False), [3, 4]),
        (Query(stop="error"), [3]),
        (Query(stage="before", correct=True, used_tool=True), [0]),
        (Query(family="product", tier="2", model="toy@abc123"), [0, 1, 2, 4, 5]),
    ],
)
def test_queries(index, query, numbers):
    assert [row.number for row in index.rows(query)] == numbers
    assert index.count(query) == len(numbers)
    assert [row.number for row in index.rows(query, limit=1)] == numbers[:1]


def test_places_and_values(index):
    assert index.at(5).stage == "after"
    assert index.at(-1).number == 5
    for outside in (6, -7):
        with pytest.raises(DataError, match=r"holds 6 \(0 to 5\)"):
            index.at(outside)
    assert index.values("stage") == ["after", "before"]
    with pytest.raises(ValueError, match="no column 'key; drop'"):
        index.values("key; drop")


def test_grep_finds_text_by_author(index, make_rollout):
    hits = index.grep("python")
    assert {hit.source for hit in hits} == {Source.HINT, Source.POLICY}
    (hint,) = index.grep("use PYTHON", source=Source.HINT)
    assert (hint.key, hint.node, hint.start, hint.match) == (make_rollout(0).key, 1, 7, "use Python")
    assert hint.text == "Let me use Python. "
    assert [hit.node for hit in index.grep("Why?")] == [0]
    assert index.grep("no such thing") == []
    assert len(index.grep("42", source=Source.TOOL)) == 4
    assert len(index.grep("42", source=Source.TOOL, limit=2)) == 2


def test_grep_takes_the_pattern_literally(store, make_rollout):
    store.append(make_rollout(9, question="100% of a_b [x] 'q\" größer ("))
    with TraceIndex(store) as index:
        index.catch_up()
        for pattern in ("100%", "a_b", "[x]", "'q\"", "größer", "GRÖSSER"[:3].lower(), "("):
            assert [hit.key for hit in index.grep(pattern, source=Source.PROMPT)] == [
                make_rollout(9, question="100% of a_b [x] 'q\" größer (").key
            ]
        assert index.grep("a.b") == []
        assert index.grep("axb") == []
        assert len(index.grep(r"a.b\s\[", regex=True)) == 1
        assert index.grep("LET ME", regex=True) == []


def test_grep_refuses_bad_patterns(index):
    with pytest.raises(ConfigError, match="not a regular expression"):
        index.grep("(", regex=True)
    with pytest.raises(ConfigError, match="empty"):
        index.grep("")


def test_grep_without_fts5_gives_the_same(store, monkeypatch):
    with TraceIndex(store) as index:
        index.catch_up()
        expected = index.grep("print(6"), index.grep("zzz")
        assert expected[0]
        index._db.execute("UPDATE meta SET value = 0 WHERE name = 'trigrams'")
        assert (index.grep("print(6"), index.grep("zzz")) == expected


def test_it_is_caught_up_from_where_it_stopped(index, store, make_rollout):
    assert index.catch_up() == 0
    store.append(make_rollout(50))
    seen = []
    assert index.catch_up(lambda done, total: seen.append((done, total))) == 1
    size = store.path.stat().st_size
    assert seen[-1] == (size, size)
    assert index.at(-1).sample == 50
    with TraceIndex(store) as other:
        assert other.catch_up() == 0
        assert other.count() == 7


def test_batches_add_up(tmp_path, make_rollout, monkeypatch):
    monkeypatch.setattr("tirage.traces.index._BATCH", 3)
    with TraceStore(tmp_path) as store:
        for sample in range(7):
            store.append(make_rollout(sample))
        with TraceIndex(store) as index:
            assert index.catch_up() == 7
            assert [row.sample for row in index.rows()] == list(range(7))


def test_deleting_it_loses_nothing(index, store):
    before = index.rows()
    index.close()
    (store.folder / "index.sqlite").unlink()
    with TraceIndex(store) as again:
        assert again.catch_up() == 6
        assert again.rows() == before


@pytest.mark.parametrize(
    "damage",
    [
        lambda path: path.write_bytes(b"this is no database, not at all, it is text" * 100),
        lambda path: path.write_bytes(path.read_bytes()[:5000] + b"\xff" * 3000 + path.read_bytes()[8000:]),
        lambda path: path.write_bytes(path.read_bytes()[:4096]),
        lambda path: path.write_bytes(b""),
    ],
    ids=["text", "overwritten", "cut", "empty"],
)
def test_a_damaged_index_is_built_anew(store, damage):
    with TraceIndex(store) as index:
        index.catch_up()
        expected = index.rows(), index.grep("print")
    damage(store.folder / "index.sqlite")
    with TraceIndex(store) as index:
        index.catch_up()
        assert (index.rows(), index.grep("print")) == expected


@pytest.mark.parametrize("statement", ["DROP TABLE rollouts", "DROP TABLE meta", "DROP TABLE spans", "PRAGMA user_version = 99"])
def test_an_index_of_another_layout_is_built_anew(store, statement):
    with TraceIndex(store) as index:
        index.catch_up()
        expected = index.rows(), index.grep("print")
    db = sqlite3.connect(store.folder / "index.sqlite")
    db.execute(statement)
    db.commit()
    db.close()
    with TraceIndex(store) as index:
        index.catch_up()
        assert (index.rows(), index.grep("print")) == expected


def test_a_replaced_file_is_noticed(index, store, make_rollout):
    store.close()
    store.path.unlink()
    with TraceStore(store.folder) as again:
        for sample in range(30):
            again.append(make_rollout(sample, stage="other"))
        assert index.catch_up() == 30
        assert index.values("stage") == ["other"]


def test_a_place_that_cannot_be_written_gives_an_index_in_memory(store):
    (store.folder / "index.sqlite").mkdir()
    with TraceIndex(store) as index:
        assert index.path is None
        assert index.catch_up() == 6
        assert index.count() == 6


def test_a_bad_line_is_named_and_what_came_before_is_kept(index, store):
    store.close()
    with store.path.open("ab") as file:
        file.write(b'{"v":1,"kind":"rollout"}\n')
    with pytest.raises(DataError, match=r"traces\.jsonl, byte \d+: Rollout: key .* is missing"):
        index.catch_up()
    assert index.count() == 6


def test_an_index_in_use_is_waited_for_and_not_thrown_away(index, store, make_rollout, monkeypatch):
    store.append(make_rollout(60))
    other = sqlite3.connect(store.folder / "index.sqlite", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    index._db.execute("PRAGMA busy_timeout = 50")
    started = time.monotonic()
    with pytest.raises(DataError, match="locked"):
        index.catch_up()
    assert time.monotonic() - started >= 0.05
    other.execute("ROLLBACK")
    other.close()
    assert index.catch_up() == 1
