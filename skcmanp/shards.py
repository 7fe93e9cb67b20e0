"""Shards of a data set, read apart and merged: nothing but rows in and bytes out, for any engine that maps and reduces.

Every worker has the same *seed*, an estimator fitted to a sample of the rows,
which tells what a first thousand rows would: scales, length-scales, inducing
points. Of a shard it reads it makes bytes of a fixed size, and these add up, in
any order and grouping, to what one process would have read.
"""

from __future__ import annotations

from collections.abc import Iterable
from copy import deepcopy
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

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
    reader = deepcopy(innermost(seed)).decay(0)
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
    ValueError
        If there is none, or they were not read with the same seed.
    """
    states = map(ContextState.from_bytes, shards)
    total = next(states, None)
    if total is None:
        raise ValueError("shards is empty; combine at least one.")
    for state in states:  # one at a time, as there may be many
        total = total.merge(state)
    return total.to_bytes()


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
    ValueError
        If the shards were not read with this seed.
    """
    whole = deepcopy(seed)
    regressor = innermost(whole).decay(0)
    for shard in shards:
        regressor.merge(ContextState.from_bytes(shard))
    return whole
