"""Configuration in, open parts out: the one place where model, sandbox, tools and verifiers are opened and closed together."""

import asyncio
from collections.abc import Mapping
from contextlib import AsyncExitStack
from types import TracebackType
from typing import Self

from tirage.agents.explorer import Agent
from tirage.models.base import Model
from tirage.models.several import Several
from tirage.problems import FileSource, ProblemSource
from tirage.runtime.config import AgentConfig, HintsConfig, ImproveConfig, RolloutConfig, RunConfig, SamplingConfig, SolveConfig
from tirage.runtime.opening.agents import OpenParts, make_agent
from tirage.runtime.opening.models import open_models
from tirage.runtime.opening.sandboxes import open_interpreter
from tirage.runtime.opening.toolbox import open_tools
from tirage.sandbox.base import Limits, Sandbox
from tirage.tools.base import Tool
from tirage.tools.toolset import joined
from tirage.verification.verifiers import Verifiers


class Runtime:
    """The parts that a configuration names, open inside the `async with` block, and agents made over them.

    async with Runtime(RunConfig(model="nano")) as runtime:
        tree = await runtime.agent().solve(problem, SolveContext(seed=0))
    """

    def __init__(self, config: RunConfig, *, model: str | Model | None = None, tools: Mapping[str, Tool] | None = None) -> None:
        """Nothing is opened yet.

        Args:
            config: What the parts are named by.
            model: In place of the configuration's model: another model string, such as that of a checkpoint, or a model that is open,
                which its owner closes.
            tools: Further tools, by name, beside those of the configuration.
        """
        self.config = config
        self._model = config.model if model is None else model
        self._tools = tools or {}
        self._held = AsyncExitStack()
        self._parts: OpenParts | None = None

    @property
    def parts(self) -> OpenParts:
        """What is open. Raises `RuntimeError` outside of the `async with` block."""
        if self._parts is None:
            raise RuntimeError("the parts of a Runtime are open inside `async with Runtime(config) as runtime:` only")
        return self._parts

    @property
    def model(self) -> Model:
        """The open model, with the further ones of the agent or its search behind it."""
        return self.parts.model

    @property
    def sandbox(self) -> Sandbox:
        """The open sandbox."""
        return self.parts.sandbox

    @property
    def tools(self) -> Mapping[str, Tool]:
        """The open tools that need no session, by name."""
        return self.parts.tools

    @property
    def verifiers(self) -> Verifiers:
        """The verifiers, each opened when it is first needed."""
        assert self.parts.verifiers is not None
        return self.parts.verifiers

    def agent(
        self,
        config: AgentConfig | None = None,
        *,
        sampling: SamplingConfig | None = None,
        hints: HintsConfig | None = None,
        several: bool = False,
        oracle: bool = False,
    ) -> Agent:
        """An agent over the open parts: the configuration's own, or with another `config` or `sampling`; see `make_agent`."""
        return make_agent(
            self.parts,
            config or self.config.agent,
            sampling or self.config.sampling,
            hints=hints,
            several=several,
            oracle=oracle,
        )

    async def __aenter__(self) -> Self:
        """Open model, sandbox and tools. Raises the `TirageError` family; what was opened before is then closed."""
        config = self.config
        async with AsyncExitStack() as held:
            model, sandbox = await self._open_model_and_sandbox(held)
            tools = await held.enter_async_context(open_tools(config.agent, model))
            verifiers = await held.enter_async_context(Verifiers(own_verifiers(config)))
            self._parts = OpenParts(
                model=model,
                sandbox=sandbox,
                limits=Limits(wall_s=config.sandbox.timeout_s),
                tools=joined(tools, self._tools),
                verifiers=verifiers,
            )
            self._held = held.pop_all()
        return self

    async def _open_model_and_sandbox(self, held: AsyncExitStack) -> tuple[Model, Sandbox]:
        """Both at once: the sandbox starts in processes of its own while this one imports torch and reads weights. `held` closes them.

        Raises as `open_models` and, where the model opens, as the sandbox. Either is open or has failed by then.
        """
        opening = asyncio.create_task(self._open_model(held))
        try:
            sandbox = await held.enter_async_context(open_interpreter(self.config.sandbox))
        except BaseException as error:
            if isinstance(error, asyncio.CancelledError):
                opening.cancel()
            await opening
            raise
        return await opening, sandbox

    async def _open_model(self, held: AsyncExitStack) -> Model:
        model = await open_models(self._model, self.config.model_options, self.config.agent)
        for opened in self._opened(model):
            held.push_async_callback(opened.close)
        return model

    def _opened(self, model: Model) -> list[Model]:
        """The models that were opened here and so are closed here."""
        if isinstance(self._model, str):
            return [model]
        return list(model.others.values()) if isinstance(model, Several) and model is not self._model else []

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """Close everything."""
        self._parts = None
        await self._held.aclose()


def own_verifiers(config: RunConfig) -> frozenset[str]:
    """The verifiers that a configuration names for its problems; only these may be code, as of `Verifiers`."""
    sources: tuple[ProblemSource | None, ...] = ()
    if isinstance(config, ImproveConfig):
        sources = (config.problems.train, config.problems.heldout, config.problems.unseen)
    elif isinstance(config, RolloutConfig):
        sources = (config.problems,)
    named = [item.verifier for item in sources if isinstance(item, FileSource)]
    named += [config.verifier] if isinstance(config, SolveConfig) else []
    return frozenset(name for name in named if name is not None)
