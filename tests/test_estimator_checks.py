"""P12: scikit-learn's own checks, none expected to fail."""

import warnings

import pytest
from sklearn.base import clone
from sklearn.utils.estimator_checks import parametrize_with_checks

from skcmanp import CMANPRegressor


@parametrize_with_checks([CMANPRegressor()])
def test_scikit_learn_checks(estimator, check):
    with warnings.catch_warnings():
        # The checks provoke warnings on purpose, and on some versions cause their own.
        warnings.simplefilter("default")
        check(estimator)


def test_tags_claim_determinism():
    tags = CMANPRegressor().__sklearn_tags__()
    assert not tags.non_deterministic
    assert not tags.regressor_tags.poor_score
    assert tags.target_tags.multi_output


def test_clone_shares_the_network(model):
    reg = CMANPRegressor(checkpoint=model)
    assert clone(reg).checkpoint is model
    with pytest.raises(AttributeError):
        _ = clone(reg).context_
