"""What a sandbox is asked for."""

from dataclasses import dataclass
from typing import Literal

from tirage.core.errors import ConfigError


@dataclass(frozen=True, slots=True, kw_only=True)
class SandboxConfig:
    """Isolation demanded and resources allowed. Raises `ConfigError` for values that cannot be kept."""

    backend: Literal["fork"] = "fork"
    min_rung: int = 2
    """Weakest isolation accepted: 1 demands namespaces, 2 accepts Landlock alone. Nothing below 2 without `unsafe`."""
    first_rung: int = 1
    """Strongest isolation tried; 2 leaves namespaces out although the host may have them."""
    memory_mb: int = 1024
    """Address space and data of each process beyond what the preloaded interpreter itself takes."""
    processes: int = 64
    """Processes and threads that one cell may start. All sessions of a box together stay below 4,096 whatever a cell does."""
    scratch_mb: int = 256
    """Files of all sessions of a box together (rung 1), and the largest single file."""
    preload: tuple[str, ...] = ("numpy", "sympy")
    """Modules loaded once and shared by all sessions."""
    unsafe: bool = False
    """Allow rung 4: run without isolation where the host gives none. Code can then read and write as you can."""

    def __post_init__(self) -> None:
        """Refuse what makes no sense."""
        if self.backend != "fork":
            raise ConfigError(f"sandbox backend {self.backend!r} is not known; known: fork")
        if self.min_rung not in (1, 2) or self.first_rung not in (1, 2) or self.first_rung > self.min_rung:
            raise ConfigError(
                f"min_rung={self.min_rung} and first_rung={self.first_rung} must be 1 or 2, and first_rung must not be above min_rung"
            )
        for name in ("memory_mb", "processes", "scratch_mb"):
            if getattr(self, name) < 1:
                raise ConfigError(f"sandbox {name}={getattr(self, name)} must be at least 1")
