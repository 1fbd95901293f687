"""The `search` tool: a policy asks a collection and reads the best chunks, each with the id by which rows can cite or mask it."""

import asyncio
import time
from pathlib import Path

from tirage.core.message import Observation, ObservationStatus, ToolCall
from tirage.models.model_json import read_object
from tirage.sandbox.base import Session
from tirage.tools.base import Tool, ToolSpec
from tirage.tools.python import clip
from tirage.tools.retrieval.base import Hit, Reranker, RetrievalMode, Retriever


def show_hits(hits: list[Hit]) -> str:
    """Numbered passages under the names of their documents; empty when there are none."""
    return "\n\n".join(f"[{number}] {hit.chunk.document}\n{hit.chunk.text}" for number, hit in enumerate(hits, start=1))


class SearchTool(Tool):
    """Looks things up in one collection, on a thread, so that nobody waits for it who need not."""

    parallel = False
    card = Path(__file__).with_name("search.yaml")

    def __init__(
        self,
        collection: Retriever,
        *,
        name: str = "search",
        about: str | None = None,
        k: int = 3,
        mode: RetrievalMode = "hybrid",
        rerank: Reranker | None = None,
        clip_chars: int = 4000,
    ) -> None:
        """`about`: what is in the collection, as the policy is told.

        `k`: chunks per answer unless the policy asks for another number, at most 20; `clip_chars`: longest observation.
        """
        self.collection = collection
        self.about = about
        self.k = k
        self.mode: RetrievalMode = mode
        self.rerank = rerank
        self.clip_chars = clip_chars
        self.spec = ToolSpec(
            name=name,
            description=f"Look something up in {about or 'the collection of documents'} and read the best passages.",
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

    @property
    def fingerprint(self) -> str:
        """The collection's."""
        return self.collection.fingerprint

    async def call(self, call: ToolCall, session: Session | None) -> Observation:
        """Search; what was found stands in `data` too, with the collection's fingerprint."""
        began = time.monotonic()
        try:
            given = read_object(call.arguments)
            query, k = given["query"], given.get("k", self.k)
        except (ValueError, KeyError):
            query, k = None, 0
        if not isinstance(query, str) or not isinstance(k, int) or isinstance(k, bool) or not 1 <= k <= 20:
            text = 'InvalidCall: arguments must be a JSON object with a string "query" and, if wanted, an integer "k" from 1 to 20'
            return Observation(text=text, status=ObservationStatus.INVALID, call_id=call.id)
        hits = await self.find(query, k)
        text, clipped = clip(show_hits(hits) or "Nothing was found.", self.clip_chars)
        return Observation(
            text=text,
            call_id=call.id,
            duration_s=time.monotonic() - began,
            truncated=clipped,
            data={"collection": self.collection.fingerprint, "chunks": [hit.chunk.id for hit in hits]},
        )

    async def find(self, query: str, k: int | None = None) -> list[Hit]:
        """The best chunks as this tool ranks them, `k` or as many as it gives by default."""
        return await asyncio.to_thread(self.collection.search, query, k or self.k, mode=self.mode, rerank=self.rerank)
