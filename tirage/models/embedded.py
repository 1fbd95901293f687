"""Where the embedded model is."""

from pathlib import Path

from tirage.core.errors import ConfigError


def nano_path() -> Path:
    """The folder with the weights and the tokenizer of `nano`. Raises `ConfigError` when the package lacks them."""
    folder = Path(__file__).parent / "nano"
    if not (folder / "config.json").is_file():
        raise ConfigError(f"the embedded model is missing from {folder}; install tirage from a complete source tree or wheel")
    return folder
