import errno

import pytest

from tirage.core.errors import ConfigError, DataError
from tirage.training.job_folder import FailureKind
from tirage.training.sft_main import classify


class OutOfMemoryError(RuntimeError):
    """Named like PyTorch's."""


def caused(error: Exception) -> Exception:
    try:
        try:
            raise error
        except Exception as cause:
            raise RuntimeError("while saving") from cause
    except RuntimeError as outer:
        return outer


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (OutOfMemoryError("CUDA out of memory"), FailureKind.OOM),
        (MemoryError(), FailureKind.OOM),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried"), FailureKind.OOM),
        (OSError(errno.ENOSPC, "No space left on device"), FailureKind.DISK),
        (OSError(errno.EROFS, "Read-only file system"), FailureKind.DISK),
        (Exception("Error while serializing: I/O error: File too large (os error 27)"), FailureKind.DISK),
        (DataError("rows.jsonl:3: not a row"), FailureKind.DATA),
        (ConfigError("no"), FailureKind.CONFIG),
        (ModuleNotFoundError("No module named 'peft'"), FailureKind.CONFIG),
        (KeyError("x"), FailureKind.INFRA),
    ],
)
def test_failures_are_told_apart_also_behind_others(error: Exception, kind: FailureKind) -> None:
    assert classify(error)[0] is kind
    assert classify(caused(error))[0] is kind


def test_a_remedy_is_named() -> None:
    assert "raise micro_batches" in classify(MemoryError())[1]
    assert "pip install 'tirage[train]'" in classify(ModuleNotFoundError("No module named 'peft'"))[1]
