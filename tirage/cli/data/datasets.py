"""`tirage data`: turn stored rollouts into training rows, look at them, check them."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from itertools import groupby, islice
from pathlib import Path
from typing import Annotated, Any

import typer
import yaml
from rich.table import Table
from rich.text import Text

from tirage.cli.flags import AsJson
from tirage.cli.terminal import SafeConsole, print_json
from tirage.core.errors import ConfigError, DataError, TirageError
from tirage.models.base import Renderer
from tirage.models.embedded import nano_path
from tirage.models.template import HFRenderer
from tirage.problems import load_problems
from tirage.runtime.opening.problem_sets import parse_problems
from tirage.traces.base import TRACES
from tirage.traces.jsonl import TraceStore
from tirage.traces.view import visible
from tirage.training.dataset import Dataset
from tirage.training.filters import HeldOut
from tirage.training.manifest import Manifest
from tirage.training.recipes import make_recipe, shipped
from tirage.training.rows import IGNORED, PairRow, TokenRow

data_app = typer.Typer(help="Build training rows from stored rollouts, look at them, check them.", no_args_is_help=True)

DatasetArgument = Annotated[Path, typer.Argument(metavar="DATASET", help="Dataset folder.", show_default=False)]
SetOption = Annotated[list[str] | None, typer.Option("--set", help="Override a setting, e.g. --set hint_loss=false; repeatable.")]


@data_app.command("build", epilog="Example: tirage data build runs/first --recipe hint-rft --out rows --heldout nano:heldout")
def build(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="Run folder (the one with traces.jsonl).", show_default=False)],
    out: Annotated[Path, typer.Option("--out", help="Dataset folder to write.")],
    recipe: Annotated[str, typer.Option("--recipe", "-r", help=f"{', '.join(shipped())}, or module:attribute.")] = "hint-rft",
    settings: SetOption = None,
    heldout: Annotated[list[str] | None, typer.Option("--heldout", help="Keep these problems' prompts out; repeatable.")] = None,
    overlap: Annotated[str, typer.Option("--overlap", help="How to compare prompts: exact, ngram or lcs.")] = "exact",
    as_json: AsJson = False,
) -> None:
    """Select, mask and write training rows; every step's losses are counted in the manifest."""
    if overlap not in ("exact", "ngram", "lcs"):
        raise ConfigError(f"--overlap {overlap!r}: use exact, ngram or lcs")
    chosen = make_recipe(recipe, parse_settings(settings or ()))
    store = _store(run, chosen.stages)
    prompts = [problem.prompt for name in heldout or () for problem in load_problems(parse_problems(name))]
    kept_out = HeldOut(prompts, mode=overlap) if heldout else None  # type: ignore[arg-type]
    manifest = chosen.build(store, out, run=str(run), heldout=kept_out)
    if as_json:
        print(manifest.to_json(), end="")
        return
    console = SafeConsole()
    console.print(_counts_table(manifest))
    console.print(f"{manifest.rows} rows, {manifest.tokens} tokens ({manifest.tokens_trained} trained) in {out}")


@data_app.command("show", epilog="Example: tirage data show rows --row 3")
def show(
    dataset: DatasetArgument,
    row: Annotated[int, typer.Option("--row", min=0, help="Which row to print, from 0.")] = 0,
    tokenizer: Annotated[Path | None, typer.Option(help="Folder of the tokenizer that made the ids; `nano`'s is found by itself.")] = None,
    as_json: AsJson = False,
) -> None:
    """Show what a dataset holds: the counts of each step and one row with its loss mask."""
    opened = Dataset(dataset)
    rows: Iterator[TokenRow | PairRow] = opened.pairs() if opened.manifest.kind == "pairs" else opened.rows()
    example = next(islice(rows, row, None), None)
    if example is None:
        raise DataError(f"dataset {dataset} has {len(opened)} rows; --row counts from 0")
    if as_json:
        print_json({"manifest": json.loads(opened.manifest.to_json()), "row": asdict(example)})
        return
    console = SafeConsole()
    console.print(_counts_table(opened.manifest))
    tokens = example.tokens if isinstance(example, PairRow) else len(example.input_ids)
    trained = example.trained if isinstance(example, PairRow) else len(example.trained_ids)
    console.print(f"row {row} of {len(opened)}: {example.id}, {tokens} tokens, {trained} trained, trace {example.meta.get('trace')}")
    renderer = _renderer(opened.manifest.tokenizer_hash, tokenizer)
    if renderer is None:
        console.print(f"no tokenizer with hash {opened.manifest.tokenizer_hash} at hand; give its folder with --tokenizer", style="yellow")
        return
    for title, side in _sides(example):
        console.print(title, style="bold", end="\n" if title else "")
        console.print(masked_text(side, renderer))
    console.print("trained tokens are green", style="bright_black")


