"""Model strings to open models, and what is known of a model before it is opened."""

import asyncio
import difflib
import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

from tirage.core.errors import ConfigError, ModelAuthError
from tirage.models.base import Model
from tirage.models.embedded import nano_path
from tirage.models.hub import model_folder
from tirage.models.keys import OPENAI_KEY, key_for, openai_url, origin
from tirage.models.own import OWN, open_own_model
from tirage.models.profile import Profile, overridden, profile_of
from tirage.models.several import Several
from tirage.models.template import HFRenderer
from tirage.models.weights import weights_hash
from tirage.models.wrap import Cached, Known, RateLimit, Retry
from tirage.runtime.config import AgentConfig, ModelConfig

FORMS = {
    "nano": "the embedded model",
    "hf/PATH": "a Hugging Face folder or hub name, in this process",
    "vllm/NAME": "a vLLM server that tirage starts and stops; NAME is a folder, a hub name or `nano`",
    "http://HOST:PORT/v1#NAME": "any OpenAI-compatible server",
    "openai/NAME": "OpenAI's own API, or that of OPENAI_BASE_URL",
    "litellm/PROVIDER/NAME": "anything LiteLLM reaches",
    "replay/FILE": "recorded completions",
    "scripted/FILE": "completions written by hand, one per line, for tests and demonstrations",
    "module:attribute": "a model of your own",
}


def unknown_model(name: str) -> ConfigError:
    """The error for a model string of no known form, with the nearest form and the list."""
    prefixes = {form.split("/")[0].split(":")[0]: form for form in FORMS}
    near = difflib.get_close_matches(name.split("/")[0], prefixes, n=1, cutoff=0.5)
    guess = f"did you mean {prefixes[near[0]]!r}? " if near else ""
    return ConfigError(f"unknown model {name!r}: {guess}forms: {', '.join(FORMS)}")


async def open_model(name: str, options: ModelConfig | None = None) -> Model:
    """Open the model that `name` stands for, with the wrappers that `options` ask for; served models are retried.

    Raises `ConfigError` or the `ModelError` family.
    """
    options = options or ModelConfig()
    model = await _open(name, options)
    if name.startswith(("vllm/", "http://", "https://", "openai/", "litellm/")):
        if options.requests_per_minute is not None or options.tokens_per_minute is not None:
            model = RateLimit(model, requests_per_minute=options.requests_per_minute, tokens_per_minute=options.tokens_per_minute)
        model = Retry(model, max_attempts=options.max_attempts)
    if options.cache is not None:
        model = Cached(model, options.cache)
    return Known(model, options.profile) if options.profile else model


async def open_models(first: str | Model, options: ModelConfig | None, agent: AgentConfig) -> Model:
    """The model of a run, with the further ones of its agent or its search. `first` may be open already.

    Raises as `open_model`; what was opened here is then closed.
    """
    names = (*agent.models, *(agent.search.models if agent.search is not None else ()))
    model = await open_model(first, options) if isinstance(first, str) else first
    others: dict[str, Model] = {}
    try:
        for other in names:
            others[other] = await open_model(other, _options_of_others(first, options, other))
    except BaseException:
        for opened in (*([model] if isinstance(first, str) else []), *others.values()):
            await opened.close()
        raise
    return Several(model, others) if others else model


async def _open(name: str, options: ModelConfig) -> Model:
    kind, _, rest = name.partition("/")
    if name == "nano" or (kind == "hf" and rest):
        from tirage.models.local import open_local

        path = nano_path() if name == "nano" else await asyncio.to_thread(model_folder, rest)
        called = name if name == "nano" else Path(rest).name
        return await open_local(path, name=called, threads=options.threads, slots=options.slots, read=reader(options))
    if kind == "vllm" and rest:
        from tirage.models.vllm import open_vllm

        path = nano_path() if rest == "nano" else await asyncio.to_thread(model_folder, rest)
        args = (*_template_arguments(options), *options.vllm_args)
        return await open_vllm(path, name=Path(rest).name, python=options.vllm_python, args=args, read=reader(options))
    if name.startswith(("http://", "https://")):
        url, _, served = name.partition("#")
        if not served:
            raise ConfigError(f"model {name!r} names no model of that server; write {name}#NAME")
        return await _served(url, served, options)
    if kind == "openai" and rest:
        if key_for(openai_url(), _keys(openai_url(), options)) is None:
            raise ModelAuthError(f"model {name!r} needs a key; set {OPENAI_KEY} in the environment")
        return await _served(openai_url(), rest, options)
    if kind == "litellm" and rest:
        from tirage.models.litellm import open_litellm

        return await open_litellm(rest)
    if kind in ("replay", "scripted") and rest:
        from tirage.testing.models import ReplayModel, ScriptedModel

        path = Path(rest)
        if not path.is_file():
            raise ConfigError(f"model {name!r}: there is no file {path}")
        return ReplayModel.load(path) if kind == "replay" else ScriptedModel(path.read_text(encoding="utf-8").splitlines())
    if OWN.has(name):
        return await open_own_model(name, options.model_dump())
    raise unknown_model(name)


