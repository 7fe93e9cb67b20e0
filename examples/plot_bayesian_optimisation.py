"""
Bayesian optimisation
=====================

Where a function is dear to evaluate, a model that knows what it does not know
chooses where to look next. This page minimises two test functions with
``CMANPRegressor`` and with scikit-learn's ``GaussianProcessRegressor``, each with two
rules: expected improvement, which needs ``return_std``, and Thompson sampling, which
needs ``sample_y``.
"""

# %%
# Two functions on the unit cube
# ------------------------------
# Forrester's has a wide valley that leads away from its minimum. Branin's has three
# equal minima, and values up to 300 elsewhere.
import warnings

import matplotlib.pyplot as plt
import numpy as np
from joblib import Parallel, delayed
from scipy.stats import norm
from sklearn.exceptions import ConvergenceWarning
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import ConstantKernel, Matern, WhiteKernel

from skcmanp import CMANPRegressor


def forrester(x):
    return (6 * x[:, 0] - 2) ** 2 * np.sin(12 * x[:, 0] - 4)


def branin(x):
    a, b = 15 * x[:, 0] - 5, 15 * x[:, 1]
    return (b - 5.1 / (4 * np.pi**2) * a**2 + 5 / np.pi * a - 6) ** 2 + (10 - 10 / (8 * np.pi)) * np.cos(a) + 10


PROBLEMS = {  # function, number of features, minimum, steps
    "Forrester, 1 feature": (forrester, 1, -6.020740, 9),
    "Branin, 2 features": (branin, 2, 0.397887, 14),
}

# %%
# Two models
# ----------
# Both are fitted anew after every evaluation. CMANP could read on instead, in a few
# milliseconds, but units that were settled on four rows do not suit fourteen. Declared
# bounds avoid that too. On Branin they were better in the first steps and worse in
# the last: near a minimum, details matter that are small beside the range of the
# function.


def cmanp(n_features):
    return CMANPRegressor()


def gaussian_process(n_features):
    kernel = ConstantKernel(1.0, (1e-2, 1e3)) * Matern(np.full(n_features, 0.3), (1e-2, 10), nu=2.5)
    kernel += WhiteKernel(1e-4, (1e-8, 1))
    return GaussianProcessRegressor(kernel, normalize_y=True, n_restarts_optimizer=1, random_state=0)


# %%
# Two rules
# ---------
# Both choose among 120 candidates: most of them anywhere, some close to the best
# so far. Expected improvement is the mean of how far a candidate will be below the
# best. Thompson sampling draws all candidates at once and takes the lowest.


def expected_improvement(reg, candidates, best, seed):
    mean, std = reg.predict(candidates, return_std=True)
    z = (best - mean) / std
    return std * (z * norm.cdf(z) + norm.pdf(z))


def thompson(reg, candidates, best, seed):
    return -reg.sample_y(candidates, random_state=seed)[:, 0]


def minimise(problem, make, rule, seed):
    """Regret of the best so far, after 4 random evaluations and then at each step."""
    warnings.simplefilter("ignore", ConvergenceWarning)
    function, n_features, minimum, steps = PROBLEMS[problem]
    rng = np.random.default_rng(seed)
    X = rng.uniform(size=(4, n_features))
    y = function(X)
    for step in range(steps):
        anywhere = rng.uniform(size=(90, n_features))
        close = np.clip(X[np.argmin(y)] + 0.05 * rng.standard_normal((30, n_features)), 0, 1)
        candidates = np.concatenate([anywhere, close])
        if make is None:
            chosen = candidates[:1]
        else:
            score = rule(make(n_features).fit(X, y), candidates, y.min(), 1000 * seed + step)
            chosen = candidates[[np.argmax(score)]]
        X, y = np.concatenate([X, chosen]), np.concatenate([y, function(chosen)])
    return np.minimum.accumulate(y)[3:] - minimum


# %%
# Five starts each
# ----------------
METHODS = {
    "random": (None, None),
    "Gaussian process, expected improvement": (gaussian_process, expected_improvement),
    "Gaussian process, Thompson": (gaussian_process, thompson),
    "CMANP, expected improvement": (cmanp, expected_improvement),
    "CMANP, Thompson": (cmanp, thompson),
}
SEEDS = range(5)
tasks = [(problem, method, seed) for problem in PROBLEMS for method in METHODS for seed in SEEDS]
runs = Parallel(n_jobs=2)(delayed(minimise)(problem, *METHODS[method], seed) for problem, method, seed in tasks)
regrets = {
    (problem, method): np.array([run for run, task in zip(runs, tasks, strict=True) if task[:2] == (problem, method)])
    for problem in PROBLEMS
    for method in METHODS
}
for (problem, method), values in regrets.items():
    print(f"{problem:21} {method:40} regret, mean {values[:, -1].mean():6.3f}, median {np.median(values[:, -1]):6.3f}")

# %%
# The picture
# -----------
# On Forrester's function CMANP with expected improvement is among the first to come down, and
# ends as low as the Gaussian process. With Thompson's draws CMANP comes down last, and not all
# of five starts leave the wide valley. On Branin's the Gaussian process with expected improvement
# ends first; five starts do not tell the other three apart. Neither function has
# noise; its ``WhiteKernel`` shrinks to nothing within a few rows, while CMANP was trained on
# noisy functions and goes on taking part of what it cannot explain for noise. That
# blurs the last digits, and adds noise to Thompson's draws. For few evaluations of a
# smooth function without noise, use a Gaussian process.
COLOURS = ("0.5", "C2", "C8", "C0", "C1")
figure, axes = plt.subplots(1, 2, figsize=(12, 5), layout="constrained")
for ax, problem in zip(axes, PROBLEMS, strict=True):
    for method, colour in zip(METHODS, COLOURS, strict=True):
        values = np.maximum(regrets[problem, method], 1e-4)
        low, median, high = np.quantile(values, [0.25, 0.5, 0.75], axis=0)
        steps = np.arange(len(median))
        ax.fill_between(steps, low, high, color=colour, alpha=0.12)
        ax.plot(steps, median, color=colour, ls="--" if "Thompson" in method else "-", label=method)
    ax.set(
        title=problem, xlabel="evaluations after the first four", ylabel="regret: median and quartiles", yscale="log"
    )
axes[0].legend(loc="lower left", fontsize="small")
plt.show()
