"""The child that draws reasoning-gym entries: JSON requests on stdin, JSON replies on stdout. Started by `gym.py` only."""

import json
import os
import sys
from typing import Any

from tirage.problems.base import is_heldout


def main() -> None:
    """Answer every request of stdin. What the package prints goes to stderr."""
    out = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    with out:
        json.dump([answer(request) for request in json.load(sys.stdin)], out)


def answer(request: dict[str, Any]) -> dict[str, Any]:
    """Reply to one request: `entries` as [index, question, answer], or `error`, or the `known` families."""
    from reasoning_gym.factory import DATASETS

    known = sorted(set(DATASETS) - {"composite"})
    if request.get("list"):
        return {"families": known}
    if request["family"] not in known:
        return {"known": known}
    try:
        return draw(request)
    except Exception as error:  # whatever a family's validation or generator raises is about its configuration
        return {"error": f"{type(error).__name__}: {error}"}


def draw(request: dict[str, Any]) -> dict[str, Any]:
    """Look at entries in order and keep `count` of them; see `GymDraw` for the fields."""
    import reasoning_gym

    span, count, side = request["span"], request["count"], request["side"]
    size = span or count
    dataset = reasoning_gym.create_dataset(request["family"], seed=request["seed"], size=size, **request["config"])
    entries: list[tuple[int, str, str | None]] = []
    seen: set[str] = set()
    for index in range(size):
        entry = dataset[index]
        question = entry["question"]
        if span is not None and (question in seen or (side != "any" and is_heldout(question) != (side == "heldout"))):
            continue
        seen.add(question)
        entries.append((index, question, entry["answer"]))
        if len(entries) == count:
            break
    return {"entries": entries, "size": size, "category": dataset.category}


if __name__ == "__main__":
    main()
