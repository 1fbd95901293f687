"""What the words of a configuration become."""

from pathlib import Path

import pytest

from tirage.agents.explorer import SolveContext
from tirage.agents.prompts import TOOL_CALLING, TOOL_INTEGRATED_REASONING
from tirage.core import Problem, ToolCall
from tirage.core.errors import ConfigError
from tirage.models.embedded import nano_path
from tirage.models.hub import model_folder
from tirage.models.profile import Profile, profile_of
from tirage.models.template import HFRenderer
from tirage.runtime.config import AgentConfig, SamplingConfig, SandboxOptions
from tirage.runtime.opening.agents import OpenParts, make_agent
from tirage.runtime.opening.dialects import spoken, system_message
from tirage.runtime.opening.models import open_model, served_like, weights_of
from tirage.runtime.opening.sandboxes import open_interpreter, sandbox_config
from tirage.sandbox import DockerConfig, JupyterConfig, SandboxConfig
from tirage.testing.models import ScriptedModel
from tirage.testing.scripted import Reply


class NanoLike(ScriptedModel):
    """A model with nano's tokenizer, as every checkpoint trained from nano has it."""

    def __init__(self) -> None:
        super().__init__()
        self.renderer = HFRenderer(nano_path())  # type: ignore[assignment]


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({}, TOOL_INTEGRATED_REASONING),
        ({"dialect": "native"}, TOOL_CALLING),
        ({"dialect": "native-tools"}, TOOL_CALLING),
        ({"system": None}, None),
        ({"system": "tool-calling"}, TOOL_CALLING),
        ({"system": "tool-integrated-reasoning", "dialect": "native"}, TOOL_INTEGRATED_REASONING),
        ({"system": "Answer in French."}, "Answer in French."),
    ],
)
def test_the_system_message(settings: dict[str, str | None], expected: str | None) -> None:
    assert system_message(AgentConfig.model_validate(settings), ScriptedModel()) == expected


def test_a_misspelt_prompt_name_is_not_sent_as_a_message() -> None:
    with pytest.raises(ConfigError, match="tool-integrated-reasoning, tool-calling"):
        system_message(AgentConfig(system="tool-integrated-reasonning"), ScriptedModel())


def test_nano_and_what_was_trained_from_it_get_no_system_message() -> None:
    assert system_message(AgentConfig(), NanoLike()) is None
    assert system_message(AgentConfig(system="tool-calling"), NanoLike()) == TOOL_CALLING
    assert not profile_of(NanoLike()).instructed
    assert profile_of(ScriptedModel()).instructed
    assert profile_of(ScriptedModel(mode="text")).instructed


def test_weights_are_a_folder(tmp_path: Path) -> None:
    assert weights_of(f"vllm/{tmp_path}") == weights_of(f"hf/{tmp_path}") == str(tmp_path)
    assert weights_of("nano") == weights_of("vllm/nano") == str(nano_path())
    assert served_like("vllm/x/y", "job/checkpoint") == "vllm/job/checkpoint"
    assert served_like("nano", "job/checkpoint") == "hf/job/checkpoint"


def test_hub_names_come_from_the_local_hub_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    constants = pytest.importorskip("huggingface_hub.constants", reason="install tirage[local]")
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(ConfigError, match="hf download owner/model --local-dir") as caught:
        model_folder("owner/model")
    assert "\n" not in str(caught.value)
    repository = tmp_path / "models--owner--model"
    snapshot = repository / "snapshots" / ("0" * 40)
    snapshot.mkdir(parents=True)
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text("0" * 40)
    (snapshot / "config.json").write_text("{}")
    assert model_folder("owner/model") == snapshot


async def test_what_is_neither_folder_nor_hub_name_is_said_so() -> None:
    for name in ("hf/not/a/folder", "vllm/not/a/folder", "hf/plain"):
        with pytest.raises(ConfigError, match="no model folder"):
            await open_model(name)


def test_each_back_end_gets_its_own_configuration() -> None:
    assert sandbox_config(SandboxOptions(min_rung=1, memory_mb=99)) == SandboxConfig(min_rung=1, memory_mb=99)
    docker = SandboxOptions(backend="docker", image="some-image", runtime="runsc", memory_mb=99)
    assert sandbox_config(docker) == DockerConfig(image="some-image", runtime="runsc", memory_mb=99)
    jupyter = SandboxOptions(backend="jupyter", kernel="ir", unsafe=True, memory_mb=99)
    assert sandbox_config(jupyter) == JupyterConfig(kernel="ir", unsafe=True, memory_mb=99)


def test_docker_without_an_image_names_the_remedy() -> None:
    with pytest.raises(ConfigError, match=r"sandbox.image=NAME.*docker_image.sh"):
        sandbox_config(SandboxOptions(backend="docker"))


async def test_the_shell_is_a_tool_of_chat_models() -> None:
    model = ScriptedModel(
        [Reply(tool_calls=(ToolCall(name="shell", arguments='{"command": "echo $((6 * 7))"}', id="c"),)), "\\boxed{42}"], mode="chat"
    )
    async with open_interpreter(SandboxOptions()) as sandbox:
        config = AgentConfig(tools=("python", "shell"), dialect="native")
        agent = make_agent(OpenParts(model=model, sandbox=sandbox), config, SamplingConfig(temperature=0))
        tree = await agent.solve(Problem(prompt="6 * 7?"), SolveContext(seed=0))
        step = tree.nodes[1].step
        assert step is not None
        assert [item.text for item in step.observations] == ["42\n"]
        assert {spec["function"]["name"] for spec in model.requests[0].tools} == {"python", "shell"}
        with pytest.raises(ConfigError, match=r"agent\.dialect=native"):
            make_agent(OpenParts(model=ScriptedModel(), sandbox=sandbox), AgentConfig(tools=("shell",)), SamplingConfig())


def test_the_dialect_is_the_profiles_where_none_is_named() -> None:
    class Native(ScriptedModel):
        profile = Profile(dialect="native")

    class Odd(ScriptedModel):
        profile = Profile(dialect="morse")

    assert spoken(AgentConfig(), ScriptedModel()).dialect == "fenced-python"
    assert spoken(AgentConfig(), Native(mode="chat")).dialect == "native"
    assert spoken(AgentConfig(dialect="plain"), Native(mode="chat")).dialect == "plain"
    with pytest.raises(ConfigError, match="dialect 'morse'; known: fenced-python"):
        spoken(AgentConfig(), Odd())