async def _served(url: str, served: str, options: ModelConfig) -> Model:
    from tirage.models.openai import open_openai

    key = key_for(url, _keys(url, options))
    return await open_openai(url, served, api_key=key, tokenizer=options.tokenizer, read=reader(options))


def _keys(own: str, options: ModelConfig) -> dict[str, str]:
    """The variables with keys by origin; `own` is the URL of the run's own model."""
    return options.api_keys | ({} if options.api_key_env is None else {own: options.api_key_env})


def _options_of_others(first: str | Model, options: ModelConfig | None, other: str) -> ModelConfig | None:
    """The options for a further model: the key of the run's own model is for its server alone."""
    if options is None or options.api_key_env is None or (isinstance(first, str) and _server(first) == _server(other)):
        return options
    return options.model_copy(update={"api_key_env": None})


def _server(name: str) -> str | None:
    """The origin of a model string that names a server; its URL stays with its kind otherwise."""
    if name.startswith("openai/"):
        return origin(openai_url())
    return origin(name.partition("#")[0]) if name.startswith(("http://", "https://")) else None


def reader(options: ModelConfig) -> Callable[[Path], HFRenderer]:
    """Reads tokenizer and template of a folder as the options say."""
    return partial(HFRenderer, chat_template=options.chat_template, switches=options.template, facts=options.profile)


def folder_of(name: str) -> Path | None:
    """The folder of the weights and the tokenizer that a model string names on this machine; None for other models."""
    kind, _, rest = name.partition("/")
    if name in ("nano", "vllm/nano"):
        return nano_path()
    return Path(rest) if kind in ("hf", "vllm") and rest and Path(rest).is_dir() else None


def known_profile(name: str, options: ModelConfig | None = None) -> Profile:
    """What is known of a model before it is opened: all, where its folder is at hand. Raises `ConfigError` for a broken one."""
    options, folder = options or ModelConfig(), folder_of(name)
    if folder is None:
        return overridden(Profile(), options.profile)
    read = reader(options)(folder)
    read.check()
    return read.profile


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownModel:
    """What is known of a model."""

    name: str
    """With the hash of its weights, where they are at hand."""
    profile: Profile
    capabilities: dict[str, object] | None
    """As its back end declares them; None for a folder, whose back end is not open."""


async def describe_model(name: str, options: ModelConfig | None = None) -> KnownModel:
    """Look at a model's folder, without loading the weights or starting a server; open and probe other models.

    Raises `ConfigError` for a folder that cannot be used, and as `open_model`.
    """
    folder = folder_of(name)
    if folder is not None:
        return KnownModel(name=f"{name}@{weights_hash(folder)}", profile=known_profile(name, options), capabilities=None)
    model = await open_model(name, options)
    try:
        return KnownModel(name=model.name, profile=profile_of(model), capabilities=asdict(model.capabilities))
    finally:
        await model.close()


def _template_arguments(options: ModelConfig) -> tuple[str, ...]:
    """What tells a vLLM server of another template, or of its switches, for requests that it renders itself."""
    given = () if options.chat_template is None else ("--chat-template", options.chat_template)
    return (*given, "--default-chat-template-kwargs", json.dumps(options.template, default=str)) if options.template else given


def weights_of(name: str) -> str:
    """Where the trainable weights of a model string are. Raises `ConfigError` for models that cannot be trained here."""
    kind, _, rest = name.partition("/")
    if name == "nano" or name == "vllm/nano":
        return str(nano_path())
    if kind in ("hf", "vllm") and rest:
        return str(model_folder(rest))
    if not OWN.has(name) and kind not in {form.split("/")[0] for form in FORMS} and not name.startswith(("http://", "https://")):
        raise unknown_model(name)
    raise ConfigError(f"model {name!r} has no weights here to train; use hf/PATH (in this process) or vllm/PATH (a server tirage starts)")


def served_like(name: str, checkpoint: str) -> str:
    """The model string that serves `checkpoint` the way `name` is served."""
    return f"{'vllm' if name.startswith('vllm/') else 'hf'}/{checkpoint}"
