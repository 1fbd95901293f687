"""A collector on loopback: takes OTLP over HTTP and keeps the requests, decoded."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass
class Collector:
    url: str = ""
    status: int = 200
    kind: str = "application/x-protobuf"
    reject: int = 0
    requests: list[Any] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)

    @property
    def spans(self) -> list[Any]:
        found = [scope for request in self.requests for resource in request.resource_spans for scope in resource.scope_spans]
        return [span for scope in found for span in scope.spans]


@contextmanager
def collecting() -> Iterator[Collector]:
    from opentelemetry.proto.collector.trace.v1 import trace_service_pb2 as wire

    kept = Collector()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            found = self.path == "/v1/traces"
            answer = wire.ExportTraceServiceResponse()
            if found and kept.status == 200:
                kept.requests.append(wire.ExportTraceServiceRequest.FromString(body))
                kept.headers.append({name.lower(): value for name, value in self.headers.items()})
            if kept.reject:
                answer.partial_success.rejected_spans, answer.partial_success.error_message = kept.reject, "too\nold"
            self.send_response(kept.status if found else 404)
            said = answer.SerializeToString()
            self.send_header("content-type", kept.kind)
            self.send_header("content-length", str(len(said)))
            self.end_headers()
            self.wfile.write(said)

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        kept.url = f"http://127.0.0.1:{server.server_port}"
        try:
            yield kept
        finally:
            server.shutdown()
            thread.join()


def values(attributes: Any) -> dict[str, Any]:
    """Attributes of the wire as plain values."""
    found: dict[str, Any] = {}
    for item in attributes:
        kind = item.value.WhichOneof("value")
        value = getattr(item.value, kind)
        found[item.key] = [part.string_value for part in value.values] if kind == "array_value" else value
    return found
