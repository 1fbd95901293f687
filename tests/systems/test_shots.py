"""Worked examples for the roles of published systems: where they stand, and what cannot be shown."""

from importlib import resources
from pathlib import Path

import pytest

from tests.systems.scripted_parts import PROBLEM, prompt_of, scripted_parts
from tirage.agents.explorer import SolveContext
from tirage.agents.search_options import SearchOptions
from tirage.core import Budget
from tirage.core.errors import ConfigError
from tirage.systems import critic_cot, octotools, socratic, t1
from tirage.systems.art import art
from tirage.systems.halo import roles as halo_roles
from tirage.systems.registry import build, find, shipped
from tirage.systems.shot_files import load_shots
from tirage.testing.scripted import ScriptedModel
from tirage.workflows.roles import Role
from tirage.workflows.shots import POLICY

EXAMPLE = "Example: {2, 3} have the sum 5, so \\boxed{5}.\n"
SAID = "Step 1: 6 * 7 = 42. Step 1 is correct.\nConclusion: stop\nVerdict: correct\nSo the answer is \\boxed{42}."


@pytest.mark.parametrize("name", [spec.name for spec in shipped().values() if spec.shots])
async def test_a_text_file_is_shown_to_the_main_role(name: str, tmp_path: Path) -> None:
    path = tmp_path / "shots.md"
    path.write_text(EXAMPLE)
    model = ScriptedModel(lambda request: SAID)
    tools = {} if name not in ("octotools", "t1") else scripted_parts(model).tools
    made_of = scripted_parts(model, search_options=SearchOptions(budget=Budget(model_calls=24)), tools=tools)
    tree = await build(name, made_of, {"demonstrations": str(path)}).solve(PROBLEM, SolveContext(seed=0))
    assert "demonstrations" in find(name).defaults
    main = find(name).shots[0]
    # A critic is a policy too, at other work.
    asked = [text for request in model.requests if request.tag == main and "Proposed answer" not in (text := prompt_of(request))]
    assert asked
    assert all(EXAMPLE.strip() in prompt for prompt in asked)
    assert all(prompt.index(EXAMPLE.strip()) < prompt.index(PROBLEM.prompt) for prompt in asked)
    others = [prompt_of(request) for request in model.requests if request.tag != main]
    assert not any(EXAMPLE.strip() in prompt for prompt in others)
    assert tree.nodes[1:]


async def test_a_mapping_shows_each_role_its_own(tmp_path: Path) -> None:
    path = tmp_path / "shots.yaml"
    path.write_text("critic: A critique.\nsolver: A solution.\n")
    model = ScriptedModel(lambda request: SAID)
    await build("critic-filter", scripted_parts(model, tools={}), {"n": 1, "demonstrations": str(path)}).solve(
        PROBLEM, SolveContext(seed=0)
    )
    solver, critic = (prompt_of(request) for request in model.requests)
    assert "A solution." in solver
    assert "A critique." in critic
    assert "A solution." not in critic


def test_what_cannot_be_shown_is_one_line(tmp_path: Path) -> None:
    path = tmp_path / "shots.yaml"
    for text, says in (
        ("jester: x", "agent 'octotools' has no role 'jester'; its roles: predictor, analyser"),
        ("- a", "write a mapping of roles"),
        ("solver: [", "cannot be read"),
        ("predictor: ''", "write a mapping of roles"),
    ):
        path.write_text(text)
        with pytest.raises(ConfigError, match=says):
            load_shots(str(path), find("octotools"))
    with pytest.raises(ConfigError, match=r"demonstrations .*none\.md cannot be read"):
        load_shots(str(tmp_path / "none.md"), find("rstar"))
    with pytest.raises(ConfigError, match="agent 'team' has no option 'demonstrations'"):
        build("team", scripted_parts(ScriptedModel([])), {"demonstrations": "x.md"})


def test_the_slots_are_roles_of_their_systems() -> None:
    modules = {"octotools": octotools, "halo": halo_roles, "critic-filter": critic_cot, "critic-refinement": critic_cot}
    modules |= {"art": art, "socratic": socratic, "t1": t1}
    for system, roles in ((spec.name, spec.shots) for spec in shipped().values() if spec.shots):
        if roles == (POLICY,):
            continue
        found = [item for item in vars(modules[system]).values() if isinstance(item, Role | dict)]
        known = {role.name for item in found for role in (item.values() if isinstance(item, dict) else [item]) if isinstance(role, Role)}
        assert set(roles) <= known, system


def test_every_prompt_file_is_text_that_ends_in_a_newline() -> None:
    folders = [resources.files(room).joinpath("prompts") for room in ("tirage.agents", "tirage.systems")]
    files = [
        file
        for folder in folders
        for system in folder.iterdir()
        if system.is_dir()
        for file in system.iterdir()
        if file.name.endswith(".md")
    ]
    assert len(files) > 25
    for file in files:
        text = file.read_text(encoding="utf-8")
        assert text.endswith("\n")
        assert text.strip()
