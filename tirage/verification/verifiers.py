"""The verifiers of a run: opened by name on first need, closed together."""

from collections.abc import Iterable
from types import TracebackType

from tirage.core.extension import refuse_foreign
from tirage.core.problem import Problem
from tirage.verification.base import Verifier
from tirage.verification.factory import open_verifier


class Verifiers:
    """One verifier per name, shared by all rollouts."""

    def __init__(self, own: Iterable[str] = ()) -> None:
        """Nothing is opened yet.

        `own`: verifiers at `module:attribute` that the user named. Problems may come from somebody else's file or trace, so that other
        code which they name is refused.
        """
        self._own = frozenset(own)
        self._open: dict[str, Verifier] = {}

    def of(self, problem: Problem) -> Verifier:
        """The verifier that `problem` names. Raises `ConfigError` for an unknown name, and for code that the user did not name."""
        name = problem.verifier
        if name not in self._open:
            if name not in self._own:
                refuse_foreign(name, f"problem {problem.id}", f"give it yourself: --verifier {name}, or verifier: in the configuration")
            self._open[name] = open_verifier(name)
        return self._open[name]

    async def __aenter__(self) -> "Verifiers":
        """Nothing to start."""
        return self

    async def __aexit__(self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None) -> None:
        """End all worker processes."""
        for verifier in self._open.values():
            await verifier.close()
        self._open.clear()
