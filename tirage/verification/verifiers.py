"""The verifiers of a run: opened by name on first need, closed together."""

from types import TracebackType

from tirage.core.problem import Problem
from tirage.verification.base import Verifier
from tirage.verification.factory import open_verifier


class Verifiers:
    """One verifier per name, shared by all rollouts."""

    def __init__(self) -> None:
        """Nothing is opened yet."""
        self._open: dict[str, Verifier] = {}

    def of(self, problem: Problem) -> Verifier:
        """The verifier that `problem` names. Raises `ConfigError` for an unknown name."""
        if problem.verifier not in self._open:
            self._open[problem.verifier] = open_verifier(problem.verifier)
        return self._open[problem.verifier]

    async def __aenter__(self) -> "Verifiers":
        """Nothing to start."""
        return self

    async def __aexit__(self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None) -> None:
        """End all worker processes."""
        for verifier in self._open.values():
            await verifier.close()
        self._open.clear()
