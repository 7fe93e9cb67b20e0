"""Categories as numbers: what the targets are like where a row is of a category.

A category of few rows is pulled towards the mean of all, as the mean of a
random effect is. The mean of a row's own target would give that away, so the
rows are split into folds, and every one is read with means of the other folds;
rows to predict have means of all. Which fold a row is in, its values say, so
that rows mean the same whenever they are read.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from skcmanp.adaptation.base import Array, Frozen
from skcmanp.adaptation.rows import N_FOLDS

# Levels that are kept of all columns together, at most: a bound of the state. The rarest go, all that are as rare.
MAX_LEVELS = 10_000

_TINY = 1e-12

# Variance between levels, relative to that within, below which a column tells nothing.
_LEAST_EFFECT = 1e-3

# Identity of what is missing, which no category has.
_MISSING = -(2.0**60)


@dataclass(frozen=True, eq=False)
class Categories(Frozen):
    """Codes of the levels of k columns.

    Parameters
    ----------
    columns : ndarray (k,), int64
        Which of the encoding's numbers they are.
    starts : ndarray (k + 1,), int64
        Where the levels of every column start.
    levels : ndarray (l,)
        Identities, ascending within a column.
    codes : ndarray (N_FOLDS + 1, l, t)
        Of every target, by the rows that are not in a fold, and by all.
    """

    name = "categories"
    shapes: ClassVar = {"columns": "k", "starts": "s", "levels": "l", "codes": f"{N_FOLDS + 1} l t"}
    integers: ClassVar[dict[str, type]] = {"columns": np.int64, "starts": np.int64}
    columns: NDArray[np.int64]
    starts: NDArray[np.int64]
    levels: Array
    codes: Array

    @classmethod
    def fit(cls, x: Array, y: Array, weight: Array, fold: NDArray[np.int64], columns: NDArray[np.int64]) -> Self:
        """By rows (n, e) with targets (n, t), in standard deviations, and folds (n,)."""
        found = [np.unique(_identities(x[:, j]), return_inverse=True) for j in columns]
        counts = np.concatenate([np.bincount(inverse, weight) for _, inverse in found])
        too_rare = np.sort(counts)[-MAX_LEVELS - 1] if len(counts) > MAX_LEVELS else -1.0
        levels, codes = [], []
        for values, inverse in found:
            kept, n = np.bincount(inverse, weight) > too_rare, len(values)
            by_fold = [_means(inverse, n, y, weight * (fold != k)) for k in range(N_FOLDS)]
            codes.append(np.stack([*by_fold, _means(inverse, n, y, weight)])[:, kept])
            levels.append(values[kept])
        starts = np.cumsum([0, *map(len, levels)])
        return cls(columns, starts, np.concatenate(levels), np.concatenate(codes, axis=1))

    def check_rest(self, n_columns: int) -> None:
        edges = np.diff(self.starts)
        spans = len(edges) == len(self.columns) and self.starts[0] == 0 and self.starts[-1] == len(self.levels)
        self.require("starts", spans and (edges >= 0).all(), "of all levels")
        ascending = np.r_[np.diff(self.levels) > 0, True]
        ascending[self.starts[1:-1][edges[1:] > 0] - 1] = True
        self.require("levels", ascending.all(), "ascending")

    def __call__(self, x: Array, fold: NDArray[np.int64] | None = None) -> tuple[Array, NDArray[np.bool_]]:
        """Codes of rows, and whether their levels are known, (n, e) -> (n, k t) and (n, k)."""
        rows = N_FOLDS if fold is None else fold
        codes, known = [], []
        for j, start, stop in zip(self.columns, self.starts[:-1], self.starts[1:], strict=True):
            levels, values = self.levels[start:stop], _identities(x[:, j])
            at = np.minimum(np.searchsorted(levels, values), max(len(levels) - 1, 0))
            known.append(levels[at] == values if len(levels) else np.zeros(len(x), dtype=bool))
            if len(levels):
                codes.append(np.where(known[-1][:, None], self.codes[rows, start + at], 0.0))
            else:
                codes.append(np.zeros((len(x), self.codes.shape[2])))
        return np.hstack(codes), np.column_stack(known)


def _identities(column: Array) -> Array:
    return np.where(np.isnan(column), _MISSING, column)


def _means(level: NDArray[np.int64], n_levels: int, y: Array, weight: Array) -> Array:
    """Means of the targets of every level, less that of all, as random effects have them, (n_levels, t)."""
    if not weight.any():  # all rows are in one fold
        return np.zeros((n_levels, y.shape[1]))
    # Weights are repetitions; but of those that are less than one, their effective number counts.
    weight = weight * max(weight.sum() / np.square(weight).sum(), 1.0)
    count = np.bincount(level, weight, n_levels)
    means = []
    for target in y.T:
        centred = target - np.average(target, weights=weight)
        total = np.bincount(level, weight * centred, n_levels)
        mean = total / np.where(count > 0, count, 1.0)
        ratio = _noise_to_effect(mean, count, weight @ np.square(centred))
        means.append(total / np.maximum(count + ratio, _TINY))
    return np.column_stack(means)


def _noise_to_effect(mean: Array, count: NDArray, square: float) -> float:
    """Variance within levels in units of that between them, by an analysis of variance; infinite if there is no effect.

    That of all counts as one more degree of freedom within: where every row is
    of a level of its own, as names are, nothing else says what is within.
    """
    n, n_levels = count.sum(), np.count_nonzero(count)
    between = (count * np.square(mean)).sum()
    within = (max(square - between, 0.0) + square / n) / (max(n - n_levels, 0.0) + 1)
    size = (n - np.square(count).sum() / n) / max(n_levels - 1, 1)
    effect = (between / max(n_levels - 1, 1) - within) / max(size, 1.0)
    return within / max(effect, _TINY) if effect > _LEAST_EFFECT * within else np.inf
