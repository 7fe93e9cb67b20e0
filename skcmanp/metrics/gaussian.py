"""Metrics of Gaussian predictions, means with standard deviations, in the manner of `sklearn.metrics`."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import ndtr, ndtri
from scipy.stats import norm
from sklearn.utils import check_array, check_consistent_length

from skcmanp.validation import check_weight

Array = NDArray[np.float64]
Score = float | Array


def gaussian_nll(
    y_true: ArrayLike,
    y_mean: ArrayLike,
    y_std: ArrayLike,
    *,
    sample_weight: ArrayLike | None = None,
    multioutput: str | ArrayLike = "uniform_average",
) -> Score:
    """Negative log-likelihood, in nats per target; lower is better.

    Parameters
    ----------
    y_true, y_mean, y_std : array-like of shape (n,) or (n, n_outputs)
        Targets, predicted means, and predicted standard deviations (noise
        included), in the same units.
    sample_weight : array-like of shape (n,), default=None
        Non-negative. An integer weight equals repetition.
    multioutput : {"uniform_average", "raw_values"} or array-like of shape (n_outputs,)
        The mean over outputs, every output's own value, or weights of outputs.

    Returns
    -------
    float, or ndarray of shape (n_outputs,) with "raw_values"

    Raises
    ------
    ValueError
        If shapes differ, values are not finite, or a standard deviation is not
        positive.

    Examples
    --------
    >>> from skcmanp.metrics import gaussian_nll
    >>> round(gaussian_nll([1.0, 2.0], [1.5, 2.0], [0.5, 1.0]), 4)
    0.8224
    """
    z, std, weight = _standardized(y_true, y_mean, y_std, sample_weight)
    return _average(np.log(std) - norm.logpdf(z), weight, multioutput)


def gaussian_crps(
    y_true: ArrayLike,
    y_mean: ArrayLike,
    y_std: ArrayLike,
    *,
    sample_weight: ArrayLike | None = None,
    multioutput: str | ArrayLike = "uniform_average",
) -> Score:
    """Continuous ranked probability score, in y's units; lower is better.

    The integral of the squared distance between the predicted distribution
    function and the target's; the absolute error where the std vanishes. It
    forgives outliers that `gaussian_nll` does not. Closed form: [1]_, section
    4.2.

    Parameters
    ----------
    y_true, y_mean, y_std, sample_weight, multioutput
        As `gaussian_nll`.

    Returns
    -------
    float, or ndarray of shape (n_outputs,) with "raw_values"

    Raises
    ------
    ValueError
        As `gaussian_nll`.

    References
    ----------
    .. [1] Gneiting and Raftery, "Strictly Proper Scoring Rules, Prediction,
       and Estimation", JASA 102 (2007).

    Examples
    --------
    >>> from skcmanp.metrics import gaussian_crps
    >>> round(gaussian_crps([1.0, 2.0], [1.5, 2.0], [0.5, 1.0]), 4)
    0.2675
    """
    z, std, weight = _standardized(y_true, y_mean, y_std, sample_weight)
    return _average(std * (z * (2 * ndtr(z) - 1) + 2 * norm.pdf(z) - 1 / np.sqrt(np.pi)), weight, multioutput)


def interval_coverage(
    y_true: ArrayLike,
    y_mean: ArrayLike,
    y_std: ArrayLike,
    *,
    confidence: float = 0.9,
    sample_weight: ArrayLike | None = None,
    multioutput: str | ArrayLike = "uniform_average",
) -> Score:
    """Fraction of targets in their central predictive interval; best at `confidence`.

    Parameters
    ----------
    y_true, y_mean, y_std, sample_weight, multioutput
        As `gaussian_nll`.
    confidence : float, default=0.9
        Probability of the interval, between 0 and 1.

    Returns
    -------
    float, or ndarray of shape (n_outputs,) with "raw_values"

    Raises
    ------
    ValueError
        As `gaussian_nll`, and if `confidence` is not between 0 and 1.

    Examples
    --------
    >>> from skcmanp.metrics import interval_coverage
    >>> interval_coverage([0.0, 1.0, 2.0, 3.0], [0.0, 0.0, 0.0, 0.0], [1.0, 1.0, 1.0, 1.0], confidence=0.9)
    0.5
    """
    z, _, weight = _standardized(y_true, y_mean, y_std, sample_weight)
    return _average(np.abs(z) <= half_width(confidence), weight, multioutput)


def interval_score(
    y_true: ArrayLike,
    y_mean: ArrayLike,
    y_std: ArrayLike,
    *,
    confidence: float = 0.9,
    sample_weight: ArrayLike | None = None,
    multioutput: str | ArrayLike = "uniform_average",
) -> Score:
    """Width of the central predictive interval, and a penalty for targets outside; in y's units, lower is better.

    A target outside costs its distance to the interval times 2 / (1 -
    `confidence`), so that the true quantiles are best: [1]_, equation 43.

    Parameters
    ----------
    y_true, y_mean, y_std, sample_weight, multioutput
        As `gaussian_nll`.
    confidence : float, default=0.9
        Probability of the interval, between 0 and 1.

    Returns
    -------
    float, or ndarray of shape (n_outputs,) with "raw_values"

    Raises
    ------
    ValueError
        As `gaussian_nll`, and if `confidence` is not between 0 and 1.

    References
    ----------
    .. [1] Gneiting and Raftery, "Strictly Proper Scoring Rules, Prediction,
       and Estimation", JASA 102 (2007).

    Examples
    --------
    >>> from skcmanp.metrics import interval_score
    >>> round(interval_score([0.0, 2.0], [0.0, 0.0], [1.0, 1.0], confidence=0.9), 4)
    6.8412
    """
    z, std, weight = _standardized(y_true, y_mean, y_std, sample_weight)
    half = half_width(confidence)
    outside = np.maximum(np.abs(z) - half, 0)
    return _average(std * (2 * half + 2 / (1 - confidence) * outside), weight, multioutput)


def sharpness(
    y_std: ArrayLike,
    *,
    sample_weight: ArrayLike | None = None,
    multioutput: str | ArrayLike = "uniform_average",
) -> Score:
    """Mean predicted standard deviation, in y's units: among calibrated predictions, lower is better.

    The width of every central interval is proportional to it.

    Parameters
    ----------
    y_std, sample_weight, multioutput
        As `gaussian_nll`.

    Returns
    -------
    float, or ndarray of shape (n_outputs,) with "raw_values"

    Raises
    ------
    ValueError
        If a standard deviation is not positive and finite.

    Examples
    --------
    >>> from skcmanp.metrics import sharpness
    >>> sharpness([0.5, 1.5, 1.0])
    1.0
    """
    std = _columns(y_std, "y_std")
    return _average(_positive(std), _weight(sample_weight, std), multioutput)


def calibration_error(
    y_true: ArrayLike,
    y_mean: ArrayLike,
    y_std: ArrayLike,
    *,
    n_levels: int = 19,
    sample_weight: ArrayLike | None = None,
    multioutput: str | ArrayLike = "uniform_average",
) -> Score:
    """Mean absolute difference between the probability of central intervals and how many targets they hold.

    From 0, calibrated, to 1/2. Kuleshov et al. [1]_ compare the same two sets
    of numbers, for quantiles, by squares. Calibrated predictions of n targets
    have an error of about 0.33 / sqrt(n) by chance.

    Parameters
    ----------
    y_true, y_mean, y_std, sample_weight, multioutput
        As `gaussian_nll`.
    n_levels : int, default=19
        Number of probabilities, evenly spaced between 0 and 1: by default
        0.05, 0.1, ..., 0.95.

    Returns
    -------
    float, or ndarray of shape (n_outputs,) with "raw_values"

    Raises
    ------
    ValueError
        As `gaussian_nll`, and if `n_levels` is less than 1.

    References
    ----------
    .. [1] Kuleshov, Fenner and Ermon, "Accurate Uncertainties for Deep
       Learning Using Calibrated Regression", ICML 2018.

    Examples
    --------
    >>> import numpy as np
    >>> from skcmanp.metrics import calibration_error
    >>> y = np.random.default_rng(0).normal(size=10_000)
    >>> calibration_error(y, np.zeros(10_000), np.ones(10_000)) < 0.01
    True
    >>> calibration_error(y, np.zeros(10_000), np.full(10_000, 0.5)) > 0.1
    True
    """
    if n_levels < 1:
        raise ValueError(f"n_levels={n_levels!r} must be at least 1.")
    z, _, weight = _standardized(y_true, y_mean, y_std, sample_weight)
    levels = np.arange(1, n_levels + 1) / (n_levels + 1)
    observed = [np.average(np.abs(z) <= half_width(level), axis=0, weights=weight) for level in levels]
    return _combine(np.abs(np.array(observed) - levels[:, None]).mean(axis=0), multioutput)


def pit(y_true: ArrayLike, y_mean: ArrayLike, y_std: ArrayLike) -> Array:
    """Probability integral transform: the predicted probability of less than what came.

    Uniform on [0, 1] if predictions are calibrated; heaped at both ends if
    standard deviations are too small, in the middle if they are too large.

    Parameters
    ----------
    y_true, y_mean, y_std
        As `gaussian_nll`.

    Returns
    -------
    ndarray of y_true's shape

    Raises
    ------
    ValueError
        As `gaussian_nll`.

    Examples
    --------
    >>> from skcmanp.metrics import pit
    >>> pit([-1.0, 0.0, 3.0], [0.0, 0.0, 0.0], [1.0, 1.0, 1.0]).round(3).tolist()
    [0.159, 0.5, 0.999]
    """
    z, _, _ = _standardized(y_true, y_mean, y_std, None)
    return ndtr(z).reshape(np.shape(y_true))


def _columns(values: ArrayLike, name: str) -> Array:
    """Finite numbers, (n, n_outputs)."""
    array = check_array(values, ensure_2d=False, dtype=np.float64, input_name=name)
    return array.reshape(len(array), -1)


def _positive(std: Array) -> Array:
    if (std <= 0).any():
        raise ValueError(
            f"y_std has values that are not positive (the smallest is {std.min():g}); standard deviations must be "
            "greater than 0. Give them a floor: numpy.maximum(y_std, floor)."
        )
    return std


def _weight(sample_weight: ArrayLike | None, rows: Array) -> Array | None:
    return None if sample_weight is None else check_weight(sample_weight, len(rows))


def _standardized(
    y_true: ArrayLike, y_mean: ArrayLike, y_std: ArrayLike, sample_weight: ArrayLike | None
) -> tuple[Array, Array, Array | None]:
    """Errors in units of the standard deviations, and these, (n, n_outputs) each; weights (n,) or None."""
    check_consistent_length(y_true, y_mean, y_std, sample_weight)
    true, mean, std = _columns(y_true, "y_true"), _columns(y_mean, "y_mean"), _columns(y_std, "y_std")
    if not true.shape == mean.shape == std.shape:
        raise ValueError(
            f"y_true, y_mean and y_std have {true.shape[1]}, {mean.shape[1]} and {std.shape[1]} outputs; "
            "they must have the same shape."
        )
    return (true - mean) / _positive(std), std, _weight(sample_weight, true)


def half_width(confidence: float) -> float:
    """Half the width of the central interval of a standard normal distribution."""
    if not 0 < confidence < 1:
        raise ValueError(f"confidence={confidence!r} must be between 0 and 1, such as 0.9.")
    return float(ndtri(0.5 + confidence / 2))


def _average(values: NDArray, weight: Array | None, multioutput: str | ArrayLike) -> Score:
    """Mean over rows, (n, n_outputs), then over outputs."""
    return _combine(np.average(values, axis=0, weights=weight), multioutput)


def _combine(scores: Array, multioutput: str | ArrayLike) -> Score:
    if isinstance(multioutput, str):
        if multioutput not in ("raw_values", "uniform_average"):
            raise ValueError(
                f"multioutput={multioutput!r} must be 'raw_values', 'uniform_average' or weights of outputs."
            )
        return scores if multioutput == "raw_values" else float(scores.mean())
    weights = np.asarray(multioutput, dtype=np.float64)
    if weights.shape != scores.shape:
        raise ValueError(f"multioutput has shape {weights.shape}, but there are {len(scores)} outputs; give one each.")
    return float(np.average(scores, weights=weights))
