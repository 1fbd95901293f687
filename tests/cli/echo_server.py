"""A tiny OpenAI-compatible chat server for tests: says the first number of the last user message, slowly."""

import json
import re
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Handler(BaseHTTPRequestHandler):
    """Chat completions and the list of models; everything else is 404."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        """`/v1/models`."""
        if self.path == "/v1/models":
            self.answer(200, {"object": "list", "data": [{"id": "echo", "object": "model"}]})
        else:
            self.answer(404, {"error": {"message": "no such page"}})

    def do_POST(self) -> None:
        """`/v1/chat/completions`."""
        request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if self.path != "/v1/chat/completions":
            self.answer(404, {"error": {"message": "no such page"}})
            return
        time.sleep(0.1)
        found = re.search(r"\d+", request["messages"][-1]["content"])
        message = {"role": "assistant", "content": f"\\boxed{{{found.group() if found else '?'}}}"}
        usage = {"prompt_tokens": 5, "completion_tokens": 5, "total_tokens": 10}
        choice = {"index": 0, "message": message, "finish_reason": "stop"}
        self.answer(200, {"id": "1", "object": "chat.completion", "model": "echo", "choices": [choice], "usage": usage})

    def answer(self, status: int, body: dict[str, object]) -> None:
        """Send JSON."""
        data = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, format: str, *arguments: object) -> None:
        """Say nothing."""


if __name__ == "__main__":
    with ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Handler) as server:
        print("ready", flush=True)
        server.serve_forever()
