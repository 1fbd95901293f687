"""Any OpenAI-compatible server as a model; what it can do is probed, not assumed."""

from tirage.models.openai.model import OpenAIModel, open_openai

__all__ = ["OpenAIModel", "open_openai"]
