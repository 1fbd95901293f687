"""What every embedder promises.

require(check_embedder(MyEmbedder()))
"""

from collections.abc import Callable

import numpy as np

from tirage.testing.suites.findings import Finding, demand, try_all
from tirage.tools.retrieval.embedders import Embedder

TEXTS = ("Otters sleep on water.", "6 * 7 is 42.", "", "  \n", "é 漢字 \x00", "word " * 3000, "Otters sleep on water.")


def check_embedder(embedder: Embedder) -> list[Finding]:
    """Check an embedder on a few texts."""
    return try_all("embedder", embedder, PROMISES)


def _port(embedder: Embedder) -> None:
    demand(isinstance(embedder.id, str) and embedder.id.strip(), f"its id is {embedder.id!r}; name what makes the vectors, with a version")
    demand(isinstance(embedder.dimension, int) and embedder.dimension > 0, f"its dimension is {embedder.dimension!r}")


def _shape(embedder: Embedder) -> None:
    for texts in (TEXTS, TEXTS[:1], ()):
        found = embedder.embed(texts)
        wanted = (len(texts), embedder.dimension)
        demand(isinstance(found, np.ndarray) and found.shape == wanted, f"{len(texts)} texts gave {np.shape(found)}, not {wanted}")
        demand(found.dtype == np.float32, f"the vectors are {found.dtype}, not float32")
        demand(bool(np.isfinite(found).all()), "a vector has entries that are no finite numbers")


def _lengths(embedder: Embedder) -> None:
    lengths = np.linalg.norm(embedder.embed(TEXTS), axis=1)
    wrong = [round(float(length), 4) for length in lengths if abs(length - 1) > 1e-3 and length > 1e-6]
    demand(not wrong, f"vectors have lengths {wrong}; scale them to 1")


def _same(embedder: Embedder) -> None:
    together, again = embedder.embed(TEXTS), embedder.embed(TEXTS)
    demand(np.allclose(together, again, atol=1e-5), "the same texts gave other vectors the second time")
    demand(np.allclose(together[0], together[-1], atol=1e-5), "one text, twice in a batch, has two vectors")
    demand(np.allclose(together[0], embedder.embed(TEXTS[:1])[0], atol=1e-3), "a text's vector depends on its company")


def _questions(embedder: Embedder) -> None:
    found = embedder.embed(TEXTS[:2], query=True)
    demand(found.shape == (2, embedder.dimension), f"two questions gave {found.shape}")


PROMISES: dict[str, Callable[[Embedder], None]] = {
    "it has an id and a dimension": _port,
    "texts give finite float32 vectors of its dimension": _shape,
    "vectors have length 1, or are 0": _lengths,
    "a text has one vector, whatever its company": _same,
    "questions are embedded too": _questions,
}
