"""The embedded model as it ships: it loads, it fits, and its tokenizer loses nothing."""

from __future__ import annotations

import asyncio
import json
import random
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

transformers = pytest.importorskip("transformers", reason="install tirage[local]")
torch = pytest.importorskip("torch", reason="install tirage[local]")

import tirage.models  # noqa: E402
from tests.cli.command_line import run  # noqa: E402
from tirage.agents.hints import load_library  # noqa: E402
from tirage.core import HintPosition, Problem  # noqa: E402
from tirage.problems.lookup import NAMES  # noqa: E402
from tirage.runtime.config import HintsConfig, RunConfig  # noqa: E402
from tirage.runtime.event_loop import run_sync  # noqa: E402
from tirage.runtime.runtime import Runtime  # noqa: E402
from tirage.runtime.solving import solve_hints, solve_with  # noqa: E402

FOLDER = Path(tirage.models.__file__).parent / "nano"
FENCES = ["<think>", "</think>", "```python\n", "```output\n", "```\n"]
SPECIAL = ["<|pad|>", "<|end|>", "<|system|>", "<|user|>", "<|assistant|>"]


@pytest.fixture(scope="module")
def tokenizer() -> Any:
    return transformers.AutoTokenizer.from_pretrained(FOLDER)


@pytest.fixture(scope="module")
def model() -> Any:
    return transformers.AutoModelForCausalLM.from_pretrained(FOLDER).eval()


@pytest.fixture(scope="module")
def wide() -> Any:
    """The same weights in float32, which a CPU computes faster."""
    return transformers.AutoModelForCausalLM.from_pretrained(FOLDER, dtype=torch.float32).eval()


TOKENIZER = transformers.AutoTokenizer.from_pretrained(FOLDER)


@settings(max_examples=300, deadline=None)
@given(st.text(max_size=80))
def test_any_text_survives_the_tokenizer(text: str) -> None:
    ids = TOKENIZER.encode(text, add_special_tokens=False)
    assert TOKENIZER.decode(ids, skip_special_tokens=False, clean_up_tokenization_spaces=False) == text


@pytest.mark.parametrize(
    "text",
    [
        "héllo wörld — “quotes” × 3",
        "emoji 🎉👩‍🚀 and ﷽ and \u0000",
        "tabs\tand\r\nnew lines \n\n  spaces  ",
        "<think>\n```python\nprint(1)\n```\n```output\n1\n```\n</think>\nThe answer is \\boxed{1}.<|end|>",
        "``` not a fence `` ```pythonic ```\n",
    ],
)
def test_awkward_text_survives(tokenizer: Any, text: str) -> None:
    ids = tokenizer.encode(text, add_special_tokens=False)
    assert tokenizer.decode(ids, skip_special_tokens=False) == text


@pytest.mark.parametrize("text", [*FENCES, *SPECIAL, *NAMES])
def test_fences_roles_and_names_are_single_tokens(tokenizer: Any, text: str) -> None:
    assert len(tokenizer.encode(text, add_special_tokens=False)) == 1


def test_decoding_keeps_fences_and_drops_roles(tokenizer: Any) -> None:
    ids = tokenizer.encode("<|user|>\nhi<|end|>\n<think>\n```python\nx\n```\n", add_special_tokens=False)
    assert tokenizer.decode(ids, skip_special_tokens=True) == "\nhi\n<think>\n```python\nx\n```\n"


def test_digits_stand_alone(tokenizer: Any) -> None:
    assert len(tokenizer.encode("8675309", add_special_tokens=False)) == 7


def test_vocabulary_end_and_pad(tokenizer: Any, model: Any) -> None:
    assert len(tokenizer) == model.config.vocab_size <= 1024
    assert tokenizer.eos_token == "<|end|>"
    assert tokenizer.pad_token == "<|pad|>"
    assert model.config.eos_token_id == tokenizer.eos_token_id
    assert model.generation_config.eos_token_id == tokenizer.eos_token_id


def test_chat_template(tokenizer: Any) -> None:
    talk = [{"role": "system", "content": "S"}, {"role": "user", "content": "Q"}]
    rendered = tokenizer.apply_chat_template(talk, tokenize=False, add_generation_prompt=True)
    assert rendered == "<|system|>\nS<|end|>\n<|user|>\nQ<|end|>\n<|assistant|>\n"
    closed = tokenizer.apply_chat_template([*talk, {"role": "assistant", "content": "A"}], tokenize=False)
    assert closed == "<|system|>\nS<|end|>\n<|user|>\nQ<|end|>\n<|assistant|>\nA<|end|>\n"


@pytest.mark.parametrize("prefix", ["<think>\n", "<think>\nLet me see.\nI can use Python here.\n", "<think>\n12 + 4 = 16"])
def test_continuing_the_last_message_ends_in_exactly_its_text(tokenizer: Any, prefix: str) -> None:
    talk = [{"role": "user", "content": "Q"}, {"role": "assistant", "content": prefix}]
    rendered = tokenizer.apply_chat_template(talk, tokenize=False, continue_final_message=True)
    assert rendered == f"<|user|>\nQ<|end|>\n<|assistant|>\n{prefix}"


