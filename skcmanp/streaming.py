"""Data larger than memory, and data that keep arriving: read in batches, learn from them, score every batch first.

A batch is ``(X, y)`` or ``(X, y, sample_weight)``. `split_batches` and `read_batches` make batches of arrays, tables
and files; any other iterable of batches will do. Estimators are those with ``partial_fit``, alone or as the last step
of a `Pipeline`.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn import get_config
from sklearn.exceptions import NotFittedError
from sklearn.metrics import root_mean_squared_error
from sklearn.pipeline import Pipeline
from sklearn.utils import gen_batches, indexable
from sklearn.utils.validation import check_is_fitted

from skcmanp.files import TableFiles, check_columns, find_files
from skcmanp.metrics import gaussian_crps, gaussian_nll, interval_coverage, supports_std
from skcmanp.progress import progress_bar

__all__ = ["fit_stream", "prequential", "read_batches", "split_batches"]

Batch = tuple[Any, ...]


def split_batches(
    X: Any, y: ArrayLike, sample_weight: ArrayLike | None = None, *, batch_size: int = 8192
) -> Iterator[Batch]:
    """Batches of arrays or tables, in order.

    Parameters
    ----------
    X : array-like or DataFrame of shape (n_samples, n_features)
        A batch is a slice of it, of the same type; of a memory-mapped array,
        only that is read.
    y : array-like of shape (n_samples,) or (n_samples, n_outputs)
    sample_weight : array-like of shape (n_samples,), default=None
    batch_size : int, default=8192
        Rows of a batch; the last has those that are left.

    Returns
    -------
    iterator of (X, y) or (X, y, sample_weight)

    Raises
    ------
    ValueError
        If numbers of rows differ, or `batch_size` is less than 1.

    Examples
    --------
    >>> import numpy as np
    >>> from skcmanp.streaming import split_batches
    >>> [X.shape for X, y in split_batches(np.zeros((5, 3)), np.zeros(5), batch_size=2)]
    [(2, 3), (2, 3), (1, 3)]
    """
    arrays = indexable(*((X, y) if sample_weight is None else (X, y, sample_weight)))
    arrays = [getattr(array, "iloc", array) for array in arrays]
    n_rows = np.shape(y)[0]
    return (tuple(array[rows] for array in arrays) for rows in gen_batches(n_rows, _checked_size(batch_size)))


def read_batches(
    source: Any,
    target: str | Sequence[str],
    *,
    features: Sequence[str] | None = None,
    weight: str | None = None,
    batch_size: int = 8192,
) -> Iterator[Batch]:
    """Batches of a table or of files, in order, features with their names.

    Files are read one after the other with pyarrow, and batches run on from one
    to the next. Memory is for some batches and some megabytes of a file,
    whatever its length and its row groups. Batches are pandas DataFrames, so that a `ColumnTransformer` can
    select columns by name. A column has one type in all batches, that of the
    first file, guessed in a CSV file's first megabyte; numbers are float64.

    Parameters
    ----------
    source : path, sequence of paths, or DataFrame of pandas or polars
        ``.csv`` with a header line, or ``.parquet``. A path may be a pattern
        such as ``2024/*.parquet``, whose files are read in order of their names.
    target : str or sequence of str
        The target's column, or those of several targets.
    features : sequence of str, default=None
        The features' columns, in order; all others by default.
    weight : str, default=None
        The column of sample weights.
    batch_size : int, default=8192
        Rows of a batch; the last has those that are left.

    Returns
    -------
    iterator of (X, y) or (X, y, sample_weight)
        X is a DataFrame; y is an ndarray, (n,) if `target` is a string,
        (n, n_outputs) otherwise.

    Raises
    ------
    FileNotFoundError
        If no file matches.
    ValueError
        If a column is missing in any of the files, a file is of an unknown kind
        or cannot be read, or `batch_size` is less than 1. While reading: if a
        value is not of its column's type.
    ImportError
        If files are to be read and pyarrow or pandas is not installed.

    Examples
    --------
    >>> import pandas as pd
    >>> from skcmanp.streaming import read_batches
    >>> table = pd.DataFrame({"city": ["Oslo", "Rome", "Rome"], "hour": [1, 2, 3], "level": [0.1, 0.2, 0.3]})
    >>> for X, y in read_batches(table, "level", batch_size=2):
    ...     print(X.columns.tolist(), y)
    ['city', 'hour'] [0.1 0.2]
    ['city', 'hour'] [0.3]
    """
    is_frame = hasattr(source, "columns")
    if is_frame:
        columns = list(source.columns)
    else:
        patterns = [source] if isinstance(source, str | Path) else source
        paths = [path for pattern in patterns for path in find_files(pattern)]
        if not paths:
            raise ValueError("source is an empty list; name at least one file.")
        files = TableFiles(paths)
        columns = files.columns
    special = [*([target] if isinstance(target, str) else target), *([] if weight is None else [weight])]
    names = [name for name in columns if name not in special] if features is None else list(features)
    size = _checked_size(batch_size)
    if is_frame:
        check_columns("The table", columns, [*names, *special])
        rows = getattr(source, "iloc", source)
        frames: Iterator[Any] = (rows[batch] for batch in gen_batches(len(source), size))
    else:
        # A column may be both feature and weight, but is read once.
        frames = files.frames(list(dict.fromkeys([*names, *special])), size)
    y_columns = target if isinstance(target, str) else list(target)
    weights = [] if weight is None else [weight]
    return ((frame[names], *(frame[column].to_numpy() for column in [y_columns, *weights])) for frame in frames)


def fit_stream(estimator: Any, batches: Iterable[Batch], *, progress: bool = False) -> Any:
    """Learn from batches, one after the other.

    An estimator that is not fitted is fitted to the first batch; all others are
    for ``partial_fit``. Of a `Pipeline`, that has none, the last step learns,
    and the steps before it stay as the first batch fitted them: give it one
    that is typical of what follows, and a `OneHotEncoder` that knows or ignores
    categories to come.

    Parameters
    ----------
    estimator : regressor with partial_fit, or Pipeline that ends with one
        It learns in place, so that an interrupted stream leaves whole batches
        learned.
    batches : iterable of (X, y) or (X, y, sample_weight)
        Weights go to the last step alone. They are its ``fit``'s and
        ``partial_fit``'s `sample_weight`, to be requested from a pipeline
        where metadata routing is on.
    progress : bool, default=False
        Show a progress bar.

    Returns
    -------
    estimator

    Raises
    ------
    TypeError
        If the estimator has no ``partial_fit``.
    ValueError
        If there is no batch, or one is not as described.

    Examples
    --------
    >>> from sklearn.datasets import load_diabetes
    >>> from sklearn.pipeline import make_pipeline
    >>> from sklearn.preprocessing import StandardScaler
    >>> from skcmanp import CMANPRegressor
    >>> from skcmanp.streaming import fit_stream, split_batches
    >>> X, y = load_diabetes(return_X_y=True)
    >>> reg = make_pipeline(StandardScaler(), CMANPRegressor())
    >>> fit_stream(reg, split_batches(X, y, batch_size=100))[-1].n_samples_seen_
    442
    """
    for batch in _checked_batches(estimator, batches, progress):
        _learn(estimator, *batch)
    return estimator


def prequential(
    estimator: Any,
    batches: Iterable[Batch],
    *,
    gamma: float | None = None,
    confidence: float = 0.9,
    progress: bool = False,
) -> dict[str, NDArray]:
    """Predict every batch, score the predictions, then learn from it, as `fit_stream` does.

    Every score is of rows not seen before: "prequential" evaluation, from
    predictive and sequential [1]_. The first batch is only learned, unless the
    estimator is already fitted.

    Parameters
    ----------
    estimator, batches, progress
        As `fit_stream`. Sample weights also count in scores.
    gamma : float, default=None
        For streams that drift: before every batch is learned, what was learned
        earlier is weighed down by ``decay(gamma)``, so that a batch of age k
        counts ``gamma ** k``.
    confidence : float, default=0.9
        Probability of the intervals of ``coverage``.

    Returns
    -------
    dict of ndarray
        One value per scored batch; ``pandas.DataFrame(result)`` is a table.
        ``n_seen``, the rows of the stream learned before it; ``n_rows``, its
        own; ``rmse``, ``nll``, ``crps`` and ``coverage``, means over outputs,
        the last three NaN if the estimator has no ``return_std``; ``seconds``
        of predicting and learning; ``state_nbytes``, the size of the state
        after it, NaN if the estimator has no ``context_``.

    Raises
    ------
    TypeError
        As `fit_stream`, and if there is a `gamma` but no ``decay``.
    ValueError
        As `fit_stream`.

    See Also
    --------
    skcmanp.metrics : The scores.

    References
    ----------
    .. [1] Dawid, "Statistical Theory: The Prequential Approach", Journal of the
       Royal Statistical Society A 147 (1984).

    Examples
    --------
    >>> from sklearn.datasets import load_diabetes
    >>> from skcmanp import CMANPRegressor
    >>> from skcmanp.streaming import prequential, split_batches
    >>> X, y = load_diabetes(return_X_y=True)
    >>> result = prequential(CMANPRegressor(), split_batches(X, y, batch_size=100))
    >>> result["n_seen"], result["n_rows"]
    (array([100, 200, 300, 400]), array([100, 100, 100,  42]))
    >>> bool(result["coverage"].mean() > 0.8)
    True
    """
    last = _last_step(estimator)
    if gamma is not None and not hasattr(last, "decay"):
        raise TypeError(f"gamma={gamma!r}, but {type(last).__name__} has no decay(gamma); leave gamma=None.")
    has_std, n_seen = supports_std(estimator), 0
    lines: list[dict[str, float]] = []
    for X, y, weight in _checked_batches(estimator, batches, progress):
        to_score = _is_fitted(estimator)
        start = time.perf_counter()
        if to_score:
            mean, std = estimator.predict(X, return_std=True) if has_std else (estimator.predict(X), None)
            if gamma is not None:
                last.decay(gamma)
        _learn(estimator, X, y, weight)
        seconds = time.perf_counter() - start
        if to_score:
            scores = _scores(y, mean, std, weight, confidence)
            state_nbytes = getattr(getattr(last, "context_", None), "nbytes", np.nan)
            values = (n_seen, len(y), *scores, seconds, state_nbytes)
            lines.append(dict(zip(_FIGURES, values, strict=True)))
        n_seen += len(y)
    return {name: np.array([line[name] for line in lines]) for name in _FIGURES}


_FIGURES = ("n_seen", "n_rows", "rmse", "nll", "crps", "coverage", "seconds", "state_nbytes")


def _scores(y: Any, mean: NDArray, std: NDArray | None, weight: Any, confidence: float) -> tuple[Any, ...]:
    """RMSE, NLL, CRPS and coverage."""
    rmse = root_mean_squared_error(y, mean, sample_weight=weight)
    if std is None:
        return rmse, np.nan, np.nan, np.nan
    nll = gaussian_nll(y, mean, std, sample_weight=weight)
    crps = gaussian_crps(y, mean, std, sample_weight=weight)
    return rmse, nll, crps, interval_coverage(y, mean, std, confidence=confidence, sample_weight=weight)


def _learn(estimator: Any, X: Any, y: Any, weight: Any) -> None:
    """Fit to a first batch, or learn one more."""
    weights = {} if weight is None else {"sample_weight": weight}
    if not isinstance(estimator, Pipeline):
        (estimator.partial_fit if _is_fitted(estimator) else estimator.fit)(X, y, **weights)
    elif _is_fitted(estimator):
        X = estimator[:-1].transform(X) if len(estimator) > 1 else X
        estimator[-1].partial_fit(X, y, **weights)
    else:
        prefix = "" if get_config()["enable_metadata_routing"] else f"{estimator.steps[-1][0]}__"
        estimator.fit(X, y, **{prefix + name: value for name, value in weights.items()})


def _checked_batches(estimator: Any, batches: Iterable[Batch], progress: bool) -> Iterator[tuple[Any, Any, Any]]:
    """X, y, and weights or None."""
    last = _last_step(estimator)
    if not hasattr(last, "partial_fit"):
        raise TypeError(f"{type(last).__name__} has no partial_fit; choose an estimator that learns incrementally.")
    empty = True
    with progress_bar(unit="row", show=progress) as bar:
        for batch in batches:
            if not (isinstance(batch, tuple | list) and len(batch) in (2, 3)):
                raise ValueError(
                    f"batches must yield (X, y) or (X, y, sample_weight), not {type(batch).__name__}; "
                    "split_batches(X, y) makes batches of arrays."
                )
            X, y, *weight = batch
            yield X, y, (weight[0] if weight else None)
            bar.update(len(y))
            empty = False
    if empty:
        raise ValueError("batches has no batch: the source has no rows, or its iterator is used up.")


def _last_step(estimator: Any) -> Any:
    return estimator[-1] if isinstance(estimator, Pipeline) else estimator


def _is_fitted(estimator: Any) -> bool:
    try:
        check_is_fitted(estimator)
    except NotFittedError:
        return False
    return True


def _checked_size(batch_size: int) -> int:
    if batch_size < 1:
        raise ValueError(f"batch_size={batch_size!r} must be at least 1.")
    return batch_size
