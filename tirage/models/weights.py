"""What identifies the weights in a folder."""

import hashlib
from pathlib import Path

from tirage.core.errors import ConfigError


def weights_hash(folder: Path) -> str:
    """8 hex digits over the safetensors files.

    A file beyond 1 GiB counts with its header, its size and 64 pieces of 1 MiB spread over it: reading all of a
    large model would take longer than loading it. Raises `ConfigError` when there are no weights.
    """
    files = sorted(folder.glob("*.safetensors"))
    if not files:
        raise ConfigError(f"{folder} holds no *.safetensors weights; save the model there with save_pretrained(...)")
    digest = hashlib.sha256()
    for file in files:
        size = file.stat().st_size
        with file.open("rb") as stream:
            if size <= 1 << 30:
                while piece := stream.read(1 << 20):
                    digest.update(piece)
                continue
            digest.update(size.to_bytes(8, "big"))
            for number in range(64):
                stream.seek(number * (size - (1 << 20)) // 63)
                digest.update(stream.read(1 << 20))
    return digest.hexdigest()[:8]
