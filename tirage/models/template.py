"""HFRenderer: a Hugging Face tokenizer folder as a `Renderer`, without torch and without transformers."""

import hashlib
import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

from tirage.core.errors import ConfigError, MissingExtra, ModelError
from tirage.core.message import Message
from tirage.core.step import Source, Span
from tirage.models.chat_template import ChatTemplate
from tirage.models.in_context import added_tokens, decoder_in_context, encoder_in_context
from tirage.models.profile import Profile, derive, overridden
from tirage.models.thinking import Thinking, find_thinking

_SHORT = 200
"""Characters up to which the ids of a text are remembered."""
_SPECIAL_NAMES = ("bos_token", "eos_token", "pad_token", "unk_token")
_TURN_ENDS = ("<|im_end|>", "<|eot_id|>", "<end_of_turn>", "<|end|>", "<|endoftext|>")
"""Well-known end-of-turn tokens, taken as such only where the folder itself names no end-of-sequence token."""
_NO_TEMPLATE = "give one with --set model_options.chat_template=FILE, or send text or token ids instead of messages"
_HABITS = {"system": "system_role", "alternation": "alternation", "tools": "tools", "default_system": "default_system"}
"""Habits of the template that are facts of the profile."""
_SHIELD = "\u2063tirage-{}\u2063"
_SHIELDED = re.compile(_SHIELD.format(r"(\d+)"))
"""Stands for text that spells a special token while a prompt is rendered; invisible separators make a clash with real text unlikely."""


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
    """Tokenizer and chat template of one model folder. Thread-safe: nothing visible changes after construction."""

    def __init__(
        self,
        folder: str | Path,
        *,
        chat_template: str | None = None,
        switches: Mapping[str, Any] | None = None,
        facts: Mapping[str, Any] | None = None,
    ) -> None:
        """Read `tokenizer.json`, `tokenizer_config.json`, `generation_config.json`, `config.json`, `chat_template.jinja`.

        Args:
            folder: Of the model or its tokenizer.
            chat_template: Replaces the folder's own (for base models that have none): Jinja text, or the path of a file with it.
            switches: Variables of the template, such as `enable_thinking`.
            facts: Of the model's profile, known better than its files tell.

        Raises:
            ConfigError: `folder` holds no readable tokenizer, the template does not compile or lacks a switch, or the profile a fact.
        """
        path = Path(folder)
        self._folder = path
        self._backend, content = _read_tokenizer(path)
        self.settings = _read_json(path / "tokenizer_config.json")
        special = {name: text for name in _SPECIAL_NAMES if (text := _token_text(self.settings.get(name))) is not None}
        source = _given_template(chat_template) if chat_template is not None else _template_source(path, self.settings)
        if source is None and switches:
            raise ConfigError(f"model_options.template: {path} has no chat template that could have switches; {_NO_TEMPLATE}")
        self._facts = dict(facts or {})
        habits = {habit: self._facts[fact] for habit, fact in _HABITS.items() if fact in self._facts}
        self.template = None if source is None else ChatTemplate(source, special, switches, habits)
        """None for base models."""
        self._special = special
        self._eos = self._find_eos(special)
        self._hash = _digest(content, source)

    @property
    def folder(self) -> Path:
        """Where the tokenizer was read."""
        return self._folder

    @property
    def hash(self) -> str:
        """16 hex digits over the tokenizer file and the chat template."""
        return self._hash

    @property
    def eos_ids(self) -> frozenset[int]:
        """Ids that end a turn: what the folder's generation, model and tokenizer configuration name."""
        return self._eos

    @property
    def special_tokens(self) -> dict[str, str]:
        """What the tokenizer's configuration names, such as `eos_token`."""
        return dict(self._special)

    @cached_property
    def thinking(self) -> Thinking | None:
        """How the model sets its thinking apart, from the template and the vocabulary; None for a model without."""
        opening = self.template.habits.opening if self.template is not None else ""
        source = self.template.source if self.template is not None else None
        return find_thinking(source, opening, lambda marker: self._backend.token_to_id(marker) is not None)

    @cached_property
    def profile(self) -> Profile:
        """What the model is and speaks. Raises `ConfigError` for an unknown or invalid fact that a file or the user told."""
        ends = tuple(text for token in sorted(self._eos) if (text := self._backend.id_to_token(token)) is not None)
        seen = {"dummy_prefix": self.dummy_prefix, "special_tokens": tuple(dict.fromkeys(self._special.values())), "turn_ends": ends}
        configs = {name: _read_json(self._folder / name) for name in ("config.json", "generation_config.json")}
        found = derive(self._folder, template=self.template, thinking=self.thinking, settings=self.settings, configs=configs, facts=seen)
        return overridden(found, self._facts)

    @property
    def think_markers(self) -> tuple[str, str] | None:
        """What opens and closes the thinking; None where there is none, or where the template switches it off."""
        known = self.profile
        visible = known.think_open and known.think_close and known.thinking not in ("closed", "none")
        return (known.think_open or "", known.think_close or "") if visible else None

    @property
    def vocabulary(self) -> int:
        """Number of ids, added tokens included."""
        return int(self._backend.get_vocab_size(with_added_tokens=True))

    @property
    def dummy_prefix(self) -> bool:
        """The tokenizer puts a space in front of a text."""
        first = self._backend.encode("x", add_special_tokens=False).tokens[:1]
        return bool(first) and first[0][:1] in ("▁", "Ġ")

    @cached_property
    def backend(self) -> Any:
        """The `tokenizers.Tokenizer` that decodes what follows a prompt, for streaming decoders too."""
        markers = (self.profile.think_open or "", self.profile.think_close or "")
        # Markers may be special tokens, which would be dropped from the text.
        shown = {token for marker in markers for token in self._backend.encode(marker, add_special_tokens=False).ids}
        return decoder_in_context(self._backend, shown)

    @cached_property
    def _literal(self) -> Any:
        """The tokenizer in the middle of a text, blind to special tokens."""
        return encoder_in_context(self._backend, special=False)

    @cached_property
    def _glue(self) -> Any:
        """The tokenizer in the middle of a text."""
        return encoder_in_context(self._backend, special=True)

    def render(self, messages: tuple[Message, ...]) -> tuple[Span, ...]:
        """One PROMPT span: messages plus the generation prompt; a final assistant message is continued."""
        continue_final = bool(messages) and messages[-1].role == "assistant"
        text, ids = self.prompt(messages, continue_final=continue_final)
        return (Span(Source.PROMPT, text, ids),)

    def prompt(
        self, messages: Sequence[Message], *, continue_final: bool, tools: Sequence[Mapping[str, Any]] = ()
    ) -> tuple[str, tuple[int, ...]]:
        """The prompt as text and ids. Content of messages that spells a special token stays text. Raises as `render_text`."""
        spelled = [text for number, token in added_tokens(self._backend) if token.special and (text := token.content)]
        found = [text for text in spelled if any(text in message.content for message in messages)]
        if not found:
            text = self.render_text(messages, continue_final=continue_final, tools=tools)
            return text, self.encode_prompt(text)
        one = re.compile("|".join(re.escape(text) for text in sorted(found, key=len, reverse=True)))
        kept = [replace(m, content=one.sub(lambda match: _SHIELD.format(found.index(match[0])), m.content)) for m in messages]
        pieces = _SHIELDED.split(self.render_text(kept, continue_final=continue_final, tools=tools))
        # Glue and spelled tokens take turns.
        ids, text = list(self.encode_prompt(pieces[0])), pieces[0]
        for spelling, glue in zip(pieces[1::2], pieces[2::2], strict=True):
            ids += (*self._encode(found[int(spelling)]), *self._glue.encode(glue, add_special_tokens=False).ids)
            text += found[int(spelling)] + glue
        return text, tuple(ids)

    def render_text(self, messages: Sequence[Message], *, continue_final: bool, tools: Sequence[Mapping[str, Any]] = ()) -> str:
        """The prompt as text. Raises `ConfigError` when the folder has no chat template, `ModelRequestError` where it refuses."""
        if self.template is None:
            raise ConfigError(f"{self._folder} has no chat template; {_NO_TEMPLATE}")
        return self.template.render(messages, continue_final=continue_final, tools=tools)

    def encode(self, text: str) -> tuple[int, ...]:
        """Ids of `text` alone, without any special tokens added.

        Text that spells a special token stays text: what a tool printed must not be able to end the turn. Ordinary
        added tokens (fences, thinking markers) are found, and a thinking marker that is all of `text`. The ids go on after others: in
        context they decode to `text`, whatever the tokenizer does at the start of a text.
        """
        if text.strip() in (self.profile.think_open, self.profile.think_close):
            return tuple(self._glue.encode(text, add_special_tokens=False).ids)
        return self._encode_short(text) if len(text) <= _SHORT else self._encode(text)

    def _encode(self, text: str) -> tuple[int, ...]:
        return tuple(self._literal.encode(text, add_special_tokens=False).ids)

    @cached_property
    def _encode_short(self) -> Callable[[str], tuple[int, ...]]:
        """Remembers: the framework's own words (fences, notes, hints) come again and again."""
        return lru_cache(4096)(self._encode)

    def encode_prompt(self, text: str) -> tuple[int, ...]:
        """Ids of a rendered prompt, which begins a text: special tokens are recognised, none is added."""
        return tuple(self._backend.encode(text, add_special_tokens=False).ids)

    def decode(self, ids: tuple[int, ...]) -> str:
        """What `ids` add to the text before them; end-of-turn and other special tokens are dropped, thinking markers are not."""
        return str(self.backend.decode([token for token in ids if token not in self._eos], skip_special_tokens=True))

    def token_ends(self, ids: tuple[int, ...]) -> list[int]:
        """For each id, the character offset in `decode(ids)` at which its text ends; non-decreasing.

        A character whose bytes are spread over several ids ends with the last of them.
        """
        from tokenizers.decoders import DecodeStream

        total = len(self.decode(ids))
        stream, place, ends = DecodeStream(skip_special_tokens=True), 0, []
        for token in ids:
            if token not in self._eos:
                place += len(stream.step(self.backend, token) or "")
            ends.append(min(place, total))
        if ends and place != total:
            # Broken bytes are held back by the stream; whatever it held back belongs to the last id.
            ends[-1] = total
        return ends

    def check(self) -> None:
        """Raise `ConfigError` where no conversation can be had: for a broken template or profile, or where nothing ends a turn."""
        if self.template is not None:
            self.template.check(str(self._folder))
        _ = self.profile
        if not self._eos:
            raise ConfigError(
                f"{self._folder} names no end-of-turn token, so no answer would ever end; set eos_token in its tokenizer_config.json"
            )

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


def _given_template(given: str) -> str:
    """A chat template that is given as text, or as the path of a file. Raises `ConfigError` for a file that cannot be read."""
    if "{{" in given or "{%" in given:
        return given
    try:
        return Path(given).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"chat_template: {given} cannot be read ({error}); give a file with a Jinja template, or its text") from error


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
