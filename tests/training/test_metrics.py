from pathlib import Path

from tirage.training.metrics import MetricsReader, MetricsWriter, read_metrics


def write(writer: MetricsWriter, *steps: int) -> None:
    for step in steps:
        writer.write(step=step, steps=9, loss=1.0 / step, lr=0.1, grad_norm=1.0, tokens_per_s=100.0)


def test_a_reader_follows(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    reader = MetricsReader(path)
    assert reader.new() == []
    with MetricsWriter(path) as writer:
        write(writer, 1, 2)
        assert [metrics.step for metrics in reader.new()] == [1, 2]
        write(writer, 3)
        assert [metrics.step for metrics in reader.new()] == [3]
        assert reader.new() == []


def test_a_torn_line_waits_for_its_end(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    with MetricsWriter(path) as writer:
        write(writer, 1)
    line = path.read_text()
    reader = MetricsReader(path)
    path.write_text(line + line[:20])
    assert len(reader.new()) == 1
    path.write_text(line + line)
    assert len(reader.new()) == 1
    path.write_text(line + line[:20])
    assert len(read_metrics(path)) == 1


def test_a_resumed_run_forgets_what_it_repeats(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    with MetricsWriter(path) as writer:
        write(writer, 1, 2, 3, 4)
    with path.open("a") as torn:
        torn.write('{"step": 5')
    reader = MetricsReader(path)
    with MetricsWriter(path, resume_step=2) as writer:
        write(writer, 3)
        assert [metrics.step for metrics in reader.new()] == [1, 2, 3]
