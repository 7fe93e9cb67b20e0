import numpy as np
import pytest
from test_summary import SHAPE, assert_close, summary

from skcmanp.context import ContextState
from skcmanp.scaling import Scaling
from skcmanp.summary import RunningSoftmax, RunningSums, Summary

SCALING = Scaling(np.zeros(3), np.ones(3), np.zeros(2), np.ones(2))


def state(n_rows=0, seed=0, **changes):
    return ContextState(
        **{
            "checkpoint": "net",
            "fingerprint": "ab" * 32,
            "scaling": SCALING,
            "summary": summary(seed, n_rows),
            **changes,
        }
    )


def test_states_absorb_merge_subtract_and_decay_their_summaries():
    a, b = summary(0, 5, 7.5), summary(1, 3, 2.5)
    total = state().absorb(a).absorb(b)
    assert (total.weight, total.n_rows) == (10.0, 8)
    merged = state().absorb(a).merge(state().absorb(b))
    assert (merged.weight, merged.n_rows) == (10.0, 8)
    assert_close(merged.summary.softmax, total.summary.softmax, 0)
    left = total.subtract(b)
    assert (left.weight, left.n_rows) == (7.5, 5)
    empty = total.decay(0.0)
    assert (empty.weight, empty.n_rows) == (0.0, 0)
    assert empty.scaling is total.scaling


def test_merging_needs_the_same_network_and_scaling():
    with pytest.raises(ValueError, match=r"checkpoint 'other' \(cdcd"):
        state().merge(state(checkpoint="other", fingerprint="cd" * 32))
    other = Scaling(np.ones(3), np.ones(3), np.zeros(2), np.ones(2))
    with pytest.raises(ValueError, match="x_bounds"):
        state().merge(state(scaling=other))
    one_target = Summary(RunningSoftmax.empty((1, *SHAPE[1:])), RunningSums.empty((1, 7, 1)))
    with pytest.raises(ValueError, match="scaling"):
        state().merge(state(summary=one_target))


@pytest.mark.parametrize("n_rows", [0, 1, 5])
def test_bytes_round_trip_exactly(n_rows):
    original = state(n_rows)
    restored = ContextState.from_bytes(original.to_bytes())
    assert restored.to_bytes() == original.to_bytes()
    assert (restored.weight, restored.n_rows) == (original.weight, original.n_rows)
    assert restored.scaling.equals(SCALING)
    for name, array in original.summary.arrays().items():
        assert np.array_equal(restored.summary.arrays()[name], array)


@pytest.mark.parametrize("data", [b"", b"12345678", b"\x05\x00\x00\x00\x00\x00\x00\x00abcde"])
def test_foreign_bytes_are_refused(data):
    with pytest.raises(ValueError, match="damaged or not a context"):
        ContextState.from_bytes(data)


def test_truncated_bytes_are_refused():
    data = state().to_bytes()
    with pytest.raises(ValueError, match="damaged or not a context"):
        ContextState.from_bytes(data[:-9])


def test_size_does_not_depend_on_rows():
    empty, full = state(), state(5)
    assert empty.nbytes == full.nbytes
    assert abs(len(full.to_bytes()) - full.nbytes) < 2048


def test_repr_is_one_short_line():
    half = state(5).decay(0.5)
    d, t = len(SCALING.x_centre), len(SCALING.y_centre)
    assert repr(half) == (
        f"ContextState(checkpoint={half.checkpoint!r}, n_features={d}, n_outputs={t}, n_rows=5, "
        f"weight={half.weight:.6g}, nbytes={half.nbytes})"
    )
    assert len(repr(half)) < 120
