"""`tirage index`: collections of documents to retrieve from."""

import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Annotated

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.text import Text

from tirage.cli.flags import AsJson
from tirage.cli.terminal import SafeConsole, print_json
from tirage.core.errors import ConfigError, DataError
from tirage.runtime.opening.collections import existing_collection, open_collection, open_reranker
from tirage.runtime.opening.embedders import FORMS
from tirage.tools.retrieval.base import RetrievalMode
from tirage.tools.retrieval.readers import READABLE, find_files, read_documents

index_app = typer.Typer(
    help="Collections of documents to retrieve from: one SQLite file each, no server. `tirage solve -c FILE` lets a model search one.",
    no_args_is_help=True,
)

CollectionPath = Annotated[
    Path, typer.Argument(metavar="COLLECTION", help="The collection's file; a folder that ends in .lance is LanceDB's.", show_default=False)
]
EmbedderName = Annotated[
    str | None,
    typer.Option("--embedder", help=f"What makes vectors: {', '.join(FORMS)}; by default the collection's own, `hash` for a new one."),
]


@index_app.command("add", epilog="Example: tirage index add docs.sqlite docs/ notes.md corpus.jsonl")
def add(
    collection: CollectionPath,
    paths: Annotated[list[Path], typer.Argument(help="Files and folders: text, Markdown, HTML, PDF, JSON lines.", show_default=False)],
    embedder: EmbedderName = None,
    field: Annotated[str, typer.Option(help="JSON lines: the field with the text.")] = "text",
    size: Annotated[int, typer.Option("--chunk-size", min=50, help="Characters of a chunk at most.")] = 800,
    overlap: Annotated[int, typer.Option("--chunk-overlap", min=0, help="Characters that chunks share at most.")] = 80,
    as_json: AsJson = False,
) -> None:
    """Add documents, replacing those that have changed; what is there already costs nothing, and an interruption loses nothing stored.

    Of several files, one that cannot be read is skipped and named; the exit code is then 3.
    """
    if overlap >= size:
        raise ConfigError(f"--chunk-overlap {overlap} must be smaller than --chunk-size {size}")
    files = find_files(paths)
    if not files:
        raise DataError(f"nothing to read below {', '.join(map(str, paths))}; files that can be read end in {', '.join(sorted(READABLE))}")
    bars = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=SafeConsole(stderr=True, quiet=as_json),
    )
    skipped: list[str] = []
    empty: list[str] = []
    with closing(open_collection(collection, embedder)) as opened, bars:
        task = bars.add_task("files", total=len(files))
        seen = 0
        for seen in opened.add(_documents(files, field, skipped, empty, lambda: bars.advance(task)), size=size, overlap=overlap):
            bars.update(task, description=f"files ({seen} documents)")
        if seen and len(empty) == seen:
            raise DataError(f"there is no text in {', '.join(map(str, paths))}; give files with some")
        report = {
            "files": len(files),
            "skipped": len(skipped),
            "documents": seen,
            "empty": len(empty),
            "chunks": len(opened),
            "embedder": opened.embedder.name,
            "fingerprint": opened.fingerprint,
        }
    blank = f" ({len(empty)} of them empty)" if empty else ""
    print_json(report) if as_json else SafeConsole(soft_wrap=True).print(
        f"{seen} documents{blank} of {len(files)} files; the collection has {report['chunks']} chunks, fingerprint {report['fingerprint']}"
    )
    for said in skipped:
        print(f"skipped: {said}", file=sys.stderr)
    if skipped:
        raise typer.Exit(DataError.exit_code)


def _documents(files: list[Path], field: str, skipped: list[str], empty: list[str], done: Callable[[], None]) -> Iterator[tuple[str, str]]:
    """The documents of all files; notes which files cannot be read, unless it is the only one, and which documents are empty."""
    for path in files:
        try:
            for name, text in read_documents(path, field=field):
                if not text.strip():
                    empty.append(name)
                yield name, text
        except DataError as error:
            if len(files) == 1:
                raise
            skipped.append(str(error))
        done()


@index_app.command("search", epilog="Example: tirage index search docs.sqlite 'exact branches' -k 3")
def search(
    collection: CollectionPath,
    query: Annotated[str, typer.Argument(help="Any text.", show_default=False)],
    k: Annotated[int, typer.Option("--top", "-k", min=1, max=100, help="Chunks wanted.")] = 5,
    mode: Annotated[RetrievalMode, typer.Option(help="Keywords and vectors fused, or one of them.")] = "hybrid",
    rerank: Annotated[
        str | None, typer.Option(help="Re-rank the best chunks: `lexical`, or the folder of a cross-encoder.", show_default=False)
    ] = None,
    embedder: EmbedderName = None,
    as_json: AsJson = False,
) -> None:
    """Find the best chunks."""
    with closing(existing_collection(collection, embedder)) as opened:
        hits = opened.search(query, k, mode=mode, rerank=open_reranker(rerank))
    if as_json:
        for hit in hits:
            print_json({"id": hit.chunk.id, "document": hit.chunk.document, "score": hit.score, "text": hit.chunk.text})
        return
    console = SafeConsole(soft_wrap=True)
    for number, hit in enumerate(hits, start=1):
        console.print(Text(f"{number}  {hit.chunk.document}", "bold"), Text(f"{hit.chunk.id}, {hit.score:.4f}", "dim"))
        console.print(hit.chunk.text)
    if not hits:
        console.print("nothing was found")


@index_app.command("stats", epilog="Example: tirage index stats docs.sqlite")
def stats(collection: CollectionPath, as_json: AsJson = False) -> None:
    """What a collection holds."""
    with closing(existing_collection(collection)) as opened:
        report = {
            "documents": opened.documents,
            "chunks": len(opened),
            "embedder": opened.embedder.id,
            "dimensions": opened.embedder.dimension,
            "fingerprint": opened.fingerprint,
            "megabytes": round(sum(file.stat().st_size for file in (collection, *collection.rglob("*")) if file.is_file()) / 1e6, 1),
        }
    print_json(report) if as_json else SafeConsole(soft_wrap=True).print("\n".join(f"{key:<12} {value}" for key, value in report.items()))
