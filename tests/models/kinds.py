"""Seven kinds of chat templates and the tokenizers that go with them, as published models have them, cut down to what differs."""

import json
from pathlib import Path
from typing import Any

CHATML = (
    "{% for message in messages %}{% if loop.first and messages[0].role != 'system' %}"
    "<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n{% endif %}"
    "<|im_start|>{{ message.role }}\n{{ message.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
THINKING = (
    "{% if tools %}<|im_start|>system\n{% if messages[0].role == 'system' %}{{ messages[0].content }}\n{% endif %}"
    "{% for tool in tools %}{{ tool | tojson }}\n{% endfor %}<|im_end|>\n"
    "{% elif messages[0].role == 'system' %}<|im_start|>system\n{{ messages[0].content }}<|im_end|>\n{% endif %}"
    "{% for message in messages %}{% if message.role != 'system' %}"
    "{% set content = message.content.split('</think>')[-1].lstrip('\\n') if message.role == 'assistant' and not loop.last "
    "else message.content %}<|im_start|>{{ message.role }}\n{{ content }}<|im_end|>\n{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n"
    "{% if enable_thinking is defined and enable_thinking is false %}<think>\n\n</think>\n\n{% endif %}{% endif %}"
)
LLAMA3 = (
    "{{ bos_token }}{% if not date_string is defined %}{% if strftime_now is defined %}{% set date_string = strftime_now('%d %b %Y') %}"
    "{% else %}{% set date_string = '26 Jul 2024' %}{% endif %}{% endif %}"
    "{% if messages[0].role == 'system' %}{% set system = messages[0].content | trim %}{% set messages = messages[1:] %}"
    "{% else %}{% set system = '' %}{% endif %}"
    "<|start_header_id|>system<|end_header_id|>\n\nToday Date: {{ date_string }}\n\n"
    "{% for tool in tools or [] %}{{ tool | tojson }}{% endfor %}{{ system }}<|eot_id|>"
    "{% for message in messages %}<|start_header_id|>{{ message.role }}<|end_header_id|>\n\n{{ message.content | trim }}<|eot_id|>"
    "{% endfor %}"
    "{% if add_generation_prompt %}<|start_header_id|>assistant<|end_header_id|>\n\n{% endif %}"
)
GEMMA = (
    "{{ bos_token }}{% if messages[0]['role'] == 'system' %}{{ raise_exception('System role not supported') }}{% endif %}"
    "{% for message in messages %}{% if (message['role'] == 'user') != (loop.index0 % 2 == 0) %}"
    "{{ raise_exception('Conversation roles must alternate user/assistant/user/assistant/...') }}{% endif %}"
    "{% set role = 'model' if message['role'] == 'assistant' else message['role'] %}"
    "{{ '<start_of_turn>' + role + '\n' + message['content'] | trim + '<end_of_turn>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<start_of_turn>model\n' }}{% endif %}"
)
MISTRAL = (
    "{{ bos_token }}{% for message in messages %}{% if (message['role'] == 'user') != (loop.index0 % 2 == 0) %}"
    "{{ raise_exception('Conversation roles must alternate user/assistant/user/assistant/...') }}{% endif %}"
    "{% if message['role'] == 'user' %}{{ '[INST] ' + message['content'] + ' [/INST]' }}"
    "{% elif message['role'] == 'assistant' %}{{ message['content'] + eos_token }}"
    "{% else %}{{ raise_exception('Only user and assistant roles are supported!') }}{% endif %}{% endfor %}"
)
HARMONY = (
    "<|start|>system<|message|>You are a model.\nCurrent date: {{ strftime_now('%Y-%m-%d') }}\n\n"
    "Reasoning: {{ reasoning_effort | default('medium') }}<|end|>"
    "{% if messages[0].role == 'system' %}{% set developer = messages[0].content %}{% set messages = messages[1:] %}{% endif %}"
    "{% if developer or tools %}<|start|>developer<|message|># Instructions\n\n{{ developer }}"
    "{% for tool in tools or [] %}\ntype {{ tool.function.name }} = () => any;{% endfor %}<|end|>{% endif %}"
    "{% for message in messages %}{% if message.role == 'assistant' %}"
    "{% if message.thinking %}<|start|>assistant<|channel|>analysis<|message|>{{ message.thinking }}<|end|>{% endif %}"
    "<|start|>assistant<|channel|>final<|message|>{{ message.content }}{% if not loop.last %}<|end|>{% else %}<|return|>{% endif %}"
    "{% else %}<|start|>{{ message.role }}<|message|>{{ message.content }}<|end|>{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}<|start|>assistant{% endif %}"
)
MAGISTRAL = (
    "{{ bos_token }}{% for message in messages %}{% if message['role'] == 'user' %}[INST]{{ message['content'] }}[/INST]"
    "{% elif message['role'] == 'system' %}[SYSTEM_PROMPT]{{ message['content'] }}[/SYSTEM_PROMPT]"
    "{% else %}{{ message['content'] }}{{ eos_token }}{% endif %}{% endfor %}{# answers begin with [THINK] #}"
)

_KINDS: dict[str, dict[str, Any]] = {
    "chatml": {"template": CHATML, "special": ["<|im_start|>", "<|im_end|>"], "eos": "<|im_end|>", "normalizer": "NFC"},
    "thinking": {
        "template": THINKING,
        "special": ["<|im_start|>", "<|im_end|>"],
        "plain": ["<think>", "</think>"],
        "eos": "<|im_end|>",
        "normalizer": "NFC",
        "generation": {"do_sample": True, "temperature": 0.6, "top_p": 0.95, "top_k": 20},
    },
    "llama3": {
        "template": LLAMA3,
        "special": ["<|begin_of_text|>", "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>"],
        "bos": "<|begin_of_text|>",
        "eos": "<|eot_id|>",
        "generation": {"temperature": 0.6, "top_p": 0.9},
    },
    "gemma": {
        "template": GEMMA,
        "special": ["<bos>", "<start_of_turn>", "<end_of_turn>"],
        "bos": "<bos>",
        "eos": "<end_of_turn>",
        "layout": "pieces",
    },
    "mistral": {"template": MISTRAL, "special": ["<s>", "</s>"], "bos": "<s>", "eos": "</s>", "layout": "legacy"},
    "zephyr": {"template": CHATML, "special": ["<s>", "</s>", "<|im_start|>", "<|im_end|>"], "eos": "</s>", "layout": "first"},
    "harmony": {
        "template": HARMONY,
        "special": ["<|start|>", "<|message|>", "<|channel|>", "<|end|>", "<|return|>", "<|call|>"],
        "eos": "<|return|>",
    },
    "magistral": {
        "template": MAGISTRAL,
        "special": ["<s>", "</s>", "[INST]", "[/INST]", "[SYSTEM_PROMPT]", "[/SYSTEM_PROMPT]", "[THINK]", "[/THINK]"],
        "bos": "<s>",
        "eos": "</s>",
    },
}
KINDS = tuple(_KINDS)


def write_kind(folder: Path, kind: str, *, template: str | None = "") -> Path:
    """A model folder of that kind, without weights; `template` replaces the kind's, None leaves it out."""
    from tokenizers import AddedToken

    facts = _KINDS[kind]
    layout = facts.get("layout", "bytes")
    tokenizer = _bytes(facts.get("normalizer")) if layout == "bytes" else _pieces(layout)
    tokenizer.add_special_tokens(facts["special"])
    tokenizer.add_tokens([AddedToken(text, normalized=False, special=False) for text in facts.get("plain", ())])
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer.save(str(folder / "tokenizer.json"))
    settings = {"tokenizer_class": "PreTrainedTokenizerFast", "eos_token": facts["eos"]}
    if "bos" in facts:
        settings["bos_token"] = facts["bos"]
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))
    chosen = facts["template"] if template == "" else template
    if chosen is not None:
        (folder / "chat_template.jinja").write_text(chosen)
    if "generation" in facts:
        (folder / "generation_config.json").write_text(json.dumps(facts["generation"]))
    (folder / "config.json").write_text(json.dumps({"model_type": "llama", "max_position_embeddings": 4096}))
    return folder


