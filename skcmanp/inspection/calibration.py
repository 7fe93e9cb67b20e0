"""CalibrationDisplay: whether predicted probabilities are kept."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.utils._optional_dependencies import check_matplotlib_support

from skcmanp.inspection.base import (
    Array,
    chance_interval,
    chance_label,
    default_name,
    one_target,
    predict_with_std,
    take_axes,
)
from skcmanp.metrics import pit

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure, SubFigure
    from matplotlib.lines import Line2D
    from matplotlib.patches import StepPatch

_LEVELS = np.linspace(0, 1, 101)
_PANELS = {"coverage": ("coverage",), "pit": ("pit",), "both": ("coverage", "pit")}


class CalibrationDisplay:
    """Coverage of central intervals, and the histogram of the probability integral transform.

    On the left, how many targets are in the central interval of every
    probability: on the diagonal if predictions are calibrated, above it if
    standard deviations are too large. On the right, the histogram of the
    predicted probabilities of less than what came [1]_: flat if predictions are
    calibrated, heaped at both ends if standard deviations are too small, in the
    middle if they are too large, and on one side if means are.

    Grey is what 95 % of calibrated predictions of as many independent rows
    would show at each level, and in each bin, by chance (a binomial
    distribution).

    Use `from_estimator` or `from_predictions` to make one; parameters are
    stored as attributes.

    Parameters
    ----------
    pit : ndarray of shape (n,)
        Probability integral transform; see `skcmanp.metrics.pit`.
    n_bins : int, default=10
        Of the histogram.
    name : str, default=None
        For the legend.

    Attributes
    ----------
    axes_ : ndarray of matplotlib Axes
        Of shape (2,), or (1,) if one kind was drawn.
    figure_ : matplotlib Figure
    line_ : matplotlib Line2D or None
        Observed against nominal coverage.
    histogram_ : matplotlib StepPatch or None
        Of the probability integral transform.

    See Also
    --------
    sklearn.calibration.CalibrationDisplay : The same question of a classifier.
    PredictionIntervalDisplay : The intervals themselves.

    References
    ----------
    .. [1] Gneiting, Balabdaoui and Raftery, "Probabilistic Forecasts,
       Calibration and Sharpness", JRSS B 69 (2007), section 3.1.

    Examples
    --------
    >>> from sklearn.datasets import load_diabetes
    >>> from sklearn.linear_model import BayesianRidge
    >>> from skcmanp.inspection import CalibrationDisplay
    >>> X, y = load_diabetes(return_X_y=True)
    >>> model = BayesianRidge().fit(X[:300], y[:300])
    >>> CalibrationDisplay.from_estimator(model, X[300:], y[300:])
    <...>
    """

    axes_: NDArray[np.object_]
    figure_: Figure | SubFigure
    line_: Line2D | None
    histogram_: StepPatch | None

    def __init__(self, *, pit: Array, n_bins: int = 10, name: str | None = None) -> None:
        self.pit = pit
        self.n_bins = n_bins
        self.name = name

    @classmethod
    def from_estimator(
        cls,
        estimator: Any,
        X: ArrayLike,
        y: ArrayLike,
        *,
        n_bins: int = 10,
        kind: str = "both",
        ax: Any = None,
        name: str | None = None,
        **kwargs: Any,
    ) -> Self:
        """Predict rows with a fitted estimator, and draw.

        Parameters
        ----------
        estimator : estimator
            Fitted, with ``predict(X, return_std=True)``; also a `Pipeline` that
            ends in one, or a search that found one.
        X : array-like of shape (n, n_features)
            Rows that the estimator has not learned from.
        y : array-like of shape (n,)
            What came.
        n_bins, kind, ax, **kwargs
            As `from_predictions`.
        name : str, default=None
            For the legend; the class's by default.

        Returns
        -------
        CalibrationDisplay

        Raises
        ------
        NotFittedError
            If the estimator is not fitted.
        TypeError
            If its `predict` has no `return_std`.
        ValueError
            As `from_predictions`.

        Examples
        --------
        >>> import numpy as np
        >>> from sklearn.gaussian_process import GaussianProcessRegressor
        >>> from skcmanp.inspection import CalibrationDisplay
        >>> X = np.linspace(0, 5, 20)[:, None]
        >>> gp = GaussianProcessRegressor(alpha=0.1).fit(X[::2], np.sin(X[::2, 0]))
        >>> CalibrationDisplay.from_estimator(gp, X[1::2], np.sin(X[1::2, 0]), kind="coverage")
        <...>
        """
        check_matplotlib_support(f"{cls.__name__}.from_estimator")
        mean, std = predict_with_std(estimator, X)
        name = default_name(estimator, name)
        return cls.from_predictions(y, mean, std, n_bins=n_bins, kind=kind, ax=ax, name=name, **kwargs)

    @classmethod
    def from_predictions(
        cls,
        y_true: ArrayLike,
        y_mean: ArrayLike,
        y_std: ArrayLike,
        *,
        n_bins: int = 10,
        kind: str = "both",
        ax: Any = None,
        name: str | None = None,
        **kwargs: Any,
    ) -> Self:
        """Draw predictions.

        Parameters
        ----------
        y_true, y_mean, y_std : array-like of shape (n,)
            What came, predicted means and standard deviations.
        n_bins : int, default=10
            Of the histogram.
        kind : {"both", "coverage", "pit"}, default="both"
            What to draw.
        ax : matplotlib Axes or array-like of two, default=None
            Two for both kinds; new ones by default.
        name : str, default=None
            For the legend.
        **kwargs
            Passed to `plot`.

        Returns
        -------
        CalibrationDisplay

        Raises
        ------
        ValueError
            If shapes differ, values are not finite, a standard deviation is not
            positive, there are several outputs, or `ax` does not match `kind`.

        Examples
        --------
        >>> import numpy as np
        >>> from skcmanp.inspection import CalibrationDisplay
        >>> y = np.random.default_rng(0).normal(size=1000)
        >>> CalibrationDisplay.from_predictions(y, np.zeros(1000), np.full(1000, 0.7), name="too sure")
        <...>
        """
        check_matplotlib_support(f"{cls.__name__}.from_predictions")
        true, mean, std = one_target(y_true=y_true, y_mean=y_mean, y_std=y_std)
        return cls(pit=pit(true, mean, std), n_bins=n_bins, name=name).plot(ax, kind=kind, **kwargs)

    def plot(self, ax: Any = None, *, kind: str = "both", name: str | None = None, **kwargs: Any) -> Self:
        """Draw.

        Draw a second model on the `axes_` of a first to compare them.

        Parameters
        ----------
        ax : matplotlib Axes or array-like of two, default=None
            Two for both kinds; new ones by default.
        kind : {"both", "coverage", "pit"}, default="both"
            What to draw.
        name : str, default=None
            For the legend, instead of the display's.
        **kwargs
            Passed to ``ax.plot`` of the coverage and ``ax.stairs`` of the
            histogram.

        Returns
        -------
        CalibrationDisplay
            Itself.

        Raises
        ------
        ImportError
            If matplotlib is not installed.
        ValueError
            If `kind` is unknown, or `ax` has another number of axes.
        """
        check_matplotlib_support(f"{type(self).__name__}.plot")
        if kind not in _PANELS:
            raise ValueError(f"kind={kind!r} must be one of {', '.join(map(repr, _PANELS))}.")
        panels = _PANELS[kind]
        self.axes_ = take_axes(ax, 1, len(panels), figsize=(4.8 * len(panels), 4.4))
        self.figure_ = self.axes_[0].figure
        self.line_ = self.histogram_ = None
        options = {"label": self.name if name is None else name, **kwargs}
        for panel, axes in zip(panels, self.axes_, strict=True):
            (self._draw_coverage if panel == "coverage" else self._draw_pit)(axes, options)
        self.axes_[0].legend()
        return self

    def _draw_coverage(self, ax: Axes, options: dict[str, Any]) -> None:
        # A target is in the central interval of every probability from |2 pit - 1| on.
        needed = np.sort(np.abs(2 * self.pit - 1))
        observed = np.searchsorted(needed, _LEVELS, side="right") / len(needed)
        if self._is_new(ax):
            low, high = chance_interval(len(needed), _LEVELS)
            ax.fill_between(_LEVELS, low, high, color="0.85", linewidth=0, label=self._chance_label())
            ax.plot([0, 1], [0, 1], color="black", linestyle="--", linewidth=1)
            grey: dict[str, Any] = {"color": "0.4", "fontsize": "small", "transform": ax.transAxes}
            ax.text(0.05, 0.6, "std too large", **grey)
            ax.text(0.95, 0.4, "std too small", ha="right", **grey)
        (self.line_,) = ax.plot(_LEVELS, observed, **options)
        ax.set(xlabel="probability of central interval", ylabel="fraction of targets inside", xlim=(0, 1), ylim=(0, 1))

    def _draw_pit(self, ax: Axes, options: dict[str, Any]) -> None:
        counts, edges = np.histogram(self.pit, self.n_bins, range=(0, 1))
        if self._is_new(ax):
            low, high = chance_interval(len(self.pit), 1 / self.n_bins)
            ax.axhspan(low * self.n_bins, high * self.n_bins, color="0.85", linewidth=0, label=self._chance_label())
            ax.axhline(1, color="black", linestyle="--", linewidth=1)
        self.histogram_ = ax.stairs(counts * self.n_bins / len(self.pit), edges, **{"linewidth": 1.5, **options})
        ax.set(xlabel="probability integral transform", ylabel="density", xlim=(0, 1))

    def _chance_label(self) -> str:
        return chance_label(f"{len(self.pit):,} rows")

    def _is_new(self, ax: Axes) -> bool:
        """Whether no display with as many rows has been drawn there before."""
        return self._chance_label() not in ax.get_legend_handles_labels()[1]
