"""Ctrl-C at any moment: ``python -m tests.fuzz.interrupts [n]`` interrupts every method so many times.

A call that is interrupted, at a random line of whatever code it runs, must have
been done wholly or not at all.
"""

from __future__ import annotations

import argparse
import copy
import sys
from collections.abc import Callable
from typing import Any

import numpy as np

from skcmanp import CMANPRegressor
from tests.conftest import make_model

PARAMETERS = {"checkpoint": make_model(memory_features=16), "x_bounds": (-3, 3), "y_bounds": (-3, 3)}
_RNG = np.random.default_rng(0)
X, Y = _RNG.normal(size=(30, 3)), _RNG.normal(size=30)
OTHER = CMANPRegressor(**PARAMETERS).fit(X, Y)

CALLS: dict[str, Callable[[CMANPRegressor], Any]] = {
    "fit": lambda reg: reg.fit(X[:7], Y[:7]),
    "fit another table": lambda reg: reg.fit(X[:7, :2], np.c_[Y[:7], Y[:7]]),
    "partial_fit": lambda reg: reg.partial_fit(X[:7], Y[:7]),
    "forget": lambda reg: reg.forget(X[:7], Y[:7]),
    "decay": lambda reg: reg.decay(0.5),
    "merge": lambda reg: reg.merge(OTHER),
    "predict": lambda reg: reg.predict(X, return_std=True),
    "sample_y": lambda reg: reg.sample_y(X, 2, random_state=0),
    "log_prob": lambda reg: reg.log_prob(X, Y, joint=True),
}


def events(call: Callable[[], Any], interrupt_at: int = 0) -> tuple[int, bool]:
    """How many lines a call runs, and whether it was interrupted at the one of that number."""
    count = 0

    def trace(frame: Any, event: str, argument: Any) -> Any:
        nonlocal count
        count += 1
        if count == interrupt_at:
            sys.settrace(None)
            raise KeyboardInterrupt
        return trace

    sys.settrace(trace)
    try:
        call()
    except KeyboardInterrupt:
        return count, True
    finally:
        sys.settrace(None)
    return count, False


def content(reg: CMANPRegressor) -> dict[str, Any]:
    """All that an estimator is, to be compared."""
    return {**vars(reg), "context_": reg.context_.to_bytes()}


def run(n: int, seed: int = 0) -> list[str]:
    """What is wrong with `n` interrupts of every method."""
    rng, wrong, total = np.random.default_rng(seed), [], 0
    fresh = CMANPRegressor(**PARAMETERS).fit(X, Y)
    for name, call in CALLS.items():
        done = copy.copy(fresh)
        call(done)
        allowed = [content(fresh), content(done)]
        length, _ = events(lambda call=call: call(copy.copy(fresh)))
        n_interrupted = 0
        while n_interrupted < n:
            reg, at = copy.copy(fresh), int(rng.integers(1, length + 1))
            passed, is_interrupted = events(lambda call=call, reg=reg: call(reg), at)
            n_interrupted += is_interrupted
            if passed < at:  # what is remembered makes calls shorter
                length = passed
            if content(reg) not in allowed:
                wrong.append(f"{name}, interrupted at event {at} of {length}")
        total += n_interrupted
    print(f"{total} calls interrupted", flush=True)
    return wrong


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("n", type=int, nargs="?", default=1000)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    wrong = run(arguments.n, arguments.seed)
    print("\n".join(wrong) or "none changed anything in part")
    return int(bool(wrong))


if __name__ == "__main__":
    sys.exit(main())
