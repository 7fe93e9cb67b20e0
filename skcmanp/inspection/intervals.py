"""PredictionIntervalDisplay: what a regressor predicts, and how sure it is."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.utils._optional_dependencies import check_matplotlib_support

from skcmanp.inspection.base import Array, default_name, one_target, predict_with_std
from skcmanp.metrics.gaussian import half_width

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.collections import Collection, PathCollection
    from matplotlib.figure import Figure, SubFigure
    from matplotlib.lines import AxLine, Line2D


class PredictionIntervalDisplay:
    """Predicted means with central intervals: over one feature, or against the truth.

    Use `from_estimator` or `from_predictions` to make one; parameters are
    stored as attributes.

    Parameters
    ----------
    y_mean, y_std : ndarray of shape (n,)
        Predicted means and standard deviations.
    y_true : ndarray of shape (n,), default=None
        What came.
    x : ndarray of shape (n,), default=None
        The feature. Without it, predictions are drawn against `y_true`.
    x_train, y_train : ndarray of shape (m,), default=None
        Rows learned from; only beside `x`.
    confidence : sequence of float, default=(0.5, 0.9)
        Probabilities of the intervals.
    name : str, default=None
        For the legend.
    feature_name : str, default=None
        For the axis.

    Attributes
    ----------
    ax_ : matplotlib Axes
    figure_ : matplotlib Figure
    line_ : matplotlib Line2D or AxLine
        The mean over the feature, or the diagonal.
    intervals_ : list of matplotlib Collection
        Bands over the feature, or bars against the truth, in the order of
        `confidence`.
    points_ : matplotlib PathCollection or None
        What came over the feature, or means against the truth.
    train_points_ : matplotlib PathCollection or None
        Rows learned from.

    See Also
    --------
    CalibrationDisplay : Whether as many targets are in the intervals as should be.
    sklearn.metrics.PredictionErrorDisplay : Predictions without intervals.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.gaussian_process import GaussianProcessRegressor
    >>> from skcmanp.inspection import PredictionIntervalDisplay
    >>> X = np.linspace(0, 5, 20)[:, None]
    >>> gp = GaussianProcessRegressor(alpha=0.1).fit(X, np.sin(X[:, 0]))
    >>> grid = np.linspace(-2, 7, 200)[:, None]
    >>> PredictionIntervalDisplay.from_estimator(gp, grid, X_train=X, y_train=np.sin(X[:, 0]))
    <...>
    """

    ax_: Axes
    figure_: Figure | SubFigure
    line_: Line2D | AxLine
    intervals_: list[Collection]
    points_: PathCollection | None
    train_points_: PathCollection | None

    def __init__(
        self,
        *,
        y_mean: Array,
        y_std: Array,
        y_true: Array | None = None,
        x: NDArray | None = None,
        x_train: NDArray | None = None,
        y_train: Array | None = None,
        confidence: Sequence[float] = (0.5, 0.9),
        name: str | None = None,
        feature_name: str | None = None,
    ) -> None:
        self.y_mean = y_mean
        self.y_std = y_std
        self.y_true = y_true
        self.x = x
        self.x_train = x_train
        self.y_train = y_train
        self.confidence = confidence
        self.name = name
        self.feature_name = feature_name

    @classmethod
    def from_estimator(
        cls,
        estimator: Any,
        X: ArrayLike,
        y: ArrayLike | None = None,
        *,
        confidence: float | Sequence[float] = (0.5, 0.9),
        X_train: ArrayLike | None = None,
        y_train: ArrayLike | None = None,
        ax: Axes | None = None,
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
            Rows to predict. With one feature, predictions are drawn over it:
            a grid makes smooth bands.
        y : array-like of shape (n,), default=None
            What came; needed if there are several features.
        confidence : float or sequence of float, default=(0.5, 0.9)
            Probabilities of the central intervals.
        X_train, y_train : array-like of shape (m, 1) and (m,), default=None
            Rows learned from, to be drawn with one feature.
        ax : matplotlib Axes, default=None
            A new one by default.
        name : str, default=None
            For the legend; the class's by default.
        **kwargs
            Passed to `plot`.

        Returns
        -------
        PredictionIntervalDisplay

        Raises
        ------
        NotFittedError
            If the estimator is not fitted.
        TypeError
            If its `predict` has no `return_std`.
        ValueError
            If shapes do not match, or something that is needed is missing.

        Examples
        --------
        >>> from sklearn.datasets import load_diabetes
        >>> from sklearn.linear_model import BayesianRidge
        >>> from skcmanp.inspection import PredictionIntervalDisplay
        >>> X, y = load_diabetes(return_X_y=True)
        >>> model = BayesianRidge().fit(X[:300], y[:300])
        >>> PredictionIntervalDisplay.from_estimator(model, X[300:], y[300:])
        <...>
        """
        check_matplotlib_support(f"{cls.__name__}.from_estimator")
        mean, std = predict_with_std(estimator, X)
        n_features = np.shape(X)[1]
        if n_features > 1 and y is None:
            raise ValueError(f"X has {n_features} features, so predictions are drawn against the truth; give y.")
        return cls.from_predictions(
            y,
            mean,
            std,
            x=X if n_features == 1 else None,
            confidence=confidence,
            x_train=X_train,
            y_train=y_train,
            feature_name=str(X.columns[0]) if n_features == 1 and hasattr(X, "columns") else None,
            ax=ax,
            name=default_name(estimator, name),
            **kwargs,
        )

    @classmethod
    def from_predictions(
        cls,
        y_true: ArrayLike | None,
        y_mean: ArrayLike,
        y_std: ArrayLike,
        *,
        x: ArrayLike | None = None,
        confidence: float | Sequence[float] = (0.5, 0.9),
        x_train: ArrayLike | None = None,
        y_train: ArrayLike | None = None,
        feature_name: str | None = None,
        ax: Axes | None = None,
        name: str | None = None,
        **kwargs: Any,
    ) -> Self:
        """Draw predictions.

        Parameters
        ----------
        y_true : array-like of shape (n,) or None
            What came; may be None if there is `x`.
        y_mean, y_std : array-like of shape (n,)
            Predicted means and standard deviations.
        x : array-like of shape (n,) or (n, 1), default=None
            A feature, numbers or dates, in any order. Without it, predictions
            are drawn against `y_true`.
        confidence : float or sequence of float, default=(0.5, 0.9)
            Probabilities of the central intervals.
        x_train, y_train : array-like of shape (m,), default=None
            Rows learned from, to be drawn beside `x`.
        feature_name : str, default=None
            For the axis.
        ax : matplotlib Axes, default=None
            A new one by default.
        name : str, default=None
            For the legend.
        **kwargs
            Passed to `plot`.

        Returns
        -------
        PredictionIntervalDisplay

        Raises
        ------
        ValueError
            If shapes do not match, standard deviations are negative,
            `confidence` is not between 0 and 1, or something that is needed is
            missing.

        Examples
        --------
        >>> from skcmanp.inspection import PredictionIntervalDisplay
        >>> PredictionIntervalDisplay.from_predictions([1.0, 2.0], [1.1, 1.8], [0.2, 0.3], x=[5, 6])
        <...>
        """
        check_matplotlib_support(f"{cls.__name__}.from_predictions")
        levels = [float(level) for level in np.atleast_1d(confidence)]
        if not all(0 < level < 1 for level in levels):
            raise ValueError(f"confidence={confidence!r} must be between 0 and 1, such as 0.9 or (0.5, 0.9).")
        mean, std = one_target(y_mean=y_mean, y_std=y_std)
        if (std < 0).any():
            raise ValueError(f"y_std has negative values (the smallest is {std.min():g}); they must be at least 0.")
        true = None if y_true is None else one_target(y_mean=mean, y_true=y_true)[1]
        if x is None and true is None:
            raise ValueError("y_true=None and x=None: give one of them to draw the predictions against.")
        if (x_train is None) != (y_train is None) or (x is None and x_train is not None):
            raise ValueError("Rows learned from need x_train and y_train, and are drawn beside one feature, x, alone.")
        train = None if y_train is None else one_target(y_train=y_train)[0]
        display = cls(
            y_mean=mean,
            y_std=std,
            y_true=true,
            x=None if x is None else _one_feature("x", x, len(mean)),
            x_train=None if x_train is None or train is None else _one_feature("x_train", x_train, len(train)),
            y_train=train,
            confidence=levels,
            name=name,
            feature_name=feature_name,
        )
        return display.plot(ax, **kwargs)

    def plot(self, ax: Axes | None = None, *, name: str | None = None, **kwargs: Any) -> Self:
        """Draw.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            A new one by default.
        name : str, default=None
            For the legend, instead of the display's.
        **kwargs
            Passed to ``ax.plot`` for the mean over a feature, or to
            ``ax.scatter`` for the means against the truth.

        Returns
        -------
        PredictionIntervalDisplay
            Itself.

        Raises
        ------
        ImportError
            If matplotlib is not installed.
        """
        check_matplotlib_support(f"{type(self).__name__}.plot")
        import matplotlib.pyplot as plt

        if ax is None:
            _, ax = plt.subplots()
        self.ax_, self.figure_ = ax, ax.figure
        name = self.name if name is None else name
        options = {"label": "mean" if name is None else name, **kwargs}
        self.points_ = self.train_points_ = None
        if self.x is not None:
            self._draw_over_feature(ax, self.x, options)
        elif self.y_true is not None:
            self._draw_against_truth(ax, self.y_true, options)
        ax.legend()
        return self

    def _bounds(self) -> list[tuple[str, Array, Array]]:
        """Label, lower and upper bounds of every interval."""
        halves = [half_width(level) * self.y_std for level in self.confidence]
        labels = [f"{100 * level:g} % interval" for level in self.confidence]
        return [(label, self.y_mean - h, self.y_mean + h) for label, h in zip(labels, halves, strict=True)]

    def _draw_over_feature(self, ax: Axes, x: NDArray, options: dict[str, Any]) -> None:
        order = np.argsort(x, kind="stable")
        (self.line_,) = ax.plot(x[order], self.y_mean[order], **options)
        self.intervals_ = [
            ax.fill_between(
                x[order],
                low[order],
                high[order],
                color=self.line_.get_color(),
                alpha=0.15 + 0.3 * (1 - level),  # the narrower, the darker
                linewidth=0,
                label=label,
            )
            for level, (label, low, high) in zip(self.confidence, self._bounds(), strict=True)
        ]
        if self.x_train is not None and self.y_train is not None:
            self.train_points_ = ax.scatter(
                self.x_train, self.y_train, s=14, facecolor="none", edgecolor="0.35", zorder=2.5, label="learned"
            )
        if self.y_true is not None:
            self.points_ = ax.scatter(x, self.y_true, s=8, color="black", zorder=2.6, label="observed")
        ax.set(xlabel=self.feature_name or "x", ylabel="y")

    def _draw_against_truth(self, ax: Axes, y_true: Array, options: dict[str, Any]) -> None:
        self.points_ = ax.scatter(y_true, self.y_mean, **{"s": 12, "zorder": 2.5, **options})
        self.intervals_ = [
            ax.vlines(
                y_true,
                low,
                high,
                color=self.points_.get_facecolor()[0],
                alpha=0.35,
                linewidth=1 + 4 * (max(self.confidence) - level),  # the narrower, the thicker
                label=label,
            )
            for level, (label, low, high) in zip(self.confidence, self._bounds(), strict=True)
        ]
        self.line_ = ax.axline((0, 0), slope=1, color="black", linestyle="--", linewidth=1)
        ax.set(xlabel="observed", ylabel="predicted")


def _one_feature(name: str, values: ArrayLike, n_rows: int) -> NDArray:
    """One feature of any dtype that has an order, (n_rows,)."""
    array = np.asarray(values)
    if array.size != n_rows or len(array) != n_rows:
        raise ValueError(f"{name} has shape {array.shape}; it must be one feature of {n_rows} rows.")
    return array.ravel()
