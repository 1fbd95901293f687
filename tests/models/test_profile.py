import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from tests.models.kinds import KINDS, write_kind
from tirage.core.errors import ConfigError
from tirage.models.base import Sampling
from tirage.models.embedded import nano_path
from tirage.models.profile import NO_LIMIT, PROFILE_FILE, Profile, overridden, profile_of, resolve_sampling
from tirage.models.several import Several
from tirage.models.template import HFRenderer
from tirage.models.wrap import Known, Retry
from tirage.testing.models import ScriptedModel


@pytest.fixture(scope="module")
def profiles(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Profile]:
    root = tmp_path_factory.mktemp("kinds")
    return {kind: HFRenderer(write_kind(root / kind, kind)).profile for kind in KINDS}


def told(profiles: dict[str, Profile], fact: str) -> dict[str, Any]:
    return {kind: getattr(profile, fact) for kind, profile in profiles.items()}


def test_what_is_derived(profiles: dict[str, Profile]) -> None:
    assert {kind for kind, role in told(profiles, "system_role").items() if role == "folded"} == {"gemma", "mistral"}
    assert {kind for kind, value in told(profiles, "dummy_prefix").items() if value} == {"mistral", "zephyr"}
    assert told(profiles, "think_open") == {
        **dict.fromkeys(KINDS),
        "thinking": "<think>",
        "harmony": "<|channel|>analysis<|message|>",
        "magistral": "[THINK]",
    }
    assert told(profiles, "thinking")["thinking"] == "model"
    assert told(profiles, "thinking")["llama3"] == "none"
    assert told(profiles, "switches")["thinking"] == ("enable_thinking",)
    assert told(profiles, "switches")["llama3"] == ("date_string",)
    assert told(profiles, "switches")["harmony"] == ("reasoning_effort",)
    assert set(told(profiles, "dialect").values()) == {"fenced-python"}, "native calls are for those who ask for them"
    assert set(told(profiles, "context").values()) == {4096}
    assert told(profiles, "turn_ends")["gemma"] == ("<end_of_turn>",)
    assert told(profiles, "special_tokens")["mistral"] == ("<s>", "</s>")


def test_where_facts_come_from(profiles: dict[str, Profile]) -> None:
    rows = {fact: (value, source) for fact, value, source in profiles["thinking"].rows()}
    assert rows["temperature"] == (0.6, "generation_config.json")
    assert rows["top_k"] == (20, "generation_config.json")
    assert rows["context"] == (4096, "config.json")
    assert rows["system_role"] == ("native", "probe")
    assert rows["think_open"] == ("<think>", "template")
    assert rows["dummy_prefix"] == (False, "tokenizer")
    assert rows["date"] == ("2024-07-26", "default")
    assert rows["min_p"] == (None, "unknown")
    assert rows["default_system"] == (None, "probe"), "known to be none"


def test_thinking_that_the_prompt_opens_or_closes(tmp_path: Path) -> None:
    folder = write_kind(tmp_path, "thinking")
    assert HFRenderer(folder, switches={"enable_thinking": False}).profile.thinking == "closed"
    opened = "{{ messages[0].content }}{% if add_generation_prompt %}\nA: <think>\n{% endif %}"
    assert HFRenderer(folder, chat_template=opened).profile.thinking == "prompt"


@pytest.mark.parametrize(
    ("generation", "expected"),
    [
        ({"do_sample": False, "temperature": 0.6, "max_new_tokens": 99}, {"temperature": 0.0, "top_p": None, "max_tokens": 99}),
        ({"temperature": 0.7, "top_p": 0.8, "repetition_penalty": 1.05}, {"temperature": 0.7, "top_p": 0.8, "repetition_penalty": 1.05}),
        ({"eos_token_id": 1}, {"temperature": None, "top_p": None, "max_tokens": None}),
    ],
)
def test_suggested_sampling(tmp_path: Path, generation: dict[str, Any], expected: dict[str, Any]) -> None:
    folder = write_kind(tmp_path, "chatml")
    (folder / "generation_config.json").write_text(json.dumps(generation))
    profile = HFRenderer(folder).profile
    assert {name: getattr(profile, name) for name in expected} == expected


@pytest.mark.parametrize(
    ("config", "length", "expected"),
    [
        ({"max_position_embeddings": 100}, 50, (100, "config.json")),
        ({"text_config": {"max_position_embeddings": 70}}, None, (70, "config.json")),
        ({"n_positions": 60}, None, (60, "config.json")),
        ({}, 512, (512, "tokenizer")),
        ({}, 1000000000000000019884624838656, (None, "unknown")),
    ],
)
def test_context(tmp_path: Path, config: dict[str, Any], length: int | None, expected: tuple[int | None, str]) -> None:
    folder = write_kind(tmp_path, "chatml")
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "tokenizer_config.json").write_text(json.dumps({"eos_token": "<|im_end|>", "model_max_length": length}))
    rows = {fact: (value, source) for fact, value, source in HFRenderer(folder).profile.rows()}
    assert rows["context"] == expected


