"""Collections: what is found, what is kept, and that no query breaks them."""

import asyncio
import json
import sqlite3
from contextlib import closing
from math import log
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tirage.core import ObservationStatus, ToolCall
from tirage.core.errors import ConfigError, DataError
from tirage.tools.retrieval import Collection, HashingEmbedder, SearchTool
from tirage.tools.retrieval.chunks import split
from tirage.tools.retrieval.collection import embedder_name, reciprocal_ranks

DOCUMENTS = [
    ("otters", "Sea otters hold hands while they sleep. They eat urchins and clams."),
    ("volcano", "A volcano erupts when molten rock reaches the surface.\n\nLava cools to basalt."),
    ("basalt", "Basalt is a dark rock. Columns of basalt stand at the coast of Ireland."),
    ("recipe", "Melt butter, add flour, then milk: a sauce called béchamel."),
]


@pytest.fixture
def collection(tmp_path: Path) -> Collection:
    made = Collection(tmp_path / "c.sqlite")
    assert list(made.add(DOCUMENTS)) == [4]
    return made


def found(collection: Collection, query: str, **options: object) -> list[str]:
    return [hit.chunk.document for hit in collection.search(query, **options)]  # type: ignore[arg-type]


@pytest.mark.parametrize("mode", ["hybrid", "keywords", "vectors"])
def test_the_right_document_comes_first(collection: Collection, mode: str) -> None:
    assert found(collection, "basalt columns in Ireland", mode=mode)[0] == "basalt"
    assert found(collection, "what do sea otters eat", mode=mode)[0] == "otters"
    assert found(collection, "bechamel sauce", mode=mode)[0] == "recipe"


def test_fusion_by_hand(tmp_path: Path) -> None:
    """`lava` is in no chunk: the chunk `rock` covers its share of the weights of both words, times what BM25 gives a single mention."""
    with Collection(tmp_path / "c.sqlite") as made:
        list(made.add([("a", "rock"), ("b", "otter")]))
        (cosine,) = made.search("rock lava", mode="vectors")
        (fused,) = made.search("rock lava")
    rock, lava = log(1 + 1.5 / 1.5), log(1 + 2.5 / 0.5)
    assert fused.score == pytest.approx((cosine.score + rock * (1 / (1 + 1.2)) / (rock + lava)) / 2)


@pytest.mark.parametrize(
    "query",
    [
        '"',
        "'; DROP TABLE chunks; --",
        "NEAR(a b)",
        "AND OR NOT",
        "a*",
        "col:on",
        "^x",
        "(",
        "{a b}",
        "🦦 otter 🦦",
        "\x00",
        "\ud800 rock",
        "",
        "   ",
        "é" * 5000,
        "-rock",
    ],
)
def test_any_text_is_a_query(collection: Collection, query: str) -> None:
    for mode in ("hybrid", "keywords", "vectors"):
        collection.search(query, 2, mode=mode)
    assert found(collection, "🦦 otters")[0] == "otters"


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    query=st.one_of(
        st.text(max_size=60), st.text(alphabet='"*^(){}:-+ANDORNEAR \x00\ud800', max_size=40), st.sampled_from(["", "é" * 10_000])
    )
)
def test_no_text_whatever_breaks_a_search(collection: Collection, query: str) -> None:
    for mode in ("hybrid", "keywords", "vectors"):
        hits = collection.search(f"{query} otters", 2, mode=mode)
        assert hits == sorted(hits, key=lambda hit: -hit.score)
        collection.search(query, 2, mode=mode)


def test_keywords_by_hand(tmp_path: Path) -> None:
    """BM25 of three chunks: `rock` stands twice in one of 4 words and once in one of 2, `lava` once in the latter; 8 words in all."""
    with Collection(tmp_path / "c.sqlite") as made:
        list(made.add([("a", "rock and rock again"), ("b", "lava rock"), ("c", "two otters")]))
        hits = made.search("lava? Rock! rock", 3, mode="keywords")
    rock, lava, mean = log(1 + 1.5 / 2.5), log(1 + 2.5 / 1.5), 8 / 3
    short, long = 1.2 * (0.25 + 0.75 * 2 / mean), 1.2 * (0.25 + 0.75 * 4 / mean)
    assert [hit.chunk.document for hit in hits] == ["b", "a"]
    assert [hit.score for hit in hits] == pytest.approx([(rock + lava) * 2.2 / (1 + short), rock * 2 * 2.2 / (2 + long)])


