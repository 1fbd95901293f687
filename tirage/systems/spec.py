"""What the rest of tirage knows of a published system: one value beside its class."""

import inspect
from collections.abc import Callable, Mapping
from dataclasses import MISSING, dataclass, field, fields
from typing import Any

from tirage.agents.explorer import Agent


@dataclass(frozen=True, slots=True, kw_only=True)
class SystemSpec:
    """A system under its name: how it is built and what it needs.

    A module of this package gives `SPEC` (or `SPECS`); any other is reached as `module:attribute`, or by an entry point of the group
    `tirage.systems`.
    """

    name: str
    build: Callable[..., Agent]
    """Takes an `AgentParts`, and the options by keyword. Raises ValueError or `ConfigError` for an invalid one."""
    summary: str = ""
    """One line for lists."""
    paper: str = ""
    """Its arXiv number."""
    workflow: type | None = None
    """The dataclass whose fields `options` are; None: the options are the keyword arguments of `build`."""
    options: tuple[str, ...] = ()
    """With `workflow`: the fields that a command line can give."""
    from_python: tuple[str, ...] = ()
    """Options that no command line can write."""
    sampling: Mapping[str, float] = field(default_factory=dict)
    """What its paper or its authors' code samples with (temperature, top_p, top_k, max_tokens); what is left out is the model's."""
    shots: tuple[str, ...] = ()
    """The roles that can be shown worked examples, the main one first."""
    takes_reward: bool = False
    """Whether a reward model has a say: it values paths or candidates, or weighs their votes."""
    calls_own_tools: bool = False
    """Whether it makes the calls that its models describe, so that any tool goes with any dialect."""
    needs_instructions: bool = False
    """Whether its models have to follow instructions; the others also ask in the words of models that do not."""
    until_spent: bool = False
    """Whether it draws candidates until its budget is spent, where their number is not given."""

    @property
    def defaults(self) -> dict[str, Any]:
        """Its options, each with its value where it is not given."""
        slot = {"demonstrations": None} if self.shots else {}
        if self.workflow is not None:
            known = {item.name: None if item.default is MISSING else item.default for item in fields(self.workflow)}
            return {option: known.get(option) for option in self.options} | slot
        accepted = list(inspect.signature(self.build).parameters.items())[1:]
        return {option: parameter.default for option, parameter in accepted if option not in self.from_python} | slot
