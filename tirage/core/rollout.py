"""Rollout: one problem, the tree that was grown for it, and the verdicts on its ends. Stored, it is a trace."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from tirage.core.problem import Problem
from tirage.core.trajectory import Trajectory
from tirage.core.tree import Tree
from tirage.core.verdict import Verdict


@dataclass(frozen=True, slots=True, kw_only=True)
class Rollout:
    """Everything a recipe or a report needs, without re-running anything."""

    key: str
    """Identity within a run: `stage/problem_id/sample`. A finished key is never rolled out again."""
    stage: str
    """Which part of a run it belongs to, e.g. `before`, `sample-hinted`, `control`, `after`."""
    problem: Problem
    sample: int
    """Which of several rollouts of the same problem and stage, from 0."""
    tree: Tree
    verdicts: Mapping[int, Verdict]
    """Verdict of each terminal node, by node index."""
    model: str
    """Model string that was sampled from, with the weights' hash after `@` where it is known."""
    tokenizer_hash: str = ""
    """sha256 prefix of the tokenizer that gave the ids; empty when there are no ids."""
    config_hash: str = ""
    """Hash of everything that shapes this rollout (sampling, dialect, hints, limits, verifier)."""
    sampling: Mapping[str, Any] = field(default_factory=dict)
    """Temperature, top_p, max_tokens and so on, as sent."""
    wall_s: float = 0.0
    """Wall time in seconds; kept out of all deterministic output."""
    finished_at: float = 0.0
    """Unix time at which it was finished; kept out of all deterministic output."""

    @property
    def chosen(self) -> int:
        """Node whose path is the rollout's answer; 0 (the root) when nothing was produced."""
        return self.tree.chosen

    @property
    def trajectory(self) -> Trajectory | None:
        """The chosen path; None when nothing was produced."""
        return self.tree.trajectory(self.chosen) if self.chosen else None

    @property
    def verdict(self) -> Verdict | None:
        """Verdict on the chosen path; None when nothing was produced."""
        return self.verdicts.get(self.chosen)

    @property
    def correct(self) -> bool | None:
        """True, False, or None when ungraded. A rollout without an outcome is False, not ungraded, unless it broke."""
        verdict = self.verdict
        if verdict is not None:
            return verdict.correct
        trajectory = self.trajectory
        return None if trajectory is not None and trajectory.error is not None else False
