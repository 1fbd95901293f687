"""From a folder or a Hugging Face hub name to the folder that holds the model."""

import re
from pathlib import Path

from tirage.core.errors import ConfigError, MissingExtra
from tirage.models.profile import PROFILE_FILE

_HUB_NAME = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")
_WANTED = ("*.json", "*.safetensors", "*.jinja", "*.txt", "tokenizer.model", PROFILE_FILE)
"""What a model needs here; hubs often hold the same weights in other formats too."""


def model_folder(name: str) -> Path:
    """The folder `name`, or the hub's `OWNER/NAME`: from the local hub cache when it is whole, else downloaded into it.

    Raises `ConfigError` when `name` is neither, `MissingExtra` when a download is needed and the hub client is not installed.
    """
    folder = Path(name)
    if folder.is_dir():
        return folder
    if not _HUB_NAME.fullmatch(name):
        raise ConfigError(f"there is no model folder {name}; give a folder, or a name of the Hugging Face hub as OWNER/NAME")
    try:
        from huggingface_hub import snapshot_download
    except ImportError as error:
        raise MissingExtra("huggingface_hub", "local") from error
    try:
        return Path(str(snapshot_download(name, allow_patterns=list(_WANTED))))
    except (OSError, ValueError) as error:
        reason = " ".join(str(error).split())[:160]
        raise ConfigError(
            f"{name} is neither a folder here nor to be had from the Hugging Face hub ({reason}); "
            f"check the name and the network, or fetch it elsewhere with `hf download {name} --local-dir FOLDER` and give the folder"
        ) from error
