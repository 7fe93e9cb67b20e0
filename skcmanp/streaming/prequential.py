"""Prequential evaluation: predict every batch, score the predictions, then learn it."""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import root_mean_squared_error

from skcmanp.metrics import gaussian_crps, gaussian_nll, interval_coverage
from skcmanp.streaming.batches import Batch
from skcmanp.streaming.learning import checked_batches, is_fitted, learn
from skcmanp.wrappers import innermost, predict_std, supports_std

_FIGURES = ("n_seen", "n_rows", "rmse", "nll", "crps", "coverage", "seconds", "state_nbytes")


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
        after it, NaN if the estimator has neither ``context_`` nor ``state_``. Of
        `CMANPStreamRegressor` also, after each batch, ``change``, ``breaks_at``,
        ``n_effective`` and ``weight of ...`` every expert.

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
    last = innermost(estimator)
    if gamma is not None and not hasattr(last, "decay"):
        raise TypeError(f"gamma={gamma!r}, but {type(last).__name__} has no decay(gamma); leave gamma=None.")
    n_seen, has_std = 0, supports_std(estimator)
    lines: list[dict[str, float]] = []
    for X, y, weight in checked_batches(estimator, batches, progress):
        to_score = is_fitted(estimator)
        start = time.perf_counter()
        if to_score:
            mean, std = predict_std(estimator, X) if has_std else (estimator.predict(X), None)
            if gamma is not None:
                last.decay(gamma)
        learn(estimator, X, y, weight)
        seconds = time.perf_counter() - start
        if to_score:
            scores = _scores(y, mean, std, weight, confidence)
            state = getattr(last, "context_", getattr(last, "state_", None))
            values = (n_seen, len(y), *scores, seconds, getattr(state, "nbytes", np.nan))
            lines.append(dict(zip(_FIGURES, values, strict=True)) | _monitored(last))
        n_seen += len(y)
    return {name: np.array([line[name] for line in lines]) for name in (lines[0] if lines else _FIGURES)}


def _monitored(estimator: Any) -> dict[str, float]:
    """What a mixture of experts shows of itself."""
    if not hasattr(estimator, "weights_"):
        return {}
    weights = {f"weight of {name}": weight for name, weight in estimator.weights_.items()}
    shown = {name: getattr(estimator, f"{name}_") for name in ("change", "breaks_at", "n_effective")}
    return {**shown, **weights}


def _scores(y: Any, mean: NDArray, std: NDArray | None, weight: Any, confidence: float) -> tuple[Any, ...]:
    """RMSE, NLL, CRPS and coverage."""
    rmse = root_mean_squared_error(y, mean, sample_weight=weight)
    if std is None:
        return rmse, np.nan, np.nan, np.nan
    nll = gaussian_nll(y, mean, std, sample_weight=weight)
    crps = gaussian_crps(y, mean, std, sample_weight=weight)
    return rmse, nll, crps, interval_coverage(y, mean, std, confidence=confidence, sample_weight=weight)
