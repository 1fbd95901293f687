"""UR2's knowledge service (arXiv 2508.06165): passages found in a collection, told by a model as the few facts that help.

In the strict format a query is classified first, and one that asks for reasoning gets a fixed refusal; the weak format leaves that out.
Strict is for training, weak for tests.
"""

import time
from collections.abc import Sequence

from tirage.core.message import Message, Observation, ObservationStatus, ToolCall
from tirage.core.usage import Usage
from tirage.models.allowance import complete
from tirage.models.base import Model, Request, Sampling
from tirage.sandbox.base import Session
from tirage.tools.base import Tool, ToolSpec, needs_text, text_argument
from tirage.tools.python import clip
from tirage.tools.retrieval.base import Hit
from tirage.tools.retrieval.tool import SearchTool, show_hits

MOST_WORDS = 20
"""A query has fewer words than this."""
REFUSAL = "This query asks for reasoning, not for knowledge. Ask for a fact that you need, or reason it out yourself."
NOTHING = "None"
_QUOTES = "\"'`“”‘’«»"
CLASSIFY = (
    "Does this query ask for knowledge (a fact, a definition, a formula, what a reference work tells) or for reasoning (to solve, "
    "compute, decide, compare, or check a line of thought)? Answer with one word: knowledge or reasoning.\n\nQuery: {query}"
)
SUMMARISE = (
    "Somebody who is reasoning about a problem has asked a query. From the passages, write down the facts that help to answer the query, "
    "and nothing else: do not correct or continue the reasoning, do not answer the problem. If no passage helps, write None.\n\n"
    "Reasoning so far:\n{reasoning}\n\nQuery: {query}\n\nPassages:\n{passages}"
)
REWRITE = (
    "Rewrite this search query for a retriever that compares meanings. Say what the problem is about, which concept or fact a good "
    "passage would explain, and the words that it would use. A few sentences; do not solve the problem.\n\n"
    "Reasoning so far:\n{reasoning}\n\nQuery: {query}"
)


def clean_query(query: str) -> str:
    """The query without quotes around it, tabs and runs of blanks."""
    return " ".join(query.split()).strip(_QUOTES + " ")


def query_faults(query: str) -> tuple[str, ...]:
    """What is wrong with a query, in words the policy can act on: it asks one fact in fewer than 20 words."""
    faults = []
    if not query:
        faults.append("the query is empty")
    if len(query.split()) >= MOST_WORDS:
        faults.append(f"the query has {len(query.split())} words, and fewer than {MOST_WORDS} are allowed")
    if query.rstrip("?").count("?") or ";" in query:
        faults.append("the query asks for several facts at once")
    return tuple(faults)


class QueryRewriter:
    """Queries made long and rich in information by a model, as ReasonIR is asked (arXiv 2504.20595)."""

    def __init__(self, model: Model, *, max_tokens: int = 256) -> None:
        """`max_tokens` of a rewritten query."""
        self.model = model
        self._max_tokens = max_tokens
        self.most_tokens = 3 * max_tokens
        """Of one call: a judgement of the query, its rewriting, a summary."""

    async def rewrite(self, query: str, reasoning: str) -> tuple[str, Usage]:
        """The query followed by the model's version of it, and what that cost; the query alone when the model says nothing."""
        said, usage = await _ask(self.model, REWRITE.format(query=query, reasoning=reasoning or NOTHING), "rewriter", self._max_tokens)
        return (f"{query}\n{said}" if said else query), usage


class SummarisingSearch(Tool):
    """The `search` tool of UR2."""

    parallel = False

    def __init__(
        self, search: SearchTool, model: Model, *, strict: bool = True, rewriter: QueryRewriter | None = None, max_tokens: int = 512
    ) -> None:
        """Put the parts together.

        Args:
            search: Finds the passages; its name, its collection and the length of its observations are this tool's too.
            model: Classifies queries and summarises passages.
            strict: Whether queries that ask for reasoning, or not for one fact in fewer than 20 words, are refused.
            rewriter: Makes the query that the retriever sees; the summary is still asked for the policy's own.
            max_tokens: Of a summary.
        """
        self.search = search
        self.model = model
        self.strict = strict
        self.rewriter = rewriter
        self.refused = 0
        """Queries that asked for reasoning, over all problems."""
        self._max_tokens = max_tokens
        self.most_tokens = 3 * max_tokens
        """Of one call: a judgement of the query, its rewriting, a summary."""
        about = search.about or "a collection of documents"
        self.spec = ToolSpec(
            name=search.spec.name,
            description=f"Ask for one fact, in fewer than 20 words, and read what {about} says about it.",
            parameters={
                "type": "object",
                "properties": {
                    "query": {"type": "string", "description": "The fact that is needed."},
                    "reasoning": {"type": "string", "description": "What led to the question."},
                },
                "required": ["query"],
                "additionalProperties": False,
            },
        )

    @property
    def fingerprint(self) -> str:
        """The collection's."""
        return self.search.fingerprint

    async def call(self, call: ToolCall, session: Session | None) -> Observation:
        """Clean, check, classify, retrieve, summarise. A refusal is an observation like any other, with `fallback` in its data.

        Raises the `ModelError` family of the summarising model.
        """
        began = time.monotonic()
        asked = text_argument(call, "query")
        if asked is None:
            return needs_text(call, "query")
        query, reasoning = clean_query(asked), text_argument(call, "reasoning") or ""
        faults = query_faults(query) if self.strict else query_faults(query)[: not query]
        if faults:
            return Observation(text=f"InvalidQuery: {'; '.join(faults)}", status=ObservationStatus.INVALID, call_id=call.id)
        reasons, spent = await self._asks_for_reasoning(query) if self.strict else (False, Usage())
        if reasons:
            self.refused += 1
            data: dict[str, object] = {"query": query, "fallback": True}
            return Observation(text=REFUSAL, call_id=call.id, duration_s=time.monotonic() - began, data=data, usage=spent)
        wanted, rewriting = await self.rewriter.rewrite(query, reasoning) if self.rewriter is not None else (query, Usage())
        hits = await self.search.find(wanted)
        said, summing = await self._summary(query, reasoning, hits)
        text, clipped = clip(said or NOTHING, self.search.clip_chars)
        data = {"query": query, "fallback": False, "collection": self.fingerprint, "chunks": [hit.chunk.id for hit in hits]}
        return Observation(
            text=text,
            call_id=call.id,
            duration_s=time.monotonic() - began,
            truncated=clipped,
            data=data,
            usage=spent + rewriting + summing,
        )

    async def _asks_for_reasoning(self, query: str) -> tuple[bool, Usage]:
        said, usage = await _ask(self.model, CLASSIFY.format(query=query), "classifier", 64)
        # The kind named last counts: models like to repeat the choice before they make it.
        return said.lower().rfind("reasoning") > said.lower().rfind("knowledge"), usage

    async def _summary(self, query: str, reasoning: str, hits: Sequence[Hit]) -> tuple[str, Usage]:
        if not hits:
            return "", Usage()
        prompt = SUMMARISE.format(reasoning=reasoning.strip() or NOTHING, query=query, passages=show_hits(list(hits)))
        return await _ask(self.model, prompt, "summariser", self._max_tokens)


async def _ask(model: Model, prompt: str, tag: str, max_tokens: int) -> tuple[str, Usage]:
    """What a model answers to one message, greedily, and what that cost."""
    message = Message(role="user", content=prompt)
    (completion,) = await complete(model, Request(messages=(message,), sampling=Sampling(max_tokens=max_tokens), tag=tag))
    return completion.text.strip(), completion.usage
