"""What the first data fixes: centre and scale of all columns, effects of features, points, and how noise varies.

Networks are meta-trained on standardised tasks, some of them with every feature
in units of its length-scale. The moments of the first data seen, or declared
bounds, those length-scales, what features do alone, the points that carry the
network's memory and the profile of the noise are frozen; from then on reading
rows is additive.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray
from threadpoolctl import threadpool_limits

from skcmanp.effects import MAX_COSINES, N_KNOTS, fit_ranks, n_cosines, row_cosines
from skcmanp.points import choose_points
from skcmanp.process import constant_noise, fit_process
from skcmanp.relevance import default_lengthscale, fit_relevance, sample_rows

Array = NDArray[np.float64]

# Scaled values beyond this say nothing more; it keeps them finite in float32.
LARGEST = 1e30

# Below this standard deviation, relative to the largest value, a column is constant.
RELATIVE_RESOLUTION = 1e-13

# Points carry at most this share of a function's variance: a stream goes on to where there are none.
MAX_SHARE = 0.85

# Of fewer targets than this, the standard deviation says too little to be believed.
FEW = 5

_MOMENT_ROWS = 65_536


def row_chunks(X: NDArray, y: NDArray, weight: Array | None, size: int) -> Iterator[tuple[Array, Array, Array | None]]:
    """Split rows into float64 chunks of at most `size`, without those of zero weight."""
    for start in range(0, len(X), size):
        rows = slice(start, start + size)
        x_chunk, y_chunk = X[rows], y[rows]
        w_chunk = None if weight is None else weight[rows]
        if w_chunk is not None and not w_chunk.all():
            keep = w_chunk > 0
            x_chunk, y_chunk, w_chunk = x_chunk[keep], y_chunk[keep], w_chunk[keep]
        if len(x_chunk):
            yield x_chunk.astype(np.float64, copy=False), y_chunk.astype(np.float64, copy=False), w_chunk


def _moments(columns: NDArray, weight: Array | None, few: float = 0) -> tuple[Array, Array]:
    """Weighted mean and standard deviation of the columns, (n, k) -> (k,), (k,).

    Columns are divided by their largest absolute value first, so squares
    neither overflow nor underflow. A constant column gets its absolute value
    as scale, or 1 if it is zero: scaling commutes with a change of units.

    Fewer than `few` rows may be close to each other by chance, so the square of
    their distance from zero is added to their variance, divided by their number.
    """

    def chunks() -> Iterator[tuple[Array, Array]]:
        for values, _, w in row_chunks(columns, columns[:, :0], weight, _MOMENT_ROWS):
            yield values, np.ones(len(values)) if w is None else w

    peak = np.max([np.abs(values).max(axis=0) for values, _ in chunks()], axis=0)
    unit = np.where(peak > 0, peak, 1.0)
    total, n_rows = np.sum([(w.sum(), len(w)) for _, w in chunks()], axis=0)
    centre = sum(w @ (values / unit) for values, w in chunks()) / total
    variance = sum(w @ np.square(values / unit - centre) for values, w in chunks()) / total
    count = max(total, n_rows)  # weights may be normalised to a sum of one
    if count < few:
        variance = variance + (variance + np.square(centre)) / count
    std = np.sqrt(variance)
    return centre * unit, np.where(std > RELATIVE_RESOLUTION, std, 1.0) * unit


def _bounds_moments(name: str, bounds: ArrayLike, width: int) -> tuple[Array, Array]:
    """Mean and standard deviation of uniform columns between declared bounds."""
    message = f"{name}={bounds!r} must be a pair (low, high) of finite numbers, or of {width} numbers each, low < high."
    try:
        low, high = (np.broadcast_to(np.asarray(b, dtype=np.float64), (width,)) for b in bounds)  # type: ignore[union-attr]
    except (TypeError, ValueError) as error:
        raise ValueError(message) from error
    if not (np.isfinite(low).all() and np.isfinite(high).all() and (low < high).all()):
        raise ValueError(message)
    return low / 2 + high / 2, (high / 2 - low / 2) / np.sqrt(3.0)


@dataclass(frozen=True, eq=False)
class Scaling:
    """Centre and scale of d features and t targets, and points among the rows, frozen.

    Parameters
    ----------
    x_centre, x_scale : ndarray (d,), float64
    y_centre, y_scale : ndarray (t,), float64
    points : ndarray (p, d), float64, optional
        Scaled features that carry the network's memory; none by default.
    ratio : ndarray (1,), float64, optional
        Signal to noise; 1 by default.
    share : ndarray (1,), float64, optional
        Of functions, what can be said with the points; 0 by default.
    effect_knots, effect_ranks, effect_scale : ndarray (d, k), (d, k) and (d, m), float64, optional
        What every feature does alone, see `skcmanp.effects.Effects`; by default
        there are no such effects.
    noise_points, noise_lengthscale, noise_weights, noise_coefficients : ndarray (q, d), (d,), (q,), (d, k), optional
        How the noise's scale varies, see `skcmanp.process.NoiseProfile`; by
        default it does not.
    """

    x_centre: Array
    x_scale: Array
    y_centre: Array
    y_scale: Array
    points: Array = field(default_factory=lambda: np.zeros((0, 0)))
    ratio: Array = field(default_factory=lambda: np.ones(1))
    share: Array = field(default_factory=lambda: np.zeros(1))
    effect_knots: Array = field(default_factory=lambda: np.zeros((0, N_KNOTS)))
    effect_ranks: Array = field(default_factory=lambda: np.zeros((0, N_KNOTS)))
    effect_scale: Array = field(default_factory=lambda: np.zeros((0, 0)))
    noise_points: Array = field(default_factory=lambda: np.zeros((0, 0)))
    noise_lengthscale: Array = field(default_factory=lambda: np.ones(0))
    noise_weights: Array = field(default_factory=lambda: np.zeros(0))
    noise_coefficients: Array = field(default_factory=lambda: np.zeros((0, 0)))

    @classmethod
    def fit(
        cls,
        X: NDArray,
        y: NDArray,
        weight: Array | None = None,
        *,
        standardize: bool = True,
        x_bounds: ArrayLike | None = None,
        y_bounds: ArrayLike | None = None,
        relevance: str = "none",
        n_points: int = 0,
    ) -> Scaling:
        """Scaling by declared bounds, else by the data's weighted moments, else none.

        Parameters
        ----------
        X : ndarray (n, d)
        y : ndarray (n, t)
        weight : ndarray (n,), optional
        standardize : bool, default=True
            Use moments where no bounds are given.
        x_bounds, y_bounds : pair, optional
            Low and high, numbers or arrays of the number of columns.
        relevance : {"none", "default", "fit"}, default="none"
            Also divide features by their length-scales: by what they are
            before anything is known, or fitted to the rows.
        n_points : int, default=0
            Largest number of points; they are chosen if `relevance` is fitted.

        Raises
        ------
        ValueError
            If bounds are not a pair of finite numbers with low < high.
        """

        def column_moments(name: str, columns: NDArray, bounds: ArrayLike | None, few: float) -> tuple[Array, Array]:
            if bounds is not None:
                return _bounds_moments(name, bounds, columns.shape[1])
            if standardize:
                return _moments(columns, weight, few)
            return np.zeros(columns.shape[1]), np.ones(columns.shape[1])

        scaling = cls(*column_moments("x_bounds", X, x_bounds, few=0), *column_moments("y_bounds", y, y_bounds, FEW))
        if relevance == "none":
            return scaling
        if relevance == "default":
            return scaling.stretched(np.full(X.shape[1], default_lengthscale(X.shape[1])))
        chunks = row_chunks(X, y, weight, _MOMENT_ROWS)
        scaled = ((scaling.scale_x(a), scaling.scale_y(b), np.ones(len(a)) if w is None else w) for a, b, w in chunks)
        x, targets, w = sample_rows(scaled)
        noise = constant_noise(X.shape[1])
        knots, ranks = fit_ranks(x, w)
        waves = row_cosines(x, knots, ranks, MAX_COSINES)
        # Several threads are slower than one on matrices as small as these, and what they fix must not depend on their
        # number.
        with threadpool_limits(1, user_api="blas"):
            found = fit_relevance(x, targets, w, waves[..., : n_cosines(X.shape[1], n_points)])
            x = x / found.lengthscale
            n_points -= int(np.count_nonzero(found.effects))
            points = choose_points(x, int(MAX_SHARE * n_points))
            if len(points):
                points, noise = fit_process(x, targets, w, points, waves, found)
        # Where every row was worth a point, further ones will be elsewhere; where few were, these say all.
        unseen = (1 - len(points) / n_points) * len(points) / len(x) if n_points else 1.0
        unseen = max(unseen, 1 - MAX_SHARE)
        return replace(
            scaling.stretched(found.lengthscale),
            points=points,
            ratio=np.array([found.ratio]),
            share=np.array([1 - unseen]),
            effect_knots=knots / found.lengthscale[:, None],
            effect_ranks=ranks,
            effect_scale=found.effects,
            **{f"noise_{name}": array for name, array in noise._asdict().items()},
        )

    def stretched(self, lengthscale: Array) -> Scaling:
        """With features divided by their length-scales, too."""
        return replace(self, x_scale=self.x_scale * lengthscale)

    def scale_x(self, X: Array) -> Array:
        """Features in the network's units, (n, d)."""
        return _scale(X, self.x_centre, self.x_scale)

    def scale_y(self, y: Array) -> Array:
        """Targets in the network's units, (n, t)."""
        return _scale(y, self.y_centre, self.y_scale)

    def unscale_y(self, mean: Array, std: Array) -> tuple[Array, Array]:
        """Mean and standard deviation in the targets' own units, (n, t) each."""
        return mean * self.y_scale + self.y_centre, std * self.y_scale

    def equals(self, other: Scaling) -> bool:
        """Whether both scale exactly alike."""
        return all(np.array_equal(getattr(self, name), getattr(other, name)) for name in vars(self))


def _scale(values: Array, centre: Array, scale: Array) -> Array:
    with np.errstate(over="ignore"):
        return np.clip((values.astype(np.float64, copy=False) - centre) / scale, -LARGEST, LARGEST)
