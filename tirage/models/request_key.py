"""The identity of a request, for caches and recordings."""

import hashlib
import json

from tirage.core.codec import encode
from tirage.models.base import Request


def request_key(model_name: str, request: Request) -> str:
    """64 hex digits over everything that decides the answer: the model, the prompt, the sampling, the tools; not the tag."""
    data = encode(request)
    data.pop("tag", None)
    text = json.dumps([model_name, data], sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