def _bytes(normalizer: str | None) -> Any:
    """Byte-level BPE with a few merges, as GPT-2's descendants have it."""
    from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers

    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    merges = [("Ġ", "t"), ("h", "e"), ("Ġt", "he"), ("i", "n"), ("Ċ", "Ċ"), ("Ġ", "Ġ")]
    vocab = {piece: number for number, piece in enumerate([*letters, *(first + second for first, second in merges)])}
    tokenizer = Tokenizer(models.BPE(vocab=vocab, merges=merges))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    if normalizer == "NFC":
        tokenizer.normalizer = normalizers.NFC()
    return tokenizer


def _pieces(layout: str) -> Any:
    """SentencePiece-like BPE with byte fallback: `pieces` without, `legacy` and `first` with a dummy prefix."""
    from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers

    letters = [chr(code) for code in range(33, 127)]
    merges = [("▁", "t"), ("h", "e"), ("▁t", "he"), ("i", "n"), ("▁", "▁")]
    singles = ["<unk>", *(f"<0x{byte:02X}>" for byte in range(256)), "▁", *letters]
    vocab = {piece: number for number, piece in enumerate([*singles, *(first + second for first, second in merges)])}
    tokenizer = Tokenizer(models.BPE(vocab=vocab, merges=merges, unk_token="<unk>", fuse_unk=True, byte_fallback=True))
    spaces = normalizers.Replace(" ", "▁")
    common = [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()]
    if layout == "first":
        tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(replacement="▁", prepend_scheme="first", split=False)
    elif layout == "legacy":
        tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), spaces])
    else:
        tokenizer.normalizer = spaces
    tokenizer.decoder = decoders.Sequence(common if layout == "pieces" else [*common, decoders.Strip(" ", 1, 0)])
    return tokenizer
