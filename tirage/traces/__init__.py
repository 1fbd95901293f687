"""Floor 1: stored rollouts: append-only JSONL is the truth, SQLite answers questions, exports feed other tools."""

from tirage.traces.base import Entry, Healed, TraceSink, TraceSource, Where
from tirage.traces.jsonl import TraceStore

__all__ = ["Entry", "Healed", "TraceSink", "TraceSource", "TraceStore", "Where"]
