import socket
import sys

import pytest

from tests.traces.collector import collecting, values
from tirage.core.errors import ConfigError, MissingExtra
from tirage.traces.operations import operations, trace_id
from tirage.traces.otlp import send


@pytest.fixture
def collector(monkeypatch):
    pytest.importorskip("opentelemetry.exporter.otlp.proto.http", reason="pip install 'tirage[otel]'")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "0.5")
    with collecting() as kept:
        yield kept


def test_a_collector_gets_every_rollout_as_a_trace(collector, make_rollout, make_broken):
    rollouts = [make_rollout(0), make_rollout(1, correct=False), make_broken(2)]
    done = send(iter(rollouts), collector.url)
    assert (done.rollouts, done.spans, len(collector.requests)) == (3, 12, 1)
    assert {int.from_bytes(span.trace_id, "big") for span in collector.spans} == {trace_id(rollout) for rollout in rollouts}

    first = collector.spans[:5]
    expected = operations(rollouts[0])
    assert [span.name for span in first] == [item.name for item in expected]
    assert [int.from_bytes(span.span_id, "big") for span in first] == [item.id for item in expected]
    assert [span.parent_span_id for span in first] == [b"", *[first[0].span_id] * 4]
    assert [values(span.attributes) for span in first] == [
        {name: list(value) if isinstance(value, tuple) else value for name, value in item.attributes.items()} for item in expected
    ]
    assert [span.kind for span in first] == [1] * 5
    assert first[0].start_time_unix_nano == 1_699_999_999_750_000_000
    assert first[0].end_time_unix_nano == 1_700_000_000_000_000_000
    (event,) = first[3].events
    assert (event.name, event.time_unix_nano) == ("gen_ai.evaluation.result", first[3].end_time_unix_nano)
    assert values(event.attributes) == {
        "gen_ai.evaluation.name": "math/1",
        "gen_ai.evaluation.score.label": "correct",
        "gen_ai.evaluation.score.value": 1.0,
    }
    broken = collector.spans[-1]
    assert (broken.status.code, broken.status.message) == (2, "ModelUnavailable")
    (resource,) = {str(values(found.resource.attributes)["service.name"]) for found in collector.requests[0].resource_spans}
    assert resource == "tirage"


def test_sending_twice_gives_the_same_spans(collector, make_rollout):
    send([make_rollout(0)], collector.url)
    send([make_rollout(0)], collector.url + "/v1/traces/")
    first, again = collector.requests
    assert first == again
    assert len(collector.spans) == 10


def test_large_runs_go_in_batches_and_with_the_callers_headers(collector, make_rollout, monkeypatch):
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_HEADERS", "authorization=Bearer%20key")
    monkeypatch.setenv("OTEL_SERVICE_NAME", "mine")
    done = send((make_rollout(sample) for sample in range(110)), collector.url)
    sizes = [sum(len(scope.spans) for found in request.resource_spans for scope in found.scope_spans) for request in collector.requests]
    assert (done.spans, sizes) == (550, [512, 38])
    assert {headers["authorization"] for headers in collector.headers} == {"Bearer key"}
    assert values(collector.requests[0].resource_spans[0].resource.attributes)["service.name"] == "mine"


def test_text_that_utf8_cannot_hold_arrives_with_question_marks(collector, make_rollout):
    send([make_rollout(0, question="half \ud800 of a pair", ids=False)], collector.url, content=True)
    assert values(collector.spans[0].attributes)["gen_ai.input.messages"].count("half \\ud800 of") == 1
    send([make_rollout(0, stage="half\ud800")], collector.url)
    assert collector.spans[5].name == "invoke_workflow half?"


def test_a_dead_or_wrong_address_is_one_line(collector, make_rollout, caplog):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        dead = f"http://127.0.0.1:{free.getsockname()[1]}"
    cases = {
        dead: rf"nobody answers at {dead}/v1/traces; start the collector",
        f"{collector.url}/other": r"/other/v1/traces does not take spans: 404 Not Found; give the URL",
        "localhost:4318": r"'localhost:4318' is no URL of a collector; write one like http://localhost:4318",
        "http://a:port": r"'http://a:port' is no URL",
    }
    for url, said in cases.items():
        with pytest.raises(ConfigError, match=said) as caught:
            send([make_rollout(0)], url)
        assert "\n" not in str(caught.value)
    assert (collector.requests, caplog.records) == ([], [])


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"status": 401}, "does not take spans: 401 Unauthorized; .*headers"),
        ({"kind": "text/html; charset=utf-8"}, "is no collector: it answers with text/html"),
        ({"reject": 3}, "refused 3 spans: too old; "),
    ],
)
def test_a_server_that_does_not_take_them(collector, make_rollout, settings, said):
    for name, value in settings.items():
        setattr(collector, name, value)
    with pytest.raises(ConfigError, match=said) as caught:
        send([make_rollout(0)], collector.url)
    assert "\n" not in str(caught.value)


def test_without_opentelemetry(monkeypatch, make_rollout):
    monkeypatch.setitem(sys.modules, "opentelemetry.exporter.otlp.proto.http.trace_exporter", None)
    with pytest.raises(MissingExtra, match=r"pip install 'tirage\[otel\]'"):
        send([make_rollout(0)], "http://localhost:4318")
