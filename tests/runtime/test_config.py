"""Configuration: strict, with errors that name the key and the remedy."""

from pathlib import Path

import pytest

from tirage.core.errors import ConfigError
from tirage.runtime.config import ImproveConfig
from tirage.runtime.config_files import config_hash, load_config

EXAMPLE = Path(__file__).parents[2] / "examples" / "nano.yaml"


def test_the_example_loads_and_overrides_apply() -> None:
    config = load_config(ImproveConfig, EXAMPLE, ["problems.train.count=12", "sampling.temperature=0.5", "model=hf/x"])
    assert config.problems.train.count == 12  # type: ignore[union-attr]
    assert config.sampling.temperature == 0.5
    assert config.model == "hf/x"
    assert config_hash(config) != config_hash(load_config(ImproveConfig, EXAMPLE))
    assert ImproveConfig.model_validate(config.model_dump()) == config


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("modle=nano", "modle: unknown key; did you mean 'model'"),
        ("sampling.temprature=1", "sampling.temprature: unknown key; did you mean 'temperature'"),
        ("problems.train.cuont=3", "cuont: unknown key; did you mean 'count'"),
        ("sampling.temperature=-1", "sampling.temperature: .*greater than or equal to 0"),
        ("hints.positions=[nowhere]", "hints.positions.0: "),
        ("name=a/b", "name: "),
        ("model.x=1", "'model' is a value, not a section"),
        ("model", "write it as key.sub=value"),
    ],
)
def test_errors_name_the_key_and_the_remedy(override: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        load_config(ImproveConfig, EXAMPLE, [override])
    assert "\n" not in str(caught.value)


def test_unreadable_files_are_one_line(tmp_path: Path) -> None:
    broken = tmp_path / "broken.yaml"
    broken.write_text("a: [1,\nb: {")
    for path in (tmp_path / "absent.yaml", broken):
        with pytest.raises(ConfigError) as caught:
            load_config(ImproveConfig, path)
        assert str(path) in str(caught.value)
        assert "\n" not in str(caught.value)
    listed = tmp_path / "list.yaml"
    listed.write_text("- 1\n")
    with pytest.raises(ConfigError, match="mapping"):
        load_config(ImproveConfig, listed)


def test_the_published_schema_describes_every_key() -> None:
    schema = ImproveConfig.model_json_schema()
    sections = {"ImproveConfig": schema, **schema["$defs"]}
    silent = [
        f"{name}.{key}"
        for name, section in sections.items()
        for key, entry in section.get("properties", {}).items()
        if "description" not in entry
    ]
    assert silent == []
