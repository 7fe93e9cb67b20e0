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
        ({"steps": 0}, r"steps=0 must be an integer in \[1, inf\)"),
        ({"steps": 2**31}, "steps=2147483648 must be an integer"),
        ({"batch_size": 2.5}, "batch_size=2.5 must be an integer"),
        ({"batch_size": True}, "batch_size=True must be an integer"),
        ({"distinct": -1}, r"distinct=-1 must be an integer in \[0, inf\)"),
        ({"warmup": -1}, r"warmup=-1 must be an integer in \[0, inf\)"),
        ({"learning_rate": 0.0}, r"learning_rate=0.0 must be a number in \(0, inf\)"),
        ({"learning_rate": float("inf")}, "learning_rate=inf must be"),
        ({"learning_rate": "fast"}, "learning_rate='fast' must be"),
        ({"betas": 0.9}, r"betas=0.9 must be two numbers in \[0, 1\)"),
        ({"betas": (0.9, 1.0)}, "betas="),
        ({"betas": (0.9,)}, "betas="),
        ({"weight_decay": -1e-4}, "weight_decay=-0.0001 must be"),
        ({"weight_decay": float("nan")}, "weight_decay=nan must be"),
        ({"trainable": 5}, "trainable=5 must be a text"),
        ({"compile": 1}, "compile=1 must be true or false"),
        ({"clip": 0}, r"clip=0 must be a number in \(0, inf\]"),
        ({"save_seconds": -1.0}, "save_seconds=-1.0 must be"),
        ({"cooldown": 1.5}, r"cooldown=1.5 must be a number in \[0, 1\]"),
        ({"ema": 1.0}, r"ema=1.0 must be a number in \[0, 1\)"),
        ({"precision": "float16"}, "precision='float16' must be one of"),
    ],
)
def test_values_out_of_range_are_named(change, message):
    with pytest.raises(ValueError, match=message):
        TrainingOptions(**change)
