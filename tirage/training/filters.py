"""What makes a trajectory unfit for training, and when two of them are the same."""

import ast
import hashlib
import json
import re
import warnings
from collections.abc import Iterable, Sequence

import numpy as np

from tirage.core.message import ObservationStatus, ToolCall
from tirage.core.trajectory import StopReason, Trajectory
from tirage.problems.overlap import OverlapIndex, OverlapMode

EXECUTED = frozenset({ObservationStatus.OK, ObservationStatus.ERROR, ObservationStatus.TIMEOUT})
"""Statuses of calls that really ran, whatever came of them."""

_MAX_PARSED_CODE = 20_000
_EQUATION = re.compile(r"[\d(][\d\s.,()+\-*/^×÷%]*=\s*-?[\d.,]*\d")


def longest_loop(ids: Sequence[int], *, cycles: int = 4, max_period: int = 64) -> int:
    """Length in tokens of the longest stretch that repeats one n-gram at least `cycles` times in a row.

    0 when there is none. Periods up to `max_period` tokens are looked at. Short stretches are ordinary (digits of
    10000000), so callers compare the length with a limit, 24 by default in the recipes.
    """
    x = np.asarray(ids, dtype=np.int64)
    longest = 0
    if _repeats_few_grams(x):
        return 0
    for period in range(1, min(max_period, len(x) // cycles) + 1):
        same = np.concatenate(([False], x[period:] == x[:-period], [False]))
        edges = np.flatnonzero(same[1:] != same[:-1])
        if edges.size:
            stretch = int((edges[1::2] - edges[::2]).max()) + period
            if stretch >= cycles * period:
                longest = max(longest, stretch)
    return longest


def _repeats_few_grams(x: "np.ndarray[tuple[int], np.dtype[np.int64]]") -> bool:
    """Cheap refutation: a loop of 16 tokens or more repeats at least nine 4-grams."""
    if len(x) < 16:
        return True
    grams = ((x[:-3] * 1_000_003 + x[1:-2]) * 1_000_003 + x[2:-1]) * 1_000_003 + x[3:]
    return len(grams) - len(np.unique(grams)) < 9


def failed_final_execution(trajectory: Trajectory) -> bool:
    """True when the last tool call did not end well; False when there was no call."""
    for step in reversed(trajectory.steps):
        if step.observations:
            return step.observations[-1].status is not ObservationStatus.OK
    return False


def executed(trajectory: Trajectory) -> bool:
    """True when at least one call really ran."""
    return any(seen.status in EXECUTED for step in trajectory.steps for seen in step.observations)


def unfinished(trajectory: Trajectory, *, tokens: int, max_tokens: int | None) -> str | None:
    """Why the trajectory is not a whole, answered one: `error`, `length`, `unfinished`; None when it is.

    Over-long trajectories are dropped whole, never cut: removing inner steps breaks the structure that
    long-reasoning fine-tuning learns from (arXiv 2502.07374).
    """
    if trajectory.error is not None or trajectory.stop is StopReason.ERROR:
        return "error"
    if trajectory.stop is StopReason.LENGTH or (max_tokens is not None and tokens > max_tokens):
        return "length"
    return None if trajectory.stop is StopReason.ANSWERED else "unfinished"


def signature(trajectory: Trajectory, answer: str | None) -> str:
    """What a trajectory did, without how it said it: 16 hex digits over its operations and final answer.

    Operations are the tool calls in order, with canonical arguments (code without comments, layout and choice of
    names); where no tool was called, the equations in the text without white space (RFT, arXiv 2308.01825, section 3).
    """
    calls = [_canonical_call(call) for step in trajectory.steps for call in step.calls]
    text = "".join(step.policy_text for step in trajectory.steps)
    operations = calls or ["".join(found.split()).rstrip(".,") for found in _EQUATION.findall(text)]
    if not operations:
        operations = [" ".join(text.split())]
    content = json.dumps([operations, answer], ensure_ascii=False)
    return hashlib.sha256(content.encode()).hexdigest()[:16]


def _canonical_call(call: ToolCall) -> str:
    try:
        arguments = json.loads(call.arguments)
    except ValueError:
        return f"{call.name}:{' '.join(call.arguments.split())}"
    if isinstance(arguments, dict) and isinstance(arguments.get("code"), str):
        arguments = arguments | {"code": normalised_code(arguments["code"])}
    return f"{call.name}:{json.dumps(arguments, sort_keys=True, ensure_ascii=False)}"


def normalised_code(code: str) -> str:
    """Python `code` without comments and layout, its own names numbered in order of appearance.

    Names it does not bind itself (builtins, imports) stay. Code that does not parse loses only its white space.
    """
    if len(code) > _MAX_PARSED_CODE:
        return " ".join(code.split())
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            tree = ast.parse(code)
        names = _bound_names(tree)
        for node in ast.walk(tree):
            if isinstance(node, ast.Name):
                node.id = names.get(node.id, node.id)
            elif isinstance(node, ast.arg):
                node.arg = names.get(node.arg, node.arg)
            elif isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
                node.name = names.get(node.name, node.name)
        return ast.unparse(tree)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return " ".join(code.split())


def _bound_names(tree: ast.AST) -> dict[str, str]:
    found: dict[str, str] = {}
    bound = sorted(
        (node.lineno, node.col_offset, name)
        for node in ast.walk(tree)
        if isinstance(node, (ast.Name, ast.arg, ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef))
        and (not isinstance(node, ast.Name) or isinstance(node.ctx, ast.Store))
        for name in [node.id if isinstance(node, ast.Name) else node.arg if isinstance(node, ast.arg) else node.name]
    )
    for _, _, name in bound:
        found.setdefault(name, f"v{len(found)}")
    return found


def edit_distance(a: Sequence[int], b: Sequence[int]) -> int:
    """Levenshtein distance between two id sequences.

    Bit-parallel: one pass over `b` with integers of `len(a)` bits (Myers 1999; global form of Hyyrö 2003).
    """
    if not a:
        return len(b)
    where: dict[int, int] = {}
    for place, token in enumerate(a):
        where[token] = where.get(token, 0) | (1 << place)
    full, last = (1 << len(a)) - 1, 1 << (len(a) - 1)
    plus, minus, distance = full, 0, len(a)
    for token in b:
        match = where.get(token, 0)
        diagonal = ((((match & plus) + plus) ^ plus) | match | minus) & full
        up = minus | (~(diagonal | plus) & full)
        down = plus & diagonal
        distance += bool(up & last) - bool(down & last)
        up = (up << 1 | 1) & full
        plus = (down << 1 | (~(diagonal | up) & full)) & full
        minus = up & diagonal
    return distance


class HeldOut:
    """Prompts that must not be trained on."""

    def __init__(self, prompts: Iterable[str], *, mode: OverlapMode = "exact") -> None:
        """`mode` as in `tirage.problems.overlap`: `exact` is the right one for templated questions, `ngram` and `lcs` for others."""
        self.mode = mode
        self._prompts = sorted(set(prompts))
        self._index = OverlapIndex(self._prompts, mode=mode)

    def __len__(self) -> int:
        """How many different prompts are held out."""
        return len(self._prompts)

    @property
    def sha256(self) -> str:
        """Hash over the held-out prompts, whatever their order."""
        return hashlib.sha256(json.dumps(self._prompts, ensure_ascii=False).encode()).hexdigest()

    def overlaps(self, prompt: str) -> bool:
        """True when training on `prompt` would leak a held-out one."""
        return self._index.find(prompt) is not None
