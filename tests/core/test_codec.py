import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Literal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tirage.core import (
    Failure,
    Finish,
    Hint,
    HintPosition,
    HintUse,
    Message,
    Observation,
    ObservationStatus,
    Problem,
    Reward,
    Rollout,
    Source,
    Span,
    Step,
    StopReason,
    ToolCall,
    Tree,
    Usage,
    Verdict,
)
from tirage.core.codec import decode, encode
from tirage.core.errors import DataError

TEXT = st.text(max_size=12)
COUNT = st.integers(0, 10**6)
REAL = st.floats(allow_nan=False, width=64)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**60), 2**60) | st.floats(allow_nan=False, allow_infinity=False) | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=6,
)
DETAILS = st.dictionaries(TEXT, JSON, max_size=3)


@st.composite
def spans(draw):
    ids = draw(st.none() | st.lists(st.integers(0, 200_000), max_size=5).map(tuple))
    logprobs = None
    if ids is not None and draw(st.booleans()):
        logprobs = tuple(draw(st.lists(REAL, min_size=len(ids), max_size=len(ids))))
    return Span(draw(st.sampled_from(Source)), draw(TEXT), ids, logprobs)


USAGES = st.builds(
    Usage, tokens_in=COUNT, tokens_out=COUNT, tokens_cached=COUNT, model_calls=COUNT, tool_calls=COUNT, sandbox_s=REAL, cost_usd=REAL
)
CALLS = st.builds(ToolCall, name=TEXT, arguments=TEXT, id=TEXT)
OBSERVATIONS = st.builds(
    Observation, text=TEXT, status=st.sampled_from(ObservationStatus), call_id=TEXT, duration_s=REAL, truncated=st.booleans(), data=DETAILS
)
HINT_USES = st.builds(
    HintUse, hint_id=TEXT, family=TEXT, position=st.sampled_from(HintPosition), offset=COUNT, reason=TEXT, as_user_turn=st.booleans()
)
STEPS = st.builds(
    Step,
    spans=st.lists(spans(), max_size=3).map(tuple),
    finish=st.sampled_from(Finish),
    calls=st.lists(CALLS, max_size=2).map(tuple),
    observations=st.lists(OBSERVATIONS, max_size=2).map(tuple),
    hint=st.none() | HINT_USES,
    usage=USAGES,
)
FAILURES = st.builds(Failure, boundary=st.sampled_from(["model", "tool"]), kind=TEXT, message=TEXT)
VERDICTS = st.builds(
    Verdict, correct=st.none() | st.booleans(), score=st.none() | REAL, verifier=TEXT, answer=st.none() | TEXT, extraction=TEXT, detail=TEXT
)
PROBLEMS = st.builds(Problem, prompt=TEXT, answer=st.none() | TEXT, kind=TEXT, source=TEXT, split=TEXT, verifier=TEXT, metadata=DETAILS)


@st.composite
def trees(draw):
    tree = Tree(problem_id=draw(TEXT), policy_id=draw(TEXT), seed=draw(COUNT), prompt=tuple(draw(st.lists(spans(), max_size=2))))
    for _ in range(draw(st.integers(0, 5))):
        open_nodes = [node.index for node in tree.nodes if node.stop is StopReason.OPEN]
        if not open_nodes:
            break
        node = tree.add(
            draw(st.sampled_from(open_nodes)),
            draw(STEPS),
            stop=draw(st.sampled_from(StopReason)),
            sample=draw(COUNT),
            error=draw(st.none() | FAILURES),
            prior=draw(st.none() | REAL),
        )
        tree.visits[node.index] = draw(COUNT)
        tree.value_sum[node.index] = draw(REAL)
        if draw(st.booleans()):
            tree.answers[node.index] = draw(TEXT)
    tree.chosen = draw(st.integers(0, len(tree.nodes) - 1))
    return tree


ROLLOUTS = st.builds(
    Rollout,
    key=TEXT,
    stage=TEXT,
    problem=PROBLEMS,
    sample=COUNT,
    tree=trees(),
    verdicts=st.dictionaries(COUNT, VERDICTS, max_size=3),
    model=TEXT,
    tokenizer_hash=TEXT,
    config_hash=TEXT,
    sampling=DETAILS,
    wall_s=REAL,
    finished_at=REAL,
)


