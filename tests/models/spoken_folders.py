"""Folders with the tokenizer and template of well-known model families, made of what installable packages ship."""

import json
import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

SMOLLM2 = Path(os.environ.get("TIRAGE_SMOLLM2", "~/.cache/tirage/smollm2")).expanduser()
THINK = ("<think>", "</think>")
HERMES_TOKENS = ("<tool_call>", "</tool_call>")


def package_file(package: str, name: str) -> Path:
    """A file that an installed package ships; skips the test where there is none."""
    spec = find_spec(package)
    if spec is None or spec.origin is None:
        pytest.skip(f"needs the package {package}: pip install 'tirage[dev,train]'")
    found = Path(spec.origin).parent / name
    if not found.exists():
        pytest.skip(f"{package} does not ship {name}")
    return found


def trl_template(name: str) -> str:
    """A chat template that TRL ships for training."""
    return package_file("trl", f"chat_templates/{name}.jinja").read_text(encoding="utf-8")


@cache
def byte_level() -> str:
    """A tokenizer of single bytes."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers

    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokenizer = Tokenizer(models.BPE(vocab={letter: number for number, letter in enumerate(alphabet)}, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    return str(tokenizer.to_str())


@cache
def smollm2() -> str:
    """SmolLM2's own."""
    if not (SMOLLM2 / "tokenizer.json").exists():
        pytest.skip("needs SmolLM2: scripts/smollm2.sh, or TIRAGE_SMOLLM2")
    return (SMOLLM2 / "tokenizer.json").read_text(encoding="utf-8")


@cache
def deepseek() -> str:
    """DeepSeek-V3's own, which LiteLLM ships."""
    return package_file("litellm", "litellm_core_utils/tokenizers/deepseek_tokenizer.json").read_text(encoding="utf-8")


@cache
def mistral(folder: Path) -> str:
    """Mistral's SentencePiece model with its dummy prefix, which mistral-common ships; converted in `folder`."""
    pytest.importorskip("sentencepiece", reason="pip install 'tirage[dev]'")
    source = package_file("mistral_common", "data/mistral_instruct_tokenizer_240323.model.v3")
    folder.mkdir(parents=True, exist_ok=True)
    shutil.copy(source, folder / "tokenizer.model")
    settings = {"tokenizer_class": "LlamaTokenizer", "bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>"}
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))
    from transformers import AutoTokenizer

    return str(AutoTokenizer.from_pretrained(folder).backend_tokenizer.to_str())


@dataclass(frozen=True, kw_only=True)
class Family:
    """How a family's folder is made."""

    tokenizer: Callable[[Path], str]
    template: Callable[[], str]
    ends: tuple[str, ...]
    """Tokens that end a turn; the first is the end-of-sequence token."""
    special: tuple[str, ...] = ()
    plain: tuple[str, ...] = ()
    """Added tokens that are text."""
    bos: str | None = None


def write_folder(folder: Path, family: Family) -> Path:
    """The folder of a family."""
    from tokenizers import AddedToken, Tokenizer

    tokenizer = Tokenizer.from_str(family.tokenizer(folder / "source"))
    there = tokenizer.get_vocab()
    bos = (family.bos,) if family.bos else ()
    tokenizer.add_special_tokens([token for token in (*family.ends, *bos, *family.special) if token not in there])
    tokenizer.add_tokens([AddedToken(token, normalized=False, special=False) for token in family.plain if token not in there])
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer.save(str(folder / "tokenizer.json"))
    settings: dict[str, Any] = {"eos_token": family.ends[0], "chat_template": family.template()}
    if family.bos:
        settings["bos_token"] = family.bos
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))
    ends = [tokenizer.token_to_id(end) for end in family.ends]
    (folder / "generation_config.json").write_text(json.dumps({"eos_token_id": ends}))
    return folder


def _local(name: str) -> Callable[[], str]:
    return lambda: (Path(__file__).parent / "templates" / f"{name}.jinja").read_text(encoding="utf-8")


def _bytes(folder: Path) -> str:
    return byte_level()


def _smollm2(folder: Path) -> str:
    return smollm2()


