"""The only place where strings become objects: model strings, sandboxes, verifiers, agents."""

import asyncio
import difflib
import json
import os
from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import replace
from functools import partial
from pathlib import Path

from tirage.agents.arms import Arms
from tirage.agents.demonstrations import Demonstrations, load_demonstrations
from tirage.agents.elicitation import Elicitation
from tirage.agents.explorer import Agent
from tirage.agents.hints import HintPlan, load_library
from tirage.agents.model_policy import ModelPolicy
from tirage.agents.policy import Policy
from tirage.agents.refine import Refining
from tirage.agents.search_options import PathLimits
from tirage.core.errors import ConfigError, ModelAuthError
from tirage.judging.critic import CHECK, NANO_CHECK
from tirage.models.base import Model, Sampling
from tirage.models.embedded import nano_path
from tirage.models.hub import model_folder
from tirage.models.own import OWN as own_models
from tirage.models.own import open_own_model
from tirage.models.profile import Profile, overridden, profile_of
from tirage.models.several import Several
from tirage.models.template import HFRenderer
from tirage.models.wrap import Cached, Known, RateLimit, Retry
from tirage.problems import FileSource, GymSource, ProblemSource
from tirage.runtime.config import SANDBOXES, AgentConfig, HintsConfig, ModelConfig, RewardConfig, RunConfig, SamplingConfig, SandboxOptions
from tirage.runtime.dialects import names_tools, open_dialect, spoken, system_message
from tirage.runtime.searching import refines, reward_model, search_maker, search_options, tree_budget
from tirage.runtime.stages import Plan, sampling_for
from tirage.runtime.toolbox import open_tools, session_tools
from tirage.runtime.topologies import team_options
from tirage.sandbox import DockerConfig, JupyterConfig, Pool, SandboxConfig, open_sandbox
from tirage.sandbox.base import Limits, Sandbox
from tirage.sandbox.config import AnyConfig
from tirage.sandbox.opening import open_own_sandbox
from tirage.search.best_of_n import BestOfN
from tirage.systems.parts import AgentParts
from tirage.systems.registry import build
from tirage.tools.base import Tool
from tirage.verification.verifiers import Verifiers

FORMS = {
    "nano": "the embedded model",
    "hf/PATH": "a Hugging Face folder or hub name, in this process",
    "vllm/NAME": "a vLLM server that tirage starts and stops; NAME is a folder, a hub name or `nano`",
    "http://HOST:PORT/v1#NAME": "any OpenAI-compatible server",
    "openai/NAME": "OpenAI's own API",
    "litellm/PROVIDER/NAME": "anything LiteLLM reaches",
    "replay/FILE": "recorded completions",
    "scripted/FILE": "completions written by hand, one per line, for tests and demonstrations",
    "module:attribute": "a model of your own",
}


SYSTEM_OF = {"rstar": "rstar", "plans": "cpl"}
"""Strategies whose moves only the policy of a published system can make, and that system."""


def parse_problems(name: str, limit: int | None = None, verifier: str | None = None) -> ProblemSource:
    """The problem source that a command-line word stands for: `nano:SPLIT`, `gym:FAMILY[,FAMILY]` or a file, graded by `verifier`."""
    kind, _, rest = name.partition(":")
    if verifier is not None and kind in ("nano", "gym"):
        raise ConfigError(f"problems {name!r} bring their own verifier; leave --verifier out")
    count = {} if limit is None else {"count": limit}
    if kind == "nano" and rest in ("train", "heldout", "unseen"):
        return GymSource(families="nano", split=rest, **count)
    if kind == "gym" and rest:
        return GymSource(families={family: {} for family in rest.split(",")}, split="", **count)
    path = Path(name)
    if not path.exists():
        raise ConfigError(f"problems {name!r}: no such file; or write nano:train, nano:heldout, nano:unseen, gym:FAMILY")
    return FileSource(path=name, limit=limit, verifier=verifier)


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


async def open_models(name: str, options: ModelConfig | None, agent: AgentConfig) -> Model:
    """The model of a run, with the further ones of its agent or its search. Raises as `open_model`; what was opened is then closed."""
    first = await open_model(name, options)
    others: dict[str, Model] = {}
    try:
        for other in (*agent.models, *(agent.search.models if agent.search is not None else ())):
            others[other] = await open_model(other, options)
    except BaseException:
        await Several(first, others).close()
        raise
    return Several(first, others) if others else first


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
        if not os.environ.get(options.api_key_env):
            raise ModelAuthError(f"model {name!r} needs a key; set {options.api_key_env} in the environment")
        return await _served("https://api.openai.com/v1", rest, options)
    if kind == "litellm" and rest:
        from tirage.models.litellm import open_litellm

        return await open_litellm(rest)
    if kind in ("replay", "scripted") and rest:
        from tirage.testing.models import ReplayModel, ScriptedModel

        path = Path(rest)
        if not path.is_file():
            raise ConfigError(f"model {name!r}: there is no file {path}")
        return ReplayModel.load(path) if kind == "replay" else ScriptedModel(path.read_text(encoding="utf-8").splitlines())
    if own_models.has(name):
        return await open_own_model(name, options.model_dump())
    raise unknown_model(name)


