"""The experts of a mixture: networks that read, trees of recent rows, and regressions that forget."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from skcmanp.learner import Learner
from skcmanp.mixture.columns import StreamColumns
from skcmanp.mixture.limits import without_faults
from skcmanp.mixture.linear import DiscountedRegressions
from skcmanp.mixture.reading import StreamReading
from skcmanp.mixture.ring import Ring
from skcmanp.mixture.trees import MOST_NEW, RecentTrees
from skcmanp.validation import Rows

Array = NDArray[np.float64]

HALF_LIVES = (250.0, 1000.0, 4000.0)
RECENT = 10_000  # rows that trees are fitted to
RING = RECENT + MOST_NEW  # so that those of the last fit are known
# Prior scale of the time's coefficient: a feature that is a time itself, and known for every row, is to be preferred.
_TIME = 0.03
# Rows that an adaptation is fitted to, and how fast they fade afterwards.
ADAPTED, _ADAPTED_HALF_LIFE = 2000, 4000.0
# Rows whose forecasts tell how those of a network that is adapted anew differ from the old one's.
_SAID = 500
_RESTART = 0.05  # weight of rows around a break
_FARTHEST = 20.0  # median deviations of targets after a break from their middle
_AFTER_BREAK = 500  # rows that a new world has to show before anything is adapted to it

_BASE = ("all rows", "adapted anew", "trees", "trees on residuals")
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
    Trees: of the last rows, and of what a linear regression leaves of those since
    the last break. Linear regressions, for every half-life:
    on the features; "stack", on the features and what networks and trees say;
    "blend", on the latter alone. So they also correct networks and trees, and
    follow a level that moves away under these.

    Parameters
    ----------
    columns : StreamColumns
        What the first rows fix of the table.
    reading : StreamReading
    adapted : StreamReading, optional
        None as long as nothing has been adapted anew: `reading` then is both.
    ring : Ring
    trees : tuple of RecentTrees
    said : Ring
        What networks and trees said of the last rows.
    regressions : tuple of DiscountedRegressions
        Linear ones, stacks, and blends, each with all half-lives.
    n_seen : int
        Rows of the stream.
    start : int
        Rows before the last break.
    ahead : float, default=0.0
        How far ahead rows are in the middle of a chunk such as the last.
    """

    columns: StreamColumns
    reading: StreamReading
    adapted: StreamReading | None
    ring: Ring
    trees: tuple[RecentTrees, ...]
    said: Ring
    regressions: tuple[DiscountedRegressions, ...]
    n_seen: int
    start: int = 0
    ahead: float = 0.0

    @classmethod
    def begin(cls, learner: Learner, rows: Rows, start: int = 0) -> Experts:
        """Of the first rows of a stream, or of a world that begins after so many."""
        rows = rows._replace(y=without_faults(rows.y))
        columns, n_base = StreamColumns.fit(rows.X, learner.kinds), len(_BASE)
        reading = StreamReading.begin(learner, rows)
        ring = Ring.empty(RING, rows.X.shape[1]).learned(rows.X, rows.y)
        errors, n = rows.y[:, 0] - rows.y.mean(), len(rows.y)
        trees = tuple(
            RecentTrees(on_residuals).learned(columns, rows, start + n, errors) for on_residuals in (False, True)
        )
        known = np.column_stack([columns.of_regressions(rows.X), np.arange(start, start + n)])
        p = known.shape[1]
        linear = DiscountedRegressions.empty(p, HALF_LIVES, _TIME, p - 1).learned(known, rows.y[:, 0])
        stack = DiscountedRegressions.empty(p + n_base, HALF_LIVES, _TIME, p - 1)
        blend = DiscountedRegressions.empty(n_base, HALF_LIVES)
        said = Ring.empty(_SAID, n_base)
        return cls(columns, reading, None, ring, trees, said, (linear, stack, blend), start + n, start)

    def forecast(self, learner: Learner, X: Array) -> Forecasts:
        """What every expert says of rows, (m, d)."""
        said = [self.reading.predict(learner, X)]
        said.append(said[0] if self.adapted is None else self.adapted.predict(learner, X))
        time = np.full(len(X), self.n_seen + self.ahead)  # the same of all, as rows are predicted each for itself
        codes, known = self.columns.of_trees(X), np.column_stack([self.columns.of_regressions(X), time])
        said += [trees.predict(codes, known) for trees in self.trees]
        means, stds = (np.array(piece) for piece in zip(*said, strict=True))
        columns = _columns(known, means.T)
        linear = self.regressions[0].predict(columns[0])
        regressed = [linear]
        for regressions, rows in zip(self.regressions[1:], columns[1:], strict=True):
            # Nothing has been forecast, and so could be blended, before the second block.
            regressed.append(regressions.predict(rows) if regressions.n_effective.any() else linear)
        mean, std = (np.concatenate(pieces) for pieces in zip((means, stds), *regressed, strict=True))
        # Features that are unlike all before lead some experts far astray, but targets seldom go so far at once.
        low, high = self.ring.y.min(), self.ring.y.max()
        reach = high - low if high > low else np.inf
        return Forecasts(np.clip(mean, low - reach, high + reach), np.minimum(std, reach))

    def learned(self, learner: Learner, rows: Rows, forecasts: Forecasts, observed: Array) -> Experts:
        """With further rows, what was forecast of them, and targets as they came, (n, 1): a row's may be faulty."""
        X, y, base = rows.X, rows.y[:, 0], forecasts.base
        n_seen = self.n_seen + len(y)
        ring, said = self.ring.learned(X, rows.y), self.said.learned(base, observed)
        errors = y - forecasts.mean[2:4]
        reading = self.reading.learned(learner, rows)
        known = np.column_stack([self.columns.of_regressions(X), np.arange(self.n_seen, n_seen)])
        regressions = tuple(
            regressions.learned(columns, y)
            for regressions, columns in zip(self.regressions, _columns(known, base), strict=True)
        )
        adapted = self.adapted
        if self._adapts_anew(len(y)):
            recent = ring.last(min(n_seen - self.start, ADAPTED))
            adapted = StreamReading.adapted(learner, recent, _ADAPTED_HALF_LIFE)
            # Regressions know how the old one erred, but not the new one.
            old, new = said.X, adapted.predict(learner, ring.last(len(said)).X)[0]
            linear, stack, blend = regressions
            regressions = linear, stack.replaced(known.shape[1] - 1, 1, old, new), blend.replaced(0, 1, old, new)
        elif adapted is not None:
            adapted = adapted.learned(learner, rows)
        return replace(
            self,
            reading=reading,
            adapted=adapted,
            ring=ring,
            trees=self._learned_by_trees(self.trees, ring, min(n_seen - self.start, RECENT), n_seen, errors),
            said=said,
            regressions=regressions,
            n_seen=n_seen,
            ahead=(len(y) - 1) / 2,
        )

    def _learned_by_trees(
        self, trees: Iterable[RecentTrees], ring: Ring, n_since_break: int, n_seen: int, errors: Array
    ) -> tuple[RecentTrees, ...]:
        """Trees with the newest of the ring's rows, whose forecasts had these errors, (2, n)."""
        recent = ring.last(RECENT), ring.last(n_since_break)
        return tuple(
            old.learned(self.columns, rows, n_seen, error)
            for old, rows, error in zip(trees, recent, errors, strict=True)
        )

    def restarted(self, n_rows: int) -> tuple[Experts, Array, Array]:
        """As the last rows, so many, are of another world than those before: what forgets fast knows these alone.

        Also returns means of experts of the second half of these rows, (K, n), of
        which those that begin anew know only the first half, and targets (n,). The
        first half counts little: some of it may be of the old world.
        """
        n = min(n_rows, len(self.said))
        n_second = n // 2
        X, base, y = self.ring.last(n).X, self.said.last(n).X.copy(), self.said.last(n).y
        y = _without_spikes(y)
        ring = self.ring.with_last_targets(y)
        known = np.column_stack([self.columns.of_regressions(X), np.arange(self.n_seen - n, self.n_seen)])
        first, second = slice(n - n_second), slice(n - n_second, n)

        recent = ring.last(RECENT, n_second), ring.last(n - n_second, n_second)
        begun = [
            trees.restarted(self.columns, rows, self.n_seen - n_second)
            for trees, rows in zip(self.trees, recent, strict=True)
        ]
        codes = self.columns.of_trees(X[second])
        base[second, 2:] = np.column_stack([trees.predict(codes, known[second])[0] for trees in begun])
        errors = y[second, 0] - base[second, 2:].T
        trees = self._learned_by_trees(begun, ring, n, self.n_seen, errors)

        weight = np.where(np.arange(n) < n - n_second, _RESTART, 1.0)
        means, regressions = [base[second].T], []
        for old, columns in zip(self.regressions, _columns(known, base), strict=True):
            halfway = old.restarted(columns[first], y[first, 0], weight[first])
            means.append(halfway.predict(columns[second])[0])
            regressions.append(old.restarted(columns, y[:, 0], weight))
        start = self.n_seen - n_rows
        experts = replace(self, ring=ring, trees=trees, regressions=tuple(regressions), start=start)
        return experts, np.concatenate(means), y[second, 0]

    def remade(self) -> Experts:
        """With all that is made of the rest, which bytes do not hold."""
        recent = self.ring.last(RING)
        return replace(self, trees=tuple(trees.remade(self.columns, recent, self.n_seen) for trees in self.trees))

    def are_adapted_as(self, others: Experts) -> bool:
        """Whether the networks are adapted to the same rows."""
        pairs = zip(self.networks, others.networks, strict=True)
        return all(mine.state.adaptation is theirs.state.adaptation for mine, theirs in pairs)

    @property
    def networks(self) -> tuple[StreamReading, StreamReading]:
        """The one that reads all rows, and the one that is adapted anew."""
        return self.reading, self.reading if self.adapted is None else self.adapted

    @property
    def n_since_break(self) -> int:
        """Rows of this world: since the last break, or since the beginning of the stream."""
        return self.n_seen - self.start

    def n_effective(self) -> Array:
        """Effective number of rows that every expert knows, (K,)."""
        known = min(len(self.ring), RECENT)
        trees = [known, min(self.n_since_break, known)]
        networks = [network.state.weight for network in self.networks]
        return np.concatenate([networks, trees, *(regressions.n_effective for regressions in self.regressions)])

    def _adapts_anew(self, n_new: int) -> bool:
        """Whether it is time to adapt a network to recent rows, when so many more have come."""
        before = self.n_since_break
        counts = _counts(before + n_new, first=_AFTER_BREAK if self.start else ADAPTED)
        return any(before < count for count in counts)


def _without_spikes(y: Array) -> Array:
    """Targets that came, (n, 1), with those that are far from all others brought nearer."""
    middle = np.median(y)
    reach = _FARTHEST * np.median(np.abs(y - middle))
    return np.clip(y, middle - reach, middle + reach)


def _columns(known: Array, base: Array) -> tuple[Array, Array, Array]:
    """Columns of the regressions: linear ones and stacks also know the time, which is last, and follow what climbs."""
    return known, np.column_stack([known[:, :-1], base, known[:, -1]]), base


def _counts(n_rows: int, first: int) -> Iterator[int]:
    """Row counts that double, up to this one."""
    count = first
    while count <= n_rows:
        yield count
        count *= 2
