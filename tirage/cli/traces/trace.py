"""`tirage trace`: look at stored rollouts, take them elsewhere, and ask a checkpoint where it comes from."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, fields
from difflib import get_close_matches
from itertools import islice
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from tirage.cli.files import write_picture
from tirage.cli.flags import AsJson, Force
from tirage.cli.terminal import SafeConsole, print_json
from tirage.core.codec import encode
from tirage.core.errors import ConfigError, DataError
from tirage.core.rollout import Rollout
from tirage.core.step import Source
from tirage.runtime.export import Format, export
from tirage.traces.base import TRACES
from tirage.traces.index import Query, TraceIndex
from tirage.traces.index_layout import Row
from tirage.traces.jsonl import TraceStore
from tirage.traces.otlp import send
from tirage.traces.pictures import Form, draw
from tirage.traces.view import STYLES, excerpt, show_path, show_tree, visible
from tirage.traces.wire import without_infinities

trace_app = typer.Typer(help="Look at stored rollouts, export them, and follow a checkpoint back to them.", no_args_is_help=True)

_WIDE = 240
_SLOW_BYTES = 20_000_000
_COLOURS = {True: "green", False: "red", None: "yellow"}
_WORDS = {True: "right", False: "wrong", None: "ungraded"}

RunArgument = Annotated[Path, typer.Argument(metavar="RUN", help="Run folder (the one with traces.jsonl).", show_default=False)]
StageOption = Annotated[str | None, typer.Option("--stage", help="Only this stage, e.g. before.", show_default=False)]
FamilyOption = Annotated[str | None, typer.Option("--family", help="Only problems of this family.", show_default=False)]
CorrectOption = Annotated[bool | None, typer.Option("--correct/--wrong", help="Only rollouts judged right (or wrong).", show_default=False)]
UngradedOption = Annotated[bool, typer.Option("--ungraded", help="Only rollouts that nobody could judge.")]


@trace_app.command("ls", epilog="Example: tirage trace ls runs/first --stage before --wrong --limit 20")
def ls(
    run: RunArgument,
    stage: StageOption = None,
    family: FamilyOption = None,
    correct: CorrectOption = None,
    ungraded: UngradedOption = False,
    limit: Annotated[int | None, typer.Option("--limit", min=1, help="At most so many.", show_default=False)] = None,
    as_json: AsJson = False,
) -> None:
    """List rollouts: one line each, with verdict, cost and whether tools and hints were used."""
    with _indexed(run) as index:
        query = _query(index, stage, family, correct, ungraded)
        rows = index.rows(query, limit=limit)
        if as_json:
            for row in rows:
                _emit(asdict(row))
            return
        console = _console()
        console.print(_rows_table(rows))
        console.print(Text(_tally(index, query, len(rows)), style="bright_black"))


@trace_app.command("show", epilog="Example: tirage trace show runs/first --index 0 --tree")
def show(
    run: RunArgument,
    key: Annotated[str | None, typer.Argument(metavar="KEY", help="Key of the rollout, or its beginning.", show_default=False)] = None,
    index: Annotated[int | None, typer.Option("--index", "-i", help="Place in the file, from 0; -1 is the newest.")] = None,
    node: Annotated[int | None, typer.Option("--node", help="Show the path to this node.", show_default="the chosen one")] = None,
    tree: Annotated[bool, typer.Option("--tree", help="Show the whole tree instead of one path.")] = False,
    as_json: AsJson = False,
) -> None:
    """Show one rollout: every span with its author, the verdict and the cost; or its tree."""
    rollout = _pick(_store(run), key, index)
    if node is not None and not 0 < node < len(rollout.tree.nodes):
        raise DataError(f"rollout {rollout.key!r} has no node {node}; its steps are 1 to {len(rollout.tree.nodes) - 1} (see --tree)")
    if as_json:
        _emit(_tree_data(rollout) if tree else encode(rollout))
        return
    console = _console()
    wrapping = console if console.is_terminal else None
    console.print(show_tree(rollout) if tree else show_path(rollout, node, console=wrapping), soft_wrap=not console.is_terminal)


@trace_app.command("tree", epilog="Example: tirage trace tree runs/first --index 0 --format html --out tree.html")
def tree_picture(
    run: RunArgument,
    key: Annotated[str | None, typer.Argument(metavar="KEY", help="Key of the rollout, or its beginning.", show_default=False)] = None,
    index: Annotated[int | None, typer.Option("--index", "-i", help="Place in the file, from 0; -1 is the newest.")] = None,
    form: Annotated[
        Form, typer.Option("--format", "-f", help="html: a page to walk about in; json, dot and mermaid for other tools.")
    ] = "html",
    out: Annotated[Path | None, typer.Option("--out", help="File to write; html goes to tree.html in the run folder, else stdout.")] = None,
    force: Force = False,
) -> None:
    """Draw the tree of one rollout: an interactive page, or a form that other tools draw."""
    store = _store(run)
    place = out or (store.folder / "tree.html" if form == "html" else None)
    if place is not None and place.exists() and not force:
        raise ConfigError(f"{place} exists; choose another place (--out) or say that it may be replaced (--force)")
    picture = draw(_pick(store, key, index), form)
    if place is None:
        typer.echo(picture.encode(), nl=False)
        return
    write_picture(picture, place, force=force)
    _console().print(Text(f"tree: {place}"), soft_wrap=True)


@trace_app.command("export", epilog="Example: tirage trace export runs/first --format openai --out solved.jsonl --correct")
def export_traces(
    run: RunArgument,
    form: Annotated[
        Format | None,
        typer.Option("--format", "-f", help="openai, sharegpt and trl are JSONL; hf is a datasets folder.", show_default=False),
    ] = None,
    out: Annotated[Path | None, typer.Option("--out", help="File to write (a folder for hf).", show_default=False)] = None,
    otlp: Annotated[
        str | None,
        typer.Option("--otlp", help="Send spans to this OpenTelemetry collector, e.g. http://localhost:4318.", show_default=False),
    ] = None,
    content: Annotated[bool, typer.Option("--content", help="Send texts too: prompts, replies, arguments, results (--otlp).")] = False,
    stage: StageOption = None,
    family: FamilyOption = None,
    correct: CorrectOption = None,
    ungraded: UngradedOption = False,
    leaves: Annotated[bool, typer.Option("--leaves", help="Every ended path of a tree, not only the chosen one.")] = False,
    hint_loss: Annotated[bool, typer.Option("--hint-loss", help="Label hint tokens as trained (trl, parquet, hf).")] = False,
    force: Force = False,
    as_json: AsJson = False,
) -> None:
    """Write rollouts in a form that other tools read, or send them to a collector as spans (`--otlp`; texts only with `--content`)."""
    if otlp is None and (form is None or out is None or content):
        raise ConfigError(
            "say where to: --format and --out for a file, or --otlp URL (with --content, if texts may leave) for a collector; "
            "see tirage trace export --help"
        )
    if otlp is not None and (form is not None or out is not None or leaves or hint_loss or force):
        raise ConfigError("--otlp sends whole trees and writes no file; leave out --format, --out, --leaves, --hint-loss and --force")
    with _indexed(run) as index:
        rows = index.rows(_query(index, stage, family, correct, ungraded))
        with _bar("exporting", len(rows), slow=sum(row.length for row in rows) > _SLOW_BYTES) as tick:
            rollouts = index.store.read_at((row.offset, row.length) for row in tick(rows))
            if form is not None and out is not None:
                done = export(rollouts, form, out, leaves=leaves, hint_loss=hint_loss, overwrite=force)
            elif otlp is not None:
                sent = send(rollouts, otlp, content=content)
    if otlp is not None:
        _tell(f"{sent.spans} spans of {sent.rollouts} rollouts sent to {otlp}", asdict(sent), as_json)
        return
    left_out = "".join(f"; {count} left out: {reason}" for reason, count in done.skipped.items())
    _tell(f"{done.rows} rows in {done.path}{left_out}", {"path": str(done.path), "rows": done.rows, "skipped": done.skipped}, as_json)


@trace_app.command("grep", epilog="Example: tirage trace grep runs/first 'ZeroDivisionError' --source tool")
def grep(
    run: RunArgument,
    pattern: Annotated[str, typer.Argument(help="Text to look for; the case of ASCII letters is ignored.", show_default=False)] = "",
    source: Annotated[Source | None, typer.Option("--source", help="Only text of this author.", show_default=False)] = None,
    regex: Annotated[bool, typer.Option("--regex", "-E", help="PATTERN is a regular expression (slower).")] = False,
    limit: Annotated[int | None, typer.Option("--limit", min=1, help="At most so many.", show_default=False)] = None,
    not_run: Annotated[bool, typer.Option("--unrun", help="Programs that the policy wrote and nothing ran, instead of a pattern.")] = False,
    as_json: AsJson = False,
) -> None:
    """Find text in what was read and written. Prints key, node, author and the line."""
    if not_run:
        _show_unrun(run, limit, as_json)
        return
    if not pattern:
        raise typer.BadParameter("give a text to look for, or --unrun")
    with _indexed(run) as index:
        hits = index.grep(pattern, source=source, regex=regex, limit=limit)
    console = _console()
    for hit in hits:
        if as_json:
            _emit(asdict(hit))
            continue
        first = hit.text.rfind("\n", 0, hit.start) + 1
        last = hit.text.find("\n", hit.start + len(hit.match))
        line = Text(visible(hit.text[first : last if last >= 0 else None].replace("\n", " ⏎ ")), style=STYLES[hit.source])
        line.highlight_words([visible(hit.match)], "bold reverse", case_sensitive=False)
        console.print(Text(f"{hit.key}#{hit.node} {hit.source}: ", style="bright_black").append_text(line), soft_wrap=True)


def _show_unrun(run: Path, limit: int | None, as_json: bool) -> None:
    from tirage.evaluation.unrun import unrun

    console = _console()
    with _store(run) as store:
        found = list(islice(unrun(store.read()), limit))
    for item in found:
        first = next((line for line in item.code.splitlines() if line.strip()), "")
        _emit(asdict(item)) if as_json else console.print(Text(f"{item.key}#{item.node} {item.reason}: {visible(first)}"), soft_wrap=True)
    print(f"{len(found)} programs were not run", file=sys.stderr)


@trace_app.command("why", epilog="Example: tirage trace why runs/first/checkpoint --limit 2")
def why(
    checkpoint: Annotated[Path, typer.Argument(metavar="CHECKPOINT", help="Folder of a trained checkpoint (the one with lineage.json).")],
    row: Annotated[str | None, typer.Option("--row", help="Detail only the training row of this id.", show_default=False)] = None,
    trace: Annotated[str | None, typer.Option("--trace", help="Detail only rows made from this trace.", show_default=False)] = None,
    limit: Annotated[int, typer.Option("--limit", min=0, help="Rows to follow to their model calls, per dataset.")] = 3,
    as_json: AsJson = False,
) -> None:
    """Follow a checkpoint back to its dataset, traces and model calls, and check every link."""
    from tirage.cli.traces.lineage_view import lineage_data, lineage_text
    from tirage.runtime.lineage import Wanted
    from tirage.runtime.lineage import why as follow

    with _progress(True) as progress:
        task = progress.add_task("checking rows", total=None)
        wanted = Wanted(row=row, trace=trace, limit=limit)
        generations = follow(checkpoint, wanted, progress=lambda done, total: progress.update(task, completed=done, total=total))
    if as_json:
        _emit(lineage_data(generations))
    else:
        _console().print(lineage_text(generations), soft_wrap=True)
    broken = [link for generation in generations for link in generation.broken]
    if broken:
        raise DataError(f"{len(broken)} broken links, first: {broken[0].kind} {broken[0].name}: {broken[0].detail}")


def _tell(line: str, data: Any, as_json: bool) -> None:
    if as_json:
        _emit(data)
    else:
        _console().print(Text(line), soft_wrap=True)


def _emit(data: Any) -> None:
    """One JSON line. Halves of surrogate pairs, which no encoding can print, leave as JSON escapes; numbers that JSON lacks as strings."""
    print_json(without_infinities(data))


def _store(run: Path) -> TraceStore:
    """The store of a run folder. Raises `DataError` naming folders that look meant."""
    folder = run.parent if run.name == TRACES else run
    if (folder / TRACES).is_file():
        return TraceStore(folder)
    inside = sorted(path.parent for path in folder.glob(f"*/{TRACES}"))
    if inside:
        raise DataError(f"{run} holds no {TRACES}, but {_some(inside)} do; name one of them")
    beside = {path.parent.name: path.parent for path in folder.resolve().parent.glob(f"*/{TRACES}")}
    close = get_close_matches(folder.name, beside, n=3, cutoff=0.4)
    hint = f"did you mean {_some([folder.parent / name for name in close])}?" if close else "name a folder that a run has written to"
    raise DataError(f"{run} {'holds no ' + TRACES if folder.is_dir() else 'does not exist'}; {hint}")


def _some(paths: list[Path]) -> str:
    names = [str(path) for path in paths[:5]]
    return " or ".join(names) + (f" and {len(paths) - 5} more" if len(paths) > 5 else "")


@contextmanager
def _indexed(run: Path) -> Iterator[TraceIndex]:
    """The caught-up index of a run; a bar shows when there is much to read."""
    store = _store(run)
    with TraceIndex(store) as index:
        size = store.path.stat().st_size
        with _progress(size > _SLOW_BYTES) as progress:
            task = progress.add_task("indexing", total=size)
            index.catch_up(lambda done, total: progress.update(task, completed=done, total=total))
        yield index


def _progress(shown: bool) -> Progress:
    console = SafeConsole(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeRemainingColumn())
    return Progress(*columns, console=console, transient=True, disable=not (shown and console.is_terminal))


@contextmanager
def _bar(name: str, total: int, *, slow: bool) -> "Iterator[Callable[[list[Row]], Iterator[Row]]]":
    with _progress(slow) as progress:
        task = progress.add_task(name, total=total)

        def tick(rows: list[Row]) -> Iterator[Row]:
            for row in rows:
                yield row
                progress.advance(task)

        yield tick


def _console() -> Console:
    """Standard output; wide where no terminal limits it, so that programs and files get whole lines."""
    return SafeConsole() if sys.stdout.isatty() else SafeConsole(width=_WIDE)


def _query(index: TraceIndex, stage: str | None, family: str | None, correct: bool | None, ungraded: bool) -> Query:
    """What the options ask for. Raises `DataError` for a stage or family that the run does not have."""
    if ungraded and correct is not None:
        raise ConfigError("--ungraded excludes --correct and --wrong; give one of them")
    for name, value in (("stage", stage), ("family", family)):
        known = index.values(name) if value is not None else []
        if value is not None and value not in known:
            close = get_close_matches(value, known, n=1, cutoff=0.4)
            guess = f"did you mean {close[0]!r}? " if close else ""
            raise DataError(f"{index.store.folder} has no {name} {value!r}; {guess}it has: {', '.join(known) or 'nothing yet'}")
    return Query(stage=stage, family=family, correct=correct, ungraded=True if ungraded else None)


def _rows_table(rows: list[Row]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bright_black")
    table.add_column("#", justify="right")
    for name in ("key", "family", "tier", "verdict", "stop", "outcome"):
        table.add_column(name, no_wrap=name != "outcome")
    for name in ("tool", "hint"):
        table.add_column(name)
    for name in ("nodes", "tokens", "calls", "seconds"):
        table.add_column(name, justify="right")
    for row in rows:
        verdict = Text(_WORDS[row.correct], style=_COLOURS[row.correct])
        if row.score is not None and row.score not in (0.0, 1.0):
            verdict.append(f" {row.score:.2f}")
        what = Text(excerpt(row.error, 40), style="red") if row.error else Text(excerpt(row.answer or "", 24))
        flags = ["yes" if flag else "" for flag in (row.used_tool, row.hinted)]
        counts = [str(row.nodes - 1), str(row.tokens_out), str(row.calls), f"{row.wall_s:.2f}"]
        table.add_row(str(row.number), row.key, row.family, row.tier, verdict, row.stop or "-", what, *flags, *counts)
    return table


def _tally(index: TraceIndex, query: Query, shown: int) -> str:
    total = index.count(query)
    counts = {word: index.count(_narrowed(query, correct)) for correct, word in _WORDS.items()}
    parts = [f"{count} {word}" for word, count in counts.items() if count]
    return f"{shown} of {total} rollouts" + (f": {', '.join(parts)}" if parts else "")


def _narrowed(query: Query, correct: bool | None) -> Query:
    """`query` restricted to one verdict; one that excludes itself when the query asks for another."""
    data = {item.name: getattr(query, item.name) for item in fields(query)}
    if correct is None:
        return Query(**{**data, "ungraded": True})
    if query.correct not in (None, correct) or query.ungraded:
        return Query(**{**data, "correct": correct, "ungraded": True})
    return Query(**{**data, "correct": correct})


def _pick(store: TraceStore, key: str | None, number: int | None) -> Rollout:
    if key is None and number is None and len(store) == 1:
        number = 0
    if (key is None) == (number is None):
        raise ConfigError("say which rollout: either its KEY or --index N (tirage trace ls lists them)")
    if key is not None:
        keys = store.keys()
        longer = [] if key in keys else sorted(name for name in keys if name.startswith(key))
        if len(longer) > 1:
            raise DataError(f"{len(longer)} keys begin with {key!r}, e.g. {', '.join(longer[:3])}; give more of the one you mean")
        return store.get(longer[0] if len(longer) == 1 else key)
    entries = [(entry.offset, entry.length) for entry in store.entries()]
    if number is None or not -len(entries) <= number < len(entries):
        raise DataError(f"{store.path} has no rollout number {number}; it holds {len(entries)}, numbered from 0")
    return next(store.read_at([entries[number]]))


def _tree_data(rollout: Rollout) -> dict[str, Any]:
    """The tree as plain data: a list of nodes with text and statistics."""
    tree = rollout.tree
    nodes = []
    for node in tree.nodes:
        verdict, visits = rollout.verdicts.get(node.index), tree.visits[node.index]
        nodes.append(
            {
                "index": node.index,
                "parent": node.parent,
                "depth": node.depth,
                "stop": node.stop,
                "text": node.step.text if node.step is not None else "".join(span.text for span in tree.prompt),
                "visits": visits,
                "value": tree.value_sum[node.index] / visits if visits else None,
                "correct": verdict.correct if verdict is not None else None,
            }
        )
    return {"key": rollout.key, "chosen": rollout.chosen, "nodes": nodes}
