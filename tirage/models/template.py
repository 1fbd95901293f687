"""HFRenderer: a Hugging Face tokenizer folder as a `Renderer`, without torch and without transformers."""

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

from tirage.core.errors import ConfigError, MissingExtra, ModelError
from tirage.core.message import Message
from tirage.core.step import Source, Span
from tirage.models.chat_template import ChatTemplate

_SPECIAL_NAMES = ("bos_token", "eos_token", "pad_token", "unk_token")
_TURN_ENDS = ("<|im_end|>", "<|eot_id|>", "<end_of_turn>", "<|end|>", "<|endoftext|>")
"""Well-known end-of-turn tokens, taken as such only where the folder itself names no end-of-sequence token."""


def check_round_trip(sent_ids: Sequence[int], returned_prompt_ids: Sequence[int]) -> None:
    """Raise `ModelError` naming the first position at which the ids a server used differ from those it was sent."""
    if tuple(sent_ids) == tuple(returned_prompt_ids):
        return
    pairs = enumerate(zip(sent_ids, returned_prompt_ids, strict=False))
    shorter = min(len(sent_ids), len(returned_prompt_ids))
    place = next((position for position, (sent, used) in pairs if sent != used), shorter)
    sent = sent_ids[place] if place < len(sent_ids) else "nothing"
    used = returned_prompt_ids[place] if place < len(returned_prompt_ids) else "nothing"
    raise ModelError(
        f"the server used other prompt ids than it was sent: position {place} is {used}, sent {sent} "
        f"({len(returned_prompt_ids)} ids used, {len(sent_ids)} sent); its tokens cannot be trusted, so stop sending ids to it"
    )


class HFRenderer:
    """Tokenizer and chat template of one model folder. Thread-safe: nothing changes after construction."""

    def __init__(self, folder: str | Path, *, chat_template: str | None = None) -> None:
        """Read `tokenizer.json`, `tokenizer_config.json`, `generation_config.json`, `config.json`, `chat_template.jinja`.

        `chat_template` replaces the folder's own (for base models that have none).

        Raises:
            ConfigError: `folder` holds no readable tokenizer.
        """
        path = Path(folder)
        self._folder = path
        self._backend, content = _read_tokenizer(path)
        settings = _read_json(path / "tokenizer_config.json")
        special = {name: text for name in _SPECIAL_NAMES if (text := _token_text(settings.get(name))) is not None}
        source = chat_template if chat_template is not None else _template_source(path, settings)
        self._template = None if source is None else ChatTemplate(source, special)
        self._eos = self._find_eos(special)
        markers = ("<think>", "</think>")
        known = all(self._backend.token_to_id(marker) is not None for marker in markers)
        self._think = markers if known else None
        self._hash = _digest(content, source)

    @property
    def hash(self) -> str:
        """16 hex digits over the tokenizer file and the chat template."""
        return self._hash

    @property
    def eos_ids(self) -> frozenset[int]:
        """Ids that end a turn: what the folder's generation, model and tokenizer configuration name."""
        return self._eos

    @property
    def think_markers(self) -> tuple[str, str] | None:
        """`("<think>", "</think>")` when both are tokens of the vocabulary."""
        return self._think

    @property
    def vocabulary(self) -> int:
        """Number of ids, added tokens included."""
        return int(self._backend.get_vocab_size(with_added_tokens=True))

    @property
    def backend(self) -> Any:
        """The `tokenizers.Tokenizer`, for streaming decoders."""
        return self._backend

    @cached_property
    def _literal(self) -> Any:
        """The same tokenizer, blind to special tokens."""
        twin = type(self._backend).from_str(self._backend.to_str())
        twin.encode_special_tokens = True
        return twin

    @cached_property
    def _encoded(self) -> Callable[[str], tuple[int, ...]]:
        """Ids of a text. Fences, notices and hints come again in step after step, so the last texts are remembered."""
        return lru_cache(maxsize=512)(lambda text: tuple(self._literal.encode(text, add_special_tokens=False).ids))

    def render(self, messages: tuple[Message, ...]) -> tuple[Span, ...]:
        """One PROMPT span: messages plus the generation prompt; a final assistant message is continued."""
        continue_final = bool(messages) and messages[-1].role == "assistant"
        text = self.render_text(messages, continue_final=continue_final)
        return (Span(Source.PROMPT, text, self.encode_prompt(text)),)

    def render_text(self, messages: tuple[Message, ...], *, continue_final: bool, tools: Sequence[Mapping[str, Any]] = ()) -> str:
        """The prompt as text. Raises `ConfigError` when the folder has no chat template."""
        if self._template is None:
            raise ConfigError(f"{self._folder} has no chat template; pass chat_template=, or send text or token ids instead of messages")
        return self._template.render(messages, continue_final=continue_final, tools=tools)

    def encode(self, text: str) -> tuple[int, ...]:
        """Ids of `text` alone, without any special tokens added.

        Text that spells a special token stays text: what a tool printed must not be able to end the turn. Ordinary
        added tokens (fences, thinking markers) are found.
        """
        return self._encoded(text)

    def encode_prompt(self, text: str) -> tuple[int, ...]:
        """Ids of a rendered prompt: special tokens are recognised, none is added."""
        return tuple(self._backend.encode(text, add_special_tokens=False).ids)

    def decode(self, ids: tuple[int, ...]) -> str:
        """Text of `ids`, end-of-turn and other special tokens dropped."""
        return str(self._backend.decode([token for token in ids if token not in self._eos], skip_special_tokens=True))

    def token_ends(self, ids: tuple[int, ...]) -> list[int]:
        """For each id, the character offset in `decode(ids)` at which its text ends; non-decreasing.

        A character whose bytes are spread over several ids ends with the last of them.
        """
        from tokenizers.decoders import DecodeStream

        total = len(self.decode(ids))
        stream, place, ends = DecodeStream(skip_special_tokens=True), 0, []
        for token in ids:
            if token not in self._eos:
                place += len(stream.step(self._backend, token) or "")
            ends.append(min(place, total))
        if ends and place != total:
            # Broken bytes are held back by the stream; whatever it held back belongs to the last id.
            ends[-1] = total
        return ends

    def _find_eos(self, special: Mapping[str, str]) -> frozenset[int]:
        found: set[int] = set()
        for name in ("generation_config.json", "config.json"):
            value = _read_json(self._folder / name).get("eos_token_id")
            found.update([value] if isinstance(value, int) else value or ())
        if "eos_token" in special and (token := self._backend.token_to_id(special["eos_token"])) is not None:
            found.add(token)
        if not found:
            found.update(token for text in _TURN_ENDS if (token := self._backend.token_to_id(text)) is not None)
        return frozenset(found)


