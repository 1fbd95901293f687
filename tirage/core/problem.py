"""Problem: what is to be solved, and what a correct answer is. Identity is content."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """One problem. Two problems with the same content have the same `id`, wherever they were loaded from."""

    prompt: str
    """The text shown to the policy; never empty."""
    answer: str | None = None
    """Reference answer; None when there is none. Hidden from every policy that is not declared to see it."""
    kind: str = "math"
    """Domain of the problem: math, code, choice, science, text. Selects hints and default verifiers."""
    source: str = ""
    """Where it came from, e.g. `reasoning-gym/chain_sum` or a file name; part of reports, not of identity."""
    split: str = ""
    """`train`, `heldout`, `unseen` or empty; not part of identity."""
    verifier: str = "math"
    """Name of the verifier that grades it."""
    metadata: Mapping[str, Any] = field(default_factory=dict)
    """JSON-like extras: `family` and `tier` for reports, what the verifier needs to grade; not part of identity."""
    id: str = field(init=False)
    """16 hex digits of the content hash over prompt, answer, kind and verifier."""

    def __post_init__(self) -> None:
        """Compute the identity."""
        content = json.dumps([self.prompt, self.answer, self.kind, self.verifier], ensure_ascii=False)
        object.__setattr__(self, "id", hashlib.sha256(content.encode("utf-8", "surrogatepass")).hexdigest()[:16])

    @property
    def asked(self) -> "Problem":
        """What may be seen by those who must not know the reference: no answer and no metadata.

        Its `id` is that of the question alone, whatever the reference: seeds of everything that a policy sees derive from it.
        """
        return replace(self, answer=None, metadata={})

    @property
    def accepted(self) -> tuple[str, ...]:
        """Every reference answer of which one suffices: `answer`, and what `metadata["accepted"]` lists beside it. Empty without one."""
        others = self.metadata.get("accepted")
        listed = [item for item in others if isinstance(item, str)] if isinstance(others, (list, tuple)) else []
        return () if self.answer is None else tuple(dict.fromkeys((self.answer, *listed)))

    @property
    def family(self) -> str:
        """The group a report shows it under: `metadata['family']`, else the source, else `all`."""
        return str(self.metadata.get("family") or self.source or "all")

    @property
    def tier(self) -> str:
        """Size tier for reports: `metadata['tier']` or `-`."""
        return str(self.metadata.get("tier") or "-")
