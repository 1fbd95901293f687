"""The vectors beside a collection: written in pieces, and never what is found changes by it."""

import os
import random
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tirage.tools.retrieval import Collection, HashingEmbedder

WORDS = [f"word{number}" for number in range(60)]


def text(rng: random.Random) -> str:
    return " ".join(rng.choices(WORDS, k=12))


def blocks(collection: Collection) -> dict[str, int]:
    """Inode by name: a block that is written again has another one."""
    folder = collection.path.with_name(f"{collection.path.name}.vectors")
    return {path.name: path.stat().st_ino for path in folder.glob("*.block")}


def answers(collection: Collection, seed: int = 1) -> dict[tuple[str, int, str], float]:
    """All scores of some questions, by mode, question and chunk; the last bit of a product depends on where its row lies."""
    rng = random.Random(seed)
    asked = [
        (mode, number, collection.search(text(rng), 3000, mode=mode)) for number in range(3) for mode in ("vectors", "hybrid", "keywords")
    ]
    return {(mode, number, hit.chunk.id): hit.score for mode, number, hits in asked for hit in hits if hit.score > 1e-6}


def fresh(collection: Collection, folder: Path) -> dict[tuple[str, int, str], float]:
    """What a copy of the file alone answers."""
    folder.mkdir(exist_ok=True)
    collection._db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    shutil.rmtree(folder / "c.sqlite.vectors", ignore_errors=True)
    shutil.copy(collection.path, folder / "c.sqlite")
    with Collection(folder / "c.sqlite") as other:
        return answers(other)


def test_after_any_changes_it_finds_what_a_fresh_copy_finds(tmp_path: Path) -> None:
    rng = random.Random(0)
    with Collection(tmp_path / "c.sqlite") as made:
        list(made.add([(f"d{number}", text(rng)) for number in range(200)]))
        most = 0
        for turn in range(60):
            if rng.random() < 0.3:
                made.remove(f"d{rng.randrange(240)}")
            else:
                list(made.add([(f"d{rng.randrange(240)}", text(rng)) for _ in range(rng.choice((1, 1, 1, 9)))]))
            found = answers(made)
            most = max(most, len(blocks(made)))
            if turn % 10 == 9:
                assert found == pytest.approx(fresh(made, tmp_path / "fresh"), abs=1e-6)
        assert 2 <= most <= 8, "there are few blocks, however many changes came"
        for number in range(240):
            made.remove(f"d{number}")
        assert (made.search("word1"), blocks(made)) == ([], {})


def test_one_more_document_leaves_the_large_block_as_it_is(tmp_path: Path) -> None:
    rng = random.Random(0)
    with Collection(tmp_path / "c.sqlite") as made:
        list(made.add([(f"d{number}", text(rng)) for number in range(300)]))
        answers(made)
        before = blocks(made)
        list(made.add([("new", "an otter and word3")]))
        assert made.search("otter")[0].chunk.document == "new"
        made.remove("d7")
        answers(made)
        after = blocks(made)
        assert len(before) == 1
        assert before.items() < after.items()
        assert len(after) == 2


def test_a_file_that_was_replaced_and_blocks_that_are_left_over_mislead_nobody(tmp_path: Path) -> None:
    """The older file gives its next chunk the number that another chunk had meanwhile."""
    path = tmp_path / "c.sqlite"
    with Collection(path) as made:
        list(made.add([("a", "word1 word2"), ("b", "word3 word4")]))
    shutil.copy(path, tmp_path / "backup")
    with Collection(path) as made:
        list(made.add([("c", "word5 word6")]))
        assert made.search("word5", mode="vectors")[0].chunk.document == "c"
    shutil.copy(tmp_path / "backup", path)
    with Collection(path) as made:
        list(made.add([("d", "word7 word8")]))
        (hit, *_) = made.search("word7 word8", mode="vectors")
        assert (hit.chunk.document, hit.score) == ("d", pytest.approx(1, abs=1e-3))
        assert "c" not in [item.chunk.document for item in made.search("word5", 9, mode="vectors")]
    path.unlink()
    with Collection(path, HashingEmbedder(64)) as made:
        list(made.add([("a", "word1 word2")]))
        assert made.search("word1 word2", mode="vectors")[0].score == pytest.approx(1, abs=1e-3)
        assert len(blocks(made)) == 1, "those of the other embedder are deleted"


