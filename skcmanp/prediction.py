"""What an estimator says of rows: moments, quantiles, draws and densities."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted

from skcmanp.predictor import Predictor
from skcmanp.state.context import ContextState
from skcmanp.validation import check_draws, check_outputs

if TYPE_CHECKING:
    from skcmanp.inference import Network
    from skcmanp.validation import Rows

Array = NDArray[np.float64]


class PredictionMixin:
    """Predictions from `context_`, for estimators that validate rows and have a network."""

    chunk_size: int
    target_block_size: int | None
    random_state: Any
    context_: ContextState

    if TYPE_CHECKING:

        def _validate_rows(self, X: ArrayLike, y: ArrayLike, sample_weight: ArrayLike | None) -> tuple[Rows, bool]: ...

        def _validate_features(self, X: ArrayLike) -> Any: ...

        def _network(self, state: ContextState | None = None) -> Network: ...

    def predict(
        self,
        X: ArrayLike,
        return_std: bool = False,
        return_cov: bool = False,
        *,
        quantiles: ArrayLike | None = None,
        interval: float | None = None,
        include_noise: bool = True,
    ) -> Any:
        """Predict the targets of rows.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
        return_std : bool, default=False
            Also return the predictive standard deviation.
        return_cov : bool, default=False
            Also return the joint predictive covariance of all rows; its memory
            grows with their square.
        quantiles : float or array-like of shape (n_quantiles,), default=None
            Return these quantiles instead of the mean, such as ``[0.1, 0.5, 0.9]``.
        interval : float, default=None
            Return the central interval of this probability, such as ``0.9``,
            instead of the mean.
        include_noise : bool, default=True
            Whether all these are of targets, as they will be measured, or of
            the function behind them: the mean of targets that were measured
            again and again. Noise is what the conjugate memory expects of it;
            the network corrects the scale of both parts together. What the
            memory's features cannot follow within the data counts as noise.

        Returns
        -------
        mean : ndarray of shape (n_samples,) or (n_samples, n_outputs)
            Unless there are `quantiles` or an `interval`.
        std : ndarray of the same shape
            Only if `return_std`.
        cov : ndarray of shape (n_samples, n_samples) or (n_samples, n_samples, n_outputs)
            Only if `return_cov`. Its diagonal holds the squares of `std`.
            Without a conjugate memory, as in ``field-2d``, it is diagonal.
        quantiles : ndarray of shape (n_samples, n_quantiles) or (n_samples, n_outputs, n_quantiles)
            Instead, if there are `quantiles`; without the last axis if it is one number.
        interval : ndarray of shape (n_samples, 2) or (n_samples, n_outputs, 2)
            Instead, if there is an `interval`: its lower and upper end.

        Raises
        ------
        ValueError
            If more than one of `return_std`, `return_cov`, `quantiles` and
            `interval` is asked for, or numbers are not between 0 and 1; without
            noise, if the checkpoint has no conjugate memory.

        Examples
        --------
        >>> from sklearn.datasets import load_diabetes
        >>> from skcmanp import CMANPRegressor
        >>> X, y = load_diabetes(return_X_y=True)
        >>> reg = CMANPRegressor().fit(X, y)
        >>> reg.predict(X, quantiles=[0.1, 0.5, 0.9]).shape
        (442, 3)
        >>> low, high = reg.predict(X, interval=0.9).T
        >>> bool(((low < y) & (y < high)).mean() > 0.9)
        True
        >>> _, of_targets = reg.predict(X, return_std=True)
        >>> _, of_function = reg.predict(X, return_std=True, include_noise=False)
        >>> bool((of_function < of_targets).all())
        True
        """
        levels = check_outputs(return_std, return_cov, quantiles, interval)
        predictor, rows = self._predictor(), self._validate_features(X)
        if levels is not None:
            found = predictor.quantiles(rows, np.atleast_1d(levels), include_noise)
            found = found if levels.ndim else found[..., 0]
            return found[:, 0] if predictor.state.y_is_1d else found
        predict = predictor.predict_joint if return_cov else predictor.predict
        mean, spread = predict(rows, include_noise or not (return_std or return_cov))
        if predictor.state.y_is_1d:
            mean, spread = mean[:, 0], spread[..., 0]
        return (mean, spread) if return_std or return_cov else mean

    def sample_y(
        self, X: ArrayLike, n_samples: int = 1, random_state: Any = None, *, include_noise: bool = True
    ) -> Array:
        """Draw targets of rows from the joint predictive distribution.

        Draws are coherent, as sample paths are; see `target_block_size`.

        Parameters
        ----------
        X : array-like of shape (n_samples_X, n_features)
        n_samples : int, default=1
            Number of draws per row.
        random_state : int, RandomState instance or None, default=None
            None means the estimator's own `random_state`; if that is None too,
            every call draws anew.
        include_noise : bool, default=True
            Whether to draw targets, or the function behind them; see `predict`.

        Returns
        -------
        y : ndarray of shape (n_samples_X, n_samples) or (n_samples_X, n_outputs, n_samples)

        Raises
        ------
        ValueError
            If `n_samples` is not a positive integer; without noise, if the
            checkpoint has no conjugate memory, or has a not-diagonal head.
        """
        n_samples = check_draws(n_samples)
        predictor, rows = self._predictor(), self._validate_features(X)
        rng = check_random_state(self.random_state if random_state is None else random_state)
        drawn = predictor.draw(rows, n_samples, rng, include_noise)
        return drawn[:, 0] if predictor.state.y_is_1d else drawn

    def log_prob(self, X: ArrayLike, y: ArrayLike, joint: bool = False) -> Any:
        """Log density of targets under the predictive distribution.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
        y : array-like of shape (n_samples,) or (n_samples, n_outputs)
        joint : bool, default=False
            The density of all targets together, in blocks of
            `target_block_size` rows, of which each knows those before.

        Returns
        -------
        log_prob : ndarray of shape (n_samples,), or float if `joint`
            In nats and y's own units, summed over outputs.
        """
        predictor, (rows, _) = self._predictor(), self._validate_rows(X, y, None)
        return predictor.joint_log_density(rows.X, rows.y) if joint else predictor.log_density(rows.X, rows.y)

    def _predictor(self) -> Predictor:
        check_is_fitted(self)
        return Predictor(self._network(self.context_), self.context_, self.chunk_size, self.target_block_size)
