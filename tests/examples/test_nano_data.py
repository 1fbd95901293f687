"""nano's data: right programs, honest masks, disjoint splits."""

from __future__ import annotations

import itertools
import random
import sys
from collections import Counter
from pathlib import Path

import pytest

EXAMPLES = str(Path(__file__).resolve().parents[2] / "examples")
sys.path.insert(0, EXAMPLES)

from nano import asked, chat, execute, families, hints, mental, mix, programs, puzzles, roles  # type: ignore[import-not-found]  # noqa: E402

from tirage.problems import lookup  # noqa: E402
from tirage.problems.splits import is_heldout  # noqa: E402

CELLS = [(f, t) for f in (*families.families(), "asked") for t in families.TIERS]


@pytest.mark.parametrize(("family", "tier"), CELLS)
def test_programs_are_right(family: str, tier: str) -> None:
    written = 0
    for index in range(10):
        item = families.draw(family, tier, 7000 + index)
        code = programs.program(item, random.Random(index))
        if not code and family == "gsm_symbolic":
            continue
        written += 1
        assert families.score(item, execute.run(code).strip()) == 1.0, (item.question, code)
    assert written >= 8


@pytest.mark.parametrize(("family", "tier"), CELLS)
def test_mental_solutions_are_right(family: str, tier: str) -> None:
    for index in range(10):
        item = families.draw(family, tier, 7000 + index)
        solved = mental.solution(item, random.Random(index))
        if solved is not None:
            assert families.score(item, solved[1]) == 1.0, (item.question, solved)


@pytest.mark.parametrize("family", ["countdown", "puzzle24"])
@pytest.mark.parametrize("tier", families.TIERS)
def test_puzzle_lines_are_legal_moves(family: str, tier: str) -> None:
    for index in range(10):
        item = families.draw(family, tier, 7000 + index)
        solved = puzzles.by_hand(item, random.Random(index))
        if solved is None:
            continue
        left = tuple(item.metadata["numbers"])
        for line in solved[0]:
            move = line.split(": no.")[0]
            legal = {m.line: m.left for m in puzzles.moves(left, tuple(map(str, left)), "+-*/")}
            assert move in legal, (item.question, line)
            left = tuple(item.metadata["numbers"]) if ": no." in line else legal[move]
        assert left == (puzzles.target_and_signs(item)[0],)


@pytest.mark.parametrize("tier", lookup.TIERS)
def test_lookup_needs_its_facts_and_they_suffice(tier: str) -> None:
    for index in range(50):
        made = lookup.generate(3, index, tier)
        assert made == lookup.generate(3, index, tier)
        found = [lookup.search(s, made["facts"]) for s in made["steps"]["searches"]]
        values = [int("".join(c for c in p if c.isdigit())) for p in found]
        assert values == made["steps"]["values"]
        assert str(eval(made["steps"]["expression"], {}, dict(zip("xy", values, strict=False)))) == made["answer"]


