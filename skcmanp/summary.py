"""What has been read, as statistics that add up over rows, in float64."""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass, fields, replace

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

DOUBLE = float(np.finfo(np.float64).eps)


def smallest_remainder(eps: float) -> float:
    """The share of all that was ever read that must be left at a query after rows are forgotten.

    Rounding errors are relative to what was read and accuracy to what is left,
    so this keeps half of the digits of a network that rounds to `eps`.
    """
    return math.sqrt(eps)


@dataclass(frozen=True, eq=False)
class RunningSoftmax:
    """Sufficient statistics of softmax attention from fixed queries, float64.

    With logits z, weights w and values v of the rows read so far::

        m: reference logit            s = sum w exp(z - m)
        o = sum w exp(z - m) v        peak: s as if nothing had been forgotten

    They form a commutative monoid under `combine`, with `empty` as identity.
    Shapes: m, s, peak (t, H, L); o (t, H, L, E).
    """

    m: Array
    s: Array
    o: Array
    peak: Array

    @classmethod
    def empty(cls, shape: tuple[int, ...]) -> RunningSoftmax:
        """The statistics of no rows; `shape` is o's."""
        zeros = np.zeros(shape[:-1])
        return cls(np.full(shape[:-1], -np.inf), zeros, np.zeros(shape), zeros)

    def combine(self, other: RunningSoftmax) -> RunningSoftmax:
        """The statistics of the rows of both."""
        m, a, b = self._common_reference(other)
        o = self.o * a[..., None]
        o += other.o * b[..., None]
        return RunningSoftmax(m, self.s * a + other.s * b, o, self.peak * a + other.peak * b)

    def subtract(self, other: RunningSoftmax, eps: float = DOUBLE) -> RunningSoftmax:
        """The statistics of the rows that are not in `other`, known to a precision of `eps`.

        Raises
        ------
        ValueError
            If less is left than can be known accurately.
        """
        m, a, b = self._common_reference(other)
        s = self.s * a - other.s * b
        peak = self.peak * a
        if (s < smallest_remainder(eps) * peak).any():
            raise ValueError(
                "Too little would be left of the context to be accurate: either rows are forgotten that "
                "were never read (or with more weight), or nearly everything is. Fit the remaining rows anew."
            )
        return RunningSoftmax(m, s, self.o * a[..., None] - other.o * b[..., None], peak)

    def matches(self, other: RunningSoftmax, eps: float = DOUBLE) -> bool:
        """Whether both are statistics of the same rows, up to rounding."""
        _, a, b = self._common_reference(other)
        difference = np.abs(self.s * a - other.s * b)
        return bool((difference <= smallest_remainder(eps) * self.peak * a).all())

    def decay(self, gamma: float) -> RunningSoftmax:
        """All weights multiplied by `gamma` > 0; exact, and never underflows."""
        return replace(self, m=self.m + math.log(gamma))

    def output(self) -> Array:
        """Attention output, (t, H, L, E); zero where nothing was read."""
        s = np.where(self.s > 0, self.s, 1.0)
        return self.o / s[..., None]

    def _common_reference(self, other: RunningSoftmax) -> tuple[Array, Array, Array]:
        m = np.maximum(self.m, other.m)
        finite = np.where(np.isneginf(m), 0.0, m)
        return m, np.exp(self.m - finite), np.exp(other.m - finite)