def _deepseek(folder: Path) -> str:
    return deepseek()


def _trl(name: str) -> Callable[[], str]:
    return lambda: trl_template(name)


GEMMA4 = (
    *(
        "<|turn>",
        "<|tool>",
        "<tool|>",
        "<|tool_call>",
        "<tool_call|>",
        "<tool_response|>",
        "<|channel>",
        "<channel|>",
        "<|think|>",
        '<|"|>',
    ),
    *("<|image>", "<image|>", "<|image|>"),
)
FAMILIES: dict[str, Family] = {
    "chatml": Family(tokenizer=_smollm2, template=lambda: (SMOLLM2 / "chat_template.jinja").read_text(), ends=("<|im_end|>",)),
    "hermes": Family(tokenizer=_smollm2, template=_local("hermes"), ends=("<|im_end|>",)),
    "qwen2.5": Family(
        tokenizer=_bytes, template=_trl("qwen2_5"), ends=("<|im_end|>", "<|endoftext|>"), special=("<|im_start|>",), plain=HERMES_TOKENS
    ),
    "qwen3": Family(
        tokenizer=_smollm2,
        template=_trl("qwen3"),
        ends=("<|im_end|>", "<|endoftext|>"),
        special=("<|im_start|>",),
        plain=(*HERMES_TOKENS, *THINK, "<tool_response>", "</tool_response>"),
    ),
    "qwen3.5": Family(
        tokenizer=_bytes,
        template=_trl("qwen3_5_think"),
        ends=("<|im_end|>", "<|endoftext|>"),
        special=("<|im_start|>", "<|vision_start|>", "<|vision_end|>", "<|image_pad|>", "<|video_pad|>"),
        plain=(*HERMES_TOKENS, *THINK, "<tool_response>", "</tool_response>"),
    ),
    "llama3": Family(
        tokenizer=_bytes,
        template=_trl("llama3_2"),
        ends=("<|eot_id|>", "<|eom_id|>", "<|end_of_text|>"),
        special=("<|start_header_id|>", "<|end_header_id|>", "<|python_tag|>"),
        bos="<|begin_of_text|>",
    ),
    "gemma": Family(tokenizer=_bytes, template=_trl("gemma3"), ends=("<end_of_turn>", "<eos>"), special=("<start_of_turn>",), bos="<bos>"),
    "gemma4": Family(
        tokenizer=_bytes, template=_trl("gemma4_v5"), ends=("<turn|>", "<|tool_response>", "<eos>"), special=GEMMA4, bos="<bos>"
    ),
    "mistral": Family(tokenizer=lambda folder: mistral(folder), template=_local("mistral"), ends=("</s>",), bos="<s>"),
    "gpt-oss": Family(
        tokenizer=_bytes,
        template=_trl("gptoss"),
        ends=("<|return|>", "<|call|>"),
        special=("<|start|>", "<|end|>", "<|message|>", "<|channel|>", "<|constrain|>"),
        bos="<|startoftext|>",
    ),
    "glm": Family(
        tokenizer=_bytes,
        template=_trl("glm4moe"),
        ends=("<|endoftext|>", "<|user|>", "<|observation|>"),
        special=("[gMASK]", "<sop>", "<|system|>", "<|assistant|>"),
        plain=(*HERMES_TOKENS, *THINK, "<arg_key>", "</arg_key>", "<arg_value>", "</arg_value>", "<tool_response>", "</tool_response>"),
    ),
    "lfm2": Family(
        tokenizer=_bytes,
        template=_trl("lfm2_v2"),
        ends=("<|im_end|>",),
        special=("<|im_start|>", "<|tool_list_start|>", "<|tool_list_end|>", "<|tool_call_start|>", "<|tool_call_end|>"),
        plain=("<|tool_response_start|>", "<|tool_response_end|>"),
        bos="<|startoftext|>",
    ),
    "deepseek": Family(tokenizer=_deepseek, template=_local("deepseek"), ends=("<｜end▁of▁sentence｜>",), bos="<｜begin▁of▁sentence｜>"),
}
"""By name; tokenizers of SmolLM2, Mistral and DeepSeek are real, the others are bytes with the family's own markers."""
