"""Profiles: what a model is and speaks, each fact with the place that it comes from.

Facts come from the chat template (its text, and rendering with it), `generation_config.json`, `config.json`, the tokenizer, a file
`tirage_profile.yaml` beside the weights, and at last the user's `model_options.profile`; never from a name.
"""

import difflib
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, Protocol, runtime_checkable

import yaml
from pydantic import Field, TypeAdapter, ValidationError

from tirage.core.errors import ConfigError
from tirage.models.base import Model, Sampling
from tirage.models.thinking import Thinking

if TYPE_CHECKING:
    from tirage.models.chat_template import ChatTemplate

PROFILE_FILE = "tirage_profile.yaml"
"""Beside the weights: facts that a model's other files do not tell. Checkpoints keep the file of what they were trained from."""
NO_LIMIT = 1 << 20
"""`max_tokens` where neither anybody sets a limit nor the context is known: the server's own limit holds."""
SEVERAL = 0.8
"""Temperature of several draws where neither the user nor a published system nor the model has one: greedy ones would be all the same."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """What is known of a model. None means "none" where `sources` says who told so, else that it is unknown."""

    has_template: bool | None = None
    system_role: Literal["native", "folded", "none"] | None = None
    """`folded`: the system message goes in front of the first user message."""
    default_system: str | None = None
    """What the template puts in front where no system message is given."""
    alternation: bool | None = None
    """User messages in a row are joined."""
    tools: bool | None = None
    """The template shows tool schemas."""
    switches: tuple[str, ...] = ()
    """Variables of the template, for `model_options.template`."""
    date: str | None = None
    """The day that the template is told, year first."""
    think_open: str | None = None
    think_close: str | None = None
    thinking: Literal["model", "prompt", "closed", "none"] | None = None
    """Who opens the thinking; `closed`: the prompt opens and closes it, so that the model answers at once."""
    dialect: str = "fenced-python"
    """How calls are written. The fenced dialect asks for nothing but text and trains token by token; a template that shows tools does not
    change that by itself: native calls are for those who ask for them."""
    system: str | None = "auto"
    """The system message where the run says `auto`: `auto` is the dialect's own, None is none."""
    hint: Literal["none", "start"] = "none"
    """Whether `solve` places a START hint before the first thought unasked."""
    instructed: bool = True
    """Follows instructions of roles; False for models that know certain words only."""
    temperature: Annotated[float, Field(ge=0)] | None = None
    top_p: Annotated[float, Field(gt=0, le=1)] | None = None
    top_k: Annotated[int, Field(ge=0)] | None = None
    min_p: Annotated[float, Field(ge=0, le=1)] | None = None
    repetition_penalty: Annotated[float, Field(gt=0)] | None = None
    max_tokens: Annotated[int, Field(ge=1)] | None = None
    """Sampled tokens per turn that the model is meant for; None leaves it to the context."""
    context: Annotated[int, Field(ge=1)] | None = None
    """Tokens of prompt plus completion."""
    dummy_prefix: bool | None = None
    """The tokenizer puts a space in front of a text."""
    special_tokens: tuple[str, ...] = ()
    turn_ends: tuple[str, ...] = ()
    sources: Mapping[str, str] = field(default_factory=dict)
    """Where each fact comes from; what is not in it is a default, or unknown."""

    def rows(self) -> list[tuple[str, object, str]]:
        """Each fact with its value and its source."""
        told = []
        for item in fields(self):
            if item.name != "sources":
                value = getattr(self, item.name)
                unknown = value is None or value == ()
                told.append((item.name, value, self.sources.get(item.name, "unknown" if unknown else "default")))
        return told


def derive(
    folder: Path,
    *,
    template: "ChatTemplate | None",
    thinking: Thinking | None,
    settings: Mapping[str, Any],
    configs: Mapping[str, Mapping[str, Any]],
    facts: Mapping[str, Any],
) -> Profile:
    """The profile of a model folder.

    Args:
        folder: Where `tirage_profile.yaml` may be.
        template: Its chat template.
        thinking: Its markers.
        settings: `tokenizer_config.json`.
        configs: Content of `config.json` and `generation_config.json`, by name.
        facts: What the tokenizer was seen to be: `dummy_prefix`, `special_tokens`, `turn_ends`.

    Raises:
        ConfigError: The profile's file has an unknown fact or an invalid value.
    """
    known: dict[str, tuple[Any, str]] = {name: (value, "tokenizer") for name, value in facts.items()}
    known |= {"has_template": (template is not None, "template")}
    if template is None:
        known |= {"system_role": ("none", "template"), "tools": (False, "template")}
    elif template.habits.broken is None:
        seen = template.habits
        known |= {
            "system_role": (seen.system, "probe"),
            "default_system": (seen.default_system, "probe"),
            "alternation": (seen.alternation, "probe"),
            "tools": (seen.tools, "probe"),
            "switches": (template.switches, "template"),
            "date": (template.date.isoformat(), "user" if template.dated else "default"),
        }
    if thinking is None:
        nowhere = "template" if template is not None else "tokenizer"
        known |= {"think_open": (None, nowhere), "think_close": (None, nowhere), "thinking": ("none", nowhere)}
    else:
        known |= {"think_open": (thinking.open, thinking.source), "think_close": (thinking.close, thinking.source)}
        known |= {"thinking": (thinking.begun, "probe")}
    known |= _sampling(configs.get("generation_config.json", {})) | _context(configs.get("config.json", {}), settings)
    file = folder / PROFILE_FILE
    profile = _made({name: value for name, (value, _) in known.items()}, {name: source for name, (_, source) in known.items()}, "profile")
    return overridden(profile, _read(file), str(file), PROFILE_FILE) if file.is_file() else profile


