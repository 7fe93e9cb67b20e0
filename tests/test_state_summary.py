import numpy as np
import pytest
from test_state_softmax import rows, statistics
from test_state_sums import sums

from skcmanp.state.summary import Summary


def summary(seed, n_rows, weight=None):
    return Summary(
        statistics(*rows(seed, n_rows, 1.0)), sums(seed, n_rows), float(n_rows if weight is None else weight), n_rows
    )


def test_summaries_count_rows_and_weight():
    a, b = summary(0, 5, 7.5), summary(1, 3, 2.5)
    total = a.combine(b)
    assert (total.weight, total.n_rows) == (10.0, 8)
    assert (total.decay(0.5).weight, total.decay(0.5).n_rows) == (5.0, 8)
    left = total.subtract(b)
    assert (left.weight, left.n_rows) == (7.5, 5)
    np.testing.assert_allclose(left.sums.a, a.sums.a)
    np.testing.assert_allclose(total.decay(0.5).sums.b, total.sums.b / 2)


def test_decay_by_zero_and_forgetting_everything_empty_the_summary():
    full = summary(0, 5)
    for empty in (full.decay(0.0), full.subtract(full)):
        assert (empty.weight, empty.n_rows) == (0.0, 0)
        assert (empty.softmax.output() == 0).all()
        assert not empty.sums.a.any()
        assert not empty.sums.c.any()


def test_forgetting_what_was_not_read_is_an_error():
    full = summary(0, 5)
    with pytest.raises(ValueError, match="Cannot forget 6 rows"):
        full.subtract(summary(1, 6))
    with pytest.raises(ValueError, match=r"of weight 5\.5: only 5 rows"):
        full.subtract(summary(0, 5, 5.5))
    with pytest.raises(ValueError, match="they are not the 5 that are remembered"):
        full.subtract(summary(1, 5))


def test_arrays_hold_everything():
    full = summary(0, 5, 7.5)
    again = Summary.from_arrays(full.arrays())
    assert (again.weight, again.n_rows) == (7.5, 5)
    for name, array in full.arrays().items():
        assert np.array_equal(again.arrays()[name], array)


def test_a_part_of_all_weight_can_be_forgotten_and_then_the_rest():
    full = summary(0, 5)
    part, rest = summary(0, 5).decay(0.3), summary(0, 5).decay(0.7)
    left = full.subtract(part)
    assert left.weight == pytest.approx(3.5)
    assert left.n_rows > 0
    assert left.subtract(rest).n_rows == 0


def test_rows_cannot_be_forgotten_twice():
    rows, others = summary(0, 5), summary(1, 3, 30.0)
    left = rows.combine(others).subtract(rows)
    with pytest.raises(ValueError, match=r"forgotten twice|Too little would be left"):
        left.subtract(rows)
