"""Replay recorded tool-integrated transcripts through the agent loop: text replayed, code executed, answers verified.

    python benchmarks/replay_tora.py FILE [--limit N] [--concurrency N] [--json]

FILE is JSONL in ToRA's output form: `question`, `gt` (gold answer) and `code` (a list with the transcript: python fences,
output fences, final text). Printed: accuracy, how many re-executed outputs equal the recorded ones, rollouts per second.
"""

import argparse
import asyncio
import json
import math
import re
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tirage.agents.dialects.base import OUTPUT_FENCE, FencedPython
from tirage.agents.explorer import Explorer
from tirage.agents.model_policy import ModelPolicy
from tirage.agents.search_options import PathLimits
from tirage.core import Problem, Rollout
from tirage.core.errors import DataError
from tirage.models.base import Capabilities, Completion, Request, Sampling
from tirage.rollouts.runner import Runner, Stage
from tirage.sandbox import Limits, SandboxConfig, open_sandbox
from tirage.tools.python import PythonTool
from tirage.verification.extract import extract
from tirage.verification.factory import open_verifier

_OUTPUT = re.compile(r"```output\n(.*?)```(?:\n|$)", re.DOTALL)
_NUMBER = re.compile(r"-?\d+(?:\.\d+)?(?:[eE][-+]?\d+)?")


@dataclass(frozen=True, slots=True)
class WorkflowRun:
    """One recorded rollout: what the model wrote, turn by turn, and what it was shown in between."""

    problem: Problem
    turns: tuple[str, ...]
    """Policy text; every turn but the last ends with the output fence."""
    outputs: tuple[str, ...]


def read_transcripts(path: Path, limit: int | None) -> Iterator[WorkflowRun]:
    """Transcripts of a ToRA output file. Raises `DataError` naming file and line."""
    with path.open(encoding="utf-8") as lines:
        for number, line in enumerate(lines, start=1):
            if limit is not None and number > limit:
                return
            try:
                row = json.loads(line)
                question, gold, text = row["question"], str(row["gt"]), row["code"][0]
            except (ValueError, KeyError, IndexError, TypeError) as error:
                raise DataError(f"{path}:{number}: not a ToRA transcript ({error}); needs question, gt and code") from error
            turns, outputs, start = [], [], 0
            for found in _OUTPUT.finditer(text):
                turns.append(text[start : found.start()] + OUTPUT_FENCE)
                outputs.append(found.group(1).strip())
                start = found.end()
            turns.append(text[start:])
            yield WorkflowRun(Problem(prompt=question, answer=gold, metadata={"line": number}), tuple(turns), tuple(outputs))


class Recorded:
    """A model that says, in answer to a text prompt, the recorded turn that comes next."""

    name = "recorded"
    capabilities = Capabilities(raw_continuation=True)
    renderer = None

    def __init__(self, transcripts: list[WorkflowRun]) -> None:
        self._turns = {transcript.problem.prompt: transcript.turns for transcript in transcripts}

    async def complete(self, request: Request) -> tuple[Completion, ...]:
        """The next turn; which one is told by the output fences already in the prompt."""
        assert request.text is not None
        question = next(known for known in self._candidates(request.text) if known in self._turns)
        turns = self._turns[question]
        said = request.text[len(question) :].count(OUTPUT_FENCE)
        text = turns[said] if said < len(turns) else ""
        if text.endswith(OUTPUT_FENCE):
            return (Completion(text=text, finish="stop_string", stop_string=OUTPUT_FENCE),)
        return (Completion(text=text, finish="stop"),)

    def _candidates(self, text: str) -> Iterator[str]:
        first = text.split("```", 1)[0]
        yield first
        yield from (known for known in self._turns if text.startswith(known))

    async def close(self) -> None:
        """Nothing to release."""


