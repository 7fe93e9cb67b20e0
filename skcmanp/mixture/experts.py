"""The experts of a mixture: networks that read, trees of recent rows, and regressions that forget."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from skcmanp.learner import Learner
from skcmanp.mixture.linear import DiscountedRegression
from skcmanp.mixture.reading import StreamReading
from skcmanp.mixture.ring import Ring
from skcmanp.mixture.trees import FEWEST, RecentTrees
from skcmanp.validation import Rows

Array = NDArray[np.float64]

HALF_LIVES = (250.0, 1000.0, 4000.0)
RING = 5000
# Prior scale of the time's coefficient: a feature that is a time itself, and known for every row, is to be preferred.
_TIME = 0.03
# Rows that an adaptation is fitted to, and how fast they fade afterwards.
ADAPTED, _ADAPTED_HALF_LIFE = 2000, 4000.0
_AFTER_BREAK = 500  # rows that a new world has to show before anything is adapted to it

_BASE = ("all rows", "adapted anew", "trees, long", "trees, short")
NAMES = (
    *_BASE,
    *(f"{kind}, half-life {half_life:g}" for kind in ("linear", "stack", "blend") for half_life in HALF_LIVES),
)


class Forecasts(NamedTuple):
    """What K experts say of m rows, (K, m) each; the first ones are of the networks and trees."""

    mean: Array
    std: Array

    @property
    def base(self) -> Array:
        """Means of networks and trees, (m, 4)."""
        return self.mean[: len(_BASE)].T

    @property
    def spread(self) -> Array:
        """Logarithms of the standard deviations of the networks, which are local, (m, 2)."""
        return np.log(self.std[:2]).T


@dataclass(frozen=True, eq=False)
class Experts:
    """All experts, each of a fixed size.

    Networks: one reads all rows, adapted to the first thousand; the other is
    adapted anew in mid-stream, at row counts that double and after breaks.
    Trees: of long and of short windows. Linear regressions, for every half-life:
    on the features; "stack", on the features and what networks and trees say;
    "blend", on the latter alone. So they also correct networks and trees, and
    follow a level that moves away under these.

    Parameters
    ----------
    reading, adapted : StreamReading
        The latter is the former as long as nothing has been adapted anew.
    ring : Ring
    trees : tuple of RecentTrees
    regressions : tuple of DiscountedRegression
        Linear ones, stacks, and blends.
    n_seen : int
        Rows of the stream.
    start : int
        Rows before the last break.
    """

    reading: StreamReading
    adapted: StreamReading
    ring: Ring
    trees: tuple[RecentTrees, ...]
    regressions: tuple[DiscountedRegression, ...]
    n_seen: int
    start: int = 0

    @classmethod
    def begin(cls, learner: Learner, rows: Rows) -> Experts:
        """Of the first rows of a stream."""
        d, n_base = rows.X.shape[1], len(_BASE)
        reading = StreamReading.begin(learner, rows)
        ring = Ring.empty(RING, d).learned(rows.X, rows.y)
        errors = rows.y[:, 0] - rows.y.mean()
        trees = tuple(tree.learned(rows, errors) for tree in (RecentTrees(RING, 0.1), RecentTrees(1000, 0.25)))
        columns = np.column_stack([rows.X, np.arange(len(rows.y))])
        linear = tuple(DiscountedRegression.empty(d + 1, h, _TIME).learned(columns, rows.y[:, 0]) for h in HALF_LIVES)
        stacks = tuple(DiscountedRegression.empty(d + n_base + 1, h, _TIME) for h in HALF_LIVES)
        blends = tuple(DiscountedRegression.empty(n_base, h) for h in HALF_LIVES)
        return cls(reading, reading, ring, trees, (*linear, *stacks, *blends), len(rows.y))

    def forecast(self, learner: Learner, X: Array) -> Forecasts:
        """What every expert says of rows, (m, d)."""
        said = [self.reading.predict(learner, X)]
        said.append(said[0] if self.adapted is self.reading else self.adapted.predict(learner, X))
        said += [trees.predict(X) for trees in self.trees]
        base = np.array([mean for mean, _ in said]).T
        for regression, columns in zip(
            self.regressions, _columns(X, base, np.full(len(X), float(self.n_seen))), strict=True
        ):
            # None has been forecast before the second block.
            said.append(regression.predict(columns) if regression.n_effective else said[len(_BASE)])
        means, stds = zip(*said, strict=True)
        return Forecasts(np.array(means), np.array(stds))

    def learned(self, learner: Learner, rows: Rows, forecasts: Forecasts, breaks: bool) -> Experts:
        """With further rows, and what was forecast of them.

        `breaks` says that the world has just changed: what forgets fast then
        begins anew.
        """
        X, y, base = rows.X, rows.y[:, 0], forecasts.base
        n_seen, start = self.n_seen + len(y), self.n_seen if breaks else self.start
        ring = self.ring.learned(X, rows.y)
        errors = y - forecasts.mean[2:4]
        reading = self.reading.learned(learner, rows)
        return replace(
            self,
            reading=reading,
            adapted=self._adapted(learner, rows, reading, ring),
            ring=ring,
            trees=(
                self.trees[0].learned(ring.last(RING), errors[0]),
                self.trees[1].learned(ring.last(max(n_seen - start, FEWEST)), errors[1]),
            ),
            regressions=tuple(
                regression.restarted(columns, y)
                if breaks and regression.half_life == HALF_LIVES[0]
                else regression.learned(columns, y)
                for regression, columns in zip(
                    self.regressions, _columns(X, base, np.arange(self.n_seen, n_seen, dtype=np.float64)), strict=True
                )
            ),
            n_seen=n_seen,
            start=start,
        )

    def n_effective(self) -> Array:
        """Effective number of rows that every expert knows, (K,)."""
        trees = [min(trees.window, len(self.ring)) for trees in self.trees]
        sums = [regression.n_effective for regression in self.regressions]
        return np.array([self.reading.state.weight, self.adapted.state.weight, *trees, *sums])

    def _adapted(self, learner: Learner, rows: Rows, reading: StreamReading, ring: Ring) -> StreamReading:
        """The network that is adapted anew if it is time, and otherwise reads on."""
        before = self.n_seen - self.start
        now = before + len(rows.y)
        if any(before < count <= now for count in _counts(now, first=_AFTER_BREAK if self.start else ADAPTED)):
            return StreamReading.adapted(learner, ring.last(min(now, ADAPTED)), _ADAPTED_HALF_LIFE)
        return reading if self.adapted is self.reading else self.adapted.learned(learner, rows)


def _columns(X: Array, base: Array, time: Array) -> Iterator[Array]:
    """Columns of every regression: linear ones and stacks also know the time, in rows, and so follow what climbs."""
    for columns in ((X, time), (X, base, time), (base,)):
        made = np.column_stack(columns)
        yield from (made for _ in HALF_LIVES)


def _counts(n_rows: int, first: int) -> Iterator[int]:
    """Row counts that double, up to this one."""
    count = first
    while count <= n_rows:
        yield count
        count *= 2
