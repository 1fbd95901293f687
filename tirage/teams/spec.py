"""A topology and its learning as a YAML file says them."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from tirage.core.errors import ConfigError
from tirage.teams.stock import stock
from tirage.teams.topology import MAJORITY, Member, Topology

Decoder = Literal["sketch", "inner_product"]


class MemberSpec(BaseModel):
    """An agent of a team."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    name: str = Field(min_length=1)
    """Unique in the team; edges and the decision name it."""
    role: str = ""
    """What it is for, in a few words."""
    model: str = ""
    """Model string; empty for the team's own."""
    tools: tuple[str, ...] = ()
    """Names of the tools it may use."""
    prompt: str = ""
    """System message; empty for one made from the role."""


class TopologySpec(BaseModel):
    """A team: who is in it, who speaks to whom, for how long, and who decides."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    name: str = Field(min_length=1)
    """What reports call it."""
    members: tuple[MemberSpec, ...] = Field(min_length=1)
    """In the order in which they are shown."""
    shape: str | None = None
    """Stock shape that joins the members in their order, instead of own edges; `tirage topology show --help` names them."""
    spatial: tuple[tuple[str, str], ...] = ()
    """Edges within a round, each [speaker, listener]; no cycle."""
    temporal: tuple[tuple[str, str], ...] = ()
    """Edges from a round to the next, each [speaker, listener]."""
    rounds: int | None = Field(default=None, ge=1)
    """How often the whole team speaks; null: 1, or what the shape is used with."""
    decision: str | None = None
    """A member's name, `majority` or `last`; null: majority, or what the shape is used with."""

    def topology(self) -> Topology:
        """The checked topology. Raises `ConfigError`."""
        members = tuple(Member(**member.model_dump()) for member in self.members)
        if self.shape is None:
            decision = MAJORITY if self.decision is None else self.decision
            rounds = 1 if self.rounds is None else self.rounds
            return Topology(name=self.name, members=members, spatial=self.spatial, temporal=self.temporal, rounds=rounds, decision=decision)
        if self.spatial or self.temporal:
            raise ConfigError(f"topology {self.name!r} has the shape {self.shape!r} and edges of its own; remove one of them")
        known = stock(self.shape, members, rounds=self.rounds)
        decision = known.decision if self.decision is None else self.decision
        return Topology(
            name=self.name, members=members, spatial=known.spatial, temporal=known.temporal, rounds=known.rounds, decision=decision
        )


class GDesignerSettings(BaseModel):
    """How a designer decodes and learns."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    decoder: Decoder = "sketch"
    """`sketch` is the paper's model, `inner_product` that of the public code: symmetric, never refined."""
    rank: int | None = Field(default=None, ge=1)
    """Of the refinement; null: the number of members, which no edge is lost to."""
    zeta: float = Field(default=0.1, ge=0)
    """Weight of the nuclear norm in the refinement."""
    anchor_weight: float = Field(default=0.1, ge=0, lt=0.5)
    """Of the anchor in the refinement. With 1, as in the paper, every anchor edge stays whatever was learned; from 0.5 on it outvotes
    the sketch."""
    learning_rate: float = Field(default=4e-3, gt=0)
    """Of Adam."""
    sparsity: float = Field(default=0.25, ge=0)
    """Weight of the nuclear norm of the edge probabilities in the loss, in full once all answers are right."""
    exploration: float = Field(default=0.1, ge=0)
    """Weight of the entropy of the edge probabilities in the loss, in full while no answer is right."""
    anchoring: float = Field(default=0.01, ge=0)
    """Weight of the squared distance of the edge probabilities to the anchor in the loss."""
    seed: int = 0
    """Of the first weights."""