def test_what_the_user_knows_better(tmp_path: Path) -> None:
    folder = write_kind(tmp_path, "thinking")
    known = HFRenderer(folder, facts={"think_open": "<thought>", "think_close": "</thought>", "temperature": 0.3, "system_role": "folded"})
    assert known.profile.temperature == 0.3
    assert known.profile.sources["temperature"] == "user"
    assert known.profile.sources["top_p"] == "generation_config.json"
    assert known.think_markers == ("<thought>", "</thought>")
    assert known.template is not None
    assert known.template.habits.system == "folded"
    assert HFRenderer(folder, facts={"thinking": "none"}).think_markers is None


@pytest.mark.parametrize(
    ("facts", "message"),
    [
        ({"temprature": 0.3}, r"model_options\.profile: no fact 'temprature'; did you mean 'temperature'\?"),
        ({"colour": 1}, r"no fact 'colour'; facts: has_template, "),
        ({"temperature": -1}, r"model_options\.profile: temperature: .* not -1"),
        ({"system_role": "sometimes"}, "system_role: .*'native', 'folded' or 'none'.* not 'sometimes'"),
        ({"sources": {}}, "no fact 'sources'"),
    ],
)
def test_unknown_and_senseless_facts_are_refused(facts: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        overridden(Profile(), facts)
    assert "\n" not in str(caught.value)


def test_the_file_beside_the_weights(tmp_path: Path) -> None:
    folder = write_kind(tmp_path, "chatml")
    (folder / PROFILE_FILE).write_text("hint: start\nsystem: null\n")
    profile = HFRenderer(folder, facts={"hint": "none"}).profile
    assert (profile.system, profile.sources["system"]) == (None, PROFILE_FILE)
    assert (profile.hint, profile.sources["hint"]) == ("none", "user")
    for text, message in (("hints: start", "no fact 'hints'; did you mean 'hint'"), ("[", "not readable YAML"), ("- 1", "holds no facts")):
        (folder / PROFILE_FILE).write_text(text)
        with pytest.raises(ConfigError, match=message):
            HFRenderer(folder).check()


def test_nanos_own_ways_are_in_its_profile(tmp_path: Path) -> None:
    profile = HFRenderer(nano_path()).profile
    assert (profile.system, profile.hint, profile.instructed) == (None, "start", False)
    # A checkpoint in another folder, and under another name, keeps them by its file alone.
    for file in nano_path().glob("*"):
        if file.suffix in (".json", ".yaml"):
            shutil.copy(file, tmp_path / file.name)
    assert HFRenderer(tmp_path).profile == profile
    (tmp_path / PROFILE_FILE).unlink()
    assert HFRenderer(tmp_path).profile.instructed


def test_models_tell_theirs_through_all_wrappers(tmp_path: Path) -> None:
    plain = ScriptedModel()
    assert profile_of(plain).has_template is None
    plain.renderer = HFRenderer(write_kind(tmp_path, "gemma"))  # type: ignore[assignment]
    assert profile_of(Several(Retry(plain), {})).system_role == "folded"
    chat = ScriptedModel(mode="text")
    known = Several(Known(Retry(chat), {"temperature": 0.2, "context": 99}), {})
    assert (profile_of(known).temperature, profile_of(known).context) == (0.2, 99)
    with pytest.raises(ConfigError, match="no fact 'x'"):
        Known(chat, {"x": 1})


MODEL = Profile(temperature=0.6, top_p=0.9, top_k=20, context=4096)


@pytest.mark.parametrize(
    ("user", "system", "profile", "several", "expected"),
    [
        ({"temperature": 0.1, "top_p": None, "max_tokens": 7}, {"temperature": 0.7, "top_k": 40}, MODEL, False, (0.1, 0.9, 40, 7)),
        ({}, {"temperature": 0.7, "max_tokens": 2048}, MODEL, False, (0.7, 0.9, 20, 2048)),
        ({}, {}, MODEL, False, (0.6, 0.9, 20, 4096)),
        ({}, {}, MODEL, True, (0.6, 0.9, 20, 4096)),
        ({}, {}, Profile(), False, (0.0, 1.0, 0, NO_LIMIT)),
        ({}, {}, Profile(), True, (0.8, 1.0, 0, NO_LIMIT)),
        ({}, {}, Profile(temperature=0.0, max_tokens=400, context=1024), True, (0.8, 1.0, 0, 400)),
        ({"temperature": 0.0}, {}, MODEL, True, (0.0, 0.9, 20, 4096)),
        ({"top_k": 0}, {"top_k": 40}, MODEL, True, (0.6, 0.9, 0, 4096)),
    ],
)
def test_sampling_is_the_users_else_the_systems_else_the_models(
    user: dict[str, Any], system: dict[str, Any], profile: Profile, several: bool, expected: tuple[float, float, int, int]
) -> None:
    temperature, top_p, top_k, max_tokens = expected
    found = resolve_sampling(user, system, profile, several=several)
    assert found == Sampling(temperature=temperature, top_p=top_p, top_k=top_k, max_tokens=max_tokens)


def test_the_context_of_the_server_counts_where_the_profile_knows_none() -> None:
    assert resolve_sampling({}, {}, Profile(), 8192).max_tokens == 8192