def folder_hash(folder: Path) -> str:
    """The `hash` of a renderer of `folder`, without loading its tokenizer. `folder` must hold a tokenizer.json."""
    source = _template_source(folder, _read_json(folder / "tokenizer_config.json"))
    return _digest((folder / "tokenizer.json").read_bytes(), source)


def _digest(tokenizer: bytes, template: str | None) -> str:
    return hashlib.sha256(tokenizer + (template or "").encode()).hexdigest()[:16]


def _read_tokenizer(path: Path) -> tuple[Any, bytes]:
    """The tokenizer and the bytes that identify it."""
    if not path.is_dir():
        raise ConfigError(f"{path} is not a folder; give a folder with a Hugging Face tokenizer (tokenizer.json)")
    file = path / "tokenizer.json"
    if not file.exists():
        return _convert(path)
    try:
        from tokenizers import Tokenizer
    except ImportError as error:
        raise MissingExtra("tokenizers", "local") from error
    content = file.read_bytes()
    try:
        return Tokenizer.from_buffer(content), content
    except Exception as error:  # tokenizers raises bare Exception for every malformed file
        raise ConfigError(f"{file} is not a readable tokenizer: {error}") from error


def _convert(path: Path) -> tuple[Any, bytes]:
    """A folder with only a slow tokenizer's files (SentencePiece, vocab/merges), converted by transformers."""
    if not any((path / name).exists() for name in ("tokenizer.model", "vocab.json", "vocab.txt", "spiece.model")):
        raise ConfigError(f"{path} holds no tokenizer (no tokenizer.json); save one there with tokenizer.save_pretrained(...)")
    try:
        from transformers import AutoTokenizer
    except ImportError as error:
        raise MissingExtra("transformers", "local") from error
    backend = getattr(AutoTokenizer.from_pretrained(path), "backend_tokenizer", None)
    if backend is None:
        raise ConfigError(f"the tokenizer in {path} has no fast form; save it as tokenizer.json")
    return backend, str(backend.to_str()).encode()


def _read_json(file: Path) -> dict[str, Any]:
    """A JSON object from `file`; empty when there is no such file."""
    if not file.exists():
        return {}
    try:
        data = json.loads(file.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ConfigError(f"{file} is not valid JSON: {error}") from error
    if not isinstance(data, dict):
        raise ConfigError(f"{file} holds a {type(data).__name__}, expected an object")
    return data


def _token_text(value: Any) -> str | None:
    """A special token's text: written as a string or as an AddedToken object."""
    if isinstance(value, dict):
        value = value.get("content")
    return value if isinstance(value, str) else None


def _template_source(path: Path, settings: Mapping[str, Any]) -> str | None:
    file = path / "chat_template.jinja"
    if file.exists():
        return file.read_text(encoding="utf-8")
    template = settings.get("chat_template")
    if isinstance(template, list):
        template = next((item["template"] for item in template if item.get("name") == "default"), None)
    return template if isinstance(template, str) else None
