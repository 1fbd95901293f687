"""Embedder strings to embedders.

Besides the forms here, `module:attribute` of an embedder, of its class or of a function that makes one, is one, and so is what installed
packages offer in the entry-point group `tirage.embedders`.
"""

from pathlib import Path
from typing import Any

from tirage.core.errors import ConfigError
from tirage.core.extension import ExtensionPoint
from tirage.models.keys import key_for
from tirage.tools.retrieval.embedders import Embedder, HashingEmbedder, NamedEmbedder

FORMS = {
    "hash": "words hashed, no model",
    "minilm": "all-MiniLM-L6-v2 in this process",
    "folder:PATH": "a sentence-transformers or model2vec folder, in this process",
    "http://HOST:PORT/v1#NAME": "any OpenAI-compatible server",
    "litellm/NAME": "anything LiteLLM reaches",
    "module:attribute": "an embedder of your own",
}


def _is_embedder(found: object) -> bool:
    members = all(hasattr(found, name) for name in ("id", "dimension"))
    return members and not isinstance(found, type) and callable(getattr(found, "embed", None))


OWN: ExtensionPoint[Any] = ExtensionPoint(
    "embedder",
    "tirage.embedders",
    "an embedder with id, dimension and embed, or its class",
    lambda found: callable(found) or _is_embedder(found),
)


def open_embedder(name: str) -> Embedder:
    """What an embedder string that the user gave stands for; `module:attribute` is loaded.

    Raises `ConfigError` for one of no known form, and what the forms raise.
    """
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
        return open_served(url, served, api_key=key_for(url))
    if OWN.has(name):
        found = OWN.load(name)
        embedder = found if _is_embedder(found) else found()
        if not _is_embedder(embedder):
            raise ConfigError(f"embedder {name!r} makes a {type(embedder).__name__}, which embeds nothing; give {OWN.wanted}")
        return NamedEmbedder(embedder, name)
    raise ConfigError(f"unknown embedder {name!r}: forms: {', '.join([*FORMS, *OWN.offers])}")
