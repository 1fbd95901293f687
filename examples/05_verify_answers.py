"""Is it right? Find the final answer, compare it with the reference, and keep "could not grade" apart from "wrong"."""

import asyncio

from tirage.core import Problem
from tirage.verification import open_verifier
from tirage.verification.extract import extract

RESPONSES = [
    ("1/2", "Half of them, so the answer is \\boxed{0.5}."),
    ("x^2 - 1", "Multiplying out: \\boxed{(x-1)(x+1)}"),
    ("1,234", "That leaves $1234."),
    ("3", "First \\boxed{2}; no, I forgot one: \\boxed{3}."),
    ("3", "About three, I would say."),
    ("7", "\\boxed{8}"),
    (None, "\\boxed{8}"),
]


async def main() -> None:
    """Judge each response; a verdict is never an exception."""
    math = open_verifier("math")
    try:
        for gold, response in RESPONSES:
            verdict = await math.verify(Problem(prompt="?", answer=gold), response)
            word = {True: "right", False: "wrong", None: "ungraded"}[verdict.correct]
            print(f"{word:>8}  {verdict.answer!s:<12} vs {gold!s:<8} found by {verdict.extraction or '-':<12} {verdict.detail}")
    finally:
        await math.close()

    # Other verifiers compare differently; a problem names its own.
    within_one_percent = open_verifier("numeric", relative=0.01)
    choice = open_verifier("choice")
    print((await within_one_percent.verify(Problem(prompt="pi?", answer="3.14159", verifier="numeric"), "\\boxed{3.15}")).correct)
    print((await choice.verify(Problem(prompt="Which?", answer="B", verifier="choice"), "So it must be (b)... B.")).correct)

    # Extraction alone: which methods are tried, in which order, is an argument.
    text = "<answer>12</answer> was my first idea, but the last number is 13"
    print(extract(text).answer, extract(text, ("last-number",)).answer, extract("no idea").answer)


asyncio.run(main())
