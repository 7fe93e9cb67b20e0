"""How good Gaussian predictions are, means with standard deviations: metrics, and scorers for model selection.

Metrics have the manner of `sklearn.metrics`: targets first, then predictions, with `sample_weight` and `multioutput`.
Scorers need an estimator whose ``predict`` knows ``return_std``, alone or inside a `Pipeline`, a search or a
stack: `CMANPRegressor`, `GaussianProcessRegressor`, `BayesianRidge`. Nothing here loads torch.
"""

from skcmanp.metrics.gaussian import (
    calibration_error,
    gaussian_crps,
    gaussian_nll,
    interval_coverage,
    interval_score,
    pit,
    sharpness,
)
from skcmanp.metrics.scorers import (
    GaussianScorer,
    coverage_scorer,
    neg_calibration_error_scorer,
    neg_crps_scorer,
    neg_interval_score_scorer,
    neg_nll_scorer,
)
from skcmanp.wrappers import supports_std

__all__ = [
    "GaussianScorer",
    "calibration_error",
    "coverage_scorer",
    "gaussian_crps",
    "gaussian_nll",
    "interval_coverage",
    "interval_score",
    "neg_calibration_error_scorer",
    "neg_crps_scorer",
    "neg_interval_score_scorer",
    "neg_nll_scorer",
    "pit",
    "sharpness",
    "supports_std",
]