class Kept:
    """Rollouts in memory."""

    def __init__(self) -> None:
        self.rollouts: list[Rollout] = []

    def append(self, rollout: Rollout) -> None:
        """Keep it."""
        self.rollouts.append(rollout)

    def keys(self, stage: str | None = None) -> set[str]:
        """Nothing is resumed."""
        return set()


def same_output(ours: str, theirs: str) -> bool:
    """Equal, or equal but for the printing of floats (relative 1e-9)."""
    if ours.split() == theirs.split():
        return True
    if _NUMBER.sub("#", ours).split() != _NUMBER.sub("#", theirs).split():
        return False
    pairs = zip(_NUMBER.findall(ours), _NUMBER.findall(theirs), strict=True)
    return all(math.isclose(float(mine), float(other), rel_tol=1e-9) for mine, other in pairs)


async def replay(transcripts: list[WorkflowRun], concurrency: int) -> tuple[list[Rollout], float]:
    """Roll out every transcript; returns the rollouts and the seconds it took."""
    sandbox = open_sandbox(SandboxConfig())
    verifier = open_verifier("math")
    policy = ModelPolicy(Recorded(transcripts), FencedPython(), sampling=Sampling())
    agent = Explorer(
        policy,
        tools={"python": PythonTool(limits=Limits(wall_s=10.0), clip_chars=4000)},
        sandbox=sandbox,
        answer_of=lambda response: extract(response).answer,
        limits=PathLimits(max_calls=8),
    )
    kept = Kept()
    try:
        started = time.monotonic()
        problems = tuple(transcript.problem for transcript in transcripts)
        async with sandbox:
            await Runner(agent, lambda _: verifier, kept, seed=0, concurrency=concurrency).run(
                Stage(name="replay", problems=problems, model="recorded")
            )
        return kept.rollouts, time.monotonic() - started
    finally:
        await verifier.close()


def compare_outputs(rollouts: list[Rollout], transcripts: list[WorkflowRun]) -> tuple[int, int, list[dict[str, str]]]:
    """Outputs that agree, outputs in all, and the differences."""
    recorded = {transcript.problem.id: transcript.outputs for transcript in transcripts}
    agreed, total, differences = 0, 0, []
    for rollout in rollouts:
        shown = [item.text for step in (rollout.trajectory.steps if rollout.trajectory else ()) for item in step.observations]
        for ours, theirs in zip(shown, recorded[rollout.problem.id], strict=False):
            total += 1
            if same_output(ours, theirs):
                agreed += 1
            else:
                differences.append({"line": str(rollout.problem.metadata["line"]), "ours": ours[:200], "recorded": theirs[:200]})
    return agreed, total, differences


def main() -> int:
    """Run the benchmark and print what it found."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", type=Path)
    parser.add_argument("--limit", type=int)
    parser.add_argument("--concurrency", type=int, default=8)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    try:
        transcripts = list(read_transcripts(options.file, options.limit))
    except (OSError, DataError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 3
    rollouts, seconds = asyncio.run(replay(transcripts, options.concurrency))
    agreed, total, differences = compare_outputs(rollouts, transcripts)
    correct = sum(rollout.correct is True for rollout in rollouts)
    ungraded = sum(rollout.correct is None for rollout in rollouts)
    result = {
        "transcripts": len(rollouts),
        "accuracy": round(100 * correct / len(rollouts), 2),
        "ungraded": ungraded,
        "outputs": total,
        "outputs_equal": round(100 * agreed / max(1, total), 2),
        "rollouts_per_s": round(len(rollouts) / seconds, 1),
        "differences": sorted(differences, key=lambda row: int(row["line"])),
    }
    if options.json:
        print(json.dumps(result, indent=1))
        return 0
    for difference in result["differences"]:
        print(f"line {difference['line']}: ours {difference['ours']!r} recorded {difference['recorded']!r}")
    print(
        f"{result['transcripts']} transcripts: accuracy {result['accuracy']} %, ungraded {ungraded}, "
        f"outputs equal {result['outputs_equal']} % of {total}, {result['rollouts_per_s']} rollouts/s"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
