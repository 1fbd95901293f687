"""A server that answers every model call after the same time with a scripted answer, and knows how busy it was kept.

    python benchmarks/load/stub.py LATENCY_MS < SCRIPT    (prints its port)

SCRIPT is a JSON list of rules; the first rule whose `path` is asked for and whose `mark` occurs in the request's body gives
the answer `body`. The string "@PROMPT_IDS@" in an answer is replaced by the token ids that were sent as `prompt`.

One process, one thread, raw asyncio protocols: it must cost less per call than any client. All requests wait equally long, so
they are answered in the order of arrival from one queue with one timer.
"""

import asyncio
import json
import resource
import sys
import time
from collections import deque
from dataclasses import dataclass
from urllib.parse import parse_qs, urlsplit


@dataclass(frozen=True, slots=True)
class Rule:
    """One scripted answer, cut at the place where the prompt's ids go."""

    path: bytes
    mark: bytes
    parts: tuple[bytes, ...]


class Busy:
    """Requests in flight over time, between the arrivals number `start` and `stop`."""

    def __init__(self, slots: int = 1, start: int = 0, stop: int = 0) -> None:
        """`slots`: how many requests in flight count as fully busy."""
        self.slots, self.start, self.stop = slots, start, stop
        self.arrived = self.answered = self.most = 0
        self._area = 0.0
        self._changed = time.monotonic()
        self._from = self._until = (0.0, 0.0)

    def arrive(self, now: float) -> None:
        """One more request is in flight."""
        self._advance(now)
        self.arrived += 1
        self.most = max(self.most, self.arrived - self.answered)
        if self.arrived == self.start:
            self._from = (now, self._area)
        if self.arrived == self.stop:
            self._until = (now, self._area)

    def answer(self, now: float) -> None:
        """One request less is in flight."""
        self._advance(now)
        self.answered += 1

    def share(self) -> float | None:
        """Mean requests in flight over `slots`; None when the window never opened or closed."""
        seconds, area = (self._until[place] - self._from[place] for place in (0, 1))
        return area / seconds / self.slots if seconds > 0 else None

    def _advance(self, now: float) -> None:
        self._area += (self.arrived - self.answered) * (now - self._changed)
        self._changed = now


class Stub:
    """Rules, the queue of waiting answers, and the busy integral."""

    def __init__(self, rules: list[Rule], latency_s: float) -> None:
        """`latency_s`: from the whole request's arrival to its answer."""
        self.rules = rules
        self.latency_s = latency_s
        self.busy = Busy()
        self._waiting: deque[tuple[float, asyncio.Transport, bytes]] = deque()
        self._loop = asyncio.get_running_loop()
        self._cpu = 0.0

    def call(self, transport: asyncio.Transport, path: bytes, body: bytes) -> None:
        """Take a model call."""
        now = time.monotonic()
        self.busy.arrive(now)
        self._waiting.append((now + self.latency_s, transport, self._find(path, body)))
        if len(self._waiting) == 1:
            self._loop.call_later(self.latency_s, self._release)

    def _find(self, path: bytes, body: bytes) -> bytes:
        for rule in self.rules:
            if rule.path == path and rule.mark in body:
                return _response(_prompt_ids(body).join(rule.parts) if len(rule.parts) > 1 else rule.parts[0])
        return _response(b'{"error":{"message":"no rule for this request"}}', b"404 Not Found")

    def _release(self) -> None:
        now = time.monotonic()
        while self._waiting and self._waiting[0][0] <= now:
            _, transport, answer = self._waiting.popleft()
            transport.write(answer)
            self.busy.answer(now)
        if self._waiting:
            self._loop.call_later(self._waiting[0][0] - now, self._release)

    def control(self, target: bytes) -> bytes:
        """`/reset?slots=&from=&until=` begins a measurement, `/stats` tells how it went."""
        parts = urlsplit(target.decode())
        if parts.path == "/reset":
            query = {name: int(values[0]) for name, values in parse_qs(parts.query).items()}
            self.busy = Busy(query["slots"], query["from"], query["until"])
            self._cpu = _cpu_s()
            return _response(b"{}")
        if parts.path == "/stats":
            busy = self.busy
            found = {"calls": busy.arrived, "busy": busy.share(), "most": busy.most, "cpu_s": _cpu_s() - self._cpu}
            return _response(json.dumps(found).encode())
        return _response(b"{}", b"404 Not Found")


class Connection(asyncio.Protocol):
    """HTTP/1.1 with keep-alive, requests with a Content-Length."""

    def __init__(self, stub: Stub) -> None:
        """One per client connection."""
        self._stub = stub
        self._buffer = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the way back."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        """Take every whole request out of what has come."""
        self._buffer += data
        while (end := self._buffer.find(b"\r\n\r\n")) >= 0:
            head = self._buffer[:end]
            total = end + 4 + _content_length(head)
            if len(self._buffer) < total:
                return
            body, self._buffer = self._buffer[end + 4 : total], self._buffer[total:]
            method, target, _ = head.split(b" ", 2)
            if method == b"POST":
                self._stub.call(self._transport, target, body)
            else:
                self._transport.write(self._stub.control(target))


def _content_length(head: bytes) -> int:
    found = head.lower().find(b"\r\ncontent-length:")
    return int(head[found + 17 :].split(b"\r\n", 1)[0]) if found >= 0 else 0


def _prompt_ids(body: bytes) -> bytes:
    start = body.index(b'"prompt":[') + 9
    return body[start : body.index(b"]", start) + 1]


def _response(body: bytes, status: bytes = b"200 OK") -> bytes:
    return b"HTTP/1.1 %s\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%s" % (status, len(body), body)


def _cpu_s() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


async def main() -> None:
    """Serve until killed."""
    rules = [
        Rule(rule["path"].encode(), rule.get("mark", "").encode(), tuple(json.dumps(rule["body"]).encode().split(b'"@PROMPT_IDS@"')))
        for rule in json.load(sys.stdin)
    ]
    stub = Stub(rules, float(sys.argv[1]) / 1000)
    server = await asyncio.get_running_loop().create_server(lambda: Connection(stub), "127.0.0.1", 0, backlog=2048)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())
