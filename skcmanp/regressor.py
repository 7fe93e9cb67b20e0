"""CMANPRegressor: the estimator."""

from __future__ import annotations

import os
from numbers import Integral
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, MultiOutputMixin, RegressorMixin, _fit_context
from sklearn.utils import Tags
from sklearn.utils._param_validation import Interval, StrOptions

from skcmanp.algebra import AlgebraMixin
from skcmanp.checkpoints import Checkpoint, check_table, get_network, resolve_checkpoint
from skcmanp.devices import DTYPES, resolve_device
from skcmanp.frames import Kind, resolved
from skcmanp.inference import Network
from skcmanp.learner import LEARNING, Learner
from skcmanp.nn.model import CMANP
from skcmanp.notebook import NotebookMixin
from skcmanp.prediction import PredictionMixin
from skcmanp.state.context import ContextState
from skcmanp.validation import Rows, check_features, check_rows, restored_on_error

Array = NDArray[np.float64]


class CMANPRegressor(NotebookMixin, PredictionMixin, AlgebraMixin, MultiOutputMixin, RegressorMixin, BaseEstimator):
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
    categorical_features : "from_dtype", array-like of str, int or bool, or None, default="from_dtype"
        Columns that are categories though they hold numbers, by name, number or
        mask. Columns of text, and those whose dtype is categorical, always are.
    memory_features : int, default=None
        Features of the checkpoint's conjugate memory; None means as many as it
        has, 448 for ``tabular`` (0.9 MB) and 192 for ``gp-1d``, or half as many
        more (1.9 MB) where a function is almost without noise and these miss
        more of it than the noise hides. More follow more intricate functions,
        see `CMANP.with_memory`; the state grows with their square, and so does
        the cost of a row. At least 68 for ``tabular``, and 6 for ``gp-1d``.
    standardize : bool, default=True
        Centre and scale X and y by the weighted moments of the first data
        seen: those that `fit` is given, or the first rows that `partial_fit`
        reads, up to 1,000; frozen afterwards. With False, only bounds scale.
    adapt : "auto" or bool, default="auto"
        With a checkpoint that reads features in units of their length-scales:
        whether to fit these to the first data seen, and a trend, main effects,
        inducing points, how the noise varies, how much all this misses, boosted
        trees and a warp of the targets (see `skcmanp.adaptation`); frozen
        afterwards. It takes up to some seconds. "auto" does so unless bounds are
        declared or nothing is standardised.
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
        about one and a half times as fast at predicting. Statistics are always float64.
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
    n_features_in_: int
    feature_names_in_: NDArray

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        "checkpoint": [str, os.PathLike, CMANP],
        "categorical_features": ["array-like", StrOptions({"from_dtype"}), None],
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
        categorical_features: Any = "from_dtype",
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
        self.categorical_features = categorical_features
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

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        kinds = tags.input_tags
        kinds.allow_nan = kinds.sparse = kinds.categorical = kinds.string = True
        return tags

    # ------------------------------------------------------------------ reading

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X: ArrayLike, y: ArrayLike, sample_weight: ArrayLike | None = None) -> Self:
        """Forget everything, adapt to these rows, and read them.

        Parameters
        ----------
        X : table, array-like or sparse matrix of shape (n_samples, n_features)
            Tables of pandas, polars and pyarrow may hold text, categories, dates
            and missing values; arrays NaN.
        y : array-like of shape (n_samples,) or (n_samples, n_outputs)
        sample_weight : array-like of shape (n_samples,), default=None
            An integer weight equals repetition, 0 removal. Positive ones are
            from 1e-100 to 1e6; all rows ever read weigh 1e11 at most. The order
            of a call's rows does not matter, to 1e-9 of what is predicted; where
            some weigh more than 10, to the bit.

        Returns
        -------
        self

        Raises
        ------
        ValueError
            On invalid rows, weights or parameters. The estimator stays as it was.
        TypeError
            If a column holds what is neither a number nor text, a category or a
            date, such as lists.
        """
        with restored_on_error(self):
            rows, y_is_1d = self._validate_rows(X, y, sample_weight, first=True)
            self.context_ = self._learner(y_is_1d, rows.kinds).fit(rows)
            return self

    @_fit_context(prefer_skip_nested_validation=True)
    def partial_fit(self, X: ArrayLike, y: ArrayLike, sample_weight: ArrayLike | None = None) -> Self:
        """Read more rows of a stream, at constant cost per row.

        What the first data fix is fitted to the first 1, 2, 4, ..., 512 and 1,000
        rows as soon as these are there, however the stream is cut into chunks;
        the rows are kept as long. From then on, after `fit`, `merge` or `forget`,
        and with declared bounds it is frozen. Let the first rows be typical of
        what follows.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
        y : array-like of shape (n_samples,) or (n_samples, n_outputs)
        sample_weight : array-like of shape (n_samples,), default=None
            As in `fit`. Rows of weight 0 do not count.

        Returns
        -------
        self

        Raises
        ------
        ValueError
            As `fit`, and if the shapes differ from the first call's.
        """
        with restored_on_error(self):
            if hasattr(self, "context_"):
                rows, _ = self._validate_rows(X, y, sample_weight)
                learner = self._learner(self.context_.y_is_1d, rows.kinds)
                self.context_ = learner.partial_fit(self.context_, rows)
            else:
                rows, y_is_1d = self._validate_rows(X, y, sample_weight, first=True)
                self.context_ = self._learner(y_is_1d, rows.kinds).begin(rows)
            return self

    @property
    def n_samples_seen_(self) -> int:
        return self.context_.n_rows

    @property
    def n_outputs_(self) -> int:
        return self.context_.n_outputs

    def _validate_rows(
        self, X: ArrayLike, y: ArrayLike, sample_weight: ArrayLike | None, first: bool = False
    ) -> tuple[Rows, bool]:
        """Checked rows, and whether y has one dimension; `first` ones choose the checkpoint."""
        rows, y_is_1d = check_rows(self, X, y, sample_weight, n_outputs=None if first else self.n_outputs_)
        if first:
            self.checkpoint_ = resolve_checkpoint(self.checkpoint, rows.kinds, self.memory_features)
            check_table(self.checkpoint_, self._network().config, self.n_features_in_, rows.y.shape[1])
            return rows, y_is_1d
        return rows._replace(kinds=self._resolved(rows.kinds)), y_is_1d

    def _validate_features(self, X: ArrayLike) -> Any:
        """Checked features as numbers, (n, c)."""
        features, kinds = check_features(self, X, reset=False)
        self._resolved(kinds)
        return features

    def _resolved(self, kinds: tuple[Kind, ...]) -> tuple[Kind, ...]:
        """Kinds of columns, of which some rows are of these."""
        names = getattr(self, "feature_names_in_", range(self.n_features_in_))
        return resolved([str(name) for name in names], self.context_.kinds, kinds)

    def _learner(self, y_is_1d: bool, kinds: tuple[Kind, ...]) -> Learner:
        names = tuple(map(str, self.feature_names_in_)) if hasattr(self, "feature_names_in_") else None
        parameters = {name: getattr(self, name) for name in LEARNING}
        return Learner(self.checkpoint_, names, kinds, y_is_1d, **parameters)

    def _network(self, state: ContextState | None = None) -> Network:
        """That of a state, which need not be on the device that there was; or, before there is one, to learn with."""
        device, adaptation = resolve_device(self.device, or_cpu=state is not None), state.adaptation if state else None
        return get_network(self.checkpoint_, device, DTYPES[self.dtype], adaptation)
