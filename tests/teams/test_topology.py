"""Topologies as data: what is refused, who hears whom, the stock shapes, and what YAML files say."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from tirage.core.errors import ConfigError, DataError
from tirage.runtime.config_files import load_config
from tirage.teams.spec import TopologySpec
from tirage.teams.stock import SHAPES, stock
from tirage.teams.topology import Member, Topology

ABC = tuple(Member(name=name) for name in "abc")


def team(**changes: object) -> Topology:
    return Topology(**{"name": "t", "members": ABC, "spatial": (("a", "b"), ("b", "c")), **changes})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"members": ()}, "'t' has no members; list at least one"),
        ({"members": (*ABC, Member(name="a"))}, "two members are named 'a'; rename one of them"),
        ({"members": (*ABC, Member(name="last"))}, "member 4 is named 'last'; choose a name"),
        ({"members": (*ABC, Member(name=" "))}, "member 4 is named ' '"),
        ({"spatial": (("a", "bb"),)}, "the spatial edge 'a' -> 'bb' names 'bb', who is no member; write 'b' or add that member"),
        ({"temporal": (("zzz", "a"),), "rounds": 2}, "the temporal edge 'zzz' -> 'a' names 'zzz', who is no member; members are a, b, c"),
        (
            {"spatial": (("a", "b"), ("b", "c"), ("c", "a"))},
            "its spatial edges form a cycle: 'a' -> 'b' -> 'c' -> 'a' would wait for each other; drop one of them, or make it temporal",
        ),
        ({"spatial": (("b", "b"),)}, "'b' -> 'b' would wait"),
        ({"temporal": (("c", "a"),)}, "the temporal edge 'c' -> 'a' is never used in 1 round; set rounds to 2 or more"),
        ({"rounds": 0}, "rounds is 0; a team works at least 1 round"),
        ({"decision": "d"}, "the decision is by 'd', who is no member"),
    ],
)
def test_what_no_team_could_run_is_refused_in_one_line(changes: dict[str, object], says: str) -> None:
    with pytest.raises(ConfigError) as raised:
        team(**changes)
    assert says in str(raised.value)
    assert "\n" not in str(raised.value)


def test_edges_are_kept_once_and_in_order() -> None:
    shuffled = team(spatial=(("b", "c"), ("a", "b"), ("b", "c")))
    assert shuffled == team()
    assert shuffled.fingerprint == team().fingerprint == replace(team(), name="another").fingerprint


def test_the_fingerprint_is_the_same_everywhere_and_changes_with_every_part() -> None:
    others = [
        team(rounds=2),
        team(decision="c"),
        team(spatial=(("a", "b"),)),
        team(rounds=2, temporal=(("c", "a"),)),
        team(members=(replace(ABC[0], role="x"), *ABC[1:])),
    ]
    assert len({team().fingerprint, *(other.fingerprint for other in others)}) == 6
    assert team().fingerprint == "eaef30396db72520"


def test_layers_speak_at_once() -> None:
    names = [[member.name for member in layer] for layer in stock("hierarchical", 5).layers()]
    assert names == [["planner"], ["worker-1", "worker-2", "worker-3"], ["judge"]]
    assert [len(layer) for layer in stock("complete", 4).layers()] == [1, 1, 1, 1]
    assert [len(layer) for layer in stock("debate", 4).layers()] == [4]
    backwards = team(spatial=(("c", "a"), ("c", "b")))
    assert [[member.name for member in layer] for layer in backwards.layers()] == [["c"], ["a", "b"]]


def test_temporal_edges_are_absent_in_the_first_round() -> None:
    debate = stock("debate", 3, rounds=3)
    assert debate.speaks_to("solver-1", 1).before == ()
    assert debate.speaks_to("solver-1", 2).before == debate.speaks_to("solver-1", 3).before == ("solver-2", "solver-3")
    workers = stock("planner-executor-critic", 4)
    assert workers.speaks_to("executor-2", 1).now == ("planner", "executor-1")
    assert workers.speaks_to("executor-2", 2).before == ("critic",)
    with pytest.raises(ValueError, match="rounds 1 to 3, not 4"):
        debate.speaks_to("solver-1", 4)
    with pytest.raises(KeyError):
        debate.speaks_to("nobody", 1)


def test_who_decides() -> None:
    assert team().decider is None
    assert team(decision="b").decider == "b"
    assert team(decision="last", spatial=(("c", "a"), ("b", "a"))).decider == "a"
    assert [stock(shape).decider for shape in ("chain", "star", "planner-executor-critic", "hierarchical")] == [
        "solver-4",
        None,
        "executor",
        "judge",
    ]


NOBODY = [[0, 0, 0, 0]] * 4
ADJACENCY: dict[str, tuple[list[list[int]], list[list[int]]]] = {
    "single": (NOBODY, NOBODY),
    "chain": ([[0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1], [0, 0, 0, 0]], NOBODY),
    "star": ([[0, 1, 1, 1], [0, 0, 0, 0], [0, 0, 0, 0], [0, 0, 0, 0]], NOBODY),
    "tree": ([[0, 1, 1, 0], [0, 0, 0, 1], [0, 0, 0, 0], [0, 0, 0, 0]], NOBODY),
    "complete": ([[0, 1, 1, 1], [0, 0, 1, 1], [0, 0, 0, 1], [0, 0, 0, 0]], NOBODY),
    "random": ([[0, 1, 1, 0], [0, 0, 1, 1], [0, 0, 0, 1], [0, 0, 0, 0]], NOBODY),
    "layered": ([[0, 0, 1, 1], [0, 0, 1, 1], [0, 0, 0, 0], [0, 0, 0, 0]], NOBODY),
    "debate": (NOBODY, [[0, 1, 1, 1], [1, 0, 1, 1], [1, 1, 0, 1], [1, 1, 1, 0]]),
    "planner-executor-critic": (
        [[0, 1, 1, 0], [0, 0, 1, 0], [0, 0, 0, 1], [0, 0, 0, 0]],
        [[0, 0, 0, 0], [0, 0, 0, 0], [0, 0, 0, 0], [1, 1, 1, 0]],
    ),
    "hierarchical": ([[0, 1, 1, 0], [0, 0, 0, 1], [0, 0, 0, 1], [0, 0, 0, 0]], NOBODY),
}


@pytest.mark.parametrize("shape", SHAPES)
def test_stock_shapes_of_four(shape: str) -> None:
    drawn = stock(shape, 4)
    spatial, temporal = ADJACENCY[shape]
    assert [list(row) for row in drawn.adjacency()] == spatial
    assert [list(row) for row in drawn.adjacency("temporal")] == temporal
    assert drawn.with_edges(drawn.adjacency()) == drawn
    assert drawn.with_edges(drawn.adjacency(), drawn.adjacency("temporal")) == drawn
    assert Topology.from_dict(json.loads(json.dumps(drawn.to_dict()))) == drawn


def test_random_is_seeded() -> None:
    graphs = {stock("random", 6, seed=seed).fingerprint for seed in range(20)}
    assert len(graphs) > 15
    assert stock("random", 6, seed=3) == stock("random", 6, seed=3)
    edges = sum(len(stock("random", 6, seed=seed).spatial) for seed in range(200))
    # 15 pairs with probability 1/2: 1500 expected, standard deviation 27.
    assert 1390 < edges < 1610


def test_members_of_ones_own_keep_their_names() -> None:
    members = tuple(Member(name=name, role=name, tools=("python",)) for name in ("plan", "do", "check"))
    drawn = stock("planner-executor-critic", members, rounds=3)
    assert drawn.spatial == (("plan", "do"), ("do", "check"))
    assert (drawn.decision, drawn.rounds, drawn["do"].tools) == ("do", 3, ("python",))


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("chian",), "there is no topology 'chian'; did you mean 'chain'?"),
        (("hierarchical", 2), "'hierarchical' needs at least 3 members, got 2"),
        (("chain", 0), "'chain' needs at least 1 members, got 0"),
    ],
)
def test_what_stock_refuses(arguments: tuple[str, int], says: str) -> None:
    with pytest.raises(ConfigError) as raised:
        stock(*arguments)
    assert says in str(raised.value)


def test_stored_data_is_read_strictly() -> None:
    with pytest.raises(DataError, match="unknown key 'edges'"):
        Topology.from_dict({**team().to_dict(), "edges": []})
    with pytest.raises(ConfigError, match="never used in 1 round"):
        Topology.from_dict({**team().to_dict(), "temporal": [["a", "b"]]})


def test_a_yaml_file(tmp_path: Path) -> None:
    path = tmp_path / "team.yaml"
    path.write_text("name: t\nmembers: [{name: a}, {name: b}, {name: c, tools: [python]}]\nspatial: [[a, b], [b, c]]\ndecision: c\n")
    read = load_config(TopologySpec, path).topology()
    assert (read.spatial, read.decision, read["c"].tools, read.rounds) == (team().spatial, "c", ("python",), 1)
    shaped = load_config(TopologySpec, path, ["spatial=[]", "shape=debate"]).topology()
    assert (shaped.rounds, len(shaped.temporal), shaped.decision, shaped.name) == (2, 6, "c", "t")
    with pytest.raises(ConfigError, match="shape 'debate' and edges of its own; remove one of them"):
        load_config(TopologySpec, path, ["shape=debate"]).topology()
    with pytest.raises(ConfigError, match="did you mean 'spatial'"):
        load_config(TopologySpec, path, ["spatiel=[]"])
    with pytest.raises(ConfigError, match=r"members\.0\.name: Field required"):
        load_config(TopologySpec, path, ["members=[{role: x}]"])


def test_the_schema_describes_every_key() -> None:
    schema = TopologySpec.model_json_schema()
    for section in (schema, *schema["$defs"].values()):
        assert all("description" in entry for entry in section["properties"].values())
