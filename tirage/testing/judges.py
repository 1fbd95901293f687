"""Judges with a known bias, as scripted models: they love one cue, and where it is on neither side alone they go by the content."""

import re
from collections.abc import Callable, Collection

from tirage.core.verdict import Preference
from tirage.judging.bias import CUES, LONGER, POSITION
from tirage.models.base import Request
from tirage.testing.scripted import ByteRenderer, ScriptedModel
from tirage.verification.ballot import classes
from tirage.verification.extract import final_answer

_ANSWERS = re.compile(r"Answer A:\n(.*)\n\nAnswer B:\n(.*)\n\nSay briefly", re.DOTALL)
_SAID = {"first": "A", "second": "B", "tie": "tie"}
Sway = Callable[[str, str], Preference]


def biased_judge(cue: str | None, right: Collection[str], **options: str) -> ScriptedModel:
    """A model for the `judge` role of `ModelPairJudge`. `cue`: a name in `CUES`, None for a judge of content alone.

    `right`: what it takes for right answers; `options` are those of `ScriptedModel`. Raises KeyError for an unknown cue.
    """
    sway = None if cue is None else _first if cue == POSITION else _longer if cue == "length" else _lover(CUES[cue].lines)

    def said(request: Request) -> str:
        prompt = ByteRenderer().decode(request.ids) if request.ids is not None else (request.messages or ())[-1].content
        found = _ANSWERS.search(prompt)
        assert found is not None, prompt
        choice = sway(*found.groups()) if sway is not None else "tie"
        return f"Verdict: {_SAID[choice if choice != 'tie' else _content(found[1], found[2], right)]}"

    return ScriptedModel(said, **options)  # type: ignore[arg-type]


def _first(first: str, second: str) -> Preference:
    return "first"


def _longer(first: str, second: str) -> Preference:
    return _side(len(first) > (LONGER - 1) * len(second), len(second) > (LONGER - 1) * len(first))


def _lover(lines: Collection[str]) -> Sway:
    return lambda first, second: _side(*(any(line in text for line in lines) for text in (first, second)))


def _content(first: str, second: str, right: Collection[str]) -> Preference:
    return _side(*(any(len(set(classes([final_answer(text), key]))) == 1 for key in right) for text in (first, second)))


def _side(first: bool, second: bool) -> Preference:
    return "tie" if first == second else "first" if first else "second"
