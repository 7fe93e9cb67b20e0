"""Random sequences of calls: ``python -m tests.fuzz.sequences [n] [--seed SEED] [--large]``.

An estimator goes through `partial_fit`, `forget`, `merge`, `decay`, bytes,
pickles and calls that fail. After every one it must predict what a fresh one
does that is fitted to the rows which are left, with their weights, at once.
"""

from __future__ import annotations

import argparse
import copy
import pickle
import sys
import warnings

import numpy as np
from hypothesis import HealthCheck, settings
from hypothesis import seed as hypothesis_seed
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from skcmanp import CMANPRegressor, ContextState
from tests.conftest import make_model

# Of the predictive scale, by the network's dtype: never having forgotten, and after.
TOLERANCES = {"float64": (1e-9, 1e-6), "float32": (2e-3, 2e-2), "bfloat16": (0.2, 0.5)}

MODELS = {
    "plain": make_model(),
    "learned": make_model(memory_features=16),
    "matern": make_model(memory_features=14, memory_kernel="matern52", relevance=True, input_limit=20.0),
    "gated": make_model(memory_features=16, memory_fusion="gate"),
    "joint": make_model(memory_features=16, dim_y=2, joint_rank=2),
}
SHIPPED = ("tabular", "field-2d", "image-gray", "gp-1d")


# Sequences after which a long run says how far it is.
BATCH = 100


