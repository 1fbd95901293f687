"""Model doubles, gathered: scripts, recordings and what they speak."""

from tirage.testing.replay import Recorded, ReplayModel
from tirage.testing.scripted import ByteRenderer, Reply, Script, ScriptedModel, ScriptError

__all__ = ["ByteRenderer", "Recorded", "ReplayModel", "Reply", "Script", "ScriptError", "ScriptedModel"]
