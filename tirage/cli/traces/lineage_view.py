"""A checkpoint's lineage for people and programs."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from itertools import groupby
from typing import Any

from rich.text import Text

from tirage.runtime.lineage import Generation, Status
from tirage.traces.view import excerpt
from tirage.training.manifest import StepCount

_COLOURS = {Status.OK: "green", Status.BROKEN: "red", Status.UNCHECKED: "yellow"}


def lineage_data(generations: list[Generation]) -> dict[str, Any]:
    """Everything that was found, as plain data."""
    found = []
    for generation in generations:
        data = asdict(generation)
        data["checkpoint"] = str(generation.checkpoint)
        data["counts"] = [count.model_dump(mode="json", by_alias=True) for count in generation.counts]
        data["traces"] = sorted(generation.traces)
        data["problems"] = sorted(generation.problems)
        found.append(data)
    return {"sound": not any(generation.broken for generation in generations), "generations": found}


def lineage_text(generations: list[Generation]) -> Text:
    """The chain, one block per checkpoint, newest first."""
    text = Text()
    for place, generation in enumerate(generations):
        if place:
            text.append("trained from\n", style="bright_black")
        _add_generation(text, generation)
    text.right_crop(1)
    return text


def _add_generation(text: Text, generation: Generation) -> None:
    text.append(f"{generation.checkpoint}\n", style="bold")
    for link in generation.links:
        text.append(f"  {link.status:<10}", style=_COLOURS[link.status])
        text.append(f"{link.kind:<11}").append(f"{link.name}", style="bold" if link.status is Status.BROKEN else "")
        text.append(f"  {link.detail}\n", style="bright_black")
    if generation.recipe:
        text.append(f"  recipe {generation.recipe}: {_flow(generation.counts)}\n")
    if generation.rows:
        stages = ", ".join(f"{count} from {stage}" for stage, count in sorted(generation.stages.items()))
        text.append(
            f"  {generation.rows} rows ({stages}) <- {len(generation.traces)} traces of {len(generation.problems)} problems "
            f"<- {generation.model_calls} model calls\n"
        )
        text.append(f"  sampled from {', '.join(sorted(generation.models))}\n")
    if generation.job:
        facts = {name: value for name, value in generation.job.items() if isinstance(value, (str, int, float))}
        text.append(f"  job {excerpt(json.dumps(facts, ensure_ascii=False), 160)}\n", style="bright_black")
    for (row, trace), calls in groupby(generation.calls, key=lambda call: (call.row, call.trace)):
        text.append(f"  row {row}", style="bold").append(f" <- trace {trace}\n")
        for call in calls:
            hint = f" after hint {call.hint}" if call.hint else ""
            text.append(f"    node {call.node} <- {call.model}{hint}: {call.tokens_out} tokens, {call.finish}: ", style="bright_black")
            text.append(f"{excerpt(call.text)}\n")


def _flow(counts: Sequence[StepCount]) -> str:
    """What each step of the recipe let through."""
    if not counts:
        return "no counts written"
    return " -> ".join([str(counts[0].entered), *(f"{count.step} {count.left}" for count in counts)])