def test_many_small_additions_and_deletions_leave_what_one_addition_makes(tmp_path: Path) -> None:
    """The index in segments, some merged, some with dead postings, ranks exactly as a fresh one."""
    texts = [(f"d{n}", " ".join(f"w{(n * step) % 17}" for step in range(1, 9))) for n in range(90)]
    with Collection(tmp_path / "one.sqlite") as one, Collection(tmp_path / "many.sqlite") as many:
        list(one.add(texts[:80]))
        for item in texts:
            list(many.add([item]))
        for name, _ in texts[80:]:
            many.remove(name)
        list(many.add([("d3", "another text"), ("d5", "w1 w1")]))
        list(many.add([texts[3], texts[5]]))
        assert many.fingerprint == one.fingerprint
        for query in ("w1 w2 w3", "w16", "another", "w4 w5 w99"):
            rankings = [{hit.chunk.document: hit.score for hit in made.search(query, 80, mode="keywords")} for made in (one, many)]
            assert rankings[0] == pytest.approx(rankings[1])


def test_adding_again_changes_nothing_and_a_new_text_replaces_the_old(collection: Collection) -> None:
    before, mark = len(collection), collection.fingerprint
    list(collection.add(DOCUMENTS))
    assert (len(collection), collection.documents, collection.fingerprint) == (before, 4, mark)
    list(collection.add([("otters", "Otters build nothing.")]))
    assert "urchins" not in " ".join(hit.chunk.text for hit in collection.search("otters urchins", 9))
    assert collection.fingerprint != mark
    list(collection.add([DOCUMENTS[0]]))
    assert collection.fingerprint == mark
    assert collection.remove("recipe")
    assert not collection.remove("recipe")
    assert found(collection, "béchamel", mode="keywords") == []
    list(collection.add([("twice", "first text"), ("twice", "second text")]))
    assert [hit.chunk.text for hit in collection.search("text", mode="keywords")] == ["second text"]


def test_the_last_chunk_can_go_though_its_postings_stay(collection: Collection) -> None:
    assert found(collection, "milk")[0] == "recipe"
    assert collection.remove("recipe")
    assert found(collection, "milk", mode="keywords") == []
    assert found(collection, "columns, then milk", mode="keywords") == ["basalt"]


def test_the_fingerprint_does_not_depend_on_the_order(tmp_path: Path, collection: Collection) -> None:
    with Collection(tmp_path / "other.sqlite") as other:
        list(other.add(reversed(DOCUMENTS)))
        assert other.fingerprint == collection.fingerprint
        assert [hit.chunk.id for hit in other.search("basalt", 3)] == [hit.chunk.id for hit in collection.search("basalt", 3)]


def test_reopening_and_a_lost_copy_of_the_vectors(tmp_path: Path, collection: Collection) -> None:
    collection.search("rock")
    collection.close()
    for copy in tmp_path.rglob("*.block"):
        copy.unlink()
    with Collection(tmp_path / "c.sqlite") as again:
        assert found(again, "molten rock")[0] == "volcano"
        assert len(list(tmp_path.rglob("*.block"))) == 1


def test_what_cannot_be_opened_says_why(tmp_path: Path, collection: Collection) -> None:
    collection.close()
    with pytest.raises(ConfigError, match=r"has embedder 'hashing-384/1, 384 dimensions', not 'hashing-64/1, 64 .*; open it with"):
        Collection(tmp_path / "c.sqlite", HashingEmbedder(64))
    (tmp_path / "junk").write_text("not a database, and long enough to be looked at " * 20)
    with pytest.raises(DataError, match="is no collection"):
        Collection(tmp_path / "junk")
    other = tmp_path / "other.sqlite"
    with closing(sqlite3.connect(other)) as db:
        db.execute("CREATE TABLE accounts (name TEXT)")
    before = other.read_bytes()
    for ask in (Collection, embedder_name):
        with pytest.raises(DataError, match=r"other\.sqlite is a database of something else; give another file"):
            ask(other)
    assert other.read_bytes() == before
    with pytest.raises(ValueError, match="at least 8"):
        HashingEmbedder(4)


