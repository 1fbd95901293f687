"""What utility to expect of a query, from how similar queries fared."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

Vectors = npt.NDArray[np.float32]

NOISE = 1.0
"""Variance of a utility about what is expected of its query, against the variance 1 of that expectation along a unit vector."""
COMMON = 10.0
"""Variance of what all queries have in common: so large that their mean is hardly drawn to 0."""
FADING = 0.8
"""Of a batch's weight with each later batch: the team that learns does better and better."""
FAINTEST = 1e-3
"""Weight below which a batch is forgotten."""


class QueryBaseline:
    """Kernel ridge regression on the embedded queries (Rasmussen and Williams 2006, section 2.2).

    A mean over all queries would praise every graph drawn for an easy query and blame every one drawn for a hard one.
    """

    def __init__(self) -> None:
        """Knows nothing yet."""
        self._queries: Vectors | None = None
        self._utilities = np.zeros(0)
        self._weights = np.zeros(0)

    def expect(self, queries: Vectors, utilities: Sequence[float]) -> npt.NDArray[np.float64]:
        """[batch]: what each of `queries` [batch, dimension], of length 1, would be expected to achieve by all outcomes but its own.

        Those are the batches before and the rest of this one, so that what is expected does not depend on what was drawn for the query.
        With C = (K + COMMON + diag(NOISE / weight))^-1, K the inner products of the queries and u the utilities, it is
        u_i - [C u]_i / C_ii (Rasmussen and Williams 2006, eq. 5.12); 0 where there is no other outcome.
        """
        old = self._weights * FADING
        fresh = old >= FAINTEST
        known = queries if self._queries is None else np.concatenate([self._queries[fresh], queries])
        self._queries = known
        self._utilities = np.concatenate([self._utilities[fresh], utilities])
        self._weights = np.concatenate([old[fresh], np.ones(len(queries))])
        kernel = known.astype(np.float64) @ known.T + COMMON
        inverse = np.linalg.inv(kernel + np.diag(NOISE / self._weights))
        expected: npt.NDArray[np.float64] = self._utilities - inverse @ self._utilities / np.diagonal(inverse)
        return expected[-len(queries) :]
