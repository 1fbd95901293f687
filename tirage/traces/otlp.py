"""Rollouts sent as spans to an OpenTelemetry collector: OTLP over HTTP, protobuf.

Headers, certificates, compression and the time limit come from the variables that OpenTelemetry itself reads, such as
`OTEL_EXPORTER_OTLP_HEADERS`; `OTEL_SERVICE_NAME` and `OTEL_RESOURCE_ATTRIBUTES` say who sends.
"""

import logging
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from tirage.core.errors import ConfigError, MissingExtra
from tirage.core.rollout import Rollout
from tirage.traces.operations import operations, trace_id

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import ReadableSpan

PATH = "/v1/traces"
"""Where a collector takes spans, below its base URL."""
_BATCH = 512
_LOGGER = "opentelemetry.exporter.otlp.proto.http.trace_exporter"


@dataclass(slots=True)
class Sent:
    """What was sent."""

    rollouts: int = 0
    spans: int = 0


def send(rollouts: Iterable[Rollout], url: str, *, content: bool = False) -> Sent:
    """Send every rollout as one trace. Sending it again gives the same ids.

    Args:
        rollouts: Consumed one by one.
        url: Of the collector, such as `http://localhost:4318`; with or without `/v1/traces`.
        content: Send the texts too, see `operations`.

    Raises:
        ConfigError: The URL is none, nobody answers there, or who answers does not take the spans.
        MissingExtra: OpenTelemetry is not installed.
    """
    place = _endpoint(url)
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.trace.export import SpanExportResult
    except ImportError as error:
        raise MissingExtra("opentelemetry", "otel") from error
    import requests

    answers: list[Any] = []
    session = requests.Session()
    session.hooks["response"].append(lambda answer, **_: answers.append(answer))
    exporter = OTLPSpanExporter(endpoint=place, session=session)
    done = Sent()
    spans = (span for rollout in _counted(rollouts, done) for span in to_spans(rollout, content=content))
    try:
        while batch := list(islice(spans, _BATCH)):
            answers.clear()
            with _silent():
                took = exporter.export(batch) is SpanExportResult.SUCCESS
            _check(place, took, answers)
            done.spans += len(batch)
    finally:
        exporter.shutdown()
    return done


def to_spans(rollout: Rollout, *, content: bool = False) -> "list[ReadableSpan]":
    """The operations of `rollout` as finished spans, for any exporter of the OpenTelemetry SDK."""
    try:
        from opentelemetry.sdk.resources import OTELResourceDetector, Resource
        from opentelemetry.sdk.trace import Event, ReadableSpan
        from opentelemetry.sdk.util.instrumentation import InstrumentationScope
        from opentelemetry.trace import Link, SpanContext, SpanKind, Status, StatusCode, TraceFlags
    except ImportError as error:
        raise MissingExtra("opentelemetry", "otel") from error
    from tirage import __version__

    trace = trace_id(rollout)
    resource = Resource({"service.name": "tirage", "service.version": __version__}).merge(OTELResourceDetector().detect())
    scope = InstrumentationScope("tirage", __version__)
    found = operations(rollout, content=content)
    contexts = {item.id: SpanContext(trace, item.id, is_remote=False, trace_flags=TraceFlags(TraceFlags.SAMPLED)) for item in found}
    return [
        ReadableSpan(
            item.name,
            context=contexts[item.id],
            parent=contexts[item.parent.id] if item.parent is not None else None,
            resource=resource,
            attributes=item.attributes,
            events=[Event("gen_ai.evaluation.result", event, _nanoseconds(item.end_s)) for event in item.events],
            links=[Link(contexts[item.answers.id])] if item.answers is not None else (),
            kind=SpanKind.CLIENT if item.remote else SpanKind.INTERNAL,
            status=Status(StatusCode.UNSET) if item.failure is None else Status(StatusCode.ERROR, item.failure),
            start_time=_nanoseconds(item.start_s),
            end_time=_nanoseconds(item.end_s),
            instrumentation_scope=scope,
        )
        for item in found
    ]


def _endpoint(url: str) -> str:
    try:
        parts = urlsplit(url)
        known = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        known = False
    if not known:
        raise ConfigError(f"{url!r} is no URL of a collector; write one like http://localhost:4318")
    base = url.rstrip("/")
    return base if base.endswith(PATH) else base + PATH


def _check(place: str, took: bool, answers: list[Any]) -> None:
    """Raise `ConfigError` where the spans did not arrive."""
    if not answers:
        raise ConfigError(f"nobody answers at {place}; start the collector, or give the URL of its OTLP/HTTP receiver (port 4318)")
    answer = answers[-1]
    kind = answer.headers.get("content-type", "")
    if not took:
        said = " ".join(f"{answer.status_code} {answer.reason}".split())
        raise ConfigError(f"{place} does not take spans: {said}; give the URL of an OTLP/HTTP receiver, and its headers if it wants some")
    if kind.startswith("text/"):
        raise ConfigError(f"{place} is no collector: it answers with {kind.partition(';')[0]}; give the URL of an OTLP/HTTP receiver")
    if kind.startswith("application/x-protobuf"):
        from google.protobuf.message import DecodeError
        from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse

        try:
            refused = ExportTraceServiceResponse.FromString(answer.content).partial_success
        except DecodeError as error:
            raise ConfigError(f"{place} is no collector: its answer cannot be read; give the URL of an OTLP/HTTP receiver") from error
        if refused.rejected_spans:
            said = " ".join(refused.error_message.split()) or "it does not say why"
            raise ConfigError(f"{place} refused {refused.rejected_spans} spans: {said}; correct the collector's settings and send again")


def _counted(rollouts: Iterable[Rollout], done: Sent) -> Iterator[Rollout]:
    for rollout in rollouts:
        done.rollouts += 1
        yield rollout


@contextmanager
def _silent() -> Iterator[None]:
    """Without what the exporter logs of failures, which are told once, as errors."""
    logger = logging.getLogger(_LOGGER)
    before, logger.disabled = logger.disabled, True
    try:
        yield
    finally:
        logger.disabled = before


def _nanoseconds(seconds: float) -> int:
    """To whole microseconds: a float holds no more of a Unix time."""
    return round(seconds * 1e6) * 1000
