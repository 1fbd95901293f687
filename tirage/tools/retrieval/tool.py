"""The `search` tool: a policy asks a collection and reads the best chunks, each with the id by which rows can cite or mask it."""

import json
import time

from tirage.core.message import Observation, ObservationStatus, ToolCall
from tirage.sandbox.base import Session
from tirage.tools.base import ToolSpec
from tirage.tools.python import clip
from tirage.tools.retrieval.base import Mode
from tirage.tools.retrieval.collection import Collection


class SearchTool:
    """Looks things up in one collection. The collection is used from one thread at a time."""

    parallel = False

    def __init__(self, collection: Collection, *, k: int = 3, mode: Mode = "hybrid", clip_chars: int = 4000) -> None:
        """`k`: chunks per answer unless the policy asks for another number, at most 20; `clip_chars`: longest observation."""
        self.collection = collection
        self.k = k
        self.mode: Mode = mode
        self.clip_chars = clip_chars
        self.spec = ToolSpec(
            name="search",
            description="Look something up in the collection of documents and read the best passages.",
            parameters={
                "type": "object",
                "properties": {
                    "query": {"type": "string", "description": "What to look for, in words."},
                    "k": {"type": "integer", "description": "Passages wanted.", "minimum": 1, "maximum": 20, "default": k},
                },
                "required": ["query"],
                "additionalProperties": False,
            },
        )

    async def call(self, call: ToolCall, session: Session | None) -> Observation:
        """Search; what was found stands in `data` too, with the collection's fingerprint."""
        began = time.monotonic()
        try:
            given = json.loads(call.arguments)
            query, k = given["query"], given.get("k", self.k)
        except (ValueError, KeyError, TypeError, AttributeError):
            query, k = None, 0
        if not isinstance(query, str) or not isinstance(k, int) or isinstance(k, bool) or not 1 <= k <= 20:
            text = 'InvalidCall: arguments must be a JSON object with a string "query" and, if wanted, an integer "k" from 1 to 20'
            return Observation(text=text, status=ObservationStatus.INVALID, call_id=call.id)
        hits = self.collection.search(query, k, mode=self.mode)
        shown = "\n\n".join(f"[{number}] {hit.chunk.document}\n{hit.chunk.text}" for number, hit in enumerate(hits, start=1))
        text, clipped = clip(shown or "Nothing was found.", self.clip_chars)
        return Observation(
            text=text,
            call_id=call.id,
            duration_s=time.monotonic() - began,
            truncated=clipped,
            data={"collection": self.collection.fingerprint, "chunks": [hit.chunk.id for hit in hits]},
        )