def overridden(profile: Profile, facts: Mapping[str, Any], where: str = "model_options.profile", source: str = "user") -> Profile:
    """The profile with other facts. Raises `ConfigError` for an unknown or invalid one; `where` names what told it."""
    known = [item.name for item in fields(Profile) if item.name != "sources"]
    for name in facts:
        if name not in known:
            near = difflib.get_close_matches(str(name), known, n=1)
            raise ConfigError(f"{where}: no fact {name!r}; {f'did you mean {near[0]!r}?' if near else 'facts: ' + ', '.join(known)}")
    values = {name: getattr(profile, name) for name in known} | dict(facts)
    return _made(values, {**profile.sources, **dict.fromkeys(facts, source)}, where)


@runtime_checkable
class Profiled(Protocol):
    """A model or renderer that knows its profile."""

    @property
    def profile(self) -> Profile:
        """What is known."""
        ...


def profile_of(model: Model) -> Profile:
    """What is known of an open model: of its tokenizer's folder where that is at hand, of its server otherwise."""
    known = model if isinstance(model, Profiled) else model.renderer
    profile = known.profile if isinstance(known, Profiled) else Profile()
    context = model.capabilities.context
    if context is not None and profile.sources.get("context") != "user":
        profile = replace(profile, context=context, sources={**profile.sources, "context": "server"})
    return profile


def resolve_sampling(
    user: Mapping[str, Any], system: Mapping[str, Any], profile: Profile, context: int | None = None, *, several: bool = False
) -> Sampling:
    """How to sample: each value is the user's, else the published system's, else the model's, else tirage's default.

    Args:
        user: `temperature`, `top_p`, `top_k` and `max_tokens`; None and absent ones leave it to the next.
        system: The same of a published system.
        profile: The same of the model.
        context: Tokens that prompt and completion share, where the profile does not know: without any limit, this is it.
        several: More than one draw is made of a prompt; where only the model says so, they are not greedy.
    """

    def first(name: str, default: float) -> Any:
        told = (user.get(name), system.get(name), getattr(profile, name))
        return next((value for value in told if value is not None), default)

    temperature = first("temperature", 0.0)
    if several and temperature == 0 and user.get("temperature") is None and system.get("temperature") is None:
        temperature = SEVERAL
    return Sampling(
        temperature=temperature,
        top_p=first("top_p", 1.0),
        top_k=first("top_k", 0),
        max_tokens=first("max_tokens", profile.context or context or NO_LIMIT),
    )


def _sampling(told: Mapping[str, Any]) -> dict[str, tuple[Any, str]]:
    """What `generation_config.json` says: `do_sample: false` is greedy, whatever else stands there."""
    greedy = told.get("do_sample") is False
    names = {"max_tokens": "max_new_tokens", **({} if greedy else {name: name for name in ("temperature", "top_p", "top_k", "min_p")})}
    found = {name: told[key] for name, key in {**names, "repetition_penalty": "repetition_penalty"}.items() if told.get(key) is not None}
    if greedy:
        found["temperature"] = 0.0
    return {name: (value, "generation_config.json") for name, value in found.items()}


def _context(config: Mapping[str, Any], settings: Mapping[str, Any]) -> dict[str, tuple[Any, str]]:
    """Tokens of prompt and completion, as the model's configuration says, else its tokenizer's."""
    for part in (config, config.get("text_config") or {}, config.get("llm_config") or {}):
        for name in ("max_position_embeddings", "n_positions", "max_sequence_length", "max_seq_len", "seq_length"):
            if isinstance(part.get(name), int) and part[name] > 0:
                return {"context": (part[name], "config.json")}
    length = settings.get("model_max_length")
    # What has no limit is written as 10^30.
    return {"context": (int(length), "tokenizer")} if isinstance(length, int | float) and 0 < length < NO_LIMIT * 64 else {}


def _read(file: Path) -> dict[str, Any]:
    try:
        data = yaml.safe_load(file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ConfigError(f"{file} is not readable YAML: {' '.join(str(error).split())}") from error
    if not isinstance(data, dict):
        raise ConfigError(f"{file} holds no facts; write it as a mapping of facts to values")
    return data


def _made(values: Mapping[str, Any], sources: Mapping[str, str], where: str) -> Profile:
    try:
        return _ADAPTER.validate_python({**values, "sources": dict(sources)})
    except ValidationError as error:
        told = error.errors()[0]
        name = str(told["loc"][0]) if told["loc"] else "profile"
        place = where if sources.get(name) in (None, "user", PROFILE_FILE) else sources[name]
        raise ConfigError(f"{place}: {name}: {told['msg']}, not {told['input']!r}") from None


_ADAPTER = TypeAdapter(Profile)
