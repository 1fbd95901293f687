"""Spans for an observability stack: a team's rollout sent to an OpenTelemetry collector, by the names of the GenAI conventions."""

import asyncio
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from tirage.agents.explorer import SolveContext
from tirage.core import Problem, Rollout, Verdict
from tirage.teams.stock import stock
from tirage.teams.team import Team
from tirage.testing.models import ScriptedModel
from tirage.traces.otlp import send
from tirage.workflows.agent import WorkflowAgent
from tirage.workflows.role_models import RoleModels

SCRIPT = {
    "planner": ["1. Multiply.", "1. Multiply again."],
    "executor": ["\\boxed{41}", "\\boxed{42}"],
    "critic": ["41 is odd, but 6 is even.", "Fine."],
}
PROBLEM = Problem(prompt="6 * 7?", answer="42")


class Collector(BaseHTTPRequestHandler):
    """Prints the spans it is sent; a real one (Jaeger, Grafana Tempo, the OpenTelemetry Collector) listens on port 4318."""

    def do_POST(self) -> None:
        """`/v1/traces`: one request of protobuf."""
        request = ExportTraceServiceRequest.FromString(self.rfile.read(int(self.headers["content-length"])))
        spans = [span for resource in request.resource_spans for scope in resource.scope_spans for span in scope.spans]
        depths = {b"": -1}
        for span in spans:
            depths[span.span_id] = depths[span.parent_span_id] + 1
            print("  " * depths[span.span_id] + span.name)
            for event in span.events:
                print("  " * depths[span.span_id], event.name, [item.value.string_value for item in event.attributes][:2])
        told = {item.key for span in spans for item in span.attributes}
        print("texts sent:", sorted(told & {"gen_ai.input.messages", "gen_ai.output.messages"}))
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Be quiet."""


async def solve() -> Rollout:
    """One problem by a planner, an executor and a critic; stored runs are sent by `tirage trace export RUN --otlp URL`."""
    model = ScriptedModel(tags=SCRIPT)
    tree = await WorkflowAgent(Team(stock("planner-executor-critic")), RoleModels(model=model)).solve(PROBLEM, SolveContext(seed=0))
    verdict = Verdict(correct=True, score=1.0, verifier="exact/1", answer="42")
    key = f"demo/{PROBLEM.id}/0"
    return Rollout(
        key=key, stage="demo", problem=PROBLEM, sample=0, tree=tree, verdicts={tree.chosen: verdict}, model=model.name, wall_s=3.0
    )


rollout = asyncio.run(solve())
with HTTPServer(("127.0.0.1", 0), Collector) as server:
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    url = f"http://127.0.0.1:{server.server_port}"
    try:
        print(send([rollout], url))
        print(send([rollout], url, content=True))  # prompts and replies may be private: they leave only when asked for
    finally:
        server.shutdown()
        thread.join()
