"""CMANPRegressor: the estimator."""

from __future__ import annotations

import os
from numbers import Integral
from typing import Any, ClassVar, Self

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from scipy.stats import norm
from sklearn.base import BaseEstimator, MultiOutputMixin, RegressorMixin, _fit_context
from sklearn.utils import check_random_state
from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils.validation import check_is_fitted, validate_data

from skcmanp.checkpoints import Checkpoint, check_table, get_network, resolve_checkpoint
from skcmanp.context import ContextState
from skcmanp.devices import DTYPES, resolve_device
from skcmanp.early import EarlyRows
from skcmanp.inference import Network
from skcmanp.joint import BLOCK_SIZE, draw, log_density
from skcmanp.nn.config import CMANPConfig
from skcmanp.nn.model import CMANP
from skcmanp.parallel import Reader
from skcmanp.adaptation import Adaptation
from skcmanp.summary import Summary
from skcmanp.validation import check_weight, restored_on_error

Array = NDArray[np.float64]


class CMANPRegressor(MultiOutputMixin, RegressorMixin, BaseEstimator):
    """Probabilistic regression that learns by reading, in constant memory.

    A Constant Memory Attentive Neural Process [1]_ was meta-trained once on
    many tasks; it learns a new data set by reading its rows, without gradient
    steps. What it has read is a state of fixed size, `context_`: reading one
    more row costs the same after ten rows and after ten billion, and neither
    order nor chunking of the rows matters. States can be merged, decayed, and
    rows forgotten, exactly.

    Parameters
    ----------
    checkpoint : str, path or CMANP, default="auto"
        Name of a shipped checkpoint (see `shipped_checkpoints`), a safetensors
        file written by `save_checkpoint`, or a network. "auto" picks a shipped
        one by the number of features.
    memory_features : int, default=None
        Features of the checkpoint's conjugate memory; None means as many as it
        has. More follow more intricate functions, see `CMANP.with_memory`; the
        state grows with their square, and so does the cost of a row. It is 448
        for ``tabular`` (0.9 MB) and 192 for ``gp-1d``.
    standardize : bool, default=True
        Centre and scale X and y by the weighted moments of the first data
        seen: those that `fit` is given, or the first rows that `partial_fit`
        reads, up to 1,000; frozen afterwards. With False, only bounds scale.
    adapt : "auto" or bool, default="auto"
        With a checkpoint that reads features in units of their length-scales:
        whether to fit these to the first data seen (to 512 rows of it at most),
        and what features do alone (to the same), the points that its memory is
        made of (chosen among 2,048 rows and moved by 2,000), and how the scale
        of the noise varies (by these); frozen afterwards. Targets share all
        that. It takes up to a few seconds, and gains the more, the more typical the first data are of all.
        "auto" does so unless bounds are declared or nothing is standardised.
    x_bounds, y_bounds : pair of float or of array-like, default=None
        Declared ranges (low, high), for all columns or for each. They scale
        instead of the first data, so that even the first rows of a stream may
        come in any order.
    chunk_size : int, default=8192
        Rows read at once. It bounds the memory of `fit`, `partial_fit` and
        `predict`, and does not change results.
    target_block_size : int, default=None
        Rows whose targets are jointly Gaussian in `sample_y` and in joint
        densities: the paper's b_Q. Between blocks, earlier targets are absorbed
        into a copy of the state. None means 512, or all rows if they are fewer.
    device : str, default="auto"
        "auto" (CUDA where there is one), "cpu", "cuda" or "cuda:<index>". A
        fitted estimator whose device is absent predicts on the CPU and warns.
    dtype : {"float64", "float32", "bfloat16"}, default="float64"
        Of the network. With float64 the invariances hold to 1e-9; float32 is
        about three times faster. Statistics are always float64.
    n_jobs : int, default=None
        Number of shards that `fit`, `partial_fit` and `forget` read in
        parallel, through joblib's active backend. None means 1 unless in a
        `joblib.parallel_config` context.
    random_state : int, RandomState instance or None, default=None
        Used by `sample_y` if it is not given its own.
    verbose : int, default=0
        1 shows a progress bar while reading.

    Attributes
    ----------
    context_ : ContextState
        What has been read.
    checkpoint_ : Checkpoint
        Name and SHA-256 of the weights in use.
    n_samples_seen_ : int
        Number of rows read and not forgotten; rows of weight 0 do not count.
    n_outputs_ : int
        Number of targets.
    n_features_in_ : int
        Number of features.
    feature_names_in_ : ndarray of shape (`n_features_in_`,)
        Names of features, if X had string column names.

    See Also
    --------
    sklearn.gaussian_process.GaussianProcessRegressor : Exact, for few rows;
        stores all of them.

    References
    ----------
    .. [1] Feng et al., "Memory Efficient Neural Processes via Constant Memory
       Attention Block", arXiv 2305.14567.

    Examples
    --------
    >>> from sklearn.datasets import load_diabetes
    >>> from skcmanp import CMANPRegressor
    >>> X, y = load_diabetes(return_X_y=True)
    >>> reg = CMANPRegressor().fit(X[:300], y[:300])
    >>> reg.partial_fit(X[300:400], y[300:400]).n_samples_seen_
    400
    >>> mean, std = reg.predict(X[400:], return_std=True)
    >>> mean.shape, std.shape
    ((42,), (42,))
    """

    context_: ContextState
    checkpoint_: Checkpoint
    n_outputs_: int
    n_features_in_: int
    feature_names_in_: NDArray
    _y_is_1d: bool
    _early: EarlyRows | None = None

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        "checkpoint": [str, os.PathLike, CMANP],
        "memory_features": [None, Interval(Integral, 1, None, closed="left")],
        "standardize": ["boolean"],
        "adapt": [StrOptions({"auto"}), "boolean"],
        "x_bounds": [None, "array-like"],
        "y_bounds": [None, "array-like"],
        "chunk_size": [Interval(Integral, 1, None, closed="left")],
        "target_block_size": [None, Interval(Integral, 1, None, closed="left")],
        "device": [str],
        "dtype": [StrOptions(set(DTYPES))],
        "n_jobs": [None, Integral],
        "random_state": ["random_state"],
        "verbose": ["verbose"],
    }

    def __init__(
        self,
        checkpoint: Any = "auto",
        *,
        memory_features: int | None = None,
        standardize: bool = True,
        adapt: Any = "auto",
        x_bounds: ArrayLike | None = None,
        y_bounds: ArrayLike | None = None,
        chunk_size: int = 8192,
        target_block_size: int | None = None,
        device: str = "auto",
        dtype: str = "float64",
        n_jobs: int | None = None,
        random_state: Any = None,
        verbose: int = 0,
    ) -> None:
        self.checkpoint = checkpoint
        self.memory_features = memory_features
        self.standardize = standardize
        self.adapt = adapt
        self.x_bounds = x_bounds
        self.y_bounds = y_bounds
        self.chunk_size = chunk_size
        self.target_block_size = target_block_size
        self.device = device
        self.dtype = dtype
        self.n_jobs = n_jobs
        self.random_state = random_state
        self.verbose = verbose

    # ------------------------------------------------------------------ reading

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X: ArrayLike, y: ArrayLike, sample_weight: ArrayLike | None = None) -> Self:
        """Forget everything, fix the scaling by these rows, and read them.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
        y : array-like of shape (n_samples,) or (n_samples, n_outputs)
        sample_weight : array-like of shape (n_samples,), default=None
            Non-negative. An integer weight equals repetition, 0 removal.

        Returns
        -------
        self

        Raises
        ------
        ValueError
            On invalid rows, weights or parameters, or more features than the
            checkpoint knows. The estimator stays as it was.
        """
        with restored_on_error(self):
            self._absorb(X, y, sample_weight, first=True)
            self._early = None
        return self

    @_fit_context(prefer_skip_nested_validation=True)
    def partial_fit(self, X: ArrayLike, y: ArrayLike, sample_weight: ArrayLike | None = None) -> Self:
        """Read more rows, at constant cost per row.

        What the first data fix is fitted anew whenever they have doubled, until
        there are 1,000 rows, which are kept as long. From then on, after `fit`,
        `merge` or `forget`, and with declared bounds it is frozen. Let the first
        rows be typical of what follows.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
        y : array-like of shape (n_samples,) or (n_samples, n_outputs)
        sample_weight : array-like of shape (n_samples,), default=None
            Non-negative. An integer weight equals repetition, 0 removal.

        Returns
        -------
        self

        Raises
        ------
        ValueError
            As `fit`, and if the shapes differ from the first call's.
        """
        with restored_on_error(self):
            return self._absorb(X, y, sample_weight, first=not hasattr(self, "context_"))

    def forget(self, X: ArrayLike, y: ArrayLike, sample_weight: ArrayLike | None = None) -> Self:
        """Remove rows that were read earlier, as if they never had been.

        What the first data fixed stays, features of some of its rows included.

        Parameters
        ----------
        X, y, sample_weight
            As they were read, in any chunks; after `decay`, with decayed weights.

        Returns
        -------
        self

        Raises
        ------
        ValueError
            If more is forgotten than was read, or if what is left is too
            little, beside all that was ever read, to be accurate: refit then.
            A float64 network can forget far more than a float32 one.
        """
        check_is_fitted(self)
        summary, _ = self._read(*self._validate_rows(X, y, sample_weight, first=False), self.context_.scaling)
        self.context_ = self.context_.subtract(summary, eps=torch.finfo(DTYPES[self.dtype]).eps)
        self._early = None
        return self

    def merge(self, other: CMANPRegressor | ContextState) -> Self:
        """Absorb what another estimator has read.

        Parameters
        ----------
        other : CMANPRegressor or ContextState
            With the same checkpoint and scaling. An unfitted estimator that
            merges a state adopts its checkpoint and scaling.

        Returns
        -------
        self

        Raises
        ------
        ValueError
            If the checkpoints, shapes or scalings differ.
        """
        if isinstance(other, CMANPRegressor):
            check_is_fitted(other)
            state, source = other.context_, other
        elif isinstance(other, ContextState):
            state, source = other, None
        else:
            raise TypeError(f"other must be a CMANPRegressor or a ContextState, not {type(other).__name__}.")
        if hasattr(self, "context_"):
            self.context_ = self.context_.merge(state)
            self._early = None
            return self
        checkpoint = resolve_checkpoint(self.checkpoint, state.scaling.n_features, self.memory_features)
        state.check_checkpoint(checkpoint.name, checkpoint.identity)
        self.checkpoint_ = checkpoint
        self.n_features_in_ = state.scaling.n_features
        self.n_outputs_ = state.scaling.n_targets
        self._y_is_1d = self.n_outputs_ == 1 if source is None else source._y_is_1d
        if source is not None and hasattr(source, "feature_names_in_"):
            self.feature_names_in_ = source.feature_names_in_
        self.context_ = state
        return self

    def decay(self, gamma: float) -> Self:
        """Multiply the weight of everything read so far.

        Parameters
        ----------
        gamma : float
            From 0, which empties the context but keeps the scaling, to 1.

        Returns
        -------
        self

        Raises
        ------
        ValueError
            If gamma is not between 0 and 1.
        """
        check_is_fitted(self)
        if not 0 <= gamma <= 1:
            raise ValueError(f"gamma={gamma!r} must be between 0 and 1.")
        self.context_ = self.context_.decay(float(gamma))
        self._early = None if self._early is None else self._early.decayed(float(gamma))
        return self

    @property
    def n_samples_seen_(self) -> int:
        return self.context_.n_rows

    def _absorb(self, X: ArrayLike, y: ArrayLike, sample_weight: ArrayLike | None, first: bool) -> Self:
        rows = self._validate_rows(X, y, sample_weight, first)
        early = self._early
        if first:
            early = EarlyRows(*rows)
        elif early is not None:
            early = early.extended(*rows)
        if early is not None and early.is_due:
            summary, scaling = self._read(early.X, early.y, early.weight, None)
            self.context_ = ContextState(self.checkpoint_.name, self.checkpoint_.identity, scaling, summary)
            early = early.fitted() if self._scaled_by_rows() else None
        else:
            summary, _ = self._read(*rows, self.context_.scaling)
            self.context_ = self.context_.absorb(summary)
        self._early = early
        return self

    def _scaled_by_rows(self) -> bool:
        """Whether the first data fix anything that is not declared."""
        return self.adapt is True or (self.standardize and (self.x_bounds is None or self.y_bounds is None))

    def _read(self, X: NDArray, y: NDArray, weight: Array | None, scaling: Adaptation | None) -> tuple[Summary, Adaptation]:
        """Statistics of validated rows; scaled by their own moments if `scaling` is None."""
        device = resolve_device(self.device)
        if scaling is None:
            config = get_network(self.checkpoint_, device, DTYPES[self.dtype]).config
            scaling = Adaptation.fit(
                X,
                y,
                weight,
                standardize=self.standardize,
                x_bounds=self.x_bounds,
                y_bounds=self.y_bounds,
                how=self._how(config),
                memory_features=config.adapted_features,
            )
        reader = Reader(self.checkpoint_, device, DTYPES[self.dtype], scaling, self.chunk_size)
        return reader.read_parallel(X, y, weight, self.n_jobs, progress=bool(self.verbose)), scaling

    def _how(self, config: CMANPConfig) -> str:
        """How `Adaptation.fit` is to find length-scales."""
        if not config.relevance:
            if self.adapt is True:
                raise ValueError(
                    f"adapt=True: checkpoint {self.checkpoint_.name!r} was not trained on features in units of their "
                    "length-scales; leave adapt='auto', or choose another checkpoint."
                )
            return "none"
        undeclared = self.standardize and self.x_bounds is None and self.y_bounds is None
        return "fit" if (undeclared if self.adapt == "auto" else self.adapt) else "default"

    def _validate_rows(
        self, X: ArrayLike, y: ArrayLike, sample_weight: ArrayLike | None, first: bool
    ) -> tuple[NDArray, NDArray, Array | None]:
        """Checked rows: X (n, d) and y (n, t) as given, weights float64 or None."""
        rows, targets = validate_data(self, X, y, reset=first, multi_output=True, y_numeric=True, dtype="numeric")
        weight = None if sample_weight is None else check_weight(sample_weight, len(rows))
        columns = targets.reshape(len(targets), -1)
        if first:
            self._y_is_1d, self.n_outputs_ = targets.ndim == 1, columns.shape[1]
            self._choose_checkpoint()
        elif columns.shape[1] != self.n_outputs_:
            raise ValueError(
                f"y has {columns.shape[1]} targets, but {type(self).__name__} is expecting {self.n_outputs_} as at the "
                "first call; use fit to start anew."
            )
        return rows, columns, weight

    def _choose_checkpoint(self) -> None:
        self.checkpoint_ = resolve_checkpoint(self.checkpoint, self.n_features_in_, self.memory_features)
        config = get_network(self.checkpoint_, resolve_device(self.device), DTYPES[self.dtype]).config
        check_table(self.checkpoint_, config, self.n_features_in_, self.n_outputs_)

    # ------------------------------------------------------------------ predicting

    def predict(self, X: ArrayLike, return_std: bool = False, return_cov: bool = False) -> Any:
        """Predict the targets of rows.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
        return_std : bool, default=False
            Also return the predictive standard deviation, noise included.
        return_cov : bool, default=False
            Also return the joint predictive covariance of all rows, noise
            included; its memory grows with their square.

        Returns
        -------
        mean : ndarray of shape (n_samples,) or (n_samples, n_outputs)
        std : ndarray of the same shape
            Only if `return_std`.
        cov : ndarray of shape (n_samples, n_samples) or (n_samples, n_samples, n_outputs)
            Only if `return_cov`. Its diagonal holds the squares of `std`.
            Without a conjugate memory, as in ``field-2d``, it is diagonal.

        Raises
        ------
        ValueError
            If both `return_std` and `return_cov` are asked for.
        """
        if return_std and return_cov:
            raise ValueError("return_std=True and return_cov=True: ask for one of them; the covariance has both.")
        check_is_fitted(self)
        rows = validate_data(self, X, reset=False, dtype="numeric")
        if return_cov:
            network, scaling = self._network(), self.context_.scaling
            mean, covariance = network.predict_joint(self.context_, scaling.scale_x(rows))
            mean = mean * scaling.targets.scale + scaling.targets.centre
            covariance = np.moveaxis(covariance, 0, -1) * np.square(scaling.targets.scale)
            return (mean[:, 0], covariance[..., 0]) if self._y_is_1d else (mean, covariance)
        mean, std = (array[:, 0] if self._y_is_1d else array for array in self._predict_rows(rows))
        return (mean, std) if return_std else mean

    def sample_y(self, X: ArrayLike, n_samples: int = 1, random_state: Any = 0) -> Array:
        """Draw targets of rows from the joint predictive distribution, noise included.

        Draws are coherent, as sample paths are; see `target_block_size`.

        Parameters
        ----------
        X : array-like of shape (n_samples_X, n_features)
        n_samples : int, default=1
            Number of draws per row.
        random_state : int, RandomState instance or None, default=0
            None means the estimator's own `random_state`.

        Returns
        -------
        y : ndarray of shape (n_samples_X, n_samples) or (n_samples_X, n_outputs, n_samples)
        """
        check_is_fitted(self)
        rows, scaling = validate_data(self, X, reset=False, dtype="numeric"), self.context_.scaling
        rng = check_random_state(self.random_state if random_state is None else random_state)
        x = scaling.scale_x(rows)
        drawn = draw(self._network(), self.context_, x, n_samples, self._block_size(), rng)  # (m, t, n)
        drawn = drawn * scaling.targets.scale[:, None] + scaling.targets.centre[:, None]
        return drawn[:, 0] if self._y_is_1d else drawn

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
        check_is_fitted(self)
        rows, targets, _ = self._validate_rows(X, y, None, first=False)
        if joint:
            scaling = self.context_.scaling
            scaled = scaling.scale_x(rows), scaling.scale_y(targets)
            density = log_density(self._network(), self.context_, *scaled, self._block_size())
            return density - len(rows) * float(np.log(scaling.targets.scale).sum())
        return norm.logpdf(targets, *self._predict_rows(rows)).sum(axis=1)

    def _network(self) -> Network:
        return get_network(self.checkpoint_, resolve_device(self.device, or_cpu=True), DTYPES[self.dtype])

    def _block_size(self) -> int:
        return BLOCK_SIZE if self.target_block_size is None else self.target_block_size

    def _predict_rows(self, rows: NDArray) -> tuple[Array, Array]:
        """Mean and standard deviation of validated rows in y's units, (m, t) each."""
        network, scaling = self._network(), self.context_.scaling
        means, stds = [], []
        for start in range(0, len(rows), self.chunk_size):
            chunk = rows[start : start + self.chunk_size]
            mean, std = scaling.unscale_y(*network.predict(self.context_, scaling.scale_x(chunk)))
            means.append(mean)
            stds.append(std)
        return np.concatenate(means), np.concatenate(stds)
