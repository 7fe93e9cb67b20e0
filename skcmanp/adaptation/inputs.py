"""From a table of any kind to the few numbers of a row that the kernel and the network see."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from skcmanp.adaptation.base import Array, Frozen, check_pieces
from skcmanp.adaptation.categories import Categories
from skcmanp.adaptation.encoding import Encoding
from skcmanp.adaptation.ridge import Ridge
from skcmanp.adaptation.rows import Rows, fold_of
from skcmanp.adaptation.trees import Trees, gain
from skcmanp.bounds import are_all
from skcmanp.frames import Kind

# Columns of a wider table that are seen, the most telling ones, beside what is predicted from all.
MAX_COLUMNS = 24

# A column misses values often, if so many of the first rows do.
_OFTEN = 20

# What is told of targets, in their standard deviations, is seen in units of so much at least: what tells nothing is not
# to be stretched until it tells folds apart.
_LEAST_SCALE = 0.1

# Rows for every column that is chosen from many: of few rows, some columns tell much by chance.
_ROWS_PER_COLUMN = 20

# Rows of which ridge regressions are fitted: on very wide tables their cost grows with the square of the number.
_RIDGE_ROWS = 2048

# Rows that tell how much a missing value changes.
_TRIED_ROWS = 64

# Identity of no category.
_UNSEEN = -(2.0**61)


@dataclass(frozen=True, eq=False)
class Selection(Frozen):
    """Which numbers are seen, in which units, and what is unknown where a value is.

    Parameters
    ----------
    used : ndarray (d,), int64
        Of the numbers, then the codes of categories, then predictions from all.
    centre, scale : ndarray (d,)
        The scale is a length-scale, too, where that is known.
    unknown : ndarray (c,)
        Variance of what is open where a number is missing, or a category is one
        that was not there, relative to what features miss.
    """

    name = "selection"
    shapes: ClassVar = {"used": "d", "centre": "d", "scale": "d", "unknown": "c"}
    positive = ("scale",)
    integers: ClassVar[dict[str, type]] = {"used": np.int64}
    used: NDArray[np.int64]
    centre: Array
    scale: Array
    unknown: Array


@dataclass(frozen=True, eq=False)
class Inputs:
    """Everything that rows pass through, one after another.

    Parameters
    ----------
    encoding : Encoding
    selection : Selection
    categories : Categories, optional
        If there are any.
    trees : Trees, optional
    ridge : Ridge, optional
    """

    encoding: Encoding
    selection: Selection
    categories: Categories | None = None
    trees: Trees | None = None
    ridge: Ridge | None = None

    @classmethod
    def of_numbers(cls, encoding: Encoding) -> Inputs:
        """All columns as they are."""
        n = len(encoding.centre)
        none = np.zeros(len(encoding.kinds))
        return cls(encoding, Selection(np.arange(n), np.zeros(n), np.ones(n), none))

    @classmethod
    def fit(cls, encoding: Encoding, rows: Rows, max_columns: int) -> Inputs:
        """For encoded rows, without trees.

        Of wider tables than `max_columns` the most telling columns are seen, and
        what a ridge regression on all predicts.
        """
        fold = fold_of(rows.x, rows.y)
        columns = np.flatnonzero(encoding.is_category)
        categories = Categories.fit(rows.x, rows.y, rows.weight, fold, columns) if len(columns) else None
        found = replace(cls.of_numbers(encoding), categories=categories)
        numbers = found.numbers(rows.x, fold)[0]
        known = np.flatnonzero(~np.isnan(numbers).all(0))
        known = known if len(known) else np.arange(1)  # the memory wants a feature, if only one that says nothing
        n_targets = rows.y.shape[1]
        for_trees = n_targets if MAX_COLUMNS + 2 * n_targets <= max_columns else 0  # room for what these predict
        if len(known) > max_columns - for_trees:
            few, n_columns = slice(_RIDGE_ROWS), max_columns - for_trees
            if n_targets <= n_columns:
                found = replace(found, ridge=Ridge.fit(numbers[few], rows.y[few], rows.weight[few], fold[few]))
                n_columns -= n_targets
            n_columns = min(MAX_COLUMNS, n_columns, 1 + len(rows.x) // _ROWS_PER_COLUMN)
            told = gain(numbers[few], rows.y[few], rows.weight[few])
            known = np.sort(known[np.argsort(-told[known], kind="stable")[:n_columns]])
        return found._selected(rows, fold, known)

    def with_trees(self, rows: Rows) -> Inputs:
        """With what trees predict of encoded rows beside what is seen already."""
        fold = fold_of(rows.x, rows.y)
        trees = Trees.fit(self.numbers(rows.x, fold)[0], rows.y, rows.weight, fold)
        used = self.selection.used
        return replace(self, trees=trees)._selected(rows, fold, used[used < self._n_numbers])

    def refitted(self, rows: Rows) -> Inputs:
        """The same, but for what it knows of the rows' targets: that is what these rows say."""
        fold = fold_of(rows.x, rows.y)
        categories, ridge, trees = self.categories, self.ridge, self.trees
        if categories is not None:
            categories = Categories.fit(rows.x, rows.y, rows.weight, fold, categories.columns)
        numbers = replace(self, categories=categories).numbers(rows.x, fold)[0]
        if ridge is not None:
            ridge = Ridge.fit(numbers, rows.y, rows.weight, fold)
        if trees is not None:
            trees = Trees.fit(numbers, rows.y, rows.weight, fold)
        return replace(self, categories=categories, ridge=ridge, trees=trees)

    def _selected(self, rows: Rows, fold: NDArray[np.int64], columns: NDArray[np.int64]) -> Inputs:
        """With these of the numbers, and all that is predicted, in standard deviations."""
        every, _ = self._all(rows.x, fold)
        used = np.r_[columns, np.arange(self._n_numbers, every.shape[1])]
        centre, scale = np.zeros(len(used)), np.ones(len(used))
        n_encoded = np.count_nonzero(~self.encoding.is_category)
        for i, j in enumerate(used):
            if j >= n_encoded:  # not in standard deviations yet
                centre[i] = np.average(every[:, j], weights=rows.weight)
                variance = np.average(np.square(every[:, j] - centre[i]), weights=rows.weight)
                scale[i] = max(np.sqrt(variance), _LEAST_SCALE)
        return replace(self, selection=Selection(used, centre, scale, self.selection.unknown))

    def with_unknown(
        self, rows: Rows, change: Callable[[Array, Array], float], squares: Array, missed: Array
    ) -> Inputs:
        """Find what every column tells, in units of what features miss (t,).

        Where a column misses values often, rows say it that were left out: by
        how much larger the squares (n,) of their errors are, which are NaN of
        other rows. Otherwise it is the variance of the function's `change`
        between some rows, and without it.
        """
        encoded, known = rows.x[:_TRIED_ROWS], ~np.isnan(squares)
        before, left_out, squares = self.seen(encoded)[0], rows.x[known], squares[known]
        unit, unknown = float(np.mean(np.square(missed))), np.zeros(len(self.encoding.kinds))
        for column in self._asked():
            numbers = self.encoding.source == column
            absent = np.isnan(left_out[:, numbers]).any(1)
            is_category = self.encoding.kinds[column] == Kind.CATEGORY
            if not is_category and absent.sum() >= _OFTEN and (~absent).sum() >= _OFTEN:
                unknown[column] = max(squares[absent].mean() - squares[~absent].mean(), 0.0) / unit
                continue
            changed = encoded.copy()
            changed[:, numbers] = _UNSEEN if is_category else np.nan
            unknown[column] = change(before, self.seen(changed)[0]) / unit
        return replace(self, selection=replace(self.selection, unknown=unknown))

    @property
    def _source(self) -> NDArray[np.int64]:
        """Column of the table that every number and code is of."""
        category, source = self.encoding.is_category, self.encoding.source
        n_codes = 1 if self.categories is None else self.categories.codes.shape[2]
        return np.r_[source[~category], np.repeat(source[category], n_codes)]

    @property
    def _n_numbers(self) -> int:
        """How many numbers and codes there are before what is predicted."""
        n_encoded = len(self.encoding.centre)
        if self.categories is None:
            return n_encoded
        return n_encoded + (self.categories.codes.shape[2] - 1) * len(self.categories.columns)

    def _asked(self) -> NDArray[np.int64]:
        """Columns of the table that what is seen, and what trees predict, is made of."""
        used = self.selection.used[self.selection.used < self._n_numbers]
        return np.unique(self._source[used if self.trees is None else np.r_[used, self.trees.features]])

    def check_possible(self, n_targets: int) -> None:
        """Raise ValueError unless rows of so many targets could have led to this."""
        check_pieces(self.sized_pieces())
        self.check_together(n_targets)

    def sized_pieces(self) -> Iterator[tuple[Frozen, int]]:
        """All that is frozen, and of how many features rows are there; some are told by what is before."""
        yield self.encoding, 0
        yield self.selection, self.n_features
        if self.categories is not None:
            yield self.categories, 0
        for part in (self.ridge, self.trees):
            if part is not None:
                yield part, self._n_numbers

    def check_together(self, n_targets: int) -> None:
        """Raise ValueError unless pieces that are possible go together, and with so many targets."""
        used, unknown = self.selection.used, self.selection.unknown
        if len(unknown) != len(self.encoding.kinds) or not are_all(unknown >= 0):
            raise ValueError("selection.unknown is not of all columns, or negative.")
        if self.encoding.categories != ([] if self.categories is None else self.categories.columns.tolist()):
            raise ValueError("categories.columns is not of all categories.")
        predicted = [part for part in (self.ridge, self.trees) if part is not None]
        targets = [len(part.baseline if isinstance(part, Trees) else part.intercept) for part in predicted]
        targets += [] if self.categories is None else [self.categories.codes.shape[2]]
        if set(targets) - {n_targets}:
            raise ValueError(f"Some of what is told of targets is not of {n_targets} of them.")
        if not are_all((used >= 0) & (used < self._n_numbers + n_targets * len(predicted))):
            raise ValueError("selection.used is not of the numbers that there are.")

    # ------------------------------------------------------------------ in use

    @property
    def n_features(self) -> int:
        """Number of features that are seen."""
        return len(self.selection.used)

    @property
    def lengthscale(self) -> Array:
        """One unit of every feature that is a column of the table, in the column's own units, (d,); NaN of others."""
        scale = np.where(self.encoding.kinds == Kind.NUMBER, 1.0, np.nan)[self.encoding.source] * self.encoding.scale
        scale = scale[~self.encoding.is_category]
        padded = np.r_[scale, np.full(self.selection.used.max(initial=-1) + 1, np.nan)]
        return padded[self.selection.used] * self.selection.scale

    def __call__(self, X: NDArray, y: Array | None = None) -> tuple[Array, Array]:
        """What is seen of rows, and what is unknown of them, (n, c) -> (n, d) and (n,).

        Rows that are read come with their scaled targets (n, t).
        """
        encoded = self.encoding(X)
        predicts = self.categories or self.trees or self.ridge
        return self.seen(encoded, None if y is None or not predicts else fold_of(encoded, y))

    def seen(self, encoded: Array, fold: NDArray[np.int64] | None = None) -> tuple[Array, Array]:
        """The same of encoded rows (n, e), which are in a fold, or to be predicted."""
        every, known = self._all(encoded, fold)
        selection = self.selection
        seen = (every[:, selection.used] - selection.centre) / selection.scale
        if not selection.unknown.any():
            return np.nan_to_num(seen, copy=False), np.zeros(len(encoded))
        absent = np.isnan(encoded)
        if self.categories is not None:
            absent[:, self.categories.columns] = ~known
        unknown = np.zeros((len(encoded), len(selection.unknown)), dtype=bool)
        for j in np.flatnonzero(absent.any(0)):
            unknown[:, self.encoding.source[j]] |= absent[:, j]
        return np.nan_to_num(seen, copy=False), unknown @ selection.unknown

    def numbers(self, encoded: Array, fold: NDArray[np.int64] | None = None) -> tuple[Array, NDArray[np.bool_]]:
        """Numbers and codes of encoded rows, and whether categories are known, (n, e) -> (n, m) and (n, k)."""
        if self.categories is None:
            return encoded, np.ones((len(encoded), 0), dtype=bool)
        codes, known = self.categories(encoded, fold)
        return np.hstack([encoded[:, ~self.encoding.is_category], codes]), known

    def _all(self, encoded: Array, fold: NDArray[np.int64] | None) -> tuple[Array, NDArray[np.bool_]]:
        """With what is predicted from them."""
        numbers, known = self.numbers(encoded, fold)
        predicted = [part(numbers, fold) for part in (self.ridge, self.trees) if part is not None]
        return (np.hstack([numbers, *predicted]) if predicted else numbers), known

    def stretched(self, lengthscale: Array) -> Inputs:
        """With features divided by their length-scales, too."""
        return replace(self, selection=replace(self.selection, scale=self.selection.scale * lengthscale))

    def pieces(self) -> list[Frozen]:
        """All that is frozen."""
        found = (self.encoding, self.selection, self.categories, self.trees, self.ridge)
        return [piece for piece in found if piece is not None]
