"""Boosted trees, whose predictions are one more feature of every row.

Trees follow jumps and take any number of columns, with values that are missing;
the memory and the network make of their predictions what these are worth. A
tree knows the targets of the rows that it was fitted to, so these are split
into folds, and every row is read with the predictions of trees that were fitted
to the other folds: "stacked generalization" (Wolpert, 1992). Rows to predict
have the mean of all.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray
from sklearn.ensemble import HistGradientBoostingRegressor

from skcmanp.adaptation.base import Array, Frozen
from skcmanp.adaptation.rows import N_FOLDS
from skcmanp.threads import blocks_of

# Rows that trees are fitted to, at least and at most.
MIN_ROWS = 200
MAX_ROWS = 10_000

N_TREES = 100
DEPTH = 10

# Parameters of trees that only tell about how well others would do.
_ROUGH = {"max_iter": 30, "learning_rate": 0.2}
_ROWS_AT_ONCE = 1024


@dataclass(frozen=True, eq=False)
class Trees(Frozen):
    """Sums of trees for every target, by the rows that are not in a fold.

    Nodes of all trees are numbered together. Their roots come first, the right
    child of a node follows the left one, and leaves lead to themselves.

    Parameters
    ----------
    feature : ndarray (n_nodes,), int32
        Feature f that a node asks for; minus f + 1 if rows that miss it go left.
    threshold : ndarray (n_nodes,)
        Larger values go right.
    left : ndarray (n_nodes,), int32
    value : ndarray (n_nodes,), float32
        Of leaves.
    baseline : ndarray (t, N_FOLDS)
    """

    name = "trees"
    shapes: ClassVar = {
        **dict.fromkeys(("feature", "threshold", "left", "value"), "n"),
        "baseline": f"t {N_FOLDS}",
    }
    largest = np.inf  # a leaf's threshold
    integers: ClassVar[dict[str, type]] = {"feature": np.int32, "left": np.int32, "value": np.float32}
    feature: NDArray[np.int32]
    threshold: Array
    left: NDArray[np.int32]
    value: NDArray[np.float32]
    baseline: Array

    @classmethod
    def fit(cls, x: Array, y: Array, weight: Array, fold: NDArray[np.int64]) -> Self:
        """Trees of rows (n, e), which may miss values."""
        nodes: list[NDArray] = []
        baseline = np.empty((y.shape[1], N_FOLDS))
        for t, k in np.ndindex(*baseline.shape):
            kept = fold != k
            # Rows that are all but the same are in one fold.
            others = (x[kept], y[kept, t], weight[kept]) if kept.any() else (x, np.zeros(len(x)), weight)
            model = boosted(*others)
            baseline[t, k] = np.ravel(model._baseline_prediction)[0]
            nodes += _halfway([tree.nodes for (tree,) in model._predictors], others[0])
        return cls(*_renumbered(nodes), baseline)

    def __call__(self, x: Array, fold: NDArray[np.int64] | None = None) -> Array:
        """Predictions of rows (n, e), (n, t): without their folds (n,), or the mean of all."""
        if fold is None:
            return np.mean([self(x, np.full(len(x), k)) for k in range(N_FOLDS)], axis=0)
        return np.concatenate([self._predicted(x[rows], fold[rows]) for rows in blocks_of(len(x), _ROWS_AT_ONCE)])

    def _predicted(self, x: Array, fold: NDArray[np.int64]) -> Array:
        feature, missing_left, left = self.nodes_as_indices
        values, start = x.ravel(), x.shape[1] * np.arange(len(x))[:, None, None]
        roots = np.arange(self.baseline.size * N_TREES).reshape(*self.baseline.shape, N_TREES)
        node = roots[:, fold].swapaxes(0, 1)  # (n, t, n_trees)
        for _ in range(DEPTH):
            value = values[start + feature[node]]
            right = ~((value <= self.threshold[node]) | (np.isnan(value) & missing_left[node]))
            node = left[node] + right
        return self.baseline[:, fold].T + self.value[node].sum(-1, dtype=np.float64)

    def check_rest(self, n_columns: int) -> None:
        finite = np.isfinite(self.value).all() and np.isfinite(self.baseline).all()
        self.require("value", finite and len(self.left) >= self.baseline.size * N_TREES, "finite, or of all trees")
        feature, missing_left, left = self.nodes_as_indices
        self.require("feature", (feature < n_columns).all(), "of the numbers that there are")
        last = left + ~(missing_left & np.isposinf(self.threshold))  # the child farthest off that a row may go to
        self.require("left", ((left >= 0) & (last < len(left))).all(), "of nodes that there are")

    @property
    def features(self) -> NDArray[np.int64]:
        """Features that any tree asks for."""
        feature, _, left = self.nodes_as_indices
        return np.unique(feature[left != np.arange(len(left))])

    @functools.cached_property
    def nodes_as_indices(self) -> tuple[NDArray[np.int64], NDArray[np.bool_], NDArray[np.int64]]:
        """Features, whether rows that miss them go left, and left children, as indices want them."""
        missing_left = self.feature < 0
        return (
            np.where(missing_left, -self.feature - 1, self.feature).astype(np.int64),
            missing_left,
            self.left.astype(np.int64),
        )


def rough_predictions(x: Array, y: Array, weight: Array, left_out: NDArray[np.bool_]) -> Array:
    """What few trees predict of targets (n, t) of the rows that they do not know, for a first impression."""
    models = [boosted(x[~left_out], target, weight[~left_out], **_ROUGH) for target in y[~left_out].T]
    return np.column_stack([model.predict(x[left_out]) for model in models])


def gain(x: Array, y: Array, weight: Array) -> Array:
    """How much trees gain by every feature of rows (n, e), (e,)."""
    total = np.zeros(x.shape[1])
    for target in y.T:
        nodes = np.concatenate([tree.nodes for (tree,) in boosted(x, target, weight)._predictors])
        total += np.bincount(nodes["feature_idx"], np.where(nodes["is_leaf"], 0.0, nodes["gain"]), x.shape[1])
    return total


def boosted(x: Array, y: Array, weight: Array, **changes: Any) -> HistGradientBoostingRegressor:
    """Trees for a target (n,) of rows (n, e), which may miss values; with `changes` of the library's parameters."""
    leaf = int(np.clip(len(x) // 50, 5, 20))
    parameters = {"max_iter": N_TREES, "max_depth": DEPTH, "min_samples_leaf": leaf, **changes}
    model = HistGradientBoostingRegressor(early_stopping=False, random_state=0, **parameters)
    return model.fit(without_empty_columns(x), y, None if (weight == weight[0]).all() else weight)


def without_empty_columns(x: Array) -> Array:
    """Rows (n, e) with zeros in columns without any value, which the library cannot bin."""
    return np.where(np.isnan(x).all(0), 0.0, x)


def _halfway(trees: list[NDArray], x: Array) -> list[NDArray]:
    """With thresholds halfway between values of the rows (n, e): of rows that are at one, rounding decides."""
    nodes = np.concatenate(trees)
    threshold = nodes["num_threshold"]
    for j in np.unique(nodes["feature_idx"]):
        values = np.unique(x[~np.isnan(x[:, j]), j])
        asked = np.flatnonzero((nodes["is_leaf"] == 0) & (nodes["feature_idx"] == j))
        above = np.searchsorted(values, threshold[asked], side="right")
        within = (above > 0) & (above < len(values))
        asked, above = asked[within], above[within]
        threshold[asked] = values[above - 1] / 2 + values[above] / 2
    return np.split(nodes, np.cumsum([len(tree) for tree in trees])[:-1])


def _renumbered(trees: list[NDArray]) -> tuple[NDArray, NDArray, NDArray, NDArray]:
    """Nodes of all trees, level by level: features, thresholds, left children and values."""
    nodes = np.concatenate(trees)
    roots = np.cumsum([0, *map(len, trees)])[:-1]
    first = np.repeat(roots, [len(tree) for tree in trees])
    children = first[:, None] + np.column_stack([nodes["left"], nodes["right"]])
    levels = [roots]
    while len(levels[-1]):
        inner = levels[-1][nodes["is_leaf"][levels[-1]] == 0]
        levels.append(children[inner].ravel())
    order = np.concatenate(levels)
    number = np.empty_like(order)
    number[order] = np.arange(len(order))
    nodes, is_leaf = nodes[order], nodes["is_leaf"][order] == 1
    left = np.where(is_leaf, np.arange(len(order)), number[children[order, 0]])
    missing_left = is_leaf | (nodes["missing_go_to_left"] == 1)
    feature = np.where(missing_left, -nodes["feature_idx"] - 1, nodes["feature_idx"])
    threshold = np.where(is_leaf, np.inf, nodes["num_threshold"])
    return feature.astype(np.int32), threshold, left.astype(np.int32), nodes["value"].astype(np.float32)
