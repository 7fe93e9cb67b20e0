"""Points of the feature space that carry a Gaussian process: the process is known between them.

Features that are made of a kernel at rows of the data themselves follow
functions where the data are; as many random features, which serve all data
alike, follow them far less closely.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

# A point whose value the others leave less variance than this adds nothing but rounding errors.
MIN_RESIDUAL = 1e-5


def matern52(a: Array, b: Array) -> Array:
    """Matern-5/2 kernel of unit variance and length-scale, (n, d) and (m, d) -> (n, m)."""
    return matern52_and_slope(a, b)[0]


def matern52_and_slope(a: Array, b: Array) -> tuple[Array, Array]:
    """The same, and its derivative in the squared distance."""
    squares = np.square(a).sum(1)[:, None] + np.square(b).sum(1) - 2 * a @ b.T
    r = np.sqrt(5 * np.maximum(squares, 0.0))
    decay = np.exp(-r)
    linear = decay * (1 + r)
    return linear + np.square(r) * decay / 3, -5 / 6 * linear


def choose_points(x: Array, n_points: int) -> Array:
    """Rows that represent all, by randomly pivoted Cholesky factorisation.

    Every next row is drawn in proportion to the variance that the process has
    there, given its values at those before. Chen, Epperly, Tropp and Webber,
    "Randomly pivoted Cholesky" (2023), algorithm 2.1.

    Parameters
    ----------
    x : ndarray (n, d)
        Features in units of their length-scales.
    n_points : int
        Largest number.

    Returns
    -------
    ndarray (p, d)
        Fewer than `n_points` if these leave (next to) no variance.

    Examples
    --------
    >>> import numpy as np
    >>> from skcmanp.points import choose_points
    >>> x = np.random.default_rng(0).integers(0, 3, (100, 2)).astype(float)
    >>> len(choose_points(x, 50))  # different rows
    9
    """
    thresholds = np.random.default_rng(0).random(n_points)
    residual = np.ones(len(x))
    factor = np.zeros((n_points, len(x)))
    chosen: list[int] = []
    for k, threshold in enumerate(thresholds):
        mass = np.cumsum(np.where(residual > MIN_RESIDUAL, residual, 0.0))
        if mass[-1] == 0:
            break
        i = int(np.searchsorted(mass, threshold * mass[-1], side="right"))
        row = matern52(x[i : i + 1], x)[0] - factor[:k, i] @ factor[:k]
        factor[k] = row / np.sqrt(residual[i])
        residual -= np.square(factor[k])
        residual[i] = 0.0
        chosen.append(i)
    return x[chosen]
