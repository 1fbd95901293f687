"""reasoning-gym's own scorers. Runs inside grading workers only.

Some scorers of version 0.1.25 give full marks to wrong answers, which a policy in training would find sooner or later; `MUST_HOLD` adds,
per family, what has to be true as well before full marks count. Everything else about scoring is left to the package.
"""

import json
import re
from collections.abc import Callable
from fractions import Fraction
from functools import lru_cache
from typing import Any

import reasoning_gym

Entry = dict[str, Any]
_ARITHMETIC = re.compile(r"[\d\s()+\-*/]*")


def grade_gym(request: dict[str, Any]) -> dict[str, Any]:
    """Regenerate the entry and let its family score `request["answer"]`.

    Returns:
        `score` as the family gives it, usually in [0, 1], and `note` for people. An answer that makes the scorer raise, although it
        grades the reference well, is malformed: it scores 0.

    Raises:
        LookupError: the regenerated question is not the problem's own (another reasoning-gym version, or edited metadata).
        Exception: whatever the scorer raises on its own reference, too.
    """
    dataset = _dataset(request["family"], request["seed"], request["size"], json.dumps(request["config"], sort_keys=True))
    entry: Entry = dataset[request["index"]]
    answer: str = request["answer"]
    if entry["question"] != request["question"]:
        raise LookupError(f"regenerating {request['family']} seed {request['seed']} index {request['index']} gave another question")
    try:
        score = float(dataset.score_answer(answer, entry))
    except Exception as error:  # scorers parse the answer without care; the reference tells whose fault it is
        if isinstance(entry["answer"], str):
            dataset.score_answer(entry["answer"], entry)
        return {"score": 0.0, "note": f"malformed answer ({type(error).__name__})"}
    if score >= 1.0 and not _deserved(request["family"], score, answer, entry):
        return {"score": 0.0, "note": "the family's scorer accepts it, but it breaks the question's rules"}
    score = min(score, 1.0)
    return {"score": score, "note": "" if score in (0.0, 1.0) else "partial score"}


@lru_cache(maxsize=256)
def _dataset(family: str, seed: int, size: int, config: str) -> Any:
    return reasoning_gym.create_dataset(family, seed=seed, size=size, **json.loads(config))


def _deserved(family: str, score: float, answer: str, entry: Entry) -> bool:
    """Whether full marks are right. More than full marks are a scorer's slip, which only the reference itself deserves."""
    rule = MUST_HOLD.get(family)
    try:
        return (rule is None or rule(answer, entry)) and (score == 1.0 or _same_word(answer, entry))
    except (ValueError, ArithmeticError, TypeError):
        return False


def _same_word(answer: str, entry: Entry) -> bool:
    """game_of_life_halting compares truth values of strings, and spell_backward can sum up a mere prefix to 1."""
    wanted: str = entry["answer"]
    return answer.strip().lower() == wanted.strip().lower()


def _same_value(answer: str, entry: Entry) -> bool:
    """calendar_arithmetic divides an error by the reference, so that for -1 every error scores above 1."""
    wanted: str = entry["answer"]
    return _same_word(answer, entry) or int(answer) == int(wanted)


def _same_numbers(answer: str, entry: Entry) -> bool:
    """number_sorting lets every number be off by one."""
    given, wanted = (json.loads(text.replace("'", '"')) for text in (answer, entry["answer"]))
    return [float(number) for number in given] == [float(number) for number in wanted]


def _arithmetic(answer: str, entry: Entry) -> bool:
    """Digits, brackets and + - * / only: sympy would also read factorials and powers, which the question does not offer."""
    return _ARITHMETIC.fullmatch(answer) is not None and "**" not in answer and "//" not in answer


def _makes_24(answer: str, entry: Entry) -> bool:
    """puzzle24 accepts other numbers than the given ones and cuts 24.5 down to 24."""
    if not _arithmetic(answer, entry):
        return False
    from sympy.parsing.sympy_parser import parse_expr

    used = sorted(int(number) for number in re.findall(r"\d+", answer))
    return used == sorted(entry["metadata"]["numbers"]) and bool(parse_expr(answer) == 24)


def _near(answer: str, entry: Entry) -> bool:
    """coin_flip gives full marks to any prefix of the right digits, such as 0."""
    wanted: str = entry["answer"]
    return abs(Fraction(answer.replace(",", "")) - Fraction(wanted.replace(",", ""))) <= Fraction(1, 10_000)


def _complex_digits(answer: str, entry: Entry) -> bool:
    """complex_arithmetic gives full marks to nan, whose distance from anything is not a number."""
    return not re.search(r"[a-hk-z]", answer.lower())


MUST_HOLD: dict[str, Callable[[str, Entry], bool]] = {
    "calendar_arithmetic": _same_value,
    "coin_flip": _near,
    "complex_arithmetic": _complex_digits,
    "countdown": _arithmetic,
    "game_of_life_halting": _same_word,
    "number_sorting": _same_numbers,
    "puzzle24": _makes_24,
    "spell_backward": _same_word,
}