async def _served(url: str, served: str, options: ModelConfig) -> Model:
    from tirage.models.openai import open_openai

    key = os.environ.get(options.api_key_env)
    return await open_openai(url, served, api_key=key, tokenizer=options.tokenizer, read=reader(options))


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
    if not own_models.has(name) and kind not in {form.split("/")[0] for form in FORMS} and not name.startswith(("http://", "https://")):
        raise unknown_model(name)
    raise ConfigError(f"model {name!r} has no weights here to train; use hf/PATH (in this process) or vllm/PATH (a server tirage starts)")


def served_like(name: str, checkpoint: str) -> str:
    """The model string that serves `checkpoint` the way `name` is served."""
    return f"{'vllm' if name.startswith('vllm/') else 'hf'}/{checkpoint}"


def open_interpreter(options: SandboxOptions) -> Sandbox:
    """The sandbox of a run, to be entered. Raises `SandboxError` when the demanded isolation cannot be had."""
    if options.backend not in SANDBOXES:
        own = options.model_dump(exclude={"backend", "options"})
        return Pool(open_own_sandbox(options.backend, own, options.options), warm=options.warm)
    return Pool(open_sandbox(sandbox_config(options)), warm=options.warm)


def sandbox_config(options: SandboxOptions) -> AnyConfig:
    """What the back end that a run names is asked for. Raises `ConfigError` when an option that it needs is missing."""
    if options.options:
        raise ConfigError(f"sandbox.options belong to a sandbox of your own; {options.backend} has none, leave them out")
    match options.backend:
        case "docker":
            if not options.image:
                remedy = "set sandbox.image=NAME (scripts/docker_image.sh NAME builds one)"
                raise ConfigError(f"sandbox backend 'docker' needs an image with Python >= 3.11; {remedy}")
            return DockerConfig(image=options.image, runtime=options.runtime, memory_mb=options.memory_mb)
        case "jupyter":
            return JupyterConfig(kernel=options.kernel, memory_mb=options.memory_mb, unsafe=options.unsafe)
        case "fork":
            return SandboxConfig(
                min_rung=options.min_rung,
                memory_mb=options.memory_mb,
                readable=options.readable,
                network=options.network,
                unsafe=options.unsafe,
            )
        case own:
            raise ConfigError(f"sandbox back end {own!r} is your own and has no configuration here; open it with open_interpreter")


def make_agent(  # noqa: PLR0913 - each is one of the parts that a caller may settle
    model: Model,
    config: AgentConfig,
    sampling: SamplingConfig,
    *,
    sandbox: Sandbox,
    options: SandboxOptions,
    hints: HintsConfig | None = None,
    verifiers: Verifiers | None = None,
    alike: Verifiers | None = None,
    tools: Mapping[str, Tool] | None = None,
    several: bool = False,
) -> Agent:
    """An agent over `model`; hinted when `hints` is given; `several`: of a prompt more than one draw is wanted, whatever the agent does.

    `verifiers` is what an oracle asks, if there is one; `alike` says which answers are the same, by default they; `tools` are those that
    `open_tools` opened. Raises `ConfigError` for a tool that the dialect cannot call.
    """
    config = spoken(config, model)
    chosen = sampling_for(sampling, config, model, several=several)
    parts = _parts(model, config, chosen, tools or {}, sandbox=sandbox, options=options, hints=hints, verifiers=verifiers)
    equals = alike or verifiers
    parts = parts if equals is None else replace(parts, alike=equals.of)
    if config.name is not None:
        return _system(config, parts)
    if config.options or set(config.models) - {item.summarise for item in config.searches}:
        raise ConfigError("agent.options and agent.models belong to a published system; set agent.name, or leave them out")
    search = config.search
    if search is None:
        if config.prm is None:
            return parts.explorer(search=lambda seed: BestOfN(config.best_of))
        valued = replace(parts.search_options, valuer=reward_model(config))
        return parts.explorer(search=lambda seed: BestOfN(config.best_of, vote="value"), search_options=valued)
    if search.prm is None and config.prm is not None:
        own = {name: getattr(config, name) for name in RewardConfig.model_fields}
        search = search.model_copy(update=own)
    grow = search_maker(search, taught=not profile_of(model).instructed)
    parts = replace(
        parts,
        search=grow,
        limits=replace(parts.limits, concurrency=search.concurrency, max_steps=search.max_steps),
        search_options=search_options(search, parts, verifiers=verifiers),
    )
    if search.strategy in SYSTEM_OF:
        return build(SYSTEM_OF[search.strategy], parts)

    def policy_of(single: Model) -> ModelPolicy:
        return replace(parts, model=single).policy(moves=load_library() if search.hint_moves != "none" else (), separator=search.separator)

    first = policy_of(model)
    policy: Policy = first
    if isinstance(model, Several) and search.models:
        policy = Arms(first, {name: policy_of(model.others[name]) for name in search.models})
    return parts.explorer(Refining(policy, first) if refines(search) else policy, search=grow)


