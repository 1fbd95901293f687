"""Entry of the trainer process: `python -m tirage.training.sft_main JOBDIR`. Exit status 0 exactly when the job succeeded."""

import errno
import re
import sys
import traceback
from collections.abc import Iterator

from tirage.core.errors import ConfigError, DataError, TirageError
from tirage.training.job_folder import FailureKind, JobFolder, JobState, own_identity

_DISK = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS}
_DISK_TEXT = re.compile(r"os error (27|28|30|122)\b|No space left|PytorchStreamWriter failed|file write failed")
_OOM_TEXT = re.compile(r"out of memory|can't allocate memory|not enough memory", re.IGNORECASE)
BUSY = 75
"""Exit status when another trainer works in the folder."""


def main(path: str) -> int:
    """Run the job in `path` and leave its outcome in `job.json`."""
    folder = JobFolder(path)
    held = folder.hold()
    if held is None:
        print(f"another trainer works in {path}", file=sys.stderr)
        return BUSY
    with held:
        pid, started = own_identity()
        folder.move(JobState.STARTING, pid=pid, pid_started=started)
        return _train(folder)


def _train(folder: JobFolder) -> int:
    # Whatever stops the trainer must be classified and recorded: its watcher sees only this record.
    try:
        spec = folder.read_spec()
        from tirage.training.sft import Cancelled, quiet, train

        quiet()
        try:
            train(folder, spec)
        except Cancelled:
            folder.move(JobState.CANCELLED, message="cancelled; run the job again to resume it")
            return 0
        folder.move(JobState.SUCCEEDED)
        return 0
    except Exception as error:
        traceback.print_exc()
        kind, message = classify(error)
        folder.move(JobState.FAILED, failure=kind, message=message)
        return 1


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def classify(error: BaseException) -> tuple[FailureKind, str]:
    """The kind of a failure and one line on it, remedy included. Looks at causes too."""
    text = f"{type(error).__name__}: {error}".strip().splitlines()[0][:400]
    for cause in _chain(error):
        kind = getattr(cause, "kind", None)
        if isinstance(kind, FailureKind):
            return kind, str(cause)
        if isinstance(cause, MemoryError) or type(cause).__name__ == "OutOfMemoryError" or _OOM_TEXT.search(str(cause)):
            return FailureKind.OOM, f"out of memory ({text}); raise micro_batches, lower max_length, or set lora_rank"
        if (isinstance(cause, OSError) and cause.errno in _DISK) or _DISK_TEXT.search(str(cause)):
            return FailureKind.DISK, f"the disk is full or not writable ({text}); free space and run the job again to resume it"
        if isinstance(cause, ConfigError):
            return FailureKind.CONFIG, str(cause)
        if isinstance(cause, DataError):
            return FailureKind.DATA, str(cause)
        if isinstance(cause, TirageError):
            return FailureKind.CONFIG, str(cause)
        if isinstance(cause, ModuleNotFoundError):
            return FailureKind.CONFIG, f"{cause}; install it with: pip install 'tirage[train]'"
    return FailureKind.INFRA, text


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
