"""Whose sampling holds: the user's, else the published system's, else the model's, else tirage's."""

from pathlib import Path
from typing import Any

import pytest

from tests.models.kinds import write_kind
from tirage.core.problem import Problem
from tirage.models.base import Request
from tirage.models.embedded import nano_path
from tirage.models.profile import NO_LIMIT
from tirage.models.template import HFRenderer
from tirage.problems import FileSource
from tirage.runtime.config import AgentConfig, ImproveConfig, RolloutConfig, SamplingConfig, SolveConfig
from tirage.runtime.config_files import load_config
from tirage.runtime.opening.sampling import sampling_for
from tirage.runtime.solving import solve_async
from tirage.runtime.stages import Plan, stage_of
from tirage.systems.registry import shipped
from tirage.testing.models import ScriptedModel


def model(folder: Path) -> ScriptedModel:
    """A model that has a folder's renderer, and so its profile."""
    made = ScriptedModel(["\\boxed{2}"] * 8)
    made.renderer = HFRenderer(folder)  # type: ignore[assignment]
    return made


def numbers(user: dict[str, Any], agent: dict[str, Any], who: ScriptedModel, **more: bool) -> tuple[float, float, int, int]:
    found = sampling_for(SamplingConfig(**user), AgentConfig(**agent), who, **more)
    return found.temperature, found.top_p, found.top_k, found.max_tokens


def test_whose_sampling_holds(tmp_path: Path) -> None:
    qwen = model(write_kind(tmp_path, "thinking"))
    context = qwen.capabilities.context or 4096
    assert numbers({}, {}, qwen) == (0.6, 0.95, 20, context)
    assert numbers({"temperature": 0.0, "max_tokens": 99}, {}, qwen) == (0.0, 0.95, 20, 99)
    assert numbers({}, {"name": "tir"}, qwen) == (0.7, 0.8, 20, 2048)
    assert numbers({"top_p": 0.5}, {"name": "rstar"}, qwen) == (0.8, 0.5, 40, 1024)
    assert numbers({}, {"name": "start"}, qwen)[3] == 32768
    assert numbers({}, {"name": "octotools"}, qwen) == (0.6, 0.95, 20, 4000)


def test_several_draws_are_not_greedy_by_default() -> None:
    nano = model(nano_path())
    assert numbers({}, {}, nano) == (0.0, 0.95, 0, 512)
    for agent, several in (({"best_of": 4}, False), ({"search": {}}, False), ({"name": "team"}, False), ({}, True)):
        assert numbers({}, agent, nano, several=several) == (0.8, 0.95, 0, 512)
    assert numbers({"temperature": 0.0}, {"best_of": 4}, nano)[0] == 0.0
    unknown = ScriptedModel(["1"])
    assert numbers({}, {}, unknown) == (0.0, 1.0, 0, unknown.capabilities.context or NO_LIMIT)


def test_a_back_end_without_top_k_is_asked_for_it_by_the_user_alone(tmp_path: Path) -> None:
    from dataclasses import replace

    qwen = model(write_kind(tmp_path, "thinking"))
    qwen.capabilities = replace(qwen.capabilities, top_k=False)
    assert numbers({}, {"name": "rstar"}, qwen)[2] == 0
    assert numbers({"top_k": 5}, {"name": "rstar"}, qwen)[2] == 5


def test_systems_with_sampling_of_their_own_are_systems() -> None:
    assert {name for spec in shipped().values() for name in spec.sampling} <= set(SamplingConfig.model_fields)


def test_traces_keep_the_numbers_that_were_sent(tmp_path: Path) -> None:
    config = RolloutConfig(problems=FileSource(path="-"), agent=AgentConfig(name="tir"))
    plan = Plan(name="rollout", problems=(Problem(prompt="1 + 1?"),), sampling=config.sampling)
    told = stage_of(config, plan, model(write_kind(tmp_path, "thinking"))).sampling
    assert told == {"temperature": 0.7, "top_p": 0.8, "top_k": 20, "max_tokens": 2048}


def test_training_rollouts_of_a_round_are_varied() -> None:
    config = load_config(ImproveConfig, Path(__file__).parents[2] / "examples" / "nano.yaml")
    assert (config.sampling.temperature, config.sampling.max_tokens) == (0.8, 320), "the example says its numbers itself"
    plan = Plan(name="train-hinted", problems=(), sampling=SamplingConfig(), varied=True)
    assert stage_of(config, plan, model(nano_path())).sampling["temperature"] == 0.8


@pytest.mark.parametrize(("given", "expected"), [({}, (0.0, 512)), ({"best_of": 2}, (0.8, 512))])
async def test_solving_imposes_nothing(monkeypatch: pytest.MonkeyPatch, given: dict[str, Any], expected: tuple[float, int]) -> None:
    asked: list[Request] = []
    nano = model(nano_path())
    complete = nano.complete

    async def noted(request: Request) -> Any:
        asked.append(request)
        return await complete(request)

    monkeypatch.setattr(nano, "complete", noted)
    await solve_async(Problem(prompt="1 + 1?"), SolveConfig(agent=AgentConfig(**given)), model=nano)
    assert {(request.sampling.temperature, request.sampling.max_tokens) for request in asked} == {expected}
