import json
import math
from dataclasses import replace

import pytest

from tirage.core.errors import DataError
from tirage.core.step import Source, Span
from tirage.traces.wire import from_line, peek, to_line


def _with_prompt(rollout, span):
    rollout.tree.prompt = (span,)
    return rollout


def test_a_line_is_one_line_of_json_with_key_and_stage_first(make_rollout):
    line = to_line(make_rollout(question="two\nlines\u2028and \u0085 separators"))
    assert line.count(b"\n") == 1
    data = json.loads(line)
    assert list(data)[:4] == ["v", "kind", "key", "stage"]
    assert from_line(line) == make_rollout(question="two\nlines\u2028and \u0085 separators")


def test_peek_reads_what_from_line_reads(make_rollout):
    for stage in ("before", 'quo"te\\', "größe"):
        rollout = make_rollout(stage=stage)
        assert peek(to_line(rollout)) == (rollout.key, stage)


def test_peek_parses_a_line_of_another_layout(make_rollout):
    data = json.loads(to_line(make_rollout()))
    line = json.dumps(dict(reversed(data.items()))).encode() + b"\n"
    assert peek(line) == (make_rollout().key, "before")


def test_numbers_that_json_lacks_survive(make_rollout):
    span = Span(Source.PROMPT, "ab", (1, 2, 3), (-math.inf, math.inf, -0.25))
    rollout = replace(_with_prompt(make_rollout(), span), wall_s=math.nan)
    line = to_line(rollout)
    json.loads(line, parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))
    back = from_line(line)
    assert back.tree.prompt == (span,)
    assert math.isnan(back.wall_s)


def test_half_a_surrogate_pair_survives(make_rollout):
    rollout = _with_prompt(make_rollout(), Span(Source.PROMPT, "broken \udc80 byte"))
    assert from_line(to_line(rollout)) == rollout


def test_what_json_cannot_hold_is_a_programmers_mistake(make_rollout):
    with pytest.raises(TypeError, match="cannot encode a bytes"):
        to_line(replace(make_rollout(), sampling={"stop": b"x"}))


@pytest.mark.parametrize(
    ("break_it", "message"),
    [
        (lambda data: data["tree"]["visits"].pop(), "tree lists disagree in length with its 4 nodes"),
        (lambda data: data["tree"]["nodes"][2].update(parent=3), "node 2 has index 2 and parent 3"),
        (lambda data: data["tree"]["nodes"][0].update(parent=0), "node 0 has index 0 and parent 0"),
        (lambda data: data["verdicts"].update({"8": data["verdicts"]["2"]}), "verdict on node 8"),
        (lambda data: data.update(surprise=1), "unknown key 'surprise'"),
        (lambda data: data.pop("model"), "key 'model' is missing"),
        (
            lambda data: data["tree"]["nodes"][1]["step"]["spans"][0].update(source="ghost"),
            r"tree\.nodes\[1\]\.step\.spans\[0\]\.source: 'ghost'",
        ),
        (lambda data: data["problem"].update(id="0" * 16), "id is '0000000000000000' but the content gives"),
        (lambda data: data.update(kind="other"), "unknown record kind 'other'"),
    ],
)
def test_broken_records_are_refused_by_name(make_rollout, break_it, message):
    data = json.loads(to_line(make_rollout()))
    break_it(data)
    with pytest.raises(DataError, match=message):
        from_line(json.dumps(data).encode() + b"\n")


@pytest.mark.parametrize("line", [b"\n", b"[1]\n", b'{"v":1\n', b"\xff\xfe\n", b"null\n"])
def test_what_is_no_record_is_refused(line):
    with pytest.raises(DataError):
        from_line(line)
    with pytest.raises(DataError):
        peek(line)
