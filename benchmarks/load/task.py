"""The task of the orchestration benchmark and how a client is measured. Standard library only: peers import it too.

A rollout asks one question. In the task `answer` the model answers at once; in `tool` it first calls `multiply` and
answers when it has read the product.
"""

import json
import os
import resource
import sys
import time
import urllib.request
from dataclasses import asdict, dataclass
from typing import Any

MODEL = "stub"
ANSWER = "42"
PRODUCT = "product: 42"
"""What the tool says, and the mark by which the stub knows that it was called."""
THOUGHT = "The question asks for a product, so I multiply the two factors with the tool instead of in my head, and then read its result."
CLOSING = "The tool gives the product of the two factors, and nothing else is asked for, so the answer is \\boxed{42}."
CALLS_EACH = {"answer": 1, "tool": 2}
"""Model calls of one rollout."""
WARM_UP = 20
"""Rollouts before the clock starts: imports, connections and caches are not what is measured."""
RAMP_TURNS = 3
"""Calls per slot that are not looked at for busy: at first all slots ask in the same instant, and disperse within a turn or two."""


@dataclass(frozen=True, slots=True)
class Load:
    """What a client is to do."""

    url: str
    """Base URL of the stub with the API version."""
    task: str
    """`answer` or `tool`."""
    rollouts: int
    slots: int
    """Rollouts in flight."""
    variant: str = ""
    """Which way of doing it, for clients that have several."""
    cores: tuple[int, ...] = ()
    """Cores the client may use; empty for all."""


@dataclass(frozen=True, slots=True)
class Spent:
    """What a client used."""

    wall_s: float
    cpu_s: float
    """User and system time of the whole process, threads included."""
    correct: int
    """Rollouts that ended with the right answer."""


def question(number: int) -> str:
    """One of many questions with the same answer."""
    return f"What is 6 times 7? Put the final answer in a box. This is question number {number}."


def multiply(a: int, b: int) -> str:
    """Multiply two whole numbers.

    Args:
        a: First factor.
        b: Second factor.

    Returns:
        The product, in words and digits.
    """
    return f"product: {a * b}"


def chat_script(*, final_tool: str | None = None) -> list[dict[str, Any]]:
    """Answers of a chat server: the final answer to requests that hold the product (task `tool`) or to all (task `answer`).

    `final_tool`: name of the tool through which this client wants its final answer; None for plain text.
    """
    if final_tool is None:
        last = _chat({"role": "assistant", "content": CLOSING}, "stop")
    else:
        last = _chat(_calling(CLOSING, final_tool, {"answer": CLOSING}), "tool_calls")
    first = _chat(_calling(THOUGHT, "multiply", {"a": 6, "b": 7}), "tool_calls")
    path = "/v1/chat/completions"
    return [
        {"path": path, "mark": PRODUCT, "body": last},
        {"path": path, "mark": '"name":"multiply"', "body": first},
        {"path": path, "body": last},
    ]


def _calling(content: str, name: str, arguments: dict[str, Any]) -> dict[str, Any]:
    call = {"id": "call_1", "type": "function", "function": {"name": name, "arguments": json.dumps(arguments)}}
    return {"role": "assistant", "content": content, "tool_calls": [call]}


def _chat(message: dict[str, Any], finish: str) -> dict[str, Any]:
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1,
        "model": MODEL,
        "choices": [{"index": 0, "message": message, "finish_reason": finish}],
        "usage": {"prompt_tokens": 200, "completion_tokens": 40, "total_tokens": 240},
    }


class Clock:
    """Wall and processor time from `start` on; tells the stub when the measurement begins."""

    def start(self, load: Load) -> None:
        """Reset the stub's counters and take the time."""
        # Until so many requests came in, at least `slots` rollouts are unfinished: nobody lacks work.
        busy_until = (load.rollouts - load.slots) * CALLS_EACH[load.task]
        control(load.url, f"reset?slots={load.slots}&from={RAMP_TURNS * load.slots}&until={busy_until}")
        self._wall, self._cpu = time.monotonic(), _cpu_s()

    def stop(self, correct: int) -> Spent:
        """What was used since `start`."""
        return Spent(wall_s=time.monotonic() - self._wall, cpu_s=_cpu_s() - self._cpu, correct=correct)


def control(url: str, what: str) -> dict[str, Any]:
    """Ask the stub itself: `stats`, or `reset?...`."""
    with urllib.request.urlopen(f"{url.removesuffix('/v1')}/{what}", timeout=60) as answer:
        data: dict[str, Any] = json.load(answer)
    return data


def read_load() -> Load:
    """The load that the parent process put on the command line; keeps this process on its cores."""
    load = Load(**json.loads(sys.argv[1]))
    if load.cores:
        os.sched_setaffinity(0, load.cores)
    return load


def report(spent: Spent) -> None:
    """Tell the parent process."""
    print(json.dumps(asdict(spent)))


def _cpu_s() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime
