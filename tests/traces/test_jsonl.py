import json
import os
import subprocess
import sys
import textwrap
import threading
import tracemalloc

import pytest

from tirage.core.codec import SCHEMA_VERSION
from tirage.core.errors import DataError
from tirage.traces import TraceStore


@pytest.fixture
def store(tmp_path):
    with TraceStore(tmp_path / "run") as store:
        yield store


def test_what_is_appended_is_read_back_in_order(store, make_rollout, make_broken):
    stored = [make_rollout(0, hinted=True), make_rollout(1, correct=None), make_broken(), make_rollout(2, empty=True)]
    for rollout in stored:
        store.append(rollout)
    assert list(store.read()) == stored
    assert list(TraceStore(store.folder).read()) == stored


def test_a_missing_run_reads_as_empty(tmp_path):
    store = TraceStore(tmp_path / "nothing")
    assert list(store.read()) == []
    assert store.keys() == set()
    assert len(store) == 0
    assert not store.folder.exists()


def test_keys_and_reading_by_stage(store, make_rollout):
    for stage, sample in (("before", 0), ("after", 0), ("before", 1)):
        store.append(make_rollout(sample, stage=stage))
    problem = make_rollout().problem.id
    assert store.keys("before") == {f"before/{problem}/0", f"before/{problem}/1"}
    assert store.keys("absent") == set()
    assert [rollout.key for rollout in store.read("after")] == [f"after/{problem}/0"]
    assert [rollout.sample for rollout in store.read(where=lambda rollout: rollout.sample == 1)] == [1]


def test_get_finds_by_key_and_names_close_keys(store, make_rollout):
    store.append(make_rollout(3))
    key = make_rollout(3).key
    assert store.get(key) == make_rollout(3)
    with pytest.raises(DataError, match=f"no rollout '{key}0'.*did you mean {key}"):
        store.get(key + "0")
    with pytest.raises(DataError, match="it holds 1 rollouts"):
        store.get("zzz")


def test_a_key_is_stored_once(store, make_rollout):
    store.append(make_rollout(0))
    size = store.path.stat().st_size
    with pytest.raises(DataError, match="stored already"):
        store.append(make_rollout(0))
    with TraceStore(store.folder) as other:
        store.close()
        with pytest.raises(DataError, match="stored already"):
            other.append(make_rollout(0))
    assert store.path.stat().st_size == size


def test_a_key_that_is_in_the_file_twice_is_reported(store, make_rollout):
    store.append(make_rollout(0))
    store.close()
    line = store.path.read_bytes()
    store.path.write_bytes(line + line)
    with pytest.raises(DataError, match=rf"stored twice, at bytes 0 and {len(line)}"):
        TraceStore(store.folder).keys()


def test_a_reader_sees_what_a_live_writer_adds(store, make_rollout):
    reader = TraceStore(store.folder)
    store.append(make_rollout(0))
    assert len(reader.keys()) == 1
    reading = reader.read()
    assert next(reading).sample == 0
    store.append(make_rollout(1))
    assert list(reading) == []
    assert len(reader) == 2
    assert reader.get(make_rollout(1).key).sample == 1


def test_a_replaced_file_is_learnt_anew(store, make_rollout):
    store.append(make_rollout(0))
    store.append(make_rollout(1))
    store.close()
    reader = TraceStore(store.folder)
    assert len(reader) == 2
    lines = store.path.read_bytes().splitlines(keepends=True)
    store.path.write_bytes(lines[1])
    assert reader.keys() == {make_rollout(1).key}
    store.path.unlink()
    assert reader.keys() == set()


