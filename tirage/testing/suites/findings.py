"""What the conformance suites have in common: promises that are tried one by one, and what came of each."""

import inspect
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeVar

Status = Literal["kept", "contained", "not contained", "failed", "skipped"]
T = TypeVar("T")


class Broken(AssertionError):
    """A promise that does not hold; the message says what was seen instead."""


class Skipped(Exception):
    """A promise that the object does not make; the message says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One promise, or one attack on a sandbox, and how it went."""

    group: str
    name: str
    status: Status
    detail: str
    """What stops an attack, why it is not contained, what went wrong, or why a promise was skipped."""
    seconds: float

    @property
    def kept(self) -> bool:
        """False when something that was promised does not hold."""
        return self.status != "failed"


def demand(holds: object, said: str) -> None:
    """Raise `Broken` with what was seen, unless it holds."""
    if not holds:
        raise Broken(said)


def require(findings: Iterable[Finding]) -> None:
    """Raise AssertionError naming every promise that does not hold; also when nothing was tried."""
    found = list(findings)
    assert found, "nothing was checked"
    failed = [f"{finding.group}: {finding.name}: {finding.detail}" for finding in found if not finding.kept]
    assert not failed, "\n".join(failed)


def try_all(group: str, subject: T, promises: Mapping[str, Callable[[T], None]]) -> list[Finding]:
    """Try every promise of `group` on `subject`."""
    return [_finding(group, name, *_tried(promise, subject)) for name, promise in promises.items()]


async def try_each(group: str, subject: T, promises: Mapping[str, Callable[[T], Any]]) -> list[Finding]:
    """The same for promises that wait."""
    findings = []
    for name, promise in promises.items():
        started = time.monotonic()
        status, detail = "kept", ""
        try:
            found = promise(subject)
            if inspect.isawaitable(found):
                await found
        except Exception as error:  # whatever the object raises is its finding
            status, detail = _meaning(error)
        findings.append(_finding(group, name, status, detail, time.monotonic() - started))
    return findings


def _tried(promise: Callable[[T], None], subject: T) -> tuple[str, str, float]:
    started = time.monotonic()
    try:
        promise(subject)
    except Exception as error:  # whatever the object raises is its finding
        return (*_meaning(error), time.monotonic() - started)
    return "kept", "", time.monotonic() - started


def _meaning(error: Exception) -> tuple[str, str]:
    if isinstance(error, Skipped):
        return "skipped", str(error)
    return "failed", str(error) if isinstance(error, Broken) else f"{type(error).__name__}: {error}"


def _finding(group: str, name: str, status: Any, detail: str, seconds: float) -> Finding:
    return Finding(group=group, name=name, status=status, detail=detail, seconds=seconds)
