"""What the tests of published systems share: parts over scripted models, and what these were asked."""

from typing import Any

from tirage.agents.explorer import Explorer
from tirage.agents.search_options import PathLimits
from tirage.core import Problem
from tirage.models.base import Model, Request, Sampling
from tirage.sandbox.base import Limits
from tirage.systems.parts import AgentParts
from tirage.systems.registry import build
from tirage.testing.scripted import ByteRenderer, ScriptedModel
from tirage.tools.python import PythonTool

PROBLEM = Problem(prompt="What is 6 * 7?", answer="42")
CODE = "```python\nprint(6 * 7)\n```\n```output"


def scripted_parts(model: Model, *, wall_s: float = 5.0, **parts: Any) -> AgentParts:
    """A parts with the python tool, one step at a time."""
    given = {
        "sampling": Sampling(temperature=1.0, max_tokens=2048),
        "tools": {"python": PythonTool(limits=Limits(wall_s=wall_s))},
        "limits": PathLimits(concurrency=1),
    }
    return AgentParts(model=model, **{**given, **parts})


def system(name: str, made_of: AgentParts, **options: Any) -> Explorer:
    """A published system that runs on the explorer."""
    agent = build(name, made_of, options)
    assert isinstance(agent, Explorer)
    return agent


def prompt_of(request: Request) -> str:
    """The whole text that a model was shown."""
    if request.messages is not None:
        return "\n".join(f"<|{message.role}|>{message.content}" for message in request.messages)
    return request.text if request.text is not None else ByteRenderer().decode(request.ids or ())


def prompts(model: ScriptedModel) -> list[str]:
    """Of every request, in order."""
    return [prompt_of(request) for request in model.requests]
