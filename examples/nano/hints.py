"""Hint sentences for training: the shipped library and many other wordings, so that an unseen wording works too."""

from __future__ import annotations

import random
from functools import lru_cache
from pathlib import Path

import yaml

from tirage import agents

from . import chat

POSITIONS = ("start", "marker", "end_of_thinking", "before_stop")
LIBRARY = Path(agents.__file__).with_name("hint_library.yaml")

TOOL = (
    "Python", "Python code", "a Python program", "the Python interpreter",
    "a short Python script", "a few lines of Python", "code", "a program",
)  # fmt: skip

WORDINGS: dict[str, tuple[str, ...]] = {
    "complex_calculation": (
        "This calculation is long. Let me do it with {tool}.",
        "Wait, I should not do this arithmetic by hand. I will use {tool}.",
        "To be exact, I compute this with {tool}.",
        "These numbers are big, so {tool} is the safe way.",
        "Let me calculate this with {tool} instead.",
        "I will leave the arithmetic to {tool}.",
        "Doing this in my head is risky. Let me run {tool}.",
        "Let me compute the exact value using {tool}.",
    ),
    "self_reflection": (
        "Wait, is this right? Let me verify it with {tool}.",
        "Hmm, I could be wrong here. Let me check with {tool}.",
        "I am not certain about this result, so I check it with {tool}.",
        "Before I answer, let me confirm this using {tool}.",
        "Wait, that may be a mistake. I will test it with {tool}.",
        "Let me double-check this by running {tool}.",
        "Is this really correct? {tool} will tell.",
        "I had better verify that with {tool}.",
    ),
    "logic_check": (
        "Let me check the logic with {tool}.",
        "Each step should be tested. I will do that with {tool}.",
        "Wait, does this step hold? Let me run {tool} to see.",
        "I want to confirm the reasoning by {tool}.",
        "To be sure that this follows, I run {tool}.",
        "Let me go through the steps again using {tool}.",
    ),
    "alternative_method": (
        "Alternatively, let me solve it with {tool}.",
        "There is another way: {tool}.",
        "Maybe I should try a different approach with {tool}.",
        "Another method is to write {tool} and read the result.",
        "Alternatively, {tool} can do this.",
        "Let me try something else and use {tool}.",
    ),
    "general_tool_use": (
        "I can run {tool} for this.",
        "Let me use {tool}.",
        "Wait, I can use {tool} here.",
        "I have an interpreter, so let me write {tool}.",
        "Time to use {tool}.",
        "It helps to run {tool} now.",
        "Let me write {tool} to solve this.",
        "Using {tool} will help here.",
    ),
    "deeper_thinking": (
        "Let me think about this again, this time using {tool}.",
        "I should look more carefully, with {tool}.",
        "Wait, there is more to do. Let me work it out with {tool}.",
        "Let me take more time and go on with {tool}.",
        "I am not done yet. Let me continue with {tool}.",
        "Let me reconsider the whole problem and use {tool}.",
    ),
    "debug": (
        "Let me test this on the input and print the result.",
        "Wait, I should run it and look at the output.",
        "Let me debug this by printing the values with {tool}.",
        "I will run {tool} and compare the output.",
    ),
}

COMMENTS = (
    "# Compute the answer",
    "# Let me compute this",
    "# Calculate the result",
    "# Python code for the problem",
    "# Solve the problem",
)

START_FAMILIES = ("complex_calculation", "alternative_method", "general_tool_use")


@lru_cache(maxsize=1)
def library() -> tuple[dict[str, object], ...]:
    """The hints that the framework ships and that leave the code fence to the model; `opened` makes others of them."""
    return tuple(hint for hint in yaml.safe_load(LIBRARY.read_text())["hints"] if chat.CODE.strip() not in hint["text"])


def opened(hint: str, rng: random.Random) -> str:
    """The hint with the code fence open at its end; now and then it is the fence alone, or a comment stands in the block already."""
    sentence = "" if rng.random() < 0.1 else hint + rng.choice(("\n", "\n", "\n\n"))
    return f"{sentence}{chat.CODE}".rstrip("\n") + (f"\n{rng.choice(COMMENTS)}" if rng.random() < 0.25 else "")


def draw(position: str, rng: random.Random, anywhere: bool = False) -> str:
    """A hint for a position: half the time one of the library, else another wording (any family may stand anywhere then).

    With `anywhere`, the library's hints too stand where their entries do not put them.
    """
    if rng.random() < 0.5:
        fitting = [h for h in library() if anywhere or position in h["positions"]]  # type: ignore[operator]
        return str(rng.choice(fitting)["text"])
    names = START_FAMILIES if position == "start" and rng.random() < 0.7 else tuple(WORDINGS)
    text = rng.choice(WORDINGS[rng.choice(names)]).format(tool=rng.choice(TOOL))
    return text[0].upper() + text[1:]