@pytest.mark.parametrize(
    "torn", [b'{"v":1,"kind":"roll', b"\0" * 5000, b'{"v":1,"kind":"rollout","key":"a/b/0","stage":"a","pro\n', b"x" * (3 << 20)]
)
def test_a_torn_tail_is_moved_aside(store, make_rollout, torn):
    store.append(make_rollout(0))
    store.close()
    whole = store.path.read_bytes()
    store.path.write_bytes(whole + torn)
    if not torn.endswith(b"\n"):
        assert [rollout.sample for rollout in TraceStore(store.folder).read()] == [0]

    again = TraceStore(store.folder)
    healed = again.claim()
    assert healed is not None
    assert (healed.offset, healed.length) == (len(whole), len(torn))
    assert healed.moved_to.read_bytes() == torn + b"\n"
    assert store.path.read_bytes() == whole
    again.append(make_rollout(1))
    assert [rollout.sample for rollout in again.read()] == [0, 1]
    again.close()


def test_a_whole_record_without_its_newline_is_kept(store, make_rollout):
    store.append(make_rollout(0))
    store.close()
    store.path.write_bytes(store.path.read_bytes().removesuffix(b"\n"))
    with TraceStore(store.folder) as again:
        assert again.claim() is None
        again.append(make_rollout(1))
        assert [rollout.sample for rollout in again.read()] == [0, 1]


def test_only_a_torn_line_leaves_an_empty_run(tmp_path):
    (tmp_path / "traces.jsonl").write_bytes(b'{"v":1')
    with TraceStore(tmp_path) as store:
        assert store.claim().length == 6
        assert store.keys() == set()


def test_damage_inside_the_file_is_named(store, make_rollout):
    store.append(make_rollout(0))
    store.append(make_rollout(1))
    store.close()
    first, second = store.path.read_bytes().splitlines(keepends=True)
    store.path.write_bytes(first.replace(b'"chosen":2', b'"chosen":9') + second)
    with pytest.raises(DataError, match=r"traces\.jsonl, byte 0: .*chosen node 9 is not among its 4 nodes"):
        list(TraceStore(store.folder).read())


def test_a_newer_schema_is_refused_with_a_remedy(store, make_rollout):
    store.append(make_rollout(0))
    store.close()
    store.path.write_bytes(store.path.read_bytes().replace(b'{"v":1,', b'{"v":2,'))
    for use in (lambda s: s.keys(), lambda s: list(s.read()), lambda s: s.claim()):
        with pytest.raises(DataError, match="schema version 2, this tirage reads up to 1; install the newer"):
            use(TraceStore(store.folder))
    assert store.path.stat().st_size > 0


def test_an_unknown_record_kind_is_refused(store):
    store.folder.mkdir()
    store.path.write_text(json.dumps({"v": SCHEMA_VERSION, "kind": "surprise"}) + "\n")
    with pytest.raises(DataError, match="unknown record kind 'surprise'"):
        list(store.read())


def test_one_writer_at_a_time_in_a_process(store, make_rollout):
    store.claim()
    other = TraceStore(store.folder)
    with pytest.raises(DataError, match=f"written by this process already .pid {os.getpid()}"):
        other.append(make_rollout(0))
    store.append(make_rollout(0))
    store.close()
    other.append(make_rollout(1))
    other.close()
    assert len(store) == 2


HOLD = """
    import sys
    from tirage.traces import TraceStore
    store = TraceStore(sys.argv[1])
    store.claim()
    print("held", flush=True)
    sys.stdin.read()
"""


def _child(code, *arguments):
    return subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(code), *map(str, arguments)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )


def test_another_process_is_named_and_its_death_frees_the_lock(tmp_path, make_rollout):
    with _child(HOLD, tmp_path) as holder:
        assert holder.stdout.readline() == "held\n"
        store = TraceStore(tmp_path)
        with pytest.raises(DataError, match=f"being written by pid {holder.pid} on .*; wait for it"):
            store.append(make_rollout(0))
        assert store.keys() == set()
        holder.kill()
        holder.wait()
    store.append(make_rollout(0))
    store.close()


