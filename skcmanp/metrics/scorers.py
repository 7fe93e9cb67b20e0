"""Metrics as scorers: what ``scoring=`` takes in `cross_val_score`, `cross_validate` and `GridSearchCV`."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any, Self

from numpy.typing import ArrayLike
from sklearn.utils.metadata_routing import MetadataRequest

from skcmanp.metrics.gaussian import calibration_error, gaussian_crps, gaussian_nll, interval_coverage, interval_score
from skcmanp.wrappers import predict_std, supports_std


class GaussianScorer:
    """A metric of Gaussian predictions as a scorer: ``scorer(estimator, X, y, sample_weight=None)``, greater is better.

    Parameters
    ----------
    metric : callable
        ``metric(y_true, y_mean, y_std, sample_weight=..., **options)``, a float.
    greater_is_better : bool, default=False
        Otherwise the score is the metric's negative.
    **options
        Further arguments of the metric, such as `confidence`.

    Examples
    --------
    >>> from sklearn.datasets import load_diabetes
    >>> from sklearn.linear_model import BayesianRidge
    >>> from sklearn.model_selection import cross_val_score
    >>> from skcmanp.metrics import GaussianScorer, interval_score
    >>> X, y = load_diabetes(return_X_y=True)
    >>> scorer = GaussianScorer(interval_score, confidence=0.5)
    >>> cross_val_score(BayesianRidge(), X, y, scoring=scorer, cv=3).round().tolist()
    [-140.0, -147.0, -136.0]
    """

    def __init__(self, metric: Callable[..., Any], *, greater_is_better: bool = False, **options: Any) -> None:
        self.metric = metric
        self.greater_is_better = greater_is_better
        self.options = options
        self._weight_request: bool | str | None = None

    def __call__(self, estimator: Any, X: Any, y: ArrayLike, sample_weight: ArrayLike | None = None) -> float:
        if not supports_std(estimator):
            raise TypeError(
                f"{estimator!r} has no predict(X, return_std=True), which {self!r} needs; choose a regressor with "
                "return_std, alone or inside a Pipeline, a search or a stack."
            )
        mean, std = predict_std(estimator, X)
        value = float(self.metric(y, mean, std, sample_weight=sample_weight, **self.options))
        return value if self.greater_is_better else -value

    def set_score_request(self, *, sample_weight: bool | str | None) -> Self:
        """A copy that asks for weights, or for metadata of that name, where scikit-learn's metadata routing is on.

        Examples
        --------
        >>> from skcmanp.metrics import neg_nll_scorer
        >>> neg_nll_scorer.set_score_request(sample_weight=True)
        GaussianScorer(gaussian_nll)
        """
        scorer = copy.copy(self)
        scorer._weight_request = sample_weight
        return scorer

    def get_metadata_routing(self) -> MetadataRequest:
        """What `set_score_request` asked for, as scikit-learn wants to know it."""
        request = MetadataRequest(owner=self)
        request.score.add_request(param="sample_weight", alias=self._weight_request)
        return request

    def _accept_sample_weight(self) -> bool:
        """Asked by scikit-learn's searches that have several scorers."""
        return True

    def __repr__(self) -> str:
        options = "".join(f", {name}={value!r}" for name, value in self.options.items())
        better = ", greater_is_better=True" if self.greater_is_better else ""
        return f"GaussianScorer({self.metric.__name__}{better}{options})"


neg_nll_scorer = GaussianScorer(gaussian_nll)
neg_crps_scorer = GaussianScorer(gaussian_crps)
neg_interval_score_scorer = GaussianScorer(interval_score)
neg_calibration_error_scorer = GaussianScorer(calibration_error)
# To report, not to choose by: the best coverage is not the greatest.
coverage_scorer = GaussianScorer(interval_coverage, greater_is_better=True)
