"""What every recipe promises.

require(check_recipe(MyRecipe))
"""

import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from tirage.core.errors import TrainingError
from tirage.core.rollout import Rollout
from tirage.core.step import Source
from tirage.testing.builders import Turn, make_problem, make_rollout
from tirage.testing.suites.findings import Finding, demand, try_all
from tirage.training.dataset import MANIFEST, ROWS, Dataset
from tirage.training.filters import HeldOut
from tirage.training.rows import IGNORED, PairRow, TokenRow
from tirage.training.selection import Recipe, SelectionConfig

OWN_WORDS = frozenset({Source.POLICY, Source.HINT, Source.FORCED})
"""Authors whose tokens may be trained; those of prompts, tools and glue never are."""


class Traces:
    """Rollouts in a list as a source of traces."""

    def __init__(self, rollouts: Sequence[Rollout]) -> None:
        self.rollouts = list(rollouts)

    def read(self, stage: str | None = None) -> Iterator[Rollout]:
        """Those of a stage, all for None."""
        return (rollout for rollout in self.rollouts if stage is None or rollout.stage == stage)


@dataclass(frozen=True, slots=True)
class _Case:
    make: Callable[[], Recipe]
    traces: Sequence[Rollout]
    folder: Path

    def build(self, name: str, rollouts: Sequence[Rollout] | None = None, heldout: HeldOut | None = None) -> Dataset:
        """A dataset of the traces, or of other ones."""
        found = self.traces if rollouts is None else rollouts
        manifest = self.make().build(Traces(found), self.folder / name, run="runs/made-up", heldout=heldout)
        dataset = Dataset(self.folder / name)
        demand(dataset.manifest == manifest, "the manifest that it returned is not the one that it wrote")
        return dataset


def check_recipe(recipe: type[Any], *, traces: Sequence[Rollout] = (), config: SelectionConfig | None = None) -> list[Finding]:
    """Check a recipe's class, with `config` or its default settings.

    `traces`: rollouts of which it keeps some, for a recipe to which right and wrong attempts at a problem are not enough.
    """
    settings = config or recipe.settings()

    def make() -> Recipe:
        found: Recipe = recipe(settings)
        return found

    with tempfile.TemporaryDirectory() as folder:
        return try_all("recipe", _Case(make, traces or attempts(make().stages), Path(folder)), PROMISES)


def attempts(stages: Sequence[str] = ()) -> list[Rollout]:
    """Four problems, each attempted in every stage twice rightly and twice wrongly, with a call of a tool."""
    found = []
    for stage in stages or ("sample",):
        for number in range(4):
            problem = make_problem(f"What is {number} times 7?", str(7 * number))
            for sample, (words, right) in enumerate((("I multiply", True), ("By sums of sevens", True), ("I guess", False), ("Hm", False))):
                answer = str(7 * number + (not right))
                code = f"print({number} * 7)" if sample % 2 else f"print(sum([7] * {number}))"
                turns = (Turn(text=f"{words}. ", code=code, output=f"OUTPUT {answer}"), Turn(text=f"{words}: {answer}."))
                found.append(make_rollout(*turns, problem=problem, stage=stage, sample=sample, correct=right, answer=answer))
    return found


def _port(case: _Case) -> None:
    recipe = case.make()
    demand(isinstance(recipe.name, str) and recipe.name.strip(), f"its name is {recipe.name!r}")
    demand(all(isinstance(stage, str) for stage in recipe.stages), f"its stages are {recipe.stages!r}; name them")
    try:
        type(recipe).settings.model_validate({"no such setting": 1})  # type: ignore[attr-defined]
    except ValidationError:
        return
    demand(False, "a setting that it does not have is taken; forbid it: subclass SelectionConfig or PairConfig")


def _sound(case: _Case) -> None:
    dataset = case.build("sound")
    demand(len(dataset) > 0, "it kept nothing")
    faults = dataset.check()
    demand(not faults, "; ".join(faults))


