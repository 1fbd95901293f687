"""Worked examples for the roles of a published system, from a file."""

from pathlib import Path
from typing import Any

import yaml

from tirage.core.errors import ConfigError
from tirage.systems.spec import SystemSpec


def load_shots(path: str, spec: SystemSpec) -> dict[str, str]:
    """Examples by role: of a YAML file as it says, of any other text file for the main role.

    Raises `ConfigError` for a system or a role that takes none, and for a file that cannot be read.
    """
    roles = spec.shots
    if not roles:
        raise ConfigError(f"agent {spec.name!r} takes no demonstrations")
    try:
        text = Path(path).read_text(encoding="utf-8")
        found: Any = yaml.safe_load(text) if Path(path).suffix in (".yaml", ".yml") else {roles[0]: text}
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ConfigError(f"demonstrations {path} cannot be read: {' '.join(str(error).split())[:200]}") from error
    if not isinstance(found, dict) or not found or not all(isinstance(said, str) and said.strip() for said in found.values()):
        raise ConfigError(f"demonstrations {path}: write a mapping of roles ({', '.join(roles)}) to texts")
    unknown = next((role for role in found if role not in roles), None)
    if unknown is not None:
        raise ConfigError(f"demonstrations {path}: agent {spec.name!r} has no role {unknown!r}; its roles: {', '.join(roles)}")
    return {str(role): said.strip() for role, said in found.items()}
