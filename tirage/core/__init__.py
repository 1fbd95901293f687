"""Floor 0: the frozen vocabulary. Standard library only, no I/O, no clock, no async."""

from tirage.core.budget import Budget, Meter
from tirage.core.hint import Hint, HintPosition, HintUse
from tirage.core.message import Message, Observation, ObservationStatus, ToolCall
from tirage.core.problem import Problem
from tirage.core.rollout import Rollout
from tirage.core.seeds import derive_seed
from tirage.core.step import Finish, Opening, Source, Span, Step, Usage
from tirage.core.trajectory import Failure, StopReason, Trajectory
from tirage.core.tree import Node, Tree
from tirage.core.verdict import Reward, Verdict

__all__ = [
    "Budget",
    "Failure",
    "Finish",
    "Hint",
    "HintPosition",
    "HintUse",
    "Message",
    "Meter",
    "Node",
    "Observation",
    "ObservationStatus",
    "Opening",
    "Problem",
    "Reward",
    "Rollout",
    "Source",
    "Span",
    "Step",
    "StopReason",
    "ToolCall",
    "Trajectory",
    "Tree",
    "Usage",
    "Verdict",
    "derive_seed",
]