@data_app.command("check", epilog="Example: tirage data check rows")
def check(dataset: DatasetArgument, as_json: AsJson = False) -> None:
    """Check that rows, hashes and counts of a dataset agree. Fails when they do not."""
    opened = Dataset(dataset)
    faults = opened.check()
    if as_json:
        print_json({"dataset": str(dataset), "rows": len(opened), "sound": not faults, "faults": faults})
    if faults:
        more = f" and {len(faults) - 3} more" if len(faults) > 3 else ""
        raise DataError(f"dataset {dataset} is not sound: {'; '.join(faults[:3])}{more}; build it again")
    if not as_json:
        print(f"{dataset}: {len(opened)} rows, all sound")


def parse_settings(settings: Sequence[str]) -> dict[str, Any]:
    """`key=value` words to a mapping; values are YAML. Raises `ConfigError` for a word without `=`."""
    parsed: dict[str, Any] = {}
    for setting in settings:
        key, separator, value = setting.partition("=")
        if not separator or not key:
            raise ConfigError(f"--set {setting!r}: write it as key=value")
        try:
            parsed[key] = yaml.safe_load(value)
        except yaml.YAMLError as error:
            raise ConfigError(f"--set {setting!r}: the value is not YAML") from error
    return parsed


def masked_text(row: TokenRow, renderer: Renderer) -> Text:
    """A row's text, trained stretches in green, the rest dim."""
    text = Text()
    pairs = zip(row.input_ids, (label != IGNORED for label in row.labels), strict=True)
    for trained, stretch in groupby(pairs, key=lambda pair: pair[1]):
        words = renderer.decode(tuple(token for token, _ in stretch))
        text.append(visible(words), style="green" if trained else "bright_black")
    return text


def _sides(row: TokenRow | PairRow) -> list[tuple[str, TokenRow]]:
    """What there is to read of a row: the row itself, or the prompt and both ways on of a pair."""
    if isinstance(row, TokenRow):
        return [("", row)]
    prompt = TokenRow(id=row.id, input_ids=row.prompt_ids, labels=(IGNORED,) * len(row.prompt_ids))
    chosen = TokenRow(id=row.id, input_ids=row.chosen_ids, labels=row.chosen_labels)
    rejected = TokenRow(id=row.id, input_ids=row.rejected_ids, labels=row.rejected_labels)
    return [("prompt", prompt), ("chosen", chosen), ("rejected", rejected)]


def _store(run: Path, stages: Sequence[str]) -> TraceStore:
    if not (run / TRACES).is_file():
        raise DataError(f"{run} is not a run folder: it has no {TRACES}")
    store = TraceStore(run)
    known = sorted({entry.stage for entry in store.entries()})
    missing = [stage for stage in stages if stage not in known]
    if missing:
        raise ConfigError(
            f"run {run} has no stage {missing[0]!r}; its stages: {', '.join(known) or 'none'}; choose with --set stage=... (see the recipe)"
        )
    return store


def _counts_table(manifest: Manifest) -> Table:
    table = Table(title=f"{manifest.recipe} v{manifest.version}", box=None, title_justify="left")
    for name in ("step", "in", "out", "dropped"):
        table.add_column(name, justify="right" if name in ("in", "out") else "left")
    for count in manifest.counts:
        reasons = [f"{reason} {n}" for reason, n in count.dropped.items()] + [f"({what} {n})" for what, n in count.noted.items()]
        table.add_row(count.step, str(count.entered), str(count.left), ", ".join(reasons))
    return table


def _renderer(wanted: str, folder: Path | None) -> Renderer | None:
    """The tokenizer whose hash is `wanted`: the given folder's, else the embedded model's if it fits."""
    if folder is not None:
        renderer = HFRenderer(folder)
        if renderer.hash != wanted:
            raise ConfigError(f"the tokenizer in {folder} has hash {renderer.hash}, the rows were made with {wanted}")
        return renderer
    try:
        renderer = HFRenderer(nano_path())
    except TirageError:
        return None
    return renderer if renderer.hash == wanted else None
