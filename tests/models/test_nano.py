"""The embedded model as it ships: it loads, it fits, and its tokenizer loses nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

transformers = pytest.importorskip("transformers", reason="install tirage[local]")
torch = pytest.importorskip("torch", reason="install tirage[local]")

import tirage.models  # noqa: E402
from tirage.problems.lookup import NAMES  # noqa: E402

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
