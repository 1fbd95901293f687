"""Answer elicitation and budget forcing: the words that state an answer are begun for a policy that ended without one.

s1 (Muennighoff et al. 2025, arXiv 2501.19393, section 3) ends a thought that has used up its tokens by the end-of-thinking marker and
"Final Answer:". The prefix is recorded as FORCED, with the reason, and is never trained.
"""

from dataclasses import dataclass

from tirage.agents.continuation import Path
from tirage.core.hint import HintPosition, HintUse

FAMILY = "elicitation"
"""What tells these from hints in records."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Elicitation:
    """How an answer is elicited."""

    text: str = "The final answer is \\boxed{"
    """Prefix of the policy's last line."""
    told: str = "Now state the final answer in \\boxed{}, and nothing else."
    """What a model is told that takes whole turns only."""
    max_tokens: int = 64
    """Of the last line."""

    def use(self, path: Path, *, at_limit: bool, as_user_turn: bool) -> HintUse:
        """The record of it. `path` ends with the step that had no answer, because it ran into its token limit if `at_limit`."""
        spans = [span for step in path.steps for span in step.spans]
        return HintUse(
            hint_id="final-answer",
            family=FAMILY,
            position=HintPosition.BEFORE_STOP,
            offset=sum(len(span.text) if span.ids is None else len(span.ids) for span in spans),
            reason="limit" if at_limit else "no readable answer",
            as_user_turn=as_user_turn,
        )
