"""The low-rank refinement of a sketched graph (G-Designer: Zhang et al. 2024, arXiv 2410.11782)."""

import numpy as np

from tirage.teams.learner import Matrix


def refine(sketch: Matrix, *, zeta: float, rank: int | None = None, anchor: Matrix | None = None, anchor_weight: float = 1.0) -> Matrix:
    """Z W Z^T [N, N] with the W [r, r] that minimises ||S - ZWZ^T||_F^2 / 2 + zeta ||W||_* + a ||A - ZWZ^T||_F^2 / 2.

    Z [N, r] holds the leading left singular vectors of the sketch S; r = N when `rank` is None. Since Z is orthonormal, the distance to
    S is that of W to Z^T S Z and a constant, likewise for A, so W is the mean (Z^T S Z + a Z^T A Z) / (1 + a) with its singular values
    lowered by zeta / (1 + a), not below 0 (Cai, Candès and Shen 2010, theorem 2.1). a is `anchor_weight`, 0 without an anchor.

    The listeners of a directed graph may lie outside its left singular vectors; ranks below N then lose edges, even with zeta = 0.
    """
    basis = np.linalg.svd(sketch)[0][:, : len(sketch) if rank is None else rank]
    weight = 0.0 if anchor is None else anchor_weight
    target = sketch if anchor is None else (sketch + weight * anchor) / (1.0 + weight)
    left, values, right = np.linalg.svd(basis.T @ target @ basis)
    shrunk = (left * np.maximum(values - zeta / (1.0 + weight), 0.0)) @ right
    refined: Matrix = basis @ shrunk @ basis.T
    return refined
