"""States go in and come out; what streams are adapted to is tested with the first rows."""

from dataclasses import replace

import numpy as np
import pytest
from conftest import make_model

from skcmanp.adaptation.first_rows import ENOUGH
from skcmanp.checkpoints import resolve_checkpoint
from skcmanp.frames import Kind
from skcmanp.learner import LEARNING, Learner
from skcmanp.regressor import CMANPRegressor
from skcmanp.validation import Rows

KINDS = (Kind.NUMBER,) * 3


@pytest.fixture(scope="module")
def learner():
    parameters = CMANPRegressor(n_jobs=1).get_params()
    checkpoint = resolve_checkpoint(make_model(), KINDS)
    return Learner(checkpoint, ("a", "b", "c"), KINDS, True, **{name: parameters[name] for name in LEARNING})


def some_rows(n):
    rng = np.random.default_rng(n)
    return Rows(rng.normal(size=(n, 3)), rng.normal(size=(n, 1)))


def test_states_know_what_they_are_of(learner):
    rows = some_rows(20)
    for state in (learner.fit(rows), learner.begin(rows), learner.partial_fit(learner.begin(rows), rows)):
        assert (state.checkpoint, state.fingerprint) == (learner.checkpoint.name, learner.checkpoint.identity)
        assert (state.feature_names, state.y_is_1d) == (("a", "b", "c"), True)
        state.check_possible()


def test_fit_freezes_and_a_stream_keeps_its_rows(learner):
    rows = some_rows(20)
    assert learner.fit(rows).first_rows is None
    begun = learner.begin(rows)
    np.testing.assert_array_equal(begun.first_rows.X, rows.X)
    assert begun.adaptation.equals(learner.fit(Rows(rows.X[:16], rows.y[:16])).adaptation)
    longer = learner.partial_fit(begun, some_rows(11))
    assert longer.adaptation is begun.adaptation
    assert (longer.n_rows, len(longer.first_rows.X)) == (31, 31)
    assert learner.partial_fit(longer, some_rows(1)).adaptation is not begun.adaptation


def test_a_chunk_with_the_last_of_the_first_rows_is_split(learner):
    state = learner.partial_fit(learner.begin(some_rows(20)), some_rows(ENOUGH))
    assert state.first_rows is None
    assert state.n_rows == ENOUGH + 20
    assert learner.partial_fit(state, some_rows(5)).adaptation is state.adaptation


@pytest.mark.parametrize(
    ("parameters", "adapts"),
    [
        ({}, True),
        ({"x_bounds": (0, 1)}, True),
        ({"standardize": False}, False),
        ({"x_bounds": (0, 1), "y_bounds": (0, 1)}, False),
        ({"x_bounds": (0, 1), "y_bounds": (0, 1), "adapt": True}, True),
        ({"standardize": False, "adapt": True}, True),
    ],
)
def test_when_rows_are_adapted_to(learner, parameters, adapts):
    changed = replace(learner, **parameters)
    assert changed.adapts_to_rows is adapts
    if changed.adapt == "auto":
        assert (changed.begin(some_rows(5)).first_rows is not None) is adapts
