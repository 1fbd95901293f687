"""A pool of grading workers: processes that can be hung, killed or crashed by what they grade, at no loss to us."""

import asyncio
import contextlib
import json
import os
import queue
import select
import subprocess
import sys
import threading
import time
import weakref
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Literal

from tirage.core.errors import VerifierError

_START_S = 60.0
_WALL_FACTOR = 10
"""Wall seconds granted per CPU second of a request, on top of `_START_S`: a busy machine must not turn verdicts into failures."""
_INHERITED = ("PATH", "LD_LIBRARY_PATH", "LANG", "LC_ALL", "TMPDIR")


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """What a worker said: a value, or why there is none."""

    value: Any = None
    failure: str = ""


class WorkerPool:
    """Grading workers of one kind, started when first needed, at most `size` of them.

    Safe to use from several event loops and threads. Workers end with `close`, with the pool object, and with this process
    even if it is killed.
    """

    def __init__(self, kind: Literal["math", "gym"], *, size: int | None = None, timeout_s: float = 5.0) -> None:
        """`size` defaults to the number of cores, at most 8; `timeout_s` (> 0) is the CPU time one request may take."""
        if timeout_s <= 0:
            raise ValueError(f"timeout_s={timeout_s} must be > 0")
        self.kind = kind
        self.timeout_s = timeout_s
        self._wall_s = _START_S + _WALL_FACTOR * timeout_s
        self._size = size or min(8, os.cpu_count() or 1)
        self._idle: queue.LifoQueue[_Worker] = queue.LifoQueue()
        self._threads: ThreadPoolExecutor | None = None
        self._lock = threading.Lock()
        self._all: set[_Worker] = set()
        self._finalizer = weakref.finalize(self, _end_all, self._all)

    async def ask(self, request: Mapping[str, Any]) -> Reply:
        """Have a worker grade one request (JSON data). Whatever goes wrong on the way is a `Reply.failure`.

        Raises:
            VerifierError: no worker can be started at all.
        """
        with self._lock:
            if self._threads is None:
                self._threads = ThreadPoolExecutor(self._size, thread_name_prefix=f"grading-{self.kind}")
            threads = self._threads
        line = json.dumps({**request, "timeout_s": self.timeout_s}).encode() + b"\n"
        return await asyncio.get_running_loop().run_in_executor(threads, self._ask, line)

    async def close(self) -> None:
        """Kill all workers; requests under way fail. Idempotent, and the pool can be used again."""
        with self._lock:
            threads, self._threads = self._threads, None
        _end_all(self._all)
        self._idle = queue.LifoQueue()
        if threads is not None:
            await asyncio.to_thread(threads.shutdown)
            _end_all(self._all)

    def _ask(self, line: bytes) -> Reply:
        for attempt in (1, 2):
            try:
                worker = self._idle.get_nowait()
            except queue.Empty:
                worker = _Worker(self.kind)
                self._all.add(worker)
            reply = worker.ask(line, self._wall_s)
            if reply is not None:
                self._idle.put(worker)
                return reply
            worker.end()
            self._all.discard(worker)
            if worker.hung:
                return Reply(failure=f"no answer within {self._wall_s:g} s")
            if attempt == 2 or self._threads is None:
                break
        return Reply(failure="the grading worker ended without an answer")


class _Worker:
    """One supervisor process, used by one thread at a time."""

    def __init__(self, kind: str) -> None:
        environment = {
            **{name: os.environ[name] for name in _INHERITED if name in os.environ},
            "PYTHONPATH": os.pathsep.join(entry or os.getcwd() for entry in sys.path),
            "PYTHONHASHSEED": "0",
            "OPENBLAS_NUM_THREADS": "1",
            "OMP_NUM_THREADS": "1",
        }
        self.hung = False
        self._rest = b""
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tirage.verification.grading.grader", kind, str(os.getpid())],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=environment,
            bufsize=0,
        )
        ready = self._read(time.monotonic() + _START_S)
        if ready is None:
            self.end()
            raise VerifierError(
                f"a {kind} grading worker did not start; try: {sys.executable} -m tirage.verification.grading.grader {kind} {os.getpid()}"
            )

    def ask(self, line: bytes, limit_s: float) -> Reply | None:
        """Send a request and wait for its reply; None when the worker is gone or silent beyond `limit_s`."""
        deadline = time.monotonic() + limit_s
        assert self._process.stdin is not None
        try:
            rest = memoryview(line)
            while rest:
                rest = rest[self._process.stdin.write(rest) or 0 :]
        except OSError:
            return None
        data = self._read(deadline)
        if data is None:
            return None
        return Reply(**json.loads(data))

    def _read(self, deadline: float) -> bytes | None:
        assert self._process.stdout is not None
        fd = self._process.stdout.fileno()
        data = b""
        while not data.endswith(b"\n"):
            left = deadline - time.monotonic()
            if left <= 0 or not select.select([fd], [], [], left)[0]:
                self.hung = True
                return None
            chunk = os.read(fd, 1 << 16)
            if not chunk:
                return None
            data += chunk
        return data

    def end(self) -> None:
        """Kill the process and reap it; idempotent."""
        self._process.kill()
        self._process.wait()
        for stream in (self._process.stdin, self._process.stdout):
            if stream is not None:
                with contextlib.suppress(OSError):
                    stream.close()


def _end_all(workers: set[_Worker]) -> None:
    while workers:
        workers.pop().end()
