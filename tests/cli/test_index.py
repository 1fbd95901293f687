"""`tirage index`, as a user meets it."""

import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from tests.cli.command_line import run
from tests.processes import interruptible
from tirage.tools.retrieval.readers import html_text


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    folder = tmp_path / "docs"
    (folder / "deep").mkdir(parents=True)
    (folder / "a.md").write_text("# Branches\n\nA branch of a session is exact.\n")
    (folder / "deep" / "b.html").write_text(
        "<head><title>no</title></head><p>Otters <b>eat</b> urchins&amp;clams<script>no()</script><p>Next"
    )
    (folder / "c.jsonl").write_text('{"id": "x", "text": "Basalt is a rock."}\n\n{"text": "Butter melts."}\n')
    (folder / "d.bin").write_bytes(b"\x00")
    return folder


def test_files_are_added_found_and_counted(capsys: pytest.CaptureFixture[str], tmp_path: Path, corpus: Path) -> None:
    store = str(tmp_path / "c.sqlite")
    code, out, _ = run(capsys, "index", "add", store, str(corpus), "--json")
    first = json.loads(out)
    assert (code, first["files"], first["documents"], first["chunks"]) == (0, 3, 4, 4)
    assert json.loads(run(capsys, "index", "add", store, str(corpus), "--json")[1]) == first
    out = run(capsys, "index", "search", store, "is a branch exact?", "-k", "1", "--json")[1]
    assert json.loads(out)["document"].endswith("a.md")
    assert "c.jsonl#x" in run(capsys, "index", "search", store, "basalt", "--mode", "keywords")[1]
    assert "nothing was found" in run(capsys, "index", "search", store, "?")[1]
    assert "hashing-384/1" in run(capsys, "index", "stats", store)[1]
    assert "4 documents of 3 files" in run(capsys, "index", "add", store, str(corpus))[1]


