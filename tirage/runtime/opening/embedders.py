"""Embedder strings to embedders."""

import os
from pathlib import Path

from tirage.core.errors import ConfigError
from tirage.tools.retrieval.embedders import Embedder, HashingEmbedder

FORMS = {
    "hash": "words hashed, no model",
    "minilm": "all-MiniLM-L6-v2 in this process",
    "folder:PATH": "a sentence-transformers or model2vec folder, in this process",
    "http://HOST:PORT/v1#NAME": "any OpenAI-compatible server",
    "litellm/NAME": "anything LiteLLM reaches",
}


def open_embedder(name: str) -> Embedder:
    """What an embedder string stands for. Raises `ConfigError` for one of no known form, and what the forms raise."""
    if name == "hash":
        return HashingEmbedder()
    if name == "minilm":
        from tirage.tools.retrieval.folders import open_minilm

        return open_minilm()
    kind, _, rest = name.partition(":")
    if kind == "folder" and rest:
        from tirage.tools.retrieval.folders import open_folder

        return open_folder(Path(rest))
    if name.startswith("litellm/") and name != "litellm/":
        from tirage.tools.retrieval.remote import open_litellm

        return open_litellm(name.removeprefix("litellm/"))
    if kind in ("http", "https"):
        from tirage.tools.retrieval.remote import open_served

        url, _, served = name.partition("#")
        if not served:
            raise ConfigError(f"embedder {name!r} names no model of that server; write {name}#NAME")
        return open_served(url, served, api_key=os.environ.get("OPENAI_API_KEY"))
    raise ConfigError(f"unknown embedder {name!r}: forms: {', '.join(FORMS)}")
