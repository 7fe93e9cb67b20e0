import numpy as np
import pytest

from skcmanp.validation import check_weight, restored_on_error


def test_weights_become_float64():
    weight = check_weight([1, 0, 2], 3)
    assert weight.dtype == np.float64
    assert weight.tolist() == [1, 0, 2]


@pytest.mark.parametrize(
    ("weight", "message"),
    [
        ([1, -0.5, 1], r"the smallest is -0\.5"),
        ([0, 0, 0], "zero for all rows"),
        ([1, 2], r"shape \(2,\), but there are 3 rows"),
        ([[1, 2, 3]], r"shape \(1, 3\)"),
        ([1, np.inf, 1], "sample_weight contains infinity"),
    ],
)
def test_bad_weights_are_named(weight, message):
    with pytest.raises(ValueError, match=message):
        check_weight(weight, 3)


def test_attributes_are_restored_on_any_error():
    class Thing:
        pass

    thing = Thing()
    thing.a, thing.b = 1, 2

    def fail():
        with restored_on_error(thing):
            thing.a, thing.c = 3, 4
            del thing.b
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fail()
    assert vars(thing) == {"a": 1, "b": 2}
    with restored_on_error(thing):
        thing.a = 3
    assert thing.a == 3
