"""A chat server over HTTP whose model calls a tool."""

import json
from http.server import BaseHTTPRequestHandler
from typing import Any


class Calling(BaseHTTPRequestHandler):
    """A chat model that calls one tool once and answers with what it read."""

    tool, arguments = "go", "{}"

    def do_GET(self) -> None:
        self.answer(200, {"object": "list", "data": [{"id": "caller", "object": "model"}]})

    def do_POST(self) -> None:
        request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if self.path != "/v1/chat/completions":
            self.answer(404, {"error": {"message": "no such page"}})
            return
        last = request["messages"][-1]
        message: dict[str, Any] = {"role": "assistant", "content": f"\\boxed{{{last['content']}}}"}
        names = [item["function"]["name"] for item in request.get("tools", ())]
        if last["role"] != "tool" and self.tool in names:
            call = {"id": "c1", "type": "function", "function": {"name": self.tool, "arguments": self.arguments}}
            message = {"role": "assistant", "content": None, "tool_calls": [call]}
        size = len(json.dumps([request["messages"], request.get("tools")]))
        usage = {"prompt_tokens": size, "completion_tokens": 5, "total_tokens": size + 5}
        finish = "tool_calls" if "tool_calls" in message else "stop"
        choice = {"index": 0, "message": message, "finish_reason": finish}
        self.answer(200, {"id": "1", "object": "chat.completion", "model": "caller", "choices": [choice], "usage": usage})

    def answer(self, status: int, body: dict[str, object]) -> None:
        data = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, format: str, *arguments: object) -> None:
        pass