@given(ROLLOUTS)
@settings(max_examples=60, deadline=None)
def test_a_rollout_survives_json(rollout):
    data = json.loads(json.dumps(encode(rollout)), parse_constant=lambda name: name)
    assert decode(Rollout, data) == rollout


@given(st.one_of(spans(), STEPS, PROBLEMS, VERDICTS, trees(), HINT_USES))
@settings(max_examples=100, deadline=None)
def test_every_core_type_survives(value):
    assert decode(type(value), encode(value)) == value


@pytest.mark.parametrize(
    "value",
    [
        Hint(id="h", family="f", text="t", domains=("math",), positions=(HintPosition.START, HintPosition.MARKER)),
        Message(role="assistant", content="x", tool_calls=(ToolCall(name="n", arguments="{}", id="1"),)),
        Reward(parts={"a": 1.0}, weights={"a": 0.5}),
    ],
)
def test_the_other_types_survive(value):
    assert decode(type(value), json.loads(json.dumps(encode(value)))) == value


def test_defaults_are_not_written():
    assert encode(Span(Source.TOOL, "x")) == {"source": "tool", "text": "x"}
    assert encode(Usage(tokens_in=3)) == {"tokens_in": 3}
    assert encode(Step(spans=(), finish=Finish.STOP)) == {"spans": [], "finish": "stop"}
    assert encode(Span(Source.TOOL, "", ())) == {"source": "tool", "text": "", "ids": []}


def test_derived_fields_are_written_and_checked():
    problem = Problem(prompt="p", answer="a")
    data = encode(problem)
    assert data["id"] == problem.id
    assert decode(Problem, {key: value for key, value in data.items() if key != "id"}) == problem
    with pytest.raises(DataError, match=r"^Problem: id is 'x' but the content gives '[0-9a-f]{16}'"):
        decode(Problem, {**data, "id": "x"})


def test_numbers_that_json_lacks_read_from_their_names():
    assert decode(Usage, {"cost_usd": "Infinity"}).cost_usd == math.inf
    assert decode(Span, {"source": "policy", "text": "", "ids": [1, 2], "logprobs": ["-Infinity", -1]}).logprobs == (-math.inf, -1.0)
    assert math.isnan(decode(Usage, {"sandbox_s": "NaN"}).sandbox_s)


STEP = {"spans": [{"source": "policy", "text": "a"}], "finish": "stop"}


@pytest.mark.parametrize(
    ("kind", "data", "message"),
    [
        (Usage, {"tokens": 1}, "Usage: unknown key 'tokens'; known: cost_usd, model_calls, .*tokens_out"),
        (Span, {"text": "x"}, "Span: key 'source' is missing"),
        (Span, [], "Span: expected an object, found a list of 0"),
        (Span, None, "Span: expected an object, found null"),
        (Usage, {"tokens_in": "3"}, r"Usage\.tokens_in: expected int, found '3'"),
        (Usage, {"tokens_in": 3.0}, r"Usage\.tokens_in: expected int, found 3\.0"),
        (Usage, {"tokens_in": True}, r"Usage\.tokens_in: expected int, found true"),
        (Usage, {"tokens_in": None}, r"Usage\.tokens_in: expected int, found null"),
        (Usage, {"cost_usd": "much"}, r"Usage\.cost_usd: expected a number, found 'much'"),
        (Usage, {"cost_usd": 10**400}, r"Usage\.cost_usd: a number of 1329 bits is too large"),
        (Usage, {"cost_usd": False}, r"Usage\.cost_usd: expected a number, found false"),
        (Verdict, {"correct": 1, "verifier": "v"}, r"Verdict\.correct: expected bool, found 1"),
        (Span, {"source": "ghost", "text": ""}, r"Span\.source: 'ghost' is not one of prompt, scaffold"),
        (Span, {"source": [], "text": ""}, r"Span\.source: a list of 0 is not one of"),
        (Span, {"source": "policy", "text": "", "ids": "12"}, r"Span\.ids: expected a list, found '12'"),
        (Span, {"source": "policy", "text": "", "ids": [1, "2"]}, r"Span\.ids\[1\]: expected int, found '2'"),
        (Span, {"source": "policy", "text": "", "ids": [1], "logprobs": [0.1, 0.2]}, "one entry per id"),
        (Step, {**STEP, "spans": [STEP["spans"][0], {"source": "policy", "text": 1}]}, r"Step\.spans\[1\]\.text: expected str, found 1"),
        (Step, {**STEP, "usage": {"x": 1}}, r"Step\.usage: unknown key 'x'"),
        (Step, {**STEP, "hint": {"hint_id": "h"}}, r"Step\.hint: key 'family' is missing"),
        (Message, {"role": "robot", "content": ""}, r"Message\.role: 'robot' is not one of system, user"),
        (Reward, {"parts": {"a": "b"}}, r"Reward\.parts\['a'\]: expected a number"),
        (Reward, {"parts": []}, r"Reward\.parts: expected an object, found a list of 0"),
    ],
)
def test_what_does_not_fit_is_refused_with_its_path(kind, data, message):
    with pytest.raises(DataError, match=message):
        decode(kind, data)


