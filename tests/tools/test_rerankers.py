"""Rerankers: without a model by hand, and a cross-encoder from a folder."""

from math import log
from pathlib import Path

import pytest

from tirage.core import ToolCall
from tirage.core.errors import ConfigError
from tirage.tools.retrieval import Collection, SearchTool
from tirage.tools.retrieval.rerankers import CrossEncoder, LexicalReranker


def test_coverage_and_wording_by_hand() -> None:
    """Two of three texts have both words, ln(1 + 3/2) each; one of them has them side by side, half of ln(1 + 3/1) more."""
    scores = LexicalReranker().score("dark rock", ["rock, so dark", "a dark rock", "otters"])
    both, pair = 2 * log(1 + 3 / 2), 0.5 * log(1 + 3 / 1)
    assert scores == pytest.approx([both, both + pair, 0])
    assert LexicalReranker().score("?", ["a", ""]) == [0, 0]
    assert LexicalReranker().score("a", []) == []


async def test_a_reranker_turns_the_order_and_its_scores_are_shown(tmp_path: Path) -> None:
    class ByLength:
        def score(self, query: str, texts: list[str]) -> list[float]:
            return [float(len(text)) for text in texts]

    with Collection(tmp_path / "c.sqlite") as collection:
        list(collection.add([("short", "rock"), ("long", "rock, and a great deal about otters besides"), ("other", "urchins")]))
        assert [hit.chunk.document for hit in collection.search("rock", 2, mode="keywords")] == ["short", "long"]
        hits = collection.search("rock", 2, mode="keywords", rerank=ByLength())
        assert [(hit.chunk.document, hit.score) for hit in hits] == [("long", 43), ("short", 4)]
        assert len(collection.search("rock", 1, rerank=ByLength())) == 1
        seen = await SearchTool(collection, rerank=ByLength()).call(ToolCall(name="search", arguments='{"query": "rock"}'), None)
        assert seen.text.startswith("[1] long\n")


def test_a_cross_encoder_reads_query_and_text_together(tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers", reason="install transformers: pip install 'tirage[retrieval]'")
    torch = pytest.importorskip("torch")
    torch.manual_seed(0)
    words = {word: n for n, word in enumerate(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "rock", "lava", "otter"])}
    for name, labels in (("one", 1), ("two", 2)):
        config = transformers.BertConfig(
            vocab_size=8,
            hidden_size=16,
            num_hidden_layers=1,
            num_attention_heads=2,
            intermediate_size=16,
            num_labels=labels,
            initializer_range=0.5,
        )
        transformers.BertForSequenceClassification(config).save_pretrained(tmp_path / name)
        transformers.BertTokenizerFast(vocab=words).save_pretrained(tmp_path / name)
    texts = ["rock lava", "otter", "lava " * 900] * 6
    scores = CrossEncoder(tmp_path / "one").score("rock", texts)
    assert len(scores) == 18
    assert scores[:3] == pytest.approx(scores[-3:], abs=1e-4)
    assert len({round(score, 4) for score in scores[:3]}) == 3
    model = transformers.AutoModelForSequenceClassification.from_pretrained(tmp_path / "one").eval()
    inputs = transformers.AutoTokenizer.from_pretrained(tmp_path / "one")("rock", "otter", return_tensors="pt")
    with torch.inference_mode():
        assert scores[1] == pytest.approx(model(**inputs).logits.item(), abs=1e-4)
    with pytest.raises(ConfigError, match="has 2 labels; a cross-encoder for reranking has one"):
        CrossEncoder(tmp_path / "two")
    with pytest.raises(ConfigError, match="give `lexical`, or the folder"):
        CrossEncoder(tmp_path)
