"""A problem whose reference answer is a nonce, and the check that nobody gets to see it who must not.

Make one, `guard` the agent (or `watch` single parts), solve `canary.problem`, then `check` the models that were asked.
"""

import asyncio
import functools
import gc
import secrets
from collections.abc import Callable, Iterator
from types import AsyncGeneratorType, CoroutineType, FrameType, FunctionType, GeneratorType, ModuleType
from typing import Any

from tirage.agents.explorer import Agent, Explorer
from tirage.core.problem import Problem
from tirage.testing.scripted import ByteRenderer, ScriptedModel
from tirage.workflows.agent import Workflow, WorkflowAgent
from tirage.workflows.turns import WorkflowRun

PARTS = {
    "policy": ("prompt", "propose", "show"),
    "valuer": ("value",),
    "chooser": ("choose",),
    "search": ("ask", "tell", "choose"),
}
"""What of an explorer is watched, and where it is handed something."""
_RUNNING = (ModuleType, type, FrameType, CoroutineType, GeneratorType, AsyncGeneratorType, asyncio.Future, asyncio.AbstractEventLoop)
"""Through these everything can be reached, the test itself included."""


class Canary:
    """A problem with a nonce for its answer, in its metadata too."""

    def __init__(self, prompt: str = "What is 6 times 7?") -> None:
        """The nonce is new each time."""
        self.nonce = f"canary-{secrets.token_hex(8)}"
        self.problem = Problem(prompt=prompt, answer=self.nonce, metadata={"key": [self.nonce]})
        self.handed = 0
        """How often something was handed to what is watched."""
        self.leaks: list[str] = []

    def guard(self, agent: Agent) -> None:
        """Watch an explorer's policy, valuer, chooser and every search it makes, or a workflow with all that it has at hand."""
        if isinstance(agent, WorkflowAgent):
            agent.workflow = self.watch(_Watched(agent.workflow), "before", "after")
            return
        assert isinstance(agent, Explorer), f"{type(agent).__name__} is made of nothing that is known here"
        search_options = agent.search_options
        self.watch(agent.policy, *PARTS["policy"])
        if search_options.valuer is not None:
            self.watch(search_options.valuer, *PARTS["valuer"])
        if search_options.chooser is not None:
            self.watch(search_options.chooser, *PARTS["chooser"])
        make = agent.search

        def watched(*, seed: int) -> Any:
            return self.watch(make(seed=seed), *PARTS["search"])

        agent.search = watched

    def watch(self, judge: Any, *methods: str) -> Any:
        """From now on it is noted when the nonce can be reached from `judge` or from what these methods of it are handed."""
        for name in methods:
            setattr(judge, name, self._watched(judge, getattr(judge, name)))
        return judge

    def check(self, *models: ScriptedModel) -> None:
        """Raise AssertionError for a noted leak, for a request that holds the nonce, and for a model that was never asked."""
        assert not self.leaks, "; ".join(self.leaks)
        for model in models:
            assert model.requests, f"{model.name} was never asked, so nothing was checked"
            for request in model.requests:
                prompt = ByteRenderer().decode(request.ids or ())
                assert self.nonce not in f"{prompt}{request!r}", f"{model.name} was shown the reference: {prompt[-200:]!r}"

    def _watched(self, judge: Any, method: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(method)
        def call(*args: Any, **kwargs: Any) -> Any:
            self.handed += 1
            found = next((item for item in reachable((args, kwargs, vars(judge))) if self._holds(item)), None)
            if found is not None:
                # Noted, not raised: a failing judge is part of what agents live with.
                self.leaks.append(f"{type(judge).__name__}.{method.__name__} can reach the reference, in {found!r:.200}")
            return method(*args, **kwargs)

        return call

    def _holds(self, item: object) -> bool:
        return (isinstance(item, str) and self.nonce in item) or (isinstance(item, bytes) and self.nonce.encode() in item)


class _Watched(Workflow):
    """A workflow that shows what it has at hand when it begins and when it has ended."""

    def __init__(self, workflow: Workflow) -> None:
        self.sees_key = workflow.sees_key
        self._inner = workflow

    @property
    def id(self) -> str:
        return self._inner.id

    async def run(self, flow: WorkflowRun) -> None:
        self.before(flow)
        try:
            await self._inner.run(flow)
        finally:
            self.after(flow)

    def before(self, flow: WorkflowRun) -> None:
        """Nothing is done yet."""

    def after(self, flow: WorkflowRun) -> None:
        """Everything is chosen."""


def reachable(root: object) -> Iterator[object]:
    """Every object that can be reached from `root`: items, attributes, what closures hold; not through modules, classes, running code."""
    seen: set[int] = set()
    left = [root]
    while left:
        item = left.pop()
        if id(item) in seen or isinstance(item, (Canary, *_RUNNING)):
            continue
        seen.add(id(item))
        yield item
        if isinstance(item, FunctionType):
            left += [item.__closure__, item.__defaults__, item.__kwdefaults__]
        elif not isinstance(item, tuple) or not item or type(item[0]) is not int:  # token ids: their text is looked at
            left += gc.get_referents(item)
