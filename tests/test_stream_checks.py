"""scikit-learn's own checks of CMANPStreamRegressor, none expected to fail."""

import warnings

import pytest
from sklearn.utils.estimator_checks import parametrize_with_checks

from skcmanp import CMANPStreamRegressor


@pytest.mark.slow
@parametrize_with_checks([CMANPStreamRegressor()])
def test_scikit_learn_checks(estimator, check):
    with warnings.catch_warnings():
        # The checks provoke warnings on purpose, and on some versions cause their own.
        warnings.simplefilter("default")
        check(estimator)
