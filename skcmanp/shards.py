"""Shards of a data set, read apart and merged: nothing but rows in and bytes out, for any engine that maps and reduces.

Every worker has the same *seed*, an estimator fitted to a sample of the rows,
which tells what a first thousand rows would: scales, length-scales, inducing
points. Of a shard it reads it makes bytes of a fixed size, and these add up, in
any order and grouping, to what one process would have read.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from copy import deepcopy
from functools import reduce
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from skcmanp.regressor import CMANPRegressor
from skcmanp.state.context import ContextState
from skcmanp.wrappers import innermost, unwrap

__all__ = ["combine_shards", "merge_shards", "read_shard"]


def read_shard(seed: Any, X: Any, y: ArrayLike, sample_weight: ArrayLike | None = None) -> bytes:
    """What the seed makes of the rows of a shard.

    Parameters
    ----------
    seed : CMANPRegressor, or Pipeline that ends with one
        Fitted to a sample. What it has read does not count, only what that
        fixed; it stays as it is. Send it to workers as a pickle.
    X : array-like of shape (n_samples, n_features)
        There may be no row at all.
    y : array-like of shape (n_samples,) or (n_samples, n_outputs)
    sample_weight : array-like of shape (n_samples,), default=None

    Returns
    -------
    bytes
        A state, see `ContextState.from_bytes`: 0.9 MB with ``tabular`` however
        many rows there are.

    Raises
    ------
    TypeError
        If the seed is of another kind.
    ValueError
        On invalid rows, as ``partial_fit``.

    See Also
    --------
    combine_shards : One shard of several.
    merge_shards : An estimator of all shards.

    Examples
    --------
    >>> from sklearn.datasets import load_diabetes
    >>> from skcmanp import CMANPRegressor
    >>> from skcmanp.shards import merge_shards, read_shard
    >>> X, y = load_diabetes(return_X_y=True)
    >>> seed = CMANPRegressor(adapt=False).fit(X[:100], y[:100])
    >>> shards = [read_shard(seed, X[a : a + 200], y[a : a + 200]) for a in (0, 200, 400, 600)]  # the last is empty
    >>> merge_shards(seed, shards).n_samples_seen_
    442
    """
    reader = deepcopy(_regressor(seed)).decay(0)
    if np.shape(X)[0] and (sample_weight is None or np.any(sample_weight)):
        reader.partial_fit(unwrap(seed, X)[1], y, sample_weight)
    return reader.context_.to_bytes()


def combine_shards(shards: Iterable[bytes]) -> bytes:
    """One shard of several: for engines that reduce by a tree, and for a worker that reads several pieces.

    Parameters
    ----------
    shards : iterable of bytes
        At least one, all read with the same seed.

    Returns
    -------
    bytes

    Raises
    ------
    TypeError
        If `shards` are the bytes of one.
    ValueError
        If there is none, they were not read with the same seed, or are damaged.
    """
    states = _states(shards)
    total = next(states, None)
    if total is None:
        raise ValueError("shards is empty; combine at least one.")
    return reduce(_merged, states, total).to_bytes()


def merge_shards(seed: Any, shards: Iterable[bytes]) -> Any:
    """The estimator that has read all shards, and nothing else.

    Parameters
    ----------
    seed : CMANPRegressor, or Pipeline that ends with one
        That the shards were read with; it stays as it is.
    shards : iterable of bytes

    Returns
    -------
    estimator
        A copy of the seed that predicts, and goes on learning, as one process
        that had read all rows would.

    Raises
    ------
    TypeError
        If the seed is of another kind, or `shards` are the bytes of one.
    ValueError
        If the shards were not read with this seed, or are damaged.
    """
    whole = deepcopy(seed)
    regressor = _regressor(whole).decay(0)
    regressor.context_ = reduce(_merged, _states(shards), regressor.context_)
    return whole


def _regressor(seed: Any) -> CMANPRegressor:
    regressor = innermost(seed)
    if not isinstance(regressor, CMANPRegressor):
        raise TypeError(
            "seed must be a CMANPRegressor, or a Pipeline that ends with one, fitted to a sample of the rows; it is "
            f"or ends with {regressor!r}."
        )
    return regressor


def _states(shards: Iterable[bytes]) -> Iterator[ContextState]:
    """One at a time, as there may be many."""
    if isinstance(shards, bytes | bytearray | memoryview):
        raise TypeError("shards must be several, such as a list of bytes, and are the bytes of one; give [shard].")
    return map(ContextState.from_bytes, shards)


def _merged(total: ContextState, state: ContextState) -> ContextState:
    try:
        total.check_mergeable(state)
    except ValueError as error:
        raise ValueError(
            "A shard was read with another seed than the rest. Fit one seed, send copies of it to all workers, as a "
            "pickle, and merge with it."
        ) from error
    return total.absorb(state.summary)
