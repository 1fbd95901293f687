"""What broke a rollout, and the error that tells it."""

from tirage.core.errors import ModelError, SandboxError, TirageError, ToolError
from tirage.core.trajectory import Failure
from tirage.core.tree import ROOT, Tree

_KINDS = {"model": ModelError, "sandbox": SandboxError, "tool": ToolError}


def failure_of(tree: Tree) -> Failure | None:
    """The failure of the chosen path; where no path was chosen, the last leaf's, if every leaf broke. None for a whole tree."""
    if tree.chosen != ROOT:
        return tree.trajectory(tree.chosen).error
    failures = [tree.nodes[leaf].error for leaf in tree.leaves() if leaf != ROOT]
    return failures[-1] if failures and all(failure is not None for failure in failures) else None


def error_of(failure: Failure, what: str) -> TirageError:
    """The error for `what` failed; its kind, and so the exit code, is that of the part that broke."""
    return _KINDS.get(failure.boundary, TirageError)(f"{what}; the last: {failure.kind}: {failure.message}")
