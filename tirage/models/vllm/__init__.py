"""A vLLM server that tirage starts and stops, in vLLM's own environment."""

from tirage.models.vllm.model import VLLMModel, open_vllm

__all__ = ["VLLMModel", "open_vllm"]