def test_a_child_made_by_fork_does_not_keep_the_lock(tmp_path, make_rollout):
    store = TraceStore(tmp_path)
    store.claim()
    wake, done = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(done)
        os.read(wake, 1)
        os._exit(0)
    os.close(wake)
    store.close()
    with _child(HOLD, tmp_path) as other:
        assert other.stdout.readline() == "held\n"
        other.kill()
    os.close(done)
    assert os.waitpid(child, 0)[1] == 0


WRITE = """
    import sys
    sys.path.insert(0, sys.argv[2])
    from tests.traces.rollouts import build
    from tirage.traces import TraceStore
    store = TraceStore(sys.argv[1])
    store.claim()
    print("ready", flush=True)
    for sample in range(int(sys.argv[3]), int(sys.argv[3]) + 100_000):
        store.append(build(sample, question="Q" * (1 + sample % 7 * 1000)))
        print(sample, flush=True)
"""


def test_kill_9_loses_nothing_acknowledged(tmp_path, request):
    """Killed over and over at any moment: every record the child has acknowledged is there, and every record is whole."""
    acknowledged, start = set(), 0
    for round_number in range(6):
        with _child(WRITE, tmp_path, request.path.parents[2], start) as writer:
            assert writer.stdout.readline() == "ready\n"
            for _ in range(1 + 13 * round_number):
                acknowledged.add(int(writer.stdout.readline()))
            writer.kill()
            acknowledged.update(int(line) for line in writer.stdout.read().split("\n")[:-1])
        start = max(acknowledged) + 10
    with TraceStore(tmp_path) as store:
        store.claim()
        stored = [rollout.sample for rollout in store.read()]
    assert acknowledged <= set(stored)
    assert len(stored) == len(set(stored))
    assert len(stored) <= len(acknowledged) + 6 * 2


def test_a_refusing_disk_leaves_the_last_whole_record(store, make_rollout, monkeypatch):
    store.append(make_rollout(0))
    whole = store.path.read_bytes()
    real, calls = os.write, []

    def full(fd, data):
        calls.append(len(data))
        if len(calls) == 1:
            return real(fd, data[: len(data) // 2])
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("tirage.traces.jsonl.os.write", full)
    with pytest.raises(DataError, match="No space left on device; the file still ends with its last whole record"):
        store.append(make_rollout(1))
    monkeypatch.undo()
    assert store.path.read_bytes() == whole
    store.append(make_rollout(1))
    assert [rollout.sample for rollout in store.read()] == [0, 1]


@pytest.mark.parametrize(("policy", "syncs"), [("append", 4), ("interval", 2), ("close", 1)])
def test_fsync_policies(tmp_path, make_rollout, monkeypatch, policy, syncs):
    synced = []
    monkeypatch.setattr("tirage.traces.jsonl.os.fdatasync", lambda fd: synced.append(fd))
    monkeypatch.setattr("tirage.traces.jsonl.os.fsync", lambda fd: synced.append(fd))
    with TraceStore(tmp_path, fsync=policy) as store:
        store.claim()
        assert len(synced) == 1, "the folder, so that the new file is found after a power cut"
        synced.clear()
        for sample in range(3):
            store.append(make_rollout(sample))
    assert len(synced) == syncs


def test_threads_may_share_a_store(store, make_rollout):
    rollouts = [make_rollout(sample) for sample in range(80)]
    workers = [threading.Thread(target=lambda part: [store.append(rollout) for rollout in part], args=(rollouts[n::4],)) for n in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert {rollout.sample for rollout in store.read()} == set(range(80))


def test_reading_needs_memory_for_one_rollout(store, make_rollout):
    for sample in range(40):
        store.append(make_rollout(sample, question="long " * 2000, ids=False))

    def peak():
        tracemalloc.start()
        try:
            assert sum(1 for _ in store.read()) == len(store)
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    small = peak()
    for sample in range(40, 400):
        store.append(make_rollout(sample, question="long " * 2000, ids=False))
    assert store.path.stat().st_size > 5_000_000
    assert peak() < small + 200_000
