"""Continuous batching in a worker thread: draws enter and leave the slots between two decode passes.

What a draw gets depends on its prompt, its sampling and its seed alone: prompts are read by themselves, decode passes
have one of a few shapes that were seen to give the same bits, and attention is batch-invariant (`attention.py`). So a
run that was killed and resumed, with other neighbours in flight, writes the same bytes.
"""

import contextlib
import os
import threading
from collections import deque
from concurrent.futures import Future, InvalidStateError
from dataclasses import dataclass, field
from pathlib import Path

import torch

from tirage.core.errors import ModelError
from tirage.core.step import Usage
from tirage.models.base import Completion, Sampling
from tirage.models.inprocess.network import Network
from tirage.models.inprocess.sampling import Row, sample
from tirage.models.inprocess.watch import Ending, Watch
from tirage.models.template import HFRenderer


@dataclass(slots=True)
class Draw:
    """One completion in the making."""

    job: "Job"
    number: int
    """Which of the request's draws this is."""
    row: Row
    watch: Watch
    position: int
    """Where the next token goes."""
    ids: list[int] = field(default_factory=list)
    logprobs: list[float] = field(default_factory=list)
    ending: Ending | None = None


@dataclass(slots=True)
class Job:
    """One request: a prompt and `sampling.n` draws."""

    ids: tuple[int, ...]
    sampling: Sampling
    future: "Future[tuple[Completion, ...]]" = field(default_factory=Future)
    done: list[Draw] = field(default_factory=list)
    """Finished draws, in order of their end."""


