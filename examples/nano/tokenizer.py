"""The tokenizer: byte-level BPE with single digits, single-token fences and names, and no unknown characters."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers

from tirage.problems.lookup import NAMES

from . import chat

CONTEXT = 1024


def clean(text: str) -> str:
    """Text without the added tokens, so that no merge is spent on their characters."""
    for token in (*chat.SPECIAL, *chat.KEPT, *NAMES):
        text = text.replace(token, "\n")
    return text


def train(texts: Iterable[str], vocab: int) -> Tokenizer:
    """Learns the merges; all 256 bytes are in the alphabet, so every text encodes and decodes to itself."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)]
    )
    tokenizer.decoder = decoders.ByteLevel()
    added = len(chat.SPECIAL) + len(chat.KEPT) + len(NAMES)
    trainer = trainers.BpeTrainer(
        vocab_size=vocab - added, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False, min_frequency=20
    )
    tokenizer.train_from_iterator((clean(text) for text in texts), trainer)
    tokenizer.add_special_tokens([AddedToken(t, special=True, normalized=False) for t in chat.SPECIAL])
    tokenizer.add_tokens([AddedToken(t, special=False, normalized=False) for t in (*chat.KEPT, *NAMES)])
    return tokenizer


def save(tokenizer: Tokenizer, folder: Path) -> None:
    """Writes tokenizer.json and tokenizer_config.json with the chat template."""
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer.save(str(folder / "tokenizer.json"))
    config = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "bos_token": None,
        "eos_token": chat.END,
        "pad_token": chat.PAD,
        "unk_token": None,
        "model_max_length": CONTEXT,
        "clean_up_tokenization_spaces": False,
        "chat_template": chat.TEMPLATE,
    }
    (folder / "tokenizer_config.json").write_text(json.dumps(config, indent=2) + "\n")
