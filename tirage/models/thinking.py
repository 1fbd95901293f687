"""Thinking markers: how a model sets its thinking apart from its answer."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

MARKERS = (
    ("<think>", "</think>"),
    ("[THINK]", "[/THINK]"),
    ("<|channel|>analysis<|message|>", "<|end|>"),
    ("<thought>", "</thought>"),
    ("<thinking>", "</thinking>"),
    ("<reasoning>", "</reasoning>"),
    ("<seed:think>", "</seed:think>"),
    ("<|begin_of_thought|>", "<|end_of_thought|>"),
    ("<|START_THINKING|>", "<|END_THINKING|>"),
    ("<|inner_prefix|>", "<|inner_suffix|>"),
    ("<|channel>thought", "<channel|>"),
    ("◁think▷", "◁/think▷"),
)
"""Pairs that published models use."""

Begun = Literal["model", "prompt", "closed"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Thinking:
    """What is known of a model's thinking."""

    open: str
    close: str
    begun: Begun
    """Who opens it: the model, the generation prompt, or nobody, since the prompt opens and closes it (thinking is switched off)."""
    source: Literal["template", "tokenizer"]


def find_thinking(template: str | None, opening: str, in_vocabulary: Callable[[str], bool]) -> Thinking | None:
    """The thinking markers of a model; None for one without.

    Args:
        template: Source of the chat template: markers that it names are the model's, whatever tokens they are made of.
        opening: The generation prompt, which may open the thinking.
        in_vocabulary: Whether a text is one token; a pair of which both are is taken where the template names none.
    """
    for source, known in (("template", lambda marker: template is not None and marker in template + opening), ("tokenizer", in_vocabulary)):
        for first, last in MARKERS:
            # Many templates name only what ends the thinking, by which they cut it out of earlier turns; a bare <|end|> ends turns too.
            found = (known(first) or (known(last) and "think" in last.lower())) if source == "template" else known(first) and known(last)
            if found:
                tail = opening[opening.rindex(first) + len(first) :] if first in opening else None
                begun: Begun = "model" if tail is None else "closed" if last in tail else "prompt"
                return Thinking(open=first, close=last, begun=begun, source="template" if source == "template" else "tokenizer")
    return None