@pytest.fixture(scope="module", params=mix.PHASES)
def phase(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def sample(phase: str) -> list[mix.Example]:
    return list(itertools.islice(mix.Pool(99, phase=phase), 500))


def test_masks_spare_prompt_hint_observation_and_all_before_the_hint(sample: list[mix.Example]) -> None:
    for example in sample:
        segments = example.segments
        assert not segments[0][1], "the prompt carries loss"
        for (text, _), (after, loss) in itertools.pairwise(segments):
            if text.endswith(chat.OUTPUT):
                assert not loss
                assert after.endswith(chat.CLOSE)
        learned = "".join(t for t, loss in segments if loss)
        assert chat.END in learned
        if example.kind == "hint":
            first = next(i for i, (_, loss) in enumerate(segments) if loss)
            before = "".join(t for t, _ in segments[:first])
            assert before.endswith("\n")
            for hint in hints.library():
                assert str(hint["text"]) not in learned


def test_every_kind_and_family_occurs(sample: list[mix.Example], phase: str) -> None:
    kinds = Counter(e.kind for e in sample)
    assert set(kinds) == set(mix.PHASES[phase].kinds)
    extra = {"lookup", "asked"} if phase == "following" else {"lookup"}
    assert {e.family for e in sample} - {"copy"} == {*families.families(), *extra}
    for kind, share in mix.PHASES[phase].kinds.items():
        assert abs(kinds[kind] / len(sample) - share) < 0.08
    assert any("Wait" in e.text or "Alternatively" in e.text for e in sample if e.kind == "mental")


def test_training_shares_no_problem_with_the_held_out_set() -> None:
    pool = mix.Pool(5)
    spec = families.spec()["heldout"]
    questions = {i.question for i in families.heldout(spec["per_cell"], spec["seed"])}
    for _ in range(500):
        drawn = pool.item("hint")
        assert drawn.key not in pool.reserved
        assert drawn.question not in questions
        assert not is_heldout(drawn.question)


def test_never_trained_families_stay_out(sample: list[mix.Example]) -> None:
    never = set(families.spec()["never_trained"])
    assert len(never) >= 4
    assert never.isdisjoint(e.family for e in sample)
    for name in never:
        assert families.draw(name, "never", 0, seed=1000).question


@pytest.mark.parametrize("position", hints.POSITIONS)
def test_hints_cover_library_and_other_wordings(position: str) -> None:
    drawn = {hints.draw(position, random.Random(i)) for i in range(2000)}
    shipped = {str(h["text"]) for h in hints.library() if position in h["positions"]}
    assert shipped <= drawn
    assert len(drawn - shipped) >= 20


def test_opened_fences_are_the_hints_and_the_program_goes_on_inside_them() -> None:
    item = families.draw("asked", "medium", 7000)
    found = 0
    for seed in range(60):
        segments = mix.write_hint(item, random.Random(seed), opened=0.5)
        assert segments is not None
        assert "".join(t for t, _ in segments).count(chat.CODE) == "".join(t for t, _ in segments).count(chat.OUTPUT)
        (before, loss), (code, _) = segments[:2]
        assert not loss
        assert before.endswith("\n")
        if chat.CODE in before:
            found += 1
            assert not code.startswith(chat.CODE)
    assert 15 <= found <= 45


def test_asked_questions_cover_sizes_signs_and_words_and_their_programs_are_right() -> None:
    questions = [asked.generate(3, index, tier) for tier in families.TIERS for index in range(400)]
    assert questions[0] == asked.generate(3, 0, "easy")
    assert {sign for q in questions for sign in "+-*" if f" {sign} " in q["expression"]} == set("+-*")
    for name in ("gcd(", "lcm(", "max(", "min(", "Fraction(", " % ", " // ", "**", "round("):
        assert any(name in q["expression"] for q in questions), name
    assert max(len(word) for q in questions for word in q["question"].split() if word.isdigit()) == 6
    assert sum(q["question"].startswith("What is ") for q in questions) > 500
    assert len({q["question"] for q in questions}) > 1000


@pytest.mark.parametrize(("answer", "right"), [("13142724", True), ("13142724.0", True), ("13142725", False), ("1 3", False), ("", False)])
def test_answers_to_asked_questions_are_compared_as_numbers(answer: str, right: bool) -> None:
    assert asked.equal(answer, "13142724") is right


def test_roles_have_their_formats() -> None:
    rng = random.Random(0)
    seen: Counter[str] = Counter()
    for index in range(60):
        written = roles.write(families.draw("gcd", "medium", 7000 + index), rng)
        assert written is not None
        text = "".join(t for t, _ in written)
        if "<|user|>\nPlan: " in text:
            seen["plan"] += 1
            assert "1. " in text.split("<|assistant|>\n")[1]
        elif "<|user|>\nCheck: " in text:
            seen[text.rsplit("Verdict: ")[1]] += 1
            assert "\nProposed answer: " in text
            assert (" True\n" in text) == text.endswith(f"Verdict: correct{chat.END}"), "the output decides the verdict"
        else:
            seen["execute"] += 1
            assert "\nPlan: 1. " in text
    assert set(seen) == {"plan", "execute", f"correct{chat.END}", f"wrong{chat.END}"}


def test_broken_programs_fail_and_errors_are_one_line() -> None:
    failures = [execute.run(mix.broken("from math import gcd\nprint(gcd(4, 6))", random.Random(i))) for i in range(10)]
    assert all(f.count("\n") == 1 for f in failures)
    assert execute.run("print(x)") == "NameError: name 'x' is not defined\n"
    assert execute.run("while True: pass", seconds=0.2).startswith("TimeoutError")
    assert len(execute.run("print('a' * 1000)")) < 420