class Estimator(RuleBasedStateMachine):
    """An estimator, and the rows that it has read and not forgotten."""

    checkpoints: tuple[str, ...] = tuple(MODELS)

    @initialize(data=st.data())
    def begin(self, data: st.DataObject) -> None:
        name = data.draw(st.sampled_from(self.checkpoints))
        self.dtype = data.draw(st.sampled_from(sorted(TOLERANCES)))
        self.n_features = {"gp-1d": 1, "field-2d": 2, "image-gray": 2}.get(name, 3)
        self.n_outputs = 2 if name == "joint" else data.draw(st.integers(1, 2))
        self.x_size, self.y_size = (data.draw(st.sampled_from([1e-30, 1.0, 1e30])) for _ in "xy")
        self.parameters = {
            "checkpoint": MODELS.get(name, name),
            "dtype": self.dtype,
            "chunk_size": data.draw(st.sampled_from([3, 8192])),
            "x_bounds": (-2 * self.x_size, 2 * self.x_size),
            "y_bounds": (-2 * self.y_size, 2 * self.y_size),
        }
        self.queries = np.random.default_rng(0).normal(size=(5, self.n_features)) * self.x_size
        self.chunks: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = []
        self.has_forgotten = False
        self.estimator = CMANPRegressor(**self.parameters)
        self.read(0, 4, "some", "ones")

    def rows(self, seed: int, n: int, kind: str, weights: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        rng = np.random.default_rng(seed)
        X, y = rng.normal(size=(n, self.n_features)), rng.normal(size=(n, self.n_outputs))
        if kind == "duplicates":
            X, y = np.repeat(X[:1], n, axis=0), np.repeat(y[:1], n, axis=0)
        elif kind == "constant":
            X[:, 0] = 0.5
        weight = {
            "ones": np.ones(n),
            "integers": rng.integers(1, 4, n).astype(float),
            "numbers": rng.uniform(0.1, 3, n),
            "with zeros": np.r_[1.0, rng.integers(0, 2, n - 1)],
        }[weights]
        return X * self.x_size, y * self.y_size, weight

    kinds = st.sampled_from(["some", "duplicates", "constant"])
    weights = st.sampled_from(["ones", "integers", "numbers", "with zeros"])
    seeds, sizes = st.integers(0, 10**6), st.integers(1, 12)

    @rule(seed=seeds, n=sizes, kind=kinds, weights=weights)
    def read(self, seed: int, n: int, kind: str, weights: str) -> None:
        rows = self.rows(seed, n, kind, weights)
        self.estimator.partial_fit(*rows)
        self.chunks.append(rows)

    @precondition(lambda self: len(self.chunks) > 1)
    @rule(which=st.integers(0, 100))
    def forget(self, which: int) -> None:
        rows = self.chunks[which % len(self.chunks)]
        try:
            self.estimator.forget(*rows)
        except ValueError as error:
            if "Too little would be left" not in str(error):
                raise AssertionError(str(error)) from error
        else:
            self.chunks.pop(which % len(self.chunks))
            self.has_forgotten = True

    @rule(gamma=st.sampled_from([0.3, 0.9, 1.0]))
    def decay(self, gamma: float) -> None:
        self.estimator.decay(gamma)
        self.chunks = [(X, y, gamma * weight) for X, y, weight in self.chunks]

    @rule(seed=seeds, n=sizes, weights=weights)
    def merge(self, seed: int, n: int, weights: str) -> None:
        rows = self.rows(seed, n, "some", weights)
        self.estimator.merge(CMANPRegressor(**self.parameters).fit(*rows))
        self.chunks.append(rows)

    @rule(how=st.sampled_from(["bytes", "pickle", "copy"]))
    def restore(self, how: str) -> None:
        before = self.predicted(self.estimator)
        if how == "bytes":
            state = ContextState.from_bytes(self.estimator.context_.to_bytes())
            self.estimator = CMANPRegressor(**self.parameters).merge(state)
        else:
            self.estimator = (
                pickle.loads(pickle.dumps(self.estimator)) if how == "pickle" else copy.deepcopy(self.estimator)
            )
        # The posterior of a live estimator may have followed the last rows; one that is restored is found anew.
        after = self.predicted(self.estimator)
        np.testing.assert_allclose(after, before, rtol=1e-6, atol=1e-6 * np.abs(before).max())

    @rule(n_samples=st.integers(1, 3))
    def draw(self, n_samples: int) -> None:
        one, other = (self.estimator.sample_y(self.queries, n_samples, random_state=0) for _ in range(2))
        assert np.isfinite(one).all()
        np.testing.assert_array_equal(one, other)

    @rule(how=st.sampled_from(["width", "NaN", "weight", "gamma", "foreign", "more"]))
    def fail(self, how: str) -> None:
        X, y, weight = self.rows(1, 3, "some", "ones")
        nan = np.full_like(y, np.nan)
        calls = {
            "width": lambda: self.estimator.partial_fit(X[:, :0], y),
            "NaN": lambda: self.estimator.partial_fit(X, nan),
            "weight": lambda: self.estimator.partial_fit(X, y, -weight),
            "gamma": lambda: self.estimator.decay(1.5),
            "foreign": lambda: self.estimator.merge(CMANPRegressor(MODELS["plain"]).fit(X + self.x_size, y)),
            "more": lambda: self.estimator.forget(X, y, 1e5 * weight),
        }
        state, attributes = self.estimator.context_, dict(vars(self.estimator))
        try:
            calls[how]()
        except ValueError:
            assert self.estimator.context_ is state
            assert vars(self.estimator) == attributes
        else:
            raise AssertionError(f"{how} is accepted")

    def predicted(self, estimator: CMANPRegressor) -> np.ndarray:
        return np.array(estimator.predict(self.queries, return_std=True))

    @invariant()
    def is_like_a_fresh_one(self) -> None:
        if not getattr(self, "chunks", None):
            return
        X, y, weight = (np.concatenate(arrays) for arrays in zip(*self.chunks, strict=True))
        fresh = CMANPRegressor(**self.parameters).fit(X, y, weight)
        expected, found = self.predicted(fresh), self.predicted(self.estimator)
        assert np.isfinite(found).all()
        assert (found[1] > 0).all()
        unit = np.abs(expected[0]).max() + expected[1].max()
        worst = np.abs(found - expected).max() / unit
        assert worst <= TOLERANCES[self.dtype][self.has_forgotten], worst
        assert self.estimator.n_samples_seen_ == int((weight > 0).sum())


class LargeEstimator(Estimator):
    """Of shipped checkpoints, too."""

    checkpoints = (*MODELS, *SHIPPED)


def run(n: int, seed: int = 0, steps: int = 12, machine: type[Estimator] = Estimator) -> str:
    """What is wrong with `n` sequences; nothing is empty."""
    checks = [HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much]
    budget = settings(
        max_examples=n,
        stateful_step_count=steps,
        deadline=None,
        database=None,
        derandomize=False,
        suppress_health_check=checks,
        print_blob=False,
    )
    try:
        run_state_machine_as_test(hypothesis_seed(seed)(machine), settings=budget)
    except AssertionError as error:
        return f"{error}\n" + "\n".join(getattr(error, "__notes__", ()))
    return ""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("n", type=int, nargs="?", default=5000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--large", action="store_true", help="shipped checkpoints, too")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    machine = LargeEstimator if arguments.large else Estimator
    for start in range(0, arguments.n, BATCH):
        n = min(BATCH, arguments.n - start)
        if wrong := run(n, arguments.seed + start, machine=machine):
            print(wrong, flush=True)
            return 1
        print(f"{start + n} sequences, none wrong", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