@functools.lru_cache(maxsize=8)
def _lower_triangle(n: int) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Indices of a lower triangle; making them anew would be a quarter of a one-row update."""
    return np.tril_indices(n)


@dataclass(frozen=True, eq=False)
class RunningSums:
    """Sums over the rows read so far that the conjugate memory needs, float64.

    With features psi, targets y and weights w::

        a = sum w psi psi^T, its lower triangle row by row
        b = sum w psi y    c = sum w y^2    d = sum w psi y^2

    Shapes: a (F (F + 1) / 2,), the same for all targets; b, d (t, F, dy); c (t, dy).
    A network without memory has F = 0.
    """

    a: Array
    b: Array
    c: Array
    d: Array

    @classmethod
    def empty(cls, shape: tuple[int, int, int]) -> RunningSums:
        """The sums of no rows; `shape` is b's."""
        t, n_features, dim_y = shape
        return cls(np.zeros(n_features * (n_features + 1) // 2), np.zeros(shape), np.zeros((t, dim_y)), np.zeros(shape))

    @classmethod
    def pack(cls, a: Array, b: Array, c: Array, d: Array) -> RunningSums:
        """From a whole matrix `a`, (F, F)."""
        return cls(a[_lower_triangle(len(a))], b, c, d)

    def matrix(self) -> Array:
        """The whole of a, (F, F)."""
        n_features = self.b.shape[1]
        lower = np.zeros((n_features, n_features))
        lower[_lower_triangle(n_features)] = self.a
        return lower + np.tril(lower, -1).T

    def combine(self, other: RunningSums) -> RunningSums:
        """The sums over the rows of both."""
        return RunningSums(self.a + other.a, self.b + other.b, self.c + other.c, self.d + other.d)

    def subtract(self, other: RunningSums) -> RunningSums:
        """The sums over the rows that are not in `other`."""
        return RunningSums(self.a - other.a, self.b - other.b, self.c - other.c, self.d - other.d)

    def decay(self, gamma: float) -> RunningSums:
        """All weights multiplied by `gamma`."""
        return RunningSums(self.a * gamma, self.b * gamma, self.c * gamma, self.d * gamma)


@dataclass(frozen=True, eq=False)
class Summary:
    """All that is remembered of rows; summaries add up.

    Parameters
    ----------
    softmax : RunningSoftmax
    sums : RunningSums
    weight : float
        Sum of the row weights: the effective number of rows.
    n_rows : int
        Number of rows read and not forgotten.
    """

    softmax: RunningSoftmax
    sums: RunningSums
    weight: float = 0.0
    n_rows: int = 0

    def combine(self, other: Summary) -> Summary:
        """The summary of the rows of both."""
        return Summary(
            self.softmax.combine(other.softmax),
            self.sums.combine(other.sums),
            self.weight + other.weight,
            self.n_rows + other.n_rows,
        )

    def subtract(self, other: Summary, eps: float = DOUBLE) -> Summary:
        """The summary as if the rows of `other` had never been read.

        `eps` is the relative precision of the network that read them.

        Raises
        ------
        ValueError
            If more is forgotten than was read, or too little left to be accurate.
        """
        left = self.weight - other.weight
        if other.n_rows > self.n_rows or left < -1e-9 * self.weight:
            raise ValueError(
                f"Cannot forget {other.n_rows} rows of weight {other.weight:g}: only {self.n_rows} rows of weight "
                f"{self.weight:g} are remembered."
            )
        if other.n_rows == self.n_rows and left <= 1e-9 * self.weight:
            if not self.softmax.matches(other.softmax, eps):
                raise ValueError(
                    f"Cannot forget these {other.n_rows} rows: they are not the {self.n_rows} that are remembered."
                )
            return self.decay(0.0)
        return Summary(
            self.softmax.subtract(other.softmax, eps),
            self.sums.subtract(other.sums),
            max(left, 0.0),
            self.n_rows - other.n_rows,
        )

    def decay(self, gamma: float) -> Summary:
        """All weights multiplied by `gamma`, from 0 (nothing was read) to 1."""
        if gamma == 0:
            return Summary(RunningSoftmax.empty(self.softmax.o.shape), RunningSums.empty(self.sums.b.shape))
        return replace(self, softmax=self.softmax.decay(gamma), sums=self.sums.decay(gamma), weight=self.weight * gamma)

    def repeat(self, n: int) -> Summary:
        """Each target's statistics `n` times, one after the other: a summary that can go on in `n` ways."""
        softmax = RunningSoftmax(*(np.repeat(array, n, axis=0) for array in vars(self.softmax).values()))
        b, c, d = (np.repeat(array, n, axis=0) for array in (self.sums.b, self.sums.c, self.sums.d))
        return replace(self, softmax=softmax, sums=RunningSums(self.sums.a, b, c, d))

    def arrays(self) -> dict[str, NDArray]:
        """Everything as named arrays, for serialisation."""
        softmax = {f"softmax.{name}": array for name, array in vars(self.softmax).items()}
        sums = {f"sums.{name}": array for name, array in vars(self.sums).items()}
        counts = {"weight": np.array([self.weight]), "n_rows": np.array([self.n_rows], dtype=np.int64)}
        return {**softmax, **sums, **counts}

    @classmethod
    def from_arrays(cls, arrays: dict[str, NDArray]) -> Summary:
        """What `arrays` gave."""
        softmax = RunningSoftmax(*(arrays[f"softmax.{field.name}"] for field in fields(RunningSoftmax)))
        sums = RunningSums(*(arrays[f"sums.{field.name}"] for field in fields(RunningSums)))
        return cls(softmax, sums, float(arrays["weight"][0]), int(arrays["n_rows"][0]))
