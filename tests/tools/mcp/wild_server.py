"""A server that behaves badly, by hand: the argument says when and how."""

import json
import os
import subprocess
import sys
import time

how = sys.argv[1]


def say(message: object) -> None:
    print(json.dumps(message), flush=True)


def answer(request: dict[str, object], result: object) -> None:
    say({"jsonrpc": "2.0", "id": request["id"], "result": result})


if how == "start-hang":
    time.sleep(600)
if how == "start-die":
    print("the licence has expired", file=sys.stderr)
    sys.exit(3)
if how == "start-usage":
    print("usage: wild_server.py PLACE")
    sys.exit(2)
if how == "stubborn":
    import signal

    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    child = subprocess.Popen(["sleep", "600"])
    print(f"child {child.pid}", file=sys.stderr, flush=True)
    with open(sys.argv[2], "w") as file:
        file.write(f"{os.getpid()} {child.pid}")

calls = 0
tools = [{"name": "go", "description": "Go.", "inputSchema": {"type": "object"}}]
for line in sys.stdin:
    request = json.loads(line)
    match request.get("method"):
        case "initialize":
            info = {"name": "wild", "version": "1"}
            answer(request, {"protocolVersion": "2025-06-18", "capabilities": {"tools": {}}, "serverInfo": info})
        case "tools/list":
            answer(request, {"tools": tools})
        case "tools/call":
            calls += 1
            if how == "die":
                print("segmentation fault, as they say", file=sys.stderr, flush=True)
                os._exit(7)
            while how == "notify":
                say({"jsonrpc": "2.0", "method": "notifications/message", "params": {"level": "info", "data": "x"}})
            while how == "ask":
                say({"jsonrpc": "2.0", "id": 1, "method": "roots/list"})
            while how == "line":
                sys.stdout.write("x" * 100_000)
            while how == "errors":
                sys.stderr.write("e" * 1000 + "\n")
            if how == "garbage":
                print("not JSON at all\n[1, 2\n{}", flush=True)
                answer(request, {"content": [{"type": "text", "text": "after the garbage"}]})
            if how == "environment" or (how == "slow-once" and calls > 1):
                answer(request, {"content": [{"type": "text", "text": " ".join(sorted(os.environ))}]})
            if how == "shapeless":
                answer(request, {"content": "no list"})
        case _ if "id" in request and "method" in request:
            say({"jsonrpc": "2.0", "id": request["id"], "error": {"code": -32601, "message": "Method not found"}})
if how == "stubborn":
    time.sleep(600)