async def test_many_searches_at_once_find_what_one_finds(collection: Collection) -> None:
    tool = SearchTool(collection)
    calls = [ToolCall(name="search", arguments=json.dumps({"query": query})) for query in ("otters", "lava", "basalt", "sauce")] * 10
    seen = await asyncio.gather(*(tool.call(call, None) for call in calls))
    assert [item.text for item in seen] == [item.text for item in seen[:4]] * 10
    assert seen[0].text.startswith("[1] otters")


def test_chunks_end_at_sentences_and_overlap() -> None:
    text = " ".join(f"Sentence number {n} is here." for n in range(40))
    chunks = list(split("d", text, size=200, overlap=30))
    assert all(len(chunk.text) <= 200 for chunk in chunks)
    assert all(chunk.text.endswith(".") for chunk in chunks)
    assert [chunk.place for chunk in chunks] == list(range(len(chunks)))
    assert len({chunk.id for chunk in chunks}) == len(chunks)
    joined = " ".join(chunk.text for chunk in chunks)
    assert all(f"Sentence number {n} is here." in joined for n in range(40))
    assert next(split("d", "x" * 1000, size=100, overlap=10)).text == "x" * 100
    assert list(split("d", "   ")) == []
    with pytest.raises(ValueError, match="overlap < size"):
        list(split("d", "x", size=5, overlap=5))


def test_vectors_are_unit_length_and_order_matters_a_little() -> None:
    embedder = HashingEmbedder()
    vectors = embedder.embed(["dog bites man", "man bites dog", "", "stock market"])
    assert np.linalg.norm(vectors, axis=1) == pytest.approx([1, 1, 0, 1])
    assert 0.8 < float(vectors[0] @ vectors[1]) < 0.999
    assert float(vectors[0] @ vectors[3]) < 0.5


async def test_the_tool_shows_passages_and_says_what_they_are(collection: Collection) -> None:
    tool = SearchTool(collection)
    seen = await tool.call(ToolCall(name="search", arguments=json.dumps({"query": "basalt columns", "k": 2}), id="c"), None)
    assert seen.text.startswith("[1] basalt\nBasalt is a dark rock.")
    assert seen.data == {"collection": collection.fingerprint, "chunks": [hit.chunk.id for hit in collection.search("basalt columns", 2)]}
    nothing = await tool.call(ToolCall(name="search", arguments='{"query": "?"}'), None)
    assert nothing.text == "Nothing was found."
    for arguments in ("{", "[]", "{}", '{"query": 1}', '{"query": "x", "k": 0}', '{"query": "x", "k": true}', '{"query": "x", "k": 99}'):
        assert (await tool.call(ToolCall(name="search", arguments=arguments), None)).status is ObservationStatus.INVALID


def test_a_half_done_batch_leaves_nothing(tmp_path: Path, collection: Collection, monkeypatch: pytest.MonkeyPatch) -> None:
    mark, count = collection.fingerprint, len(collection)

    def broken(*_: object) -> None:
        error = sqlite3.OperationalError("disk full")
        error.sqlite_errorcode = sqlite3.SQLITE_FULL
        raise error

    monkeypatch.setattr(collection, "_mix", broken)
    with pytest.raises(DataError, match=r"c\.sqlite: disk full; .*what was stored before is kept"):
        list(collection.add([("new", "Something new.")]))
    monkeypatch.undo()
    assert (collection.fingerprint, len(collection), collection.documents) == (mark, count, 4)


def test_ranks_are_fused_by_their_reciprocals():
    """Keywords rank text 2, then 0, and not 1; vectors rank 0, 1, 2."""
    fused = reciprocal_ranks(np.array([1.0, 0.0, 5.0], np.float32), np.array([0.9, 0.5, 0.1], np.float32))
    assert fused.tolist() == pytest.approx([1 / 62 + 1 / 61, 1 / 62, 1 / 61 + 1 / 63])


def test_a_search_by_ranks_gives_both_rankings_their_say(collection: Collection) -> None:
    (first, *_) = collection.search("dark rock basalt columns", mode="ranks")
    assert (first.chunk.document, first.score) == ("basalt", pytest.approx(2 / 61))
