"""The retrieval port on the real LanceDB, held against the SQLite collection."""

from pathlib import Path

import pytest

from tirage.core.errors import ConfigError
from tirage.tools.retrieval import Collection, HashingEmbedder, Retriever, SearchTool, Store
from tirage.tools.retrieval.lance import LanceCollection, lance_embedder_name
from tirage.tools.retrieval.rerankers import LexicalReranker

pytest.importorskip("lancedb", reason="install LanceDB: pip install 'tirage[lance]'")

DOCUMENTS = [
    ("otters", "Sea otters hold hands while they sleep. They eat urchins and clams."),
    ("it's lava", "A volcano erupts when molten rock reaches the surface."),
    ("basalt", "Basalt is a dark rock. Columns of basalt stand at the coast of Ireland."),
]


@pytest.fixture
def lance(tmp_path: Path) -> LanceCollection:
    made = LanceCollection(str(tmp_path / "c.lance"))
    assert list(made.add(DOCUMENTS)) == [3]
    return made


@pytest.mark.parametrize("mode", ["hybrid", "keywords", "vectors"])
def test_it_finds_what_the_other_store_finds(tmp_path: Path, lance: LanceCollection, mode: str) -> None:
    with Collection(tmp_path / "c.sqlite") as other:
        list(other.add(DOCUMENTS))
        assert lance.fingerprint == other.fingerprint
        assert (len(lance), lance.documents) == (len(other), other.documents)
        for query in ("basalt columns in Ireland", "what do sea otters eat", "molten rock"):
            ours, theirs = (store.search(query, 1, mode=mode)[0].chunk for store in (lance, other))  # type: ignore[arg-type]
            assert ours == theirs


def test_what_is_kept_and_replaced(tmp_path: Path, lance: LanceCollection) -> None:
    mark = lance.fingerprint
    list(lance.add(DOCUMENTS))
    assert (len(lance), lance.fingerprint) == (3, mark)
    list(lance.add([("it's lava", "Nothing here.")]))
    assert lance.search("molten", 3, mode="keywords") == []
    assert lance.fingerprint != mark
    list(lance.add([DOCUMENTS[1]]))
    again = LanceCollection(str(tmp_path / "c.lance"))
    assert (again.fingerprint, again.documents) == (mark, 3)
    assert again.search("molten", 3, mode="keywords")[0].chunk.document == "it's lava"
    assert again.remove("it's lava")
    assert not again.remove("it's lava")
    assert len(again) == 2


def test_another_embedder_is_refused_and_the_first_is_remembered(tmp_path: Path, lance: LanceCollection) -> None:
    assert lance_embedder_name(str(tmp_path / "c.lance")) == "hash"
    assert lance_embedder_name(str(tmp_path / "new.lance")) is None
    with pytest.raises(ConfigError, match=r"has embedder 'hashing-384/1, 384 dimensions', not 'hashing-64/1, 64 dimensions'; open it with"):
        LanceCollection(str(tmp_path / "c.lance"), HashingEmbedder(64))


def test_more_documents_than_a_page(tmp_path: Path) -> None:
    documents = [(f"d{n}", f"rock number {n}. " * 120) for n in range(60)]
    with LanceCollection(str(tmp_path / "m.lance")) as made:
        list(made.add(documents))
        mark, count = made.fingerprint, len(made)
    again = LanceCollection(str(tmp_path / "m.lance"))
    assert (again.documents, again.fingerprint) == (60, mark)
    assert count > 120
    assert again.remove("d7")
    list(again.add(documents[7:8]))
    assert (again.fingerprint, len(again)) == (mark, count)


@pytest.mark.parametrize("query", ['"', "a AND (b", "", "\x00", "x*^", "🦦", "\ud800", "é" * 10_000])
def test_any_text_is_a_query(lance: LanceCollection, query: str) -> None:
    for mode in ("hybrid", "keywords", "vectors"):
        lance.search(query, 2, mode=mode)


def test_both_stores_fit_the_ports_and_take_a_reranker(tmp_path: Path, lance: LanceCollection) -> None:
    stores: list[Store] = [lance, Collection(tmp_path / "c.sqlite")]
    retrievers: list[Retriever] = list(stores)
    assert [SearchTool(each).spec.name for each in retrievers] == ["search", "search"]
    hits = lance.search("dark rock", 1, rerank=LexicalReranker())
    assert hits[0].chunk.document == "basalt"
    stores[1].close()