def test_keys_of_int_mappings_must_be_numbers():
    tree = Tree(problem_id="p", policy_id="x", seed=0, prompt=())
    rollout = Rollout(key="k", stage="s", problem=Problem(prompt="p"), sample=0, tree=tree, verdicts={}, model="m")
    data = encode(rollout)
    with pytest.raises(DataError, match=r"Rollout\.verdicts: key 'one' is not a whole number"):
        decode(Rollout, {**data, "verdicts": {"one": {"correct": True, "verifier": "v"}}})


@pytest.mark.parametrize("value", [b"x", {1, 2}, object(), [b"x"], {"a": {"b": object}}])
def test_what_json_cannot_hold_is_refused(value):
    with pytest.raises(TypeError, match="cannot encode a"):
        encode(value)


class _Colour(StrEnum):
    RED = "red"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Odd:
    """Shapes that the core types do not use but the codec promises."""

    either: int | str = 0
    maybe: tuple[Span | None, ...] = ()
    pair: tuple[str, str] = ("", "")
    by_number: Mapping[int, tuple[int, ...]] = field(default_factory=dict)
    colours: tuple[_Colour, ...] = ()
    nested: tuple[tuple[int, ...], ...] = ()
    choice: Literal["a", "b"] = "a"
    loose: Any = None
    span: Span | None = None


def test_odd_shapes_survive():
    odd = _Odd(
        either="x",
        maybe=(None, Span(Source.TOOL, "t")),
        pair=("l", "r"),
        by_number={3: (1, 2)},
        colours=(_Colour.RED,),
        nested=((1,), ()),
        choice="b",
        loose={"k": [1, None]},
        span=Span(Source.HINT, "h", (1,)),
    )
    assert decode(_Odd, json.loads(json.dumps(encode(odd)))) == odd
    with pytest.raises(DataError, match=r"_Odd\.pair: expected a list of 2"):
        decode(_Odd, {"pair": ["only"]})
    with pytest.raises(DataError, match=r"_Odd\.either: expected int or str, found 1\.5"):
        decode(_Odd, {"either": 1.5})
    with pytest.raises(DataError, match=r"_Odd\.nested\[1\]\[0\]: expected int"):
        decode(_Odd, {"nested": [[1], ["2"]]})


def test_containers_and_enums_encode():
    assert encode({"a": (Source.TOOL, 1), 2: [Span(Source.TOOL, "x")]}) == {"a": ["tool", 1], "2": [{"source": "tool", "text": "x"}]}


def test_a_field_that_was_renamed_is_read_under_its_former_name_and_written_under_the_present_one() -> None:
    step = decode(Step, {"spans": [], "finish": "stop", "aside": "Earlier attempts failed."})
    assert step.ephemeral == "Earlier attempts failed."
    assert encode(step)["ephemeral"] == "Earlier attempts failed."
    assert "aside" not in encode(step)
    with pytest.raises(DataError, match="'aside' is the former name of 'ephemeral'"):
        decode(Step, {"spans": [], "finish": "stop", "aside": "a", "ephemeral": "b"})
    with pytest.raises(DataError, match=r"aside|ephemeral"):
        decode(Step, {"spans": [], "finish": "stop", "aside": 3})