def test_what_a_killed_process_left_is_not_read_and_goes(tmp_path: Path) -> None:
    with Collection(tmp_path / "c.sqlite") as made:
        list(made.add([("a", "word1 word2")]))
        answers(made)
        (block,) = (tmp_path / "c.sqlite.vectors").glob("*.block")
        old, new = block.with_suffix(".1.tmp"), block.with_suffix(".2.tmp")
        for path in (old, new):
            path.write_bytes(block.read_bytes()[:100])
        os.utime(old, (time.time() - 7200,) * 2)
        list(made.add([("b", "word3 word4")]))
        assert made.search("word3 word4", mode="vectors")[0].chunk.document == "b"
        assert (old.exists(), new.exists()) == (False, True), "a fresh one may be somebody's who is just writing it"


def test_a_place_that_cannot_be_written_costs_only_time(tmp_path: Path) -> None:
    (tmp_path / "c.sqlite.vectors").write_text("in the way")
    with Collection(tmp_path / "c.sqlite") as made:
        list(made.add([("a", "word1 word2"), ("b", "word3")]))
        assert made.search("word1 word2", mode="vectors")[0].chunk.document == "a"


READ_ONLY = """
import os, sys, tempfile
from pathlib import Path
from tirage.core.errors import DataError
from tirage.tools.retrieval import Collection
from tirage.tools.retrieval.collection import embedder_name
if os.geteuid() == 0:
    os.seteuid(65534)
with tempfile.TemporaryDirectory() as folder:
    path = Path(folder) / "c.sqlite"
    with Collection(path) as made:
        list(made.add([("a", "word1 word2"), ("b", "word3")]))
        mark = made.fingerprint
    path.chmod(0o444)
    if sys.argv[1] == "folder too":
        path.parent.chmod(0o555)
    assert embedder_name(path) == "hash"
    with Collection(path) as made:
        assert (made.fingerprint, made.search("word1")[0].chunk.document) == (mark, "a")
        for change in (lambda: list(made.add([("c", "word4")])), lambda: made.remove("a")):
            try:
                change()
            except DataError as error:
                print(error)
        assert made.fingerprint == mark
    path.parent.chmod(0o755)
"""


@pytest.mark.parametrize("what", ["file", "folder too"])
def test_a_file_that_cannot_be_written_can_be_searched(what: str) -> None:
    done = subprocess.run([sys.executable, "-c", READ_ONLY, what], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.count("readonly database; add to a copy that you may write, or get leave to write this one") == 2


ADD = """
import sys
from pathlib import Path
from tirage.tools.retrieval import Collection
with Collection(Path(sys.argv[1])) as made:
    for _ in made.add((f"{name}{number}", f"word{number} of {name}") for name in sys.argv[2] for number in range(600)):
        made.search("word5", mode="vectors")
"""


def test_processes_that_add_at_once_leave_what_one_leaves(tmp_path: Path) -> None:
    processes = [subprocess.Popen([sys.executable, "-c", ADD, str(tmp_path / "c.sqlite"), names]) for names in ("ab", "bc")]
    assert [process.wait(60) for process in processes] == [0, 0]
    with Collection(tmp_path / "c.sqlite") as made, Collection(tmp_path / "one.sqlite") as one:
        list(one.add((f"{name}{number}", f"word{number} of {name}") for name in "abc" for number in range(600)))
        assert (made.fingerprint, len(made)) == (one.fingerprint, 1800)
        assert answers(made) == pytest.approx(answers(one), abs=1e-6)