def _system(config: AgentConfig, parts: AgentParts) -> Agent:
    """The published system that a configuration names."""
    assert config.name is not None
    if config.search is not None:
        raise ConfigError(f"agent.name={config.name} brings its own search; leave agent.search out and set agent.options")
    options = team_options(config.options) if config.name == "team" else config.options
    valuer = reward_model(config) if config.prm is not None else None
    guided = replace(parts.search_options, budget=tree_budget(config.budget), valuer=valuer)
    return build(config.name, replace(parts, search_options=guided), options)


def _parts(
    model: Model,
    config: AgentConfig,
    sampling: Sampling,
    tools: Mapping[str, Tool],
    *,
    sandbox: Sandbox,
    options: SandboxOptions,
    hints: HintsConfig | None,
    verifiers: Verifiers | None,
) -> AgentParts:
    """What a configuration gives to build an agent from, with the tools that were opened for it."""
    own = session_tools(config, Limits(wall_s=options.timeout_s), tools)
    usable = {**own, **tools}
    dialect = open_dialect(config, usable)
    profile = profile_of(model)
    if profile.has_template is False:
        raise ConfigError(f"{model.name} has no chat template to ask it by; give one with --set model_options.chat_template=FILE")
    return AgentParts(
        model=model,
        others=tuple(model.others.values()) if isinstance(model, Several) else (),
        by_name=model.others if isinstance(model, Several) else {},
        sampling=sampling,
        dialect=dialect,
        system=system_message(config, model, usable, tools if "python" in own and not names_tools(config) else {}),
        demonstrations=_demonstrations(config),
        elicitation=Elicitation() if config.elicit else None,
        hints=None if hints is None else HintPlan(library=load_library(hints.library), positions=hints.positions, rounds=hints.rounds),
        tools=usable if config.dialect != "plain" else {},
        sandbox=sandbox,
        limits=PathLimits(max_calls=config.max_calls, max_failures=config.max_failures),
        check=CHECK if profile.instructed else NANO_CHECK,
        verifiers=verifiers.of if verifiers is not None else None,
    )


def _demonstrations(config: AgentConfig) -> Demonstrations | None:
    if config.demonstrations is None:
        return None
    return load_demonstrations(config.demonstrations, place=config.demonstrations_in, nearest=config.demonstrations_nearest)


class Parts:
    """What stages of rollouts are handed: the strings of a configuration, opened on demand."""

    def __init__(self, config: RunConfig) -> None:
        """Nothing is opened yet."""
        self._config = config

    async def model(self, name: str) -> Model:
        """Open a model string with the run's options, and the further arms of its search."""
        return await open_models(name, self._config.model_options, self._config.agent)

    def sandbox(self) -> Sandbox:
        """The run's sandbox, to be entered."""
        return open_interpreter(self._config.sandbox)

    def tools(self, model: Model) -> AbstractAsyncContextManager[dict[str, Tool]]:
        """The run's further tools, to be entered."""
        return open_tools(self._config.agent, model)

    def agent(
        self, model: Model, sandbox: Sandbox, plan: Plan, verifiers: Verifiers | None = None, tools: Mapping[str, Tool] | None = None
    ) -> Agent:
        """An agent as the run and the plan describe it."""
        config = self._config
        return make_agent(
            model,
            plan.agent or config.agent,
            plan.sampling,
            sandbox=sandbox,
            options=config.sandbox,
            hints=plan.hints,
            verifiers=verifiers,
            tools=tools,
            several=plan.varied or plan.samples > 1,
        )

    def weights_of(self, name: str) -> str:
        """Where a model string's weights are."""
        return weights_of(name)

    def served_like(self, name: str, checkpoint: str) -> str:
        """How a checkpoint is served."""
        return served_like(name, checkpoint)
