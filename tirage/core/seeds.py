"""Derive seeds from what is being sampled, so that a resumed or reordered run draws the same numbers."""

import hashlib


def derive_seed(*parts: str | int) -> int:
    """Hash `parts`, in order, to a seed in [0, 2**63).

    The usual call is `derive_seed(run_seed, problem.asked.id, sample, step)`. Parts are length-prefixed, so
    ("ab", "c") and ("a", "bc") differ; 1 and "1" differ too.
    """
    texts = [f"{type(part).__name__}:{part}".encode() for part in parts]
    content = b"".join(len(text).to_bytes(4, "big") + text for text in texts)
    return int.from_bytes(hashlib.blake2b(content, digest_size=8).digest(), "big") >> 1
