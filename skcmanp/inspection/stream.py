"""StreamDisplay: how well a stream was predicted while it was learned."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import NDArray
from sklearn.utils._optional_dependencies import check_matplotlib_support

from skcmanp.inspection.base import Array, chance_interval, chance_label, default_name, take_axes
from skcmanp.streaming import prequential

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure, SubFigure
    from matplotlib.lines import Line2D

_WEIGHT = "weight of "  # prequential's columns
_SCORES = {"rmse": "RMSE", "nll": "NLL, nats", "crps": "CRPS"}


class StreamDisplay:
    """Prequential score, coverage and size of the state over a stream's rows.

    Every batch was predicted, scored and then learned. Faint lines are of
    single batches, and strong ones of all rows so far. Grey is where the
    coverage of all rows so far would be in 95 % of streams if predictions were
    calibrated and rows independent (a binomial distribution).

    Of a `CMANPStreamRegressor` two more axes show the weights of its experts and
    its change signal, which declares a break where it reaches 1, and where breaks
    began, which may be within a batch.

    Use `from_estimator` or `from_table` to make one; parameters are stored as
    attributes.

    Parameters
    ----------
    table : mapping of str to ndarray of shape (n_batches,)
        As `skcmanp.streaming.prequential` returns it.
    score : {"rmse", "nll", "crps"}, default="rmse"
        What to draw above.
    confidence : float, default=0.9
        Probability of the intervals whose coverage is in the table.
    name : str, default=None
        For the legend.

    Attributes
    ----------
    axes_ : ndarray of shape (3,) or (5,) of matplotlib Axes
        Of score, coverage and state, and of weights and change if the table has
        them.
    figure_ : matplotlib Figure
    lines_ : list of three matplotlib Line2D
        Score and coverage of all rows so far, and bytes of the state.
    batch_lines_ : list of two matplotlib Line2D
        Score and coverage of single batches.

    See Also
    --------
    skcmanp.streaming.prequential : Makes the table.

    Examples
    --------
    >>> from sklearn.datasets import load_diabetes
    >>> from skcmanp import CMANPRegressor
    >>> from skcmanp.inspection import StreamDisplay
    >>> from skcmanp.streaming import split_batches
    >>> X, y = load_diabetes(return_X_y=True)
    >>> StreamDisplay.from_estimator(CMANPRegressor(), split_batches(X, y, batch_size=50))
    <...>
    """

    axes_: NDArray[np.object_]
    figure_: Figure | SubFigure
    lines_: list[Line2D]
    batch_lines_: list[Line2D]

    def __init__(
        self, *, table: Mapping[str, NDArray], score: str = "rmse", confidence: float = 0.9, name: str | None = None
    ) -> None:
        self.table = table
        self.score = score
        self.confidence = confidence
        self.name = name

    @classmethod
    def from_estimator(
        cls,
        estimator: Any,
        batches: Iterable[tuple[Any, ...]],
        *,
        gamma: float | None = None,
        score: str = "rmse",
        confidence: float = 0.9,
        ax: Any = None,
        name: str | None = None,
        **kwargs: Any,
    ) -> Self:
        """Predict, score and learn a stream, and draw.

        Parameters
        ----------
        estimator : regressor with partial_fit, or Pipeline that ends with one
            It learns in place.
        batches : iterable of (X, y) or (X, y, sample_weight)
        gamma : float, default=None
            Decay before every batch, for streams that drift.
        score, confidence, ax, **kwargs
            As `from_table`.
        name : str, default=None
            For the legend; the class's by default.

        Returns
        -------
        StreamDisplay
            Its `table` has the figures.

        Raises
        ------
        TypeError, ValueError
            As `skcmanp.streaming.prequential` and `from_table`.

        Examples
        --------
        >>> import numpy as np
        >>> from sklearn.linear_model import SGDRegressor
        >>> from skcmanp.inspection import StreamDisplay
        >>> from skcmanp.streaming import split_batches
        >>> X = np.random.default_rng(0).normal(size=(100, 2))
        >>> StreamDisplay.from_estimator(SGDRegressor(), split_batches(X, X[:, 0], batch_size=10))
        <...>
        """
        check_matplotlib_support(f"{cls.__name__}.from_estimator")
        table = prequential(estimator, batches, gamma=gamma, confidence=confidence)
        name = default_name(estimator, name)
        return cls.from_table(table, score=score, confidence=confidence, ax=ax, name=name, **kwargs)

    @classmethod
    def from_table(
        cls,
        table: Mapping[str, Any],
        *,
        score: str = "rmse",
        confidence: float = 0.9,
        ax: Any = None,
        name: str | None = None,
        **kwargs: Any,
    ) -> Self:
        """Draw what `skcmanp.streaming.prequential` returned.

        Parameters
        ----------
        table : mapping of str to array-like of shape (n_batches,), or DataFrame
        score : {"rmse", "nll", "crps"}, default="rmse"
            What to draw above.
        confidence : float, default=0.9
            Probability of the intervals, as it was given to `prequential`.
        ax : array-like of as many matplotlib Axes as `axes_`, default=None
            New ones, one below the other, by default.
        name : str, default=None
            For the legend.
        **kwargs
            Passed to `plot`.

        Returns
        -------
        StreamDisplay

        Raises
        ------
        ValueError
            If the table lacks a column or has no row, `score` is unknown,
            `confidence` is not between 0 and 1, or `ax` are not as many as needed.

        Examples
        --------
        >>> from sklearn.datasets import load_diabetes
        >>> from skcmanp import CMANPRegressor
        >>> from skcmanp.inspection import StreamDisplay
        >>> from skcmanp.streaming import prequential, split_batches
        >>> X, y = load_diabetes(return_X_y=True)
        >>> table = prequential(CMANPRegressor(), split_batches(X, y, batch_size=100))
        >>> StreamDisplay.from_table(table, score="nll")
        <...>
        """
        check_matplotlib_support(f"{cls.__name__}.from_table")
        if score not in _SCORES:
            raise ValueError(f"score={score!r} must be one of {', '.join(map(repr, _SCORES))}.")
        if not 0 < confidence < 1:
            raise ValueError(f"confidence={confidence!r} must be between 0 and 1, such as 0.9.")
        columns = ("n_seen", "n_rows", score, "coverage", "state_nbytes")
        missing = [column for column in columns if column not in table]
        if missing:
            raise ValueError(f"table has no {missing[0]!r}; give what skcmanp.streaming.prequential returns.")
        arrays = {column: np.asarray(table[column]) for column in table}
        if not len(arrays["n_rows"]):
            raise ValueError("table has no row: the first batch of a stream is only learned; give at least two.")
        return cls(table=arrays, score=score, confidence=confidence, name=name).plot(ax, **kwargs)

    def plot(self, ax: Any = None, *, name: str | None = None, **kwargs: Any) -> Self:
        """Draw.

        Draw a second stream on the `axes_` of a first to compare them.

        Parameters
        ----------
        ax : array-like of as many matplotlib Axes as `axes_`, default=None
            New ones, one below the other, by default.
        name : str, default=None
            For the legend, instead of the display's.
        **kwargs
            Passed to ``ax.plot`` of the strong lines.

        Returns
        -------
        StreamDisplay
            Itself.

        Raises
        ------
        ImportError
            If matplotlib is not installed.
        ValueError
            If `ax` are not as many as needed.
        """
        check_matplotlib_support(f"{type(self).__name__}.plot")
        from matplotlib.ticker import EngFormatter

        experts = [column for column in self.table if column.startswith(_WEIGHT)]
        self.axes_ = take_axes(ax, 5, 1, figsize=(8, 11)) if experts else take_axes(ax, 3, 1, figsize=(6.4, 6.4))
        self.figure_ = self.axes_[0].figure
        score, coverage, state = self.axes_[:3]
        x, options = self.table["n_seen"], {"label": self.name if name is None else name, **kwargs}

        power = 2 if self.score == "rmse" else 1
        lines = [self._draw_both(score, self.score, power, options)]
        self._draw_chance(coverage)
        lines.append(self._draw_both(coverage, "coverage", 1, options))
        self.batch_lines_ = [batch for _, batch in lines]
        self.lines_ = [so_far for so_far, _ in lines] + state.plot(x, self.table["state_nbytes"], **options)

        score.set(ylabel=_SCORES[self.score])
        coverage.set(ylabel=f"coverage of {100 * self.confidence:g} %")
        state.set(xlabel="rows learned before", ylabel="state")
        state.yaxis.set_major_formatter(EngFormatter(unit="B"))
        state.update_datalim([(x[0], 0)])  # whether it grows shows from zero
        state.autoscale_view()
        if options["label"] is not None:
            score.legend()
        if experts:
            weights, change = self.axes_[3:]
            self._draw_experts(weights, change, experts)
        return self

    def _draw_experts(self, weights: Axes, change: Axes, columns: list[str]) -> None:
        """Weights of experts, one upon the other, and the change signal."""
        x = self.table["n_seen"]
        colors = [f"C{i % 10}" for i in range(len(columns))]
        names = [column.removeprefix(_WEIGHT) for column in columns]
        shares = weights.stackplot(x, *(self.table[column] for column in columns), labels=names, colors=colors)
        for i, share in enumerate(shares[10:]):
            share.set(hatch="//", label=names[10 + i])
        weights.set(ylabel="weights", ylim=(0, 1))
        weights.legend(fontsize="x-small", loc="center left", bbox_to_anchor=(1.0, 0.5))
        change.plot(x, self.table["change"], color="black", linewidth=1)
        breaks = np.unique(self.table.get("breaks_at", 0))
        for at in breaks[breaks > x[0]]:
            change.axvline(at, color="C3", linestyle="--", linewidth=1, label="a break" if at == breaks[-1] else None)
        if breaks[-1] > x[0]:
            change.legend(fontsize="small", loc="upper left")
        change.set(xlabel="rows learned before", ylabel="change", ylim=(0, 1))

    def _draw_both(self, ax: Axes, column: str, power: int, options: dict[str, Any]) -> tuple[Line2D, Line2D]:
        """Lines of all rows so far and of batches; the mean over rows is that of this power."""
        x, values = self.table["n_seen"], self.table[column]
        (so_far,) = ax.plot(x, self._so_far(values**power) ** (1 / power), **options)
        (batch,) = ax.plot(x, values, color=so_far.get_color(), alpha=0.35, linewidth=1)
        return so_far, batch

    def _so_far(self, values: Array) -> Array:
        """Mean over all rows so far."""
        return np.cumsum(self.table["n_rows"] * values) / np.cumsum(self.table["n_rows"])

    def _draw_chance(self, ax: Axes) -> None:
        """Unless another stream has been drawn there before."""
        if ax.get_legend() is None:
            low, high = chance_interval(np.cumsum(self.table["n_rows"]), self.confidence)
            label = chance_label("all rows so far")
            band = ax.fill_between(self.table["n_seen"], low, high, color="0.85", linewidth=0, label=label)
            ax.axhline(self.confidence, color="black", linestyle="--", linewidth=1)
            ax.legend(handles=[band])