def test_the_embedder_is_the_collections_own_unless_another_is_asked_for(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, corpus: Path
) -> None:
    store = str(tmp_path / "c.sqlite")
    model2vec = pytest.importorskip("model2vec", reason="install model2vec: pip install 'tirage[retrieval]'")
    tokenizers = pytest.importorskip("tokenizers")
    tokenizer = tokenizers.Tokenizer(tokenizers.models.WordLevel({"[UNK]": 0, "[PAD]": 1, "rock": 2, "otters": 3}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.WhitespaceSplit()
    table = np.array([[1, 1, 0], [0, 0, 0], [9, 0, 0], [0, 9, 0]], np.float32)
    model2vec.StaticModel(table, tokenizer, config={"model_type": "model2vec"}).save_pretrained(tmp_path / "model")
    name = f"folder:{tmp_path / 'model'}"
    code, out, _ = run(capsys, "index", "add", store, str(corpus), "--embedder", name, "--json")
    assert (code, json.loads(out)["embedder"]) == (0, name)
    assert json.loads(run(capsys, "index", "stats", store, "--json")[1])["dimensions"] == 3
    assert run(capsys, "index", "search", store, "rock")[0] == 0
    code, _, err = run(capsys, "index", "search", store, "rock", "--embedder", "hash")
    assert code == 2
    assert "model@" in err
    assert "hashing-384/1" in err
    assert "index its documents again" in err


def test_a_file_that_cannot_be_read_among_others_is_skipped_and_counted(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, corpus: Path
) -> None:
    pytest.importorskip("pypdf", reason="install pypdf: pip install 'tirage[retrieval]'")
    (corpus / "bad.pdf").write_bytes(b"not a PDF")
    code, out, err = run(capsys, "index", "add", str(tmp_path / "c.sqlite"), str(corpus), "--json")
    report = json.loads(out)
    assert (code, report["files"], report["skipped"], report["documents"]) == (3, 4, 1, 4)
    assert "skipped: " in err
    assert "bad.pdf is no readable PDF" in err
    code, _, err = run(capsys, "index", "add", str(tmp_path / "c.sqlite"), str(corpus / "bad.pdf"))
    assert code == 3
    assert "bad.pdf is no readable PDF" in err


def test_a_reader_of_pdfs_says_nothing_of_its_own(tmp_path: Path) -> None:
    pytest.importorskip("pypdf", reason="install pypdf: pip install 'tirage[retrieval]'")
    (tmp_path / "bad.pdf").write_bytes(b"not a PDF")
    command = [sys.executable, "-m", "tirage", "index", "add", "c.sqlite", "bad.pdf", "--json"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert (done.returncode, done.stderr.count("\n")) == (3, 1), done.stderr
    assert "bad.pdf is no readable PDF (PdfStreamError: Stream has ended unexpectedly); export it again, or leave it out" in done.stderr


def test_a_lance_folder_is_a_collection_too(capsys: pytest.CaptureFixture[str], tmp_path: Path, corpus: Path) -> None:
    pytest.importorskip("lancedb", reason="install LanceDB: pip install 'tirage[lance]'")
    store = str(tmp_path / "c.lance")
    assert json.loads(run(capsys, "index", "add", store, str(corpus), "--json")[1])["chunks"] == 4
    assert "c.jsonl#x" in run(capsys, "index", "search", store, "basalt")[1]
    assert json.loads(run(capsys, "index", "stats", store, "--json")[1])["documents"] == 4


def test_reranked_on_the_command_line(capsys: pytest.CaptureFixture[str], tmp_path: Path, corpus: Path) -> None:
    store = str(tmp_path / "c.sqlite")
    run(capsys, "index", "add", store, str(corpus))
    out = run(capsys, "index", "search", store, "basalt rock", "--rerank", "lexical", "-k", "1", "--json")[1]
    assert json.loads(out)["document"].endswith("c.jsonl#x")


def test_a_page_is_what_its_reader_sees() -> None:
    page = "<head><title>no</title></head><p>Otters <b>eat</b> urchins&amp;clams<script>no()</script><p>Next"
    assert html_text(page) == "Otters eat urchins&clams\nNext"


@pytest.mark.parametrize(
    ("arguments", "says", "exits"),
    [
        (["add", "STORE", "FOLDER/none"], "there is no file or folder", 3),
        (["add", "STORE", "FOLDER/d.bin"], "files that end in .bin cannot be read", 3),
        (["add", "STORE", "FOLDER/odd"], "nothing to read below", 3),
        (["add", "STORE", "FOLDER/odd"], "files that can be read end in .htm, .html", 3),
        (["add", "STORE", "FOLDER/empty.txt"], "there is no text in FOLDER/empty.txt; give files with some", 3),
        (["add", "STORE", "FOLDER/junk.txt"], "junk.txt is no text in UTF-8 (it has zero bytes); convert it", 3),
        (["add", "STORE/none/c.sqlite", "FOLDER/a.md"], "there is no folder STORE/none for the collection c.sqlite; make it first", 3),
        (["add", "FOLDER", "FOLDER/a.md"], "is a folder; a collection is a file, or a folder of LanceDB's that ends in .lance", 3),
        (["search", "FOLDER", "x"], "is a folder; a collection is a file", 3),
        (["search", "FOLDER/a.md", "x"], "is no collection (file is not a database); give another file", 3),
        (["add", "STORE", "FOLDER/c.jsonl", "--field", "body"], "line 1: no JSON object with a text under 'body'", 3),
        (["add", "STORE", "FOLDER", "--chunk-size", "50", "--chunk-overlap", "50"], "must be smaller", 2),
        (["add", "FOLDER/a.md", "FOLDER/c.jsonl"], "is no collection", 3),
        (["search", "STORE", "x"], "there is no collection", 3),
        (["add", "STORE", "FOLDER/a.md", "--embedder", "bert"], "unknown embedder 'bert': forms: hash, minilm, folder:PATH", 2),
        (["add", "STORE", "FOLDER/a.md", "--embedder", "http://h:1/v1"], "write http://h:1/v1#NAME", 2),
        (["add", "STORE", "FOLDER/a.md", "--embedder", "folder:FOLDER"], "has no config.json", 2),
        (["stats", "STORE"], "tirage index add", 3),
    ],
)
def test_what_is_wrong_is_one_line(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, corpus: Path, arguments: list[str], says: str, exits: int
) -> None:
    (corpus / "odd").mkdir()
    (corpus / "odd" / "x.bin").write_bytes(b"x")
    (corpus / "empty.txt").write_text(" \n")
    (corpus / "junk.txt").write_bytes(b"\x7fELF\x00\x01")

    def named(word: str) -> str:
        return word.replace("STORE", str(tmp_path / "c.sqlite")).replace("FOLDER", str(corpus))

    code, _, err = run(capsys, "index", *map(named, arguments))
    assert code == exits
    assert named(says) in err.splitlines()[-1]


def test_a_file_among_others_that_is_no_text_is_skipped_and_an_empty_one_counted(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, corpus: Path
) -> None:
    (corpus / "junk.txt").write_bytes(bytes(range(256)))
    (corpus / "empty.py").write_text("")
    os.symlink(corpus / "a.md", os.fsencode(corpus) + b"/odd\xff.md")
    code, out, err = run(capsys, "index", "add", str(tmp_path / "c.sqlite"), str(corpus), "--json")
    report = json.loads(out)
    assert (code, report["skipped"], report["empty"], report["documents"], report["chunks"]) == (3, 1, 1, 6, 5)
    assert "skipped: " in err
    out = run(capsys, "index", "search", str(tmp_path / "c.sqlite"), "branches", "--json")[1]
    assert sorted(json.loads(line)["document"].rpartition("/")[2] for line in out.splitlines()) == ["a.md", "odd\\udcff.md"]


@pytest.mark.parametrize(
    "query", ['"', "otters AND (", "NEAR/2 *:^", "🦦 otters", "it's", "-otters", "{a}", "%_", "\udcff otters", "?" * 3000]
)
def test_any_text_on_the_command_line_is_a_query(capsys: pytest.CaptureFixture[str], tmp_path: Path, corpus: Path, query: str) -> None:
    store = str(tmp_path / "c.sqlite")
    run(capsys, "index", "add", store, str(corpus))
    for mode in ("hybrid", "ranks", "keywords", "vectors"):
        code, out, err = run(capsys, "index", "search", store, "--mode", mode, "--rerank", "lexical", "--json", "-k", "1", "--", query)
        assert (code, err) == (0, "")
        assert "otters" not in query or json.loads(out)["document"].endswith("b.html")


def test_an_interrupted_addition_keeps_what_it_stored_and_goes_on(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """The signal comes when there are chunks on disk and thousands of documents to go."""
    lines = (
        json.dumps({"id": number, "text": f"w{number} " + " ".join(f"w{number * step % 997}" for step in range(60))})
        for number in range(12_000)
    )
    (tmp_path / "many.jsonl").write_text("\n".join(lines))
    store = tmp_path / "c.sqlite"
    command = [sys.executable, "-m", "tirage", "index", "add", str(store), str(tmp_path / "many.jsonl")]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, preexec_fn=interruptible) as process:
        while process.poll() is None and not (store.exists() and stored(store)):
            time.sleep(0.02)
        process.send_signal(signal.SIGINT)
        said = process.communicate(timeout=60)[1]
    assert process.returncode == 130, said
    assert "nothing finished is lost: run the same command again to resume" in said
    kept = stored(store)
    assert 0 < kept < 12_000
    assert json.loads(run(capsys, "index", "stats", str(store), "--json")[1])["chunks"] == kept
    (tmp_path / "some.jsonl").write_text("\n".join((tmp_path / "many.jsonl").read_text().splitlines()[: kept + 600]))
    (tmp_path / "some.jsonl").replace(tmp_path / "many.jsonl")
    assert json.loads(run(capsys, *command[3:], "--json")[1])["chunks"] == kept + 600


def stored(store: Path) -> int:
    """Documents on disk; 0 before there is a table of them."""
    with closing(sqlite3.connect(store, timeout=60)) as db:
        try:
            return int(db.execute("SELECT count(*) FROM documents").fetchone()[0])
        except sqlite3.OperationalError:
            return 0
