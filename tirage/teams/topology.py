"""Who speaks to whom in a team: data that can be stored, compared, drawn and learned.

A team works in rounds. Spatial edges carry what is said within a round, so they form no cycle; temporal edges carry what was said in
the round before.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any, Literal

from tirage.core.codec import decode, encode
from tirage.core.errors import ConfigError

if TYPE_CHECKING:
    import networkx

Edge = tuple[str, str]
"""Names of the speaker and of the listener."""
EdgeKind = Literal["spatial", "temporal"]
MAJORITY = "majority"
LAST = "last"


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """An agent of a team."""

    name: str
    """Unique in its team; not `majority` or `last`."""
    role: str = ""
    """What it is for, in a few words."""
    model: str = ""
    """Model string; empty for the team's own."""
    tools: tuple[str, ...] = ()
    """Names of the tools it may use."""
    prompt: str = ""
    """System message; empty for one made from the role."""

    @property
    def profile(self) -> str:
        """Everything that tells it from others, as one text."""
        return "\n".join(part for part in (self.name, self.role, self.model, " ".join(self.tools), self.prompt) if part)


@dataclass(frozen=True, slots=True)
class Speakers:
    """Who is heard by a member, each in the order of the team."""

    now: tuple[str, ...]
    """Those who have spoken in this round."""
    before: tuple[str, ...]
    """Those whose words of the last round are heard; empty in round 1."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Topology:
    """A team's members, edges, rounds and way to decide. Edges are kept once each, in the order of the members.

    Raises `ConfigError` for what no team could run: no member, equal names, edges of strangers, a cycle of spatial edges, temporal edges
    with one round, a decision by nobody.
    """

    name: str
    members: tuple[Member, ...]
    spatial: tuple[Edge, ...] = ()
    """Within a round."""
    temporal: tuple[Edge, ...] = ()
    """From a round to the next; a member may hear itself."""
    rounds: int = 1
    decision: str = MAJORITY
    """A member's name (its answer of the last round counts), `majority` (of the last round's answers), or `last` (who speaks last)."""

    def __post_init__(self) -> None:
        """Check, and bring the edges into order."""
        place = self._checked_places()
        for kind, edges in (("spatial", self.spatial), ("temporal", self.temporal)):
            for edge in edges:
                self._check_edge(kind, edge, place)
            object.__setattr__(self, kind, tuple(sorted(set(edges), key=lambda edge: (place[edge[0]], place[edge[1]]))))
        if self.rounds < 1:
            raise ConfigError(f"topology {self.name!r}: rounds is {self.rounds}; a team works at least 1 round")
        if self.temporal and self.rounds == 1:
            speaker, listener = self.temporal[0]
            raise ConfigError(
                f"topology {self.name!r}: the temporal edge {speaker!r} -> {listener!r} is never used in 1 round; "
                "set rounds to 2 or more, or make the edge spatial"
            )
        if self.decision not in (MAJORITY, LAST, *place):
            raise ConfigError(
                f"topology {self.name!r}: the decision is by {self.decision!r}, who is no member; "
                f"{_meant(self.decision, place)}or decide by {MAJORITY!r} or {LAST!r}"
            )
        if self.spatial:
            self._check_acyclic()

    def _checked_places(self) -> dict[str, int]:
        if not self.members:
            raise ConfigError(f"topology {self.name!r} has no members; list at least one")
        place: dict[str, int] = {}
        for index, member in enumerate(self.members):
            if not member.name.strip() or member.name in (MAJORITY, LAST):
                raise ConfigError(
                    f"topology {self.name!r}: member {index + 1} is named {member.name!r}; choose a name that is not empty, "
                    f"{MAJORITY!r} or {LAST!r}"
                )
            if member.name in place:
                raise ConfigError(f"topology {self.name!r}: two members are named {member.name!r}; rename one of them")
            place[member.name] = index
        return place

    def _check_edge(self, kind: str, edge: Edge, place: Mapping[str, int]) -> None:
        stranger = next((name for name in edge if name not in place), None)
        if stranger is not None:
            raise ConfigError(
                f"topology {self.name!r}: the {kind} edge {edge[0]!r} -> {edge[1]!r} names {stranger!r}, who is no member; "
                f"{_meant(stranger, place)}or add that member"
            )

    def _check_acyclic(self) -> None:
        import networkx

        try:
            cycle = networkx.find_cycle(self.graph())
        except networkx.NetworkXNoCycle:
            return
        way = " -> ".join(repr(name) for name in [*(edge[0] for edge in cycle), cycle[0][0]])
        raise ConfigError(
            f"topology {self.name!r}: its spatial edges form a cycle: {way} would wait for each other; "
            "drop one of them, or make it temporal, with rounds 2 or more"
        )

    @property
    def names(self) -> tuple[str, ...]:
        """Of the members, in order."""
        return tuple(member.name for member in self.members)

    def __getitem__(self, name: str) -> Member:
        """The member of that name. Raises KeyError."""
        for member in self.members:
            if member.name == name:
                return member
        raise KeyError(name)

    @property
    def decider(self) -> str | None:
        """Name of the member whose answer of the last round counts; None for a majority."""
        if self.decision == MAJORITY:
            return None
        return self.layers()[-1][-1].name if self.decision == LAST else self.decision

    @property
    def fingerprint(self) -> str:
        """16 hex digits over everything but the topology's own name."""
        content = self.to_dict()
        del content["name"]
        text = json.dumps(content, sort_keys=True, ensure_ascii=False)
        return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:16]

    def graph(self, kind: EdgeKind = "spatial") -> "networkx.DiGraph":
        """The edges of one kind over all members, who are the attribute `member` of their nodes."""
        import networkx

        graph = networkx.DiGraph(name=self.name)
        for member in self.members:
            graph.add_node(member.name, member=member)
        graph.add_edges_from(self.spatial if kind == "spatial" else self.temporal)
        return graph

    def layers(self) -> tuple[tuple[Member, ...], ...]:
        """The members of a round in the order of speaking: those of one layer hear none of each other, so they can speak at once."""
        import networkx

        order = {name: index for index, name in enumerate(self.names)}
        generations = networkx.topological_generations(self.graph())
        return tuple(tuple(self.members[index] for index in sorted(order[name] for name in layer)) for layer in generations)

    def speaks_to(self, name: str, round_number: int) -> Speakers:
        """Who speaks to `name` in a round, counted from 1. Raises KeyError for a stranger and ValueError outside 1..rounds."""
        self[name]
        if not 1 <= round_number <= self.rounds:
            raise ValueError(f"topology {self.name!r} has rounds 1 to {self.rounds}, not {round_number}")
        before = self.temporal if round_number > 1 else ()
        return Speakers(
            now=tuple(speaker for speaker, listener in self.spatial if listener == name),
            before=tuple(speaker for speaker, listener in before if listener == name),
        )

    def adjacency(self, kind: EdgeKind = "spatial") -> tuple[tuple[int, ...], ...]:
        """[members, members] of 0 and 1: row i, column j is 1 when member i speaks to member j."""
        edges = set(self.spatial if kind == "spatial" else self.temporal)
        return tuple(tuple(int((speaker, listener) in edges) for listener in self.names) for speaker in self.names)

    def with_edges(self, spatial: Sequence[Sequence[int]], temporal: Sequence[Sequence[int]] | None = None) -> "Topology":
        """The same team with other edges, given as in `adjacency`; its own temporal ones stay when None."""
        edges = self._edges(spatial)
        return replace(self, spatial=edges, temporal=self.temporal if temporal is None else self._edges(temporal))

    def _edges(self, adjacency: Sequence[Sequence[int]]) -> tuple[Edge, ...]:
        names = self.names
        return tuple((names[i], names[j]) for i, row in enumerate(adjacency) for j, entry in enumerate(row) if entry)

    def to_dict(self) -> dict[str, Any]:
        """JSON data; what equals its default is left out."""
        data: dict[str, Any] = encode(self)
        return data

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> "Topology":
        """Read `to_dict`'s data. Raises `DataError` for unknown or missing keys and wrong types, `ConfigError` as the constructor does."""
        return decode(cls, data)


def _meant(name: str, known: Iterable[str]) -> str:
    near = get_close_matches(name, list(known), n=1)
    return f"write {near[0]!r} " if near else f"members are {', '.join(known)}; name one of them "
