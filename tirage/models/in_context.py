"""Tokenizers in the middle of a text: without what they do at its start.

Tokenizers of the SentencePiece kind put a space in front of a text (a dummy prefix) and take one away from the front of what they decode.
That is right for a whole text, but a span stands in the middle: its ids must add its text to what comes before, and nothing else.
"""

import json
from collections.abc import Collection
from typing import Any

_CHANGING = ("Prepend", "NFC", "NFD", "NFKC", "NFKD", "Strip")
"""Normalizers that add to a text or change it, so that its ids would no longer be its own."""


def encoder_in_context(backend: Any, *, special: bool) -> Any:
    """The tokenizer for pieces of text; `special` says whether text that spells a special token becomes that token."""
    data = json.loads(backend.to_str())
    data["normalizer"] = _without(data.get("normalizer"), "normalizers")
    _no_prefix(data.get("pre_tokenizer"))
    data["post_processor"] = None
    for token in data.get("added_tokens", ()):
        # Tokens that swallow the blanks beside them would lose these.
        token["lstrip"] = token["rstrip"] = False
    twin = type(backend).from_str(json.dumps(data))
    twin.encode_special_tokens = not special
    return twin


def decoder_in_context(backend: Any, shown: Collection[int]) -> Any:
    """The tokenizer for decoding what follows a text; special tokens in `shown` are not dropped. May be `backend` itself."""
    decoder = json.loads(backend.decoder.__getstate__()) if backend.decoder is not None else None
    before = json.dumps(decoder)
    _keep_front(decoder)
    if json.dumps(decoder) == before and not any(token.special for number, token in added_tokens(backend) if number in shown):
        return backend
    data = json.loads(backend.to_str())
    data["decoder"] = decoder
    for token in data.get("added_tokens", ()):
        token["special"] = token["special"] and token["id"] not in shown
    return type(backend).from_str(json.dumps(data))


def added_tokens(backend: Any) -> list[tuple[int, Any]]:
    """Ids and `AddedToken`s of the tokens that are not made of the vocabulary's pieces."""
    return sorted(backend.get_added_tokens_decoder().items())


def _without(node: Any, children: str) -> Any:
    """A normalizer without the parts that change a text."""
    if not isinstance(node, dict):
        return node
    if node.get("type") == "Sequence":
        kept = [part for part in (_without(part, children) for part in node[children]) if part is not None]
        return {**node, children: kept} if kept else None
    return None if node.get("type") in _CHANGING else node


def _no_prefix(node: Any) -> None:
    """A pre-tokenizer without dummy prefix, in place."""
    if not isinstance(node, dict):
        return
    for part in node.get("pretokenizers", ()):
        _no_prefix(part)
    if node.get("type") == "Metaspace":
        node["prepend_scheme"] = "never"
    elif node.get("type") == "ByteLevel":
        node["add_prefix_space"] = False


def _keep_front(node: Any) -> None:
    """A decoder that takes nothing from the front, in place."""
    if not isinstance(node, dict):
        return
    for part in node.get("decoders", ()):
        _keep_front(part)
    if node.get("type") == "Metaspace":
        node["prepend_scheme"] = "never"
    elif node.get("type") == "Strip":
        node["start"] = 0
