"""Statistics of softmax attention from fixed queries, which add up over rows."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from skcmanp.bounds import are_all, is_within

Array = NDArray[np.float64]

DOUBLE = float(np.finfo(np.float64).eps)


# No rows lead to larger sums of weights, at any reference.
_LARGEST_SUM = 1e140

# Attention's outputs are means of values, which networks keep far smaller.
LARGEST_OUTPUT = 1e15


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

    def check_possible(self) -> None:
        """Raise ValueError unless there could be rows with these statistics."""
        if not all(array.dtype == np.float64 for array in (self.m, self.s, self.o, self.peak)):
            raise ValueError("The softmax statistics are not of dtype float64.")
        if self.o.ndim != 4 or {self.m.shape, self.s.shape, self.peak.shape} != {self.o.shape[:-1]}:
            raise ValueError("The shapes of the softmax statistics do not match.")
        finite = np.isfinite(self.m) & np.isfinite(self.peak) & (self.peak >= (1 - 1e-6) * self.s)
        seen = finite & (self.s > 0) & (self.peak <= _LARGEST_SUM)
        if not (are_all(seen) or are_all(seen | (np.isneginf(self.m) & (self.s == 0) & (self.peak == 0)))):
            raise ValueError("The softmax statistics are not finite, negative, or more than was ever read.")
        largest = LARGEST_OUTPUT * self.s  # zero where nothing was read
        if not (is_within(self.o, largest.min(initial=np.inf)) or are_all(np.abs(self.o) <= largest[..., None])):
            raise ValueError("The softmax statistics are not finite, or of larger values than rows can have.")

    def _common_reference(self, other: RunningSoftmax) -> tuple[Array, Array, Array]:
        m = np.maximum(self.m, other.m)
        finite = np.where(np.isneginf(m), 0.0, m)
        return m, np.exp(self.m - finite), np.exp(other.m - finite)
