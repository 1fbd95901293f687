"""Roles: how a part is prompted, how its reply is read, and what is taken where the reply cannot be read."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from tirage.agents.replies import JSONReader
from tirage.core.message import Message

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Role(Generic[T]):
    """One part in a team or a published system."""

    name: str
    """Of the role: the move of its nodes, and the tag of its requests."""
    template: str
    """The user message, a `str.format` template over what it is asked with; `{problem}` is always known, `{key}` only to a role that
    sees the reference answer."""
    system: str = ""
    """System message; empty for none."""
    read: Callable[[str], T]
    """Reads a reply; raises `Unreadable`."""
    default: T
    """Taken, and noted, where the reply cannot be read or the call failed."""
    decides: bool = False
    """Whether its reply is a verdict: one that the limit cut is none, whatever stands in it, and the default has to be an abstention."""
    tools: tuple[str, ...] = ()
    """Names of the tools it may use."""
    answers: bool = False
    """Whether its reply is an answer to the problem, to be judged like one."""
    approve: bool = False
    """Whether a person decides on its turns before they are handed on, where the workflow has a gate."""
    sees_key: bool = False
    """Whether it is shown the reference answer: for evaluation and data only."""
    temperature: float | None = None
    """None: as `RoleModels` samples."""
    max_tokens: int | None = None
    """Of one turn; None: as `RoleModels` samples."""

    @property
    def schema(self) -> Mapping[str, Any] | None:
        """The JSON Schema of its replies; None where any text may do."""
        return self.read.schema if isinstance(self.read, JSONReader) else None

    def messages(self, fields: Mapping[str, object]) -> tuple[Message, ...]:
        """System message if any, then the filled template. Raises ValueError when a field is missing."""
        try:
            user = Message(role="user", content=self.template.format_map(fields))
        except KeyError as error:
            raise ValueError(f"role {self.name!r} is asked without {error.args[0]!r}; known: {', '.join(sorted(fields))}") from None
        return (user,) if not self.system else (Message(role="system", content=self.system), user)