def test_folder_is_small_and_plain_llama(model: Any) -> None:
    assert sum(f.stat().st_size for f in FOLDER.iterdir()) <= 16_000_000
    assert type(model).__name__ == "LlamaForCausalLM"
    assert model.config.tie_word_embeddings
    assert model.dtype == torch.bfloat16


def test_generation_is_deterministic_and_starts_a_thought(tokenizer: Any, wide: Any) -> None:
    prompt = tokenizer.apply_chat_template([{"role": "user", "content": "Calculate 7 + 5."}], tokenize=False, add_generation_prompt=True)
    ids = tokenizer(prompt, return_tensors="pt", add_special_tokens=False)
    torch.manual_seed(0)
    first = wide.generate(**ids, do_sample=False, max_new_tokens=24)
    second = wide.generate(**ids, do_sample=False, max_new_tokens=24)
    assert torch.equal(first, second)
    assert tokenizer.decode(first[0, ids["input_ids"].shape[1] :]).startswith("<think>\n")


def test_a_hint_is_followed_by_code(tokenizer: Any, wide: Any) -> None:
    talk = [
        {"role": "user", "content": "State the final answer to the following arithmetic problem: 4628 + 8588 - 8319 ="},
        {"role": "assistant", "content": "<think>\nI can use Python here.\n"},
    ]
    prompt = tokenizer.apply_chat_template(talk, tokenize=False, continue_final_message=True)
    ids = tokenizer(prompt, return_tensors="pt", add_special_tokens=False)
    stop = tokenizer.convert_tokens_to_ids("```output\n")
    made = wide.generate(**ids, do_sample=False, max_new_tokens=60, eos_token_id=[stop, tokenizer.eos_token_id])
    text = tokenizer.decode(made[0, ids["input_ids"].shape[1] :])
    assert text.startswith("```python\n")
    assert text.endswith("```\n```output\n")
    assert "4628 + 8588 - 8319" in text


FIRST = ("What is 4839 * 2716?", "13142724")
"""The README's first question."""
OPENED = ("```python", "I can use Python here.\n```python", "Let me calculate this with Python code.\n\n```python\n# Compute the answer")


def asked(count: int, seed: int) -> list[tuple[str, str]]:
    """Questions "What is A op B?" with numbers of two to five digits, and their answers."""
    rng = random.Random(seed)
    made = []
    for number in range(count):
        sign = "+-*"[number % 3]
        a, b = (rng.randint(10 ** (digits - 1), 10**digits - 1) for digits in (rng.randint(2, 5), rng.randint(2, 5)))
        made.append((f"What is {a} {sign} {b}?", str({"+": a + b, "-": a - b, "*": a * b}[sign])))
    return made


def answers(questions: list[str], hints: HintsConfig | None) -> list[str | None]:
    """What nano answers, greedily and with the given hints, through the code path of `tirage.solve`."""

    async def ask() -> list[str | None]:
        async with Runtime(RunConfig(model="nano")) as runtime:
            agent = runtime.agent(hints=hints)
            solutions = await asyncio.gather(*(solve_with(agent, Problem(prompt=question)) for question in questions))
        return [solution.answer for solution in solutions]

    return run_sync(ask())


def only(folder: Path, text: str, position: HintPosition) -> HintsConfig:
    """A plan with one hint at one position."""
    path = folder / "hints.yaml"
    path.write_text(yaml.safe_dump({"hints": [{"id": "one", "family": "one", "text": text, "positions": [position.value]}]}))
    return HintsConfig(library=path, positions=(position,))


@pytest.mark.parametrize(
    ("text", "position"),
    [
        # The frame of a program's test is given for problems of code alone.
        *(
            pytest.param(hint.text, place, id=f"{hint.id}-{place.value}")
            for hint in load_library()
            for place in hint.positions
            if hint.suits("math") or "```" not in hint.text
        ),
        *(pytest.param(text, HintPosition.START, id=f"opened-{number}") for number, text in enumerate(OPENED)),
    ],
)
def test_the_first_question_is_answered_under_every_hint(tmp_path: Path, text: str, position: HintPosition) -> None:
    question, right = FIRST
    assert answers([question], only(tmp_path, text, position)) == [right]


def test_the_first_lines_of_the_readme_print_the_right_answer(capsys: pytest.CaptureFixture[str]) -> None:
    question, right = FIRST
    solution = tirage.solve(question, answer=right)
    assert solution.answer == right
    assert solution.verdict is not None
    assert solution.verdict.correct is True
    code, out, _ = run(capsys, "solve", question, "--json")
    assert code == 0
    assert json.loads(out)["answer"] == right


def test_plain_arithmetic_is_answered_through_the_defaults_of_solve() -> None:
    questions = asked(40, seed=20)
    given = answers([question for question, _ in questions], solve_hints("nano", None))
    wrong = [(question, answer) for (question, right), answer in zip(questions, given, strict=True) if answer != right]
    assert len(wrong) <= 2, wrong