class Engine:
    """The worker thread, its queue and its slots."""

    def __init__(
        self,
        folder: Path,
        renderer: HFRenderer,
        *,
        slots: int | None = None,
        device: str | None = None,
        threads: int | None = None,
        cache_bytes: int = 256 << 20,
    ) -> None:
        """Load the model and start the thread; it is ready on return. Raises `ConfigError` when the folder holds no usable model."""
        self._network = Network(folder, slots=slots, device=device, cache_bytes=cache_bytes)
        slots = self._network.slots
        self._renderer = renderer
        self._threads = threads if threads is not None else (1 if self._network.small else physical_cores())
        self._waiting: deque[tuple[Job, int]] = deque()
        self._slots: list[Draw | None] = [None] * slots
        self._logits = torch.zeros(slots, self._network.vocabulary, device=self._network.device)
        self._wake = threading.Condition()
        self._closing = False
        self._broken: BaseException | None = None
        self._ready: Future[None] = Future()
        self._thread = threading.Thread(target=self._run, name="tirage-engine", daemon=True)
        self._thread.start()
        self._ready.result()

    @property
    def context(self) -> int:
        """Tokens of prompt plus completion."""
        return self._network.context

    @property
    def vocabulary(self) -> int:
        """Ids go from 0 to this minus one."""
        return self._network.vocabulary

    def submit(self, ids: tuple[int, ...], sampling: Sampling) -> "Future[tuple[Completion, ...]]":
        """Queue a request; cancelling the future frees its slots. Raises `ModelError` when the engine has ended."""
        job = Job(ids, sampling)
        with self._wake:
            self._check_open()
            self._waiting.extend((job, draw) for draw in range(sampling.n))
            self._wake.notify()
        return job.future

    def close(self) -> None:
        """End the thread; whoever still waits gets a `ModelError`. Idempotent."""
        with self._wake:
            self._closing = True
            self._wake.notify()
        self._thread.join()

    def _check_open(self) -> None:
        if self._broken is not None:
            raise ModelError(f"the in-process engine stopped: {type(self._broken).__name__}: {self._broken}") from self._broken
        if self._closing:
            raise ModelError("the in-process model is closed")

    def _run(self) -> None:
        torch.set_num_threads(self._threads)
        try:
            with torch.inference_mode():
                self._network.prove_widths()
                self._ready.set_result(None)
                self._serve()
        except BaseException as error:  # whatever ends this thread must reach the callers, or they wait for ever
            if not self._ready.done():
                self._ready.set_exception(error)
            self._end(error)
        else:
            self._end(None)

    def _serve(self) -> None:
        while self._wait():
            self._admit()
            if any(self._slots):
                self._sample()
            if any(self._slots):
                self._decode()

    def _wait(self) -> bool:
        """Sleep until there is work; False when the engine closes."""
        with self._wake:
            while not (self._closing or self._waiting or any(self._slots)):
                self._wake.wait()
            return not self._closing

    def _end(self, error: BaseException | None) -> None:
        with self._wake:
            self._broken = error
            self._closing = True
            jobs = [job for job, _ in self._waiting] + [draw.job for draw in self._slots if draw is not None]
            self._waiting.clear()
            self._slots = [None] * len(self._slots)
        reason = "the in-process model was closed" if error is None else f"the in-process engine stopped: {type(error).__name__}: {error}"
        for job in jobs:
            _fail(job, ModelError(reason), error)

    def _admit(self) -> None:
        """Fill free slots with waiting draws; slots of cancelled requests are free."""
        for slot, draw in enumerate(self._slots):
            if draw is not None and draw.job.future.done():
                self._slots[slot] = None
        for slot, draw in enumerate(self._slots):
            if draw is None and not self._fill(slot):
                return

    def _fill(self, slot: int) -> bool:
        """Put the next waiting draw into `slot`; False when nothing waits."""
        while True:
            with self._wake:
                if not self._waiting:
                    return False
                job, number = self._waiting.popleft()
            if job.future.done():
                continue
            try:
                prompt = self._network.read(job.ids)
                self._network.load(slot, prompt)
                self._logits[slot] = prompt.logits
                self._slots[slot] = self._start(job, number)
            except Exception as error:  # out of memory, an unsupported architecture, ...: this request's failure, not its neighbours'
                _fail(job, ModelError(f"a prompt of {len(job.ids)} tokens could not be read: {type(error).__name__}: {error}"), error)
                continue
            return True

    def _start(self, job: Job, number: int) -> Draw:
        limit = min(job.sampling.max_tokens, self.context - len(job.ids))
        watch = Watch(self._renderer.backend, eos=self._renderer.eos_ids, stops=job.sampling.stop, limit=limit)
        return Draw(job=job, number=number, row=Row.start(job.sampling, number), watch=watch, position=len(job.ids))

    def _sample(self) -> None:
        """Draw one token for every occupied slot, and retire what ends with it."""
        tokens, logprobs = sample(self._logits, [draw.row if draw is not None else None for draw in self._slots])
        for slot, draw in enumerate(self._slots):
            if draw is None:
                continue
            draw.ids.append(tokens[slot])
            if logprobs is not None:
                draw.logprobs.append(logprobs[slot])
            draw.ending = draw.watch.ends(tokens[slot])
            if draw.ending is not None:
                self._slots[slot] = None
                self._finish(draw)

    def _decode(self) -> None:
        """Run the sampled tokens through the network."""
        occupied = 1 + max(slot for slot, draw in enumerate(self._slots) if draw is not None)
        draws = self._slots[: self._network.width(occupied)]
        tokens = [draw.ids[-1] if draw is not None else 0 for draw in draws]
        positions = [draw.position if draw is not None else 0 for draw in draws]
        self._logits[: len(draws)] = self._network.decode(tokens, positions)
        for draw in draws:
            if draw is not None:
                draw.position += 1

    def _finish(self, draw: Draw) -> None:
        job = draw.job
        job.done.append(draw)
        if len(job.done) < job.sampling.n:
            return
        draws = sorted(job.done, key=lambda done: done.number)
        completions = tuple(self._completion(done, first=place == 0) for place, done in enumerate(draws))
        with contextlib.suppress(InvalidStateError):  # cancelled meanwhile
            job.future.set_result(completions)

    def _completion(self, draw: Draw, *, first: bool) -> Completion:
        ids = tuple(draw.ids)
        return Completion(
            text=self._renderer.decode(ids),
            finish=draw.ending or "abort",
            stop_string=draw.watch.stop_string,
            ids=ids,
            logprobs=tuple(draw.logprobs) if draw.job.sampling.logprobs else None,
            prompt_ids=draw.job.ids,
            usage=Usage(tokens_in=len(draw.job.ids) if first else 0, tokens_out=len(ids), model_calls=1 if first else 0),
        )


def physical_cores() -> int:
    """Cores this process may use, hyper-threads counted once."""
    cores: set[str] = set()
    for cpu in os.sched_getaffinity(0):
        siblings = Path(f"/sys/devices/system/cpu/cpu{cpu}/topology/thread_siblings_list")
        cores.add(siblings.read_text() if siblings.exists() else str(cpu))
    return max(1, len(cores))


def _fail(job: Job, error: ModelError, cause: BaseException | None) -> None:
    error.__cause__ = cause
    with contextlib.suppress(InvalidStateError):  # cancelled, or failed by a sibling draw
        job.future.set_exception(error)
