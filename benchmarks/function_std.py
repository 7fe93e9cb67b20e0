"""Without noise: is the function where intervals say that it is?

Five functions, with little and much noise, learned from 50, 500 and 3,000 rows and
predicted at 1,000 others: ``python benchmarks/function_std.py [--seeds N]``. Coverage
is that of 90 % intervals, of the noise-free function by the std without noise, and of
targets by the std with it. The exact process has the kernel that its evidence chose,
without its noise; it is fitted up to 500 rows, and once.
"""

from __future__ import annotations

import argparse
import warnings
from collections.abc import Callable

import numpy as np
from _report import write
from scipy.stats import norm
from sklearn.exceptions import ConvergenceWarning
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import ConstantKernel, Matern, WhiteKernel
from tqdm.auto import tqdm

from skcmanp import CMANPRegressor

# Rows (n, d) in [-1, 1] -> the function, and the standard deviation of unit noise, (n,) each.
Function = Callable[[np.ndarray], tuple[np.ndarray, np.ndarray | float]]

N_NEW = 1_000
HALF_WIDTH = norm.ppf(0.95)


def friedman(X: np.ndarray) -> tuple[np.ndarray, float]:
    u = (X + 1) / 2
    return 10 * np.sin(np.pi * u[:, 0] * u[:, 1]) + 20 * (u[:, 2] - 0.5) ** 2 + 10 * u[:, 3] + 5 * u[:, 4], 1.0


def sine(X: np.ndarray) -> tuple[np.ndarray, float]:
    return 5 * np.sin(6 * X[:, 0]) * np.exp(-(X[:, 0] ** 2)), 1.0


def growing_noise(X: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return 5 * np.sin(6 * X[:, 0]) + 9 * X[:, 1] ** 2, np.exp(1.5 * X[:, 1])


def steps(X: np.ndarray) -> tuple[np.ndarray, float]:
    return 5.0 * (X[:, 0] > 0) + 3 * ((X[:, 1] > -0.4) & (X[:, 2] < 0.4)), 1.0


def linear(X: np.ndarray) -> tuple[np.ndarray, float]:
    return X @ [6, 2, 0, 0, 4], 1.0


FUNCTIONS: dict[str, tuple[Function, int]] = {
    "friedman, 8 features": (friedman, 8),
    "damped sine, 1 feature": (sine, 1),
    "growing noise, 2 features": (growing_noise, 2),
    "linear, 5 features": (linear, 5),
    "steps, 3 features": (steps, 3),
}


def process(X: np.ndarray, y: np.ndarray) -> GaussianProcessRegressor:
    """Without its noise, once that is known."""
    kernel = ConstantKernel(1.0) * Matern(np.ones(X.shape[1]), nu=2.5) + WhiteKernel(0.1)
    fitted = GaussianProcessRegressor(kernel, normalize_y=True).fit(X, y)
    fitted.kernel_ = fitted.kernel_.k1
    return fitted


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=2)
    seeds = parser.parse_args().seeds
    warnings.simplefilter("ignore", ConvergenceWarning)
    rows = []
    cases = [(name, n, size) for name in FUNCTIONS for n in (50, 500, 3_000) for size in (0.3, 2.0)]
    for name, n, size in tqdm(cases):
        function, d = FUNCTIONS[name]
        scores, of_process = [], np.nan
        for seed in range(seeds):
            rng = np.random.default_rng(seed)
            X = rng.uniform(-1, 1, (n + N_NEW, d))
            f, unit = function(X)
            noise = size * unit
            y = f + noise * rng.normal(size=len(f))
            old, new = slice(n), slice(n, None)
            reg = CMANPRegressor().fit(X[old], y[old])
            mean, total = reg.predict(X[new], return_std=True)
            std = reg.predict(X[new], return_std=True, include_noise=False)[1]
            estimated = np.sqrt(np.mean(total**2 - std**2) / np.mean(np.square(noise + np.zeros(N_NEW + n))))
            error = np.abs(f[new] - mean)
            scores.append(
                [(error < HALF_WIDTH * std).mean(), (np.abs(y[new] - mean) < HALF_WIDTH * total).mean(), estimated]
            )
            if not seed and n <= 500:
                mean, std = process(X[old], y[old]).predict(X[new], return_std=True)
                of_process = (np.abs(f[new] - mean) < HALF_WIDTH * std).mean()
        columns = ("function_90", "targets_90", "noise_estimated_to_true")
        means = dict(zip(columns, map(float, np.mean(scores, axis=0)), strict=True))
        rows.append(
            {"function": name, "rows": n, "noise": size, **means, "exact_process_function_90": float(of_process)}
        )
    write("function_std", rows)


if __name__ == "__main__":
    main()
