"""The error tree. Every failure names the object, the value and the remedy, and the boundary it crossed.

TirageError                     exit  what a caller can do
|- ConfigError                   2    correct the configuration, the flag or the name
|- DataError                     3    correct the problem or trace file (the message gives file and line)
|- ModelError                    4    look at the model or its server
|  |- ModelUnavailable           4    start or restart the server; a retry may help
|  |- ModelRateLimited           4    wait; a retry may help
|  |- ModelAuthError             4    give a valid key
|  |- ModelRequestError          4    the server refused the request as written
|  `- CapabilityError            4    ask a back end that declares the capability
|- SandboxError                  5    look at `tirage doctor`
|- ToolError                     1    the tool itself is broken (not the policy's use of it)
|- VerifierError                 1    the verifier could not grade; never means "wrong"
|- NoRuling                      1    one ruling of a judge broke; ask for another
|- TrainingError                 6    look at the job's log
`- MissingExtra                  2    install the extra that the message names

Three fates: what the policy may learn from is an `Observation`; what broke around it is recorded as
`Trajectory.error`, stamped once with its boundary; a programmer's mistake propagates.
"""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from typing import ClassVar, Literal

Boundary = Literal["model", "tool", "sandbox", "verifier"]


class TirageError(Exception):
    """Base of all errors that tirage raises on purpose."""

    exit_code: ClassVar[int] = 1

    def __init__(self, message: str, *, boundary: Boundary | None = None) -> None:
        """`boundary` is the side of the agent the failure came from; None until a boundary stamps it."""
        super().__init__(message)
        self.boundary = boundary


class ConfigError(TirageError):
    """A configuration, flag or name is wrong."""

    exit_code = 2


class MissingExtra(ConfigError):
    """An optional dependency is not installed."""

    def __init__(self, package: str, extra: str) -> None:
        """`package` is what failed to import, `extra` the tirage extra that brings it."""
        super().__init__(f"{package} is not installed; install it with: pip install 'tirage[{extra}]'")


class DataError(TirageError):
    """A problem set, trace or dataset on disk cannot be used as it is."""

    exit_code = 3


class ModelError(TirageError):
    """A model call failed."""

    exit_code = 4


class ModelUnavailable(ModelError):
    """The model cannot be reached or answered with a server-side failure; a later attempt may work."""


class ModelRateLimited(ModelUnavailable):
    """The server asks to slow down. `retry_after_s` is its own wish, None when it gave none."""

    def __init__(self, message: str, *, retry_after_s: float | None = None) -> None:
        """`retry_after_s` >= 0 or None."""
        super().__init__(message)
        self.retry_after_s = retry_after_s


class ModelAuthError(ModelError):
    """The server refused the credentials (401 or 403)."""


class ModelRequestError(ModelError):
    """The server understood and refused the request (400, 404, 422): a retry cannot help."""


class CapabilityError(ModelError):
    """The back end does not declare what was asked of it."""


class SandboxError(TirageError):
    """The sandbox itself broke (not the code in it)."""

    exit_code = 5


class ToolError(TirageError):
    """A tool is broken; a wrong use of a tool is an `Observation` instead."""


class VerifierError(TirageError):
    """A verifier could not be built or run; an answer it cannot grade is an ungraded `Verdict` instead."""


class NoRuling(TirageError):
    """What a judge asked for one ruling broke; the message says what. Another ruling may succeed."""


class TrainingError(TirageError):
    """A recipe or a training job cannot go on."""

    exit_code = 6


@contextmanager
def boundary(name: Boundary) -> Iterator[None]:
    """Attribute whatever fails inside to `name`, once.

    A `TirageError` keeps its type and gets the stamp if it has none. Any other exception becomes the
    boundary's own error type, with the original as its cause. Cancellation and exits pass untouched.
    """
    kinds = {"model": ModelError, "tool": ToolError, "sandbox": SandboxError, "verifier": VerifierError}
    try:
        yield
    except TirageError as error:
        if error.boundary is None:
            error.boundary = name
        raise
    except (asyncio.CancelledError, KeyboardInterrupt, SystemExit):
        raise
    except Exception as error:
        raise kinds[name](f"{name} failed: {type(error).__name__}: {error}", boundary=name) from error