def _order(case: _Case) -> None:
    case.build("first")
    case.build("second", case.traces[::-1])
    for name in (ROWS, MANIFEST):
        first, second = ((case.folder / folder / name).read_bytes() for folder in ("first", "second"))
        demand(first == second, f"{name} depends on the order in which traces are read")


def _leads_back(case: _Case) -> None:
    known = {rollout.key: rollout for rollout in case.traces}
    dataset = case.build("back")
    for row in _rows(dataset):
        for labels, meta in _sides(row):
            rollout = known.get(meta.get("trace"))
            demand(rollout is not None, f"row {row.id} names trace {meta.get('trace')!r}, which it did not read")
            nodes = meta.get("nodes") or []
            demand(nodes, f"row {row.id} names no nodes of its trace")
            tree = rollout.tree  # type: ignore[union-attr]
            demand(all(0 < node < len(tree.nodes) for node in nodes), f"row {row.id} names nodes {nodes}, which are not in its trace")
            steps = [tree.nodes[node].step for node in nodes]
            own = iter([token for step in steps if step for span in step.spans if span.source in OWN_WORDS for token in span.ids or ()])
            trained = [label for label in labels if label != IGNORED]
            demand(
                all(any(token == other for other in own) for token in trained), f"row {row.id} trains tokens that the policy did not write"
            )


def _rows(dataset: Dataset) -> list[TokenRow | PairRow]:
    return [*dataset.pairs()] if dataset.manifest.kind == "pairs" else [*dataset.rows()]


def _sides(row: TokenRow | PairRow) -> list[tuple[Sequence[int], Any]]:
    if isinstance(row, TokenRow):
        return [(row.labels, row.meta)]
    return [(row.chosen_labels, row.meta), (row.rejected_labels, row.meta.get("rejected", {}))]


def _heldout(case: _Case) -> None:
    problem = _rows(case.build("whole"))[0].meta.get("problem")
    held = next((rollout.problem for rollout in case.traces if rollout.problem.id == problem), None)
    demand(held is not None, f"a row names problem {problem!r}, which it did not read")
    try:
        dataset = case.build("heldout", heldout=HeldOut([held.prompt]))  # type: ignore[union-attr]
    except TrainingError:
        return
    left = [row for row in _rows(dataset) if row.meta.get("problem") == problem]
    demand(not left, "a problem that was held out has rows")
    demand(dataset.manifest.heldout is not None, "the manifest does not say what was held out")


def _refused(case: _Case, rollouts: Sequence[Rollout], what: str) -> None:
    try:
        case.build("refused", rollouts)
    except TrainingError:
        demand(not (case.folder / "refused").exists(), f"{what} were refused, and a folder was left behind")
        return
    demand(False, f"{what} were taken; raise TrainingError")


def _nothing(case: _Case) -> None:
    _refused(case, (), "no traces at all")


def _foreign(case: _Case) -> None:
    problems = sorted({rollout.problem.id for rollout in case.traces})
    renamed = [_of_tokenizer(rollout, f"tokenizer-{problems.index(rollout.problem.id) % 2}") for rollout in case.traces]
    _refused(case, renamed, "ids of two tokenizers")
    _refused(case, [_of_tokenizer(rollout, "") for rollout in case.traces], "traces without a tokenizer")


def _of_tokenizer(rollout: Rollout, name: str) -> Rollout:
    return replace(rollout, tokenizer_hash=name)


PROMISES: dict[str, Callable[[_Case], None]] = {
    "it has a name, stages and strict settings": _port,
    "rows, counts and hashes agree": _sound,
    "the order of traces leaves no mark": _order,
    "rows lead to their traces, and train only what the policy wrote": _leads_back,
    "held-out problems stay out": _heldout,
    "without rows there is an error and no folder": _nothing,
    "ids of other tokenizers, or none, are refused": _foreign,
}
