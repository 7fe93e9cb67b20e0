from itertools import pairwise

import pytest

from skcmanp.training import TrainingOptions


def test_learning_rate_warms_up_holds_and_cools_down():
    options = TrainingOptions(steps=1000, learning_rate=1.0, warmup=100, cooldown=0.3)
    rates = [options.learning_rate_at(step) for step in range(1000)]
    assert rates[0] == 0.01
    assert rates[99] == rates[699] == 1.0
    assert all(a >= b for a, b in pairwise(rates[699:]))
    assert rates[-1] < 1e-4
    assert TrainingOptions(steps=10, cooldown=0.0, warmup=0).learning_rate_at(9) == 1e-3


def test_a_whole_cosine():
    options = TrainingOptions(steps=100, learning_rate=2.0, warmup=0, cooldown=1.0)
    assert options.learning_rate_at(0) == 2.0
    assert options.learning_rate_at(50) == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"steps": 0}, "steps=0 must be an integer of at least 1"),
        ({"batch_size": 2.5}, "batch_size=2.5 must be an integer"),
        ({"distinct": -1}, "distinct=-1 must be an integer of at least 0"),
        ({"warmup": -1}, "warmup=-1 must be an integer of at least 0"),
        ({"learning_rate": 0.0}, "learning_rate=0.0 must be positive"),
        ({"clip": 0}, "clip=0 must be positive"),
        ({"save_seconds": -1.0}, "save_seconds=-1.0 must be at least 0"),
        ({"cooldown": 1.5}, "cooldown=1.5 must be between 0 and 1"),
        ({"ema": 1.0}, "ema=1.0 must be at least 0 and less than 1"),
        ({"precision": "float16"}, "precision='float16' must be one of"),
    ],
)
def test_values_out_of_range_are_named(change, message):
    with pytest.raises(ValueError, match=message):
        TrainingOptions(**change)
