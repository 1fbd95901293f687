"""How long work is shown: rich progress bars on a terminal, plain lines elsewhere."""

import time
from types import TracebackType

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from tirage.cli.terminal import SafeConsole
from tirage.rollouts.runner import StageProgress

_PLAIN_EVERY_S = 5.0


class LiveDisplay:
    """One display for a whole run: a bar per stage and job, with solve rate, tokens and time left."""

    def __init__(self, *, quiet: bool = False) -> None:
        """`quiet` shows nothing at all (for `--json`). Everything goes to standard error."""
        self.console = SafeConsole(stderr=True, quiet=quiet, soft_wrap=True)
        self._live = self.console.is_terminal and not quiet
        self._bars = Progress(
            TextColumn("{task.description:<22}"),
            BarColumn(bar_width=28),
            MofNCompleteColumn(),
            TextColumn("{task.fields[detail]}"),
            TimeRemainingColumn(compact=True, elapsed_when_finished=True),
            console=self.console,
            disable=not self._live,
        )
        self._tasks: dict[str, TaskID] = {}
        self._printed: dict[str, float] = {}

    def __enter__(self) -> "LiveDisplay":
        """Start drawing."""
        self._bars.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None) -> None:
        """Stop drawing, whatever happened."""
        self._bars.stop()

    def stage(self, progress: StageProgress) -> None:
        """A stage of rollouts has moved."""
        rate = f"{progress.correct / progress.graded:5.1%} solved" if progress.graded else "resumed" if progress.resumed else ""
        detail = f"{rate}  {_count(progress.usage.tokens_out)} tokens" if progress.graded else rate
        self._move(progress.stage, progress.done, progress.total, detail)

    def job(self, name: str, step: int, steps: int, loss: float | None) -> None:
        """A training job has moved; before its plan is known there is nothing to show."""
        if not steps:
            return
        self._move(f"train {name}", step, steps, "" if loss is None else f"loss {loss:.3f}")

    def note(self, text: str) -> None:
        """Something worth a line."""
        self.console.print(text)

    def _move(self, name: str, done: int, total: int, detail: str) -> None:
        if self._live:
            if name not in self._tasks:
                self._tasks[name] = self._bars.add_task(name, total=total, detail=detail)
            self._bars.update(self._tasks[name], completed=done, total=total, detail=detail)
            return
        now = time.monotonic()
        if done >= total or now - self._printed.get(name, 0.0) >= _PLAIN_EVERY_S:
            self._printed[name] = now
            self.console.print(f"{name}: {done}/{total} {detail}".rstrip())


def _count(number: int) -> str:
    return f"{number / 1e6:.2f}M" if number >= 1_000_000 else f"{number / 1e3:.1f}k" if number >= 1000 else str(number)
