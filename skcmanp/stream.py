"""CMANPStreamRegressor: the estimator for streams that move on."""

from __future__ import annotations

import os
from numbers import Integral
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import norm
from sklearn.base import BaseEstimator, RegressorMixin, _fit_context
from sklearn.utils import Tags, check_random_state, column_or_1d
from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils.validation import check_is_fitted

from skcmanp.adaptation.columns import dense
from skcmanp.checkpoints import Checkpoint, check_table, get_network, resolve_checkpoint
from skcmanp.devices import DTYPES, resolve_device
from skcmanp.frames import Kind, resolved
from skcmanp.learner import Learner
from skcmanp.mixture.experts import NAMES
from skcmanp.mixture.mixture import Prediction, StreamState
from skcmanp.nn.config import CMANPConfig
from skcmanp.nn.model import CMANP
from skcmanp.validation import Rows, check_draws, check_features, check_rows, restored_on_error

Array = NDArray[np.float64]

_MEMORY_FEATURES = 256

# Of targets up to here, sums of squares over all rows are numbers.
_MAX_TARGET = 1e100


class CMANPStreamRegressor(RegressorMixin, BaseEstimator):
    """Probabilistic regression on streams that move on, in constant memory.

    `CMANPRegressor` takes all rows for one world, in any order. Here rows come
    in order of time, and what was true may cease to be. A mixture of experts of
    fixed size predicts: neural processes that read all rows, or are adapted anew
    in mid-stream; boosted trees of recent rows; and Bayesian linear regressions
    that forget, on the features and on what the others say. Each counts by how
    well it predicted what came [1]_, and standard deviations are corrected as
    errors show [2]_. Nothing has to be chosen.

    Parameters
    ----------
    checkpoint : str, path or CMANP, default="auto"
        As of `CMANPRegressor`.
    memory_features : int, default=None
        Features of the networks' conjugate memory, at least 68 for ``tabular``;
        None means 256, or as many as the checkpoint has if they are fewer.
    categorical_features : "from_dtype", array-like of str, int or bool, or None, default="from_dtype"
        As of `CMANPRegressor`.
    device : str, default="auto"
        As of `CMANPRegressor`.
    dtype : {"float64", "float32", "bfloat16"}, default="float32"
        Of the networks.
    random_state : int, RandomState instance or None, default=None
        Used by `sample_y` if it is not given its own.

    Attributes
    ----------
    state_ : StreamState
        What is remembered.
    checkpoint_ : Checkpoint
        Name and SHA-256 of the weights in use.
    weights_ : dict of str to float
        Weight of every expert, by name.
    n_effective_ : float
        Effective number of rows that predictions rest on, the weighted mean of
        the experts'.
    change_ : float
        From 0, errors are as expected, to 1, where they have been so large for so
        long that a break is declared.
    breaks_at_ : int
        Number of rows before the last break; 0 if there was none.
    n_samples_seen_ : int
        Number of rows learned.
    n_features_in_ : int
        Number of features.
    feature_names_in_ : ndarray of shape (`n_features_in_`,)
        Names of features, if X had string column names.

    See Also
    --------
    CMANPRegressor : Exact, whatever the order of rows; merges and forgets.
    skcmanp.streaming.prequential : Predicts, scores and learns a stream.

    References
    ----------
    .. [1] Raftery, Karny and Ettler, "Online prediction under model uncertainty
       via dynamic model averaging", Technometrics 52 (2010).
    .. [2] Gneiting, Raftery, Westveld and Goldman, "Calibrated probabilistic
       forecasting using ensemble model output statistics", Monthly Weather
       Review 133 (2005).

    Examples
    --------
    >>> import numpy as np
    >>> from skcmanp import CMANPStreamRegressor
    >>> rng = np.random.default_rng(0)
    >>> X = rng.normal(size=(550, 2))
    >>> level = np.where(np.arange(550) < 400, 0, 50)  # a sensor is replaced
    >>> y = level + X[:, 0] + 0.1 * rng.normal(size=550)
    >>> reg = CMANPStreamRegressor().fit(X[:400], y[:400])
    >>> reg.partial_fit(X[400:500], y[400:500]).n_samples_seen_
    500
    >>> reg.breaks_at_
    400
    >>> mean, std = reg.predict(X[500:], return_std=True)
    >>> bool(np.abs(mean - y[500:]).mean() < 1)
    True
    """

    state_: StreamState
    checkpoint_: Checkpoint
    n_features_in_: int
    feature_names_in_: NDArray

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        "checkpoint": [str, os.PathLike, CMANP],
        "memory_features": [None, Interval(Integral, 1, None, closed="left")],
        "categorical_features": ["array-like", StrOptions({"from_dtype"}), None],
        "device": [str],
        "dtype": [StrOptions(set(DTYPES))],
        "random_state": ["random_state"],
    }

    def __init__(
        self,
        checkpoint: Any = "auto",
        *,
        memory_features: int | None = None,
        categorical_features: Any = "from_dtype",
        device: str = "auto",
        dtype: str = "float32",
        random_state: Any = None,
    ) -> None:
        self.checkpoint = checkpoint
        self.memory_features = memory_features
        self.categorical_features = categorical_features
        self.device = device
        self.dtype = dtype
        self.random_state = random_state

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        kinds = tags.input_tags
        kinds.allow_nan = kinds.sparse = kinds.categorical = kinds.string = True
        return tags

    # ------------------------------------------------------------------ learning

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X: ArrayLike, y: ArrayLike) -> Self:
        """Forget everything, and learn these rows in order of time.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
        y : array-like of shape (n_samples,)

        Returns
        -------
        self

        Raises
        ------
        ValueError
            On invalid rows or parameters, or more features than the checkpoint
            knows. The estimator stays as it was.
        """
        with restored_on_error(self):
            rows = self._validate_rows(X, y, first=True)
            self.state_ = StreamState.begin(self._learner(rows.kinds), rows)
        return self

    @_fit_context(prefer_skip_nested_validation=True)
    def partial_fit(self, X: ArrayLike, y: ArrayLike) -> Self:
        """Learn the next rows of the stream, in order of time, at constant cost per row.

        They are scored as they are predicted, all at once, and then learned: give
        chunks as large as those that are to be predicted. How a stream is cut into
        chunks changes which rows were known when others were predicted, and so the
        weights of experts, but not how fast experts forget. `fit` cuts rows into
        chunks of a hundred.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
        y : array-like of shape (n_samples,)

        Returns
        -------
        self

        Raises
        ------
        ValueError
            As `fit`, and if the shapes differ from the first call's.
        """
        if not hasattr(self, "state_"):
            return self.fit(X, y)
        rows = self._validate_rows(X, y)
        self.state_ = self.state_.learned(self._learner(rows.kinds), rows)
        return self

    def resume(self, state: StreamState) -> Self:
        """Go on from what another estimator remembers, such as one of another process.

        Parameters
        ----------
        state : StreamState
            Its `state_`, or ``StreamState.from_bytes(state_.to_bytes())``, which
            runs no code, unlike a pickle.

        Returns
        -------
        self

        Raises
        ------
        ValueError
            If it belongs to another checkpoint, or to another number of
            `memory_features`. The estimator stays as it was.

        Examples
        --------
        >>> import numpy as np
        >>> from skcmanp import CMANPStreamRegressor, StreamState
        >>> X = np.random.default_rng(0).normal(size=(200, 2))
        >>> reg = CMANPStreamRegressor().fit(X, X[:, 0])
        >>> twin = CMANPStreamRegressor().resume(StreamState.from_bytes(reg.state_.to_bytes()))
        >>> bool(np.allclose(twin.predict(X), reg.predict(X)))
        True
        """
        if not isinstance(state, StreamState):
            raise TypeError(f"state must be a StreamState, not {type(state).__name__}.")
        with restored_on_error(self):
            context = state.experts.reading.state
            self.checkpoint_ = self._resolve(state.kinds)
            for network in state.experts.networks:
                network.state.check_checkpoint(self.checkpoint_.name, self.checkpoint_.identity)
            self.n_features_in_ = context.n_features
            self.__dict__.pop("feature_names_in_", None)
            if context.feature_names is not None:
                self.feature_names_in_ = np.array(context.feature_names, dtype=object)
            self.state_ = state
        return self

    # ------------------------------------------------------------------ predicting

    def predict(self, X: ArrayLike, return_std: bool = False) -> Any:
        """Predict the targets of rows.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
        return_std : bool, default=False
            Also return the predictive standard deviation, noise and rare errors included.

        Returns
        -------
        mean : ndarray of shape (n_samples,)
        std : ndarray of shape (n_samples,)
            Only if `return_std`.
        """
        said = self._predict(X)  # which is kept: rows that are learned next need not be predicted again
        return (said.mean.copy(), said.std.copy()) if return_std else said.mean.copy()

    def predict_interval(self, X: ArrayLike, confidence: float = 0.9) -> tuple[Array, Array]:
        """Central intervals whose share of covered rows holds its level, whatever comes.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
        confidence : float, default=0.9
            Level. That of .5, .8, .9, .95 and .99 is guaranteed in the long run, see
            `skcmanp.mixture.conformal.ConformalWidths`; others lie between these.

        Returns
        -------
        low, high : ndarray of shape (n_samples,)

        Raises
        ------
        ValueError
            If `confidence` is not a number between 0 and 1.
        """
        if not (isinstance(confidence, int | float | np.number) and 0 < confidence < 1):
            raise ValueError(f"confidence={confidence!r} must be between 0 and 1, such as 0.9.")
        said = self._predict(X)
        width = self.state_.conformal.width(confidence)
        return said.mean - width * said.scaled, said.mean + width * said.scaled

    def sample_y(self, X: ArrayLike, n_samples: int = 1, random_state: Any = None) -> Array:
        """Draw targets of rows from their predictive distributions, each row for itself.

        Parameters
        ----------
        X : array-like of shape (n_samples_X, n_features)
        n_samples : int, default=1
            Number of draws per row.
        random_state : int, RandomState instance or None, default=None
            None means the estimator's own `random_state`; if that is None too,
            every call draws anew.

        Returns
        -------
        y : ndarray of shape (n_samples_X, n_samples)
        """
        n_samples, said = check_draws(n_samples), self._predict(X)
        rng = check_random_state(self.random_state if random_state is None else random_state)
        return rng.normal(said.mean, said.std, size=(n_samples, len(said.mean))).T

    def log_prob(self, X: ArrayLike, y: ArrayLike) -> Array:
        """Log density of targets under their predictive distributions.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
        y : array-like of shape (n_samples,)

        Returns
        -------
        log_prob : ndarray of shape (n_samples,)
            In nats and y's own units.
        """
        check_is_fitted(self)
        rows = self._validate_rows(X, y)
        said = self.state_.predict(self._learner(rows.kinds), rows.X)
        return norm.logpdf(rows.y[:, 0], said.mean, said.std)

    # ------------------------------------------------------------------ what is known

    @property
    def n_samples_seen_(self) -> int:
        return self.state_.experts.n_seen

    @property
    def weights_(self) -> dict[str, float]:
        return dict(zip(NAMES, self.state_.expert_weights.tolist(), strict=True))

    @property
    def n_effective_(self) -> float:
        return float(self.state_.expert_weights @ self.state_.experts.n_effective())

    @property
    def change_(self) -> float:
        return self.state_.change

    @property
    def breaks_at_(self) -> int:
        return self.state_.experts.start

    def _predict(self, X: ArrayLike) -> Prediction:
        check_is_fitted(self)
        rows, kinds = check_features(self, X, reset=False)
        return self.state_.predict(self._learner(self._resolved(kinds)), dense(rows).astype(np.float64))

    def _validate_rows(self, X: ArrayLike, y: ArrayLike, first: bool = False) -> Rows:
        """Checked rows; `first` ones choose the checkpoint."""
        if y is not None:
            y = column_or_1d(y, warn=True)
        rows, _ = check_rows(self, X, y, None, n_outputs=None if first else 1, max_target=_MAX_TARGET)
        if first:
            self.checkpoint_ = self._resolve(rows.kinds)
            check_table(self.checkpoint_, self._config(self.checkpoint_), self.n_features_in_, 1)
        else:
            rows = rows._replace(kinds=self._resolved(rows.kinds))
        return rows._replace(X=dense(rows.X).astype(np.float64), y=rows.y.astype(np.float64))

    def _resolved(self, kinds: tuple[Kind, ...]) -> tuple[Kind, ...]:
        """Kinds of columns, of which some rows are of these."""
        names = getattr(self, "feature_names_in_", range(self.n_features_in_))
        return resolved([str(name) for name in names], self.state_.kinds, kinds)

    def _resolve(self, kinds: tuple[Kind, ...]) -> Checkpoint:
        own = resolve_checkpoint(self.checkpoint, kinds, self.memory_features)
        if self.memory_features is not None or self._config(own).adapted_features <= _MEMORY_FEATURES:
            return own
        return resolve_checkpoint(self.checkpoint, kinds, _MEMORY_FEATURES)

    def _config(self, checkpoint: Checkpoint) -> CMANPConfig:
        return get_network(checkpoint, resolve_device(self.device), DTYPES[self.dtype]).config

    def _learner(self, kinds: tuple[Kind, ...]) -> Learner:
        names = getattr(self, "feature_names_in_", None)
        return Learner(
            self.checkpoint_,
            None if names is None else tuple(names),
            kinds,
            y_is_1d=True,
            trees=False,  # there are experts for that
            memory_features=self._config(self.checkpoint_).memory_features,
            device=self.device,
            dtype=self.dtype,
        )
