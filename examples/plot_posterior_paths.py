"""
Paths through few points
========================

A band says how sure one prediction is. It does not say how predictions hang
together: where a sensor reads high, its neighbour will. ``sample_y`` draws all
targets at once, as a Gaussian process does, and ``predict(return_cov=True)``
gives their covariances. This page puts both beside scikit-learn's
``GaussianProcessRegressor``, from no rows to 20.
"""

# %%
# Functions, and few noisy rows of them
# -------------------------------------
import warnings

import matplotlib.pyplot as plt
import numpy as np
from scipy.stats import multivariate_normal
from sklearn.exceptions import ConvergenceWarning
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import ConstantKernel, Matern, WhiteKernel

from skcmanp import CMANPRegressor

NOISE = 0.1


def make_function(seed):
    """Draw a sum of two waves, and 70 noisy rows of it."""
    rng = np.random.default_rng(seed)
    phases = rng.uniform(0, 2 * np.pi, 2)

    def function(x):
        return np.sin(5 * x + phases[0]) + 0.6 * np.sin(13 * x + phases[1])

    x = rng.uniform(-1, 1, 70)
    return function, x[:, None], function(x) + NOISE * rng.standard_normal(70)


# %%
# Two ways to start
# -----------------
# With a handful of rows there is nothing to measure scales by. Declared ranges say
# what is known beforehand, and nothing is fitted. With 20 rows, an estimator
# without bounds fits units and length-scale to them, as the Gaussian process does
# at every step: a Matern-5/2 kernel with scale, length and noise by maximum
# likelihood. (With five rows some of these end at their bounds, and scikit-learn
# warns.)
warnings.simplefilter("ignore", ConvergenceWarning)


def cmanp(X, y):
    if len(X) >= 10:
        return CMANPRegressor().fit(X, y)
    blank = CMANPRegressor(x_bounds=(-1, 1), y_bounds=(-2, 2)).fit([[0.0]], [0.0]).decay(0)
    return blank.partial_fit(X, y) if len(X) else blank


def gaussian_process(X, y):
    kernel = ConstantKernel() * Matern(0.5, (0.01, 10), nu=2.5) + WhiteKernel(0.01, (1e-4, 1))
    gp = GaussianProcessRegressor(kernel, n_restarts_optimizer=2, random_state=0)
    return gp.fit(X, y) if len(X) else gp


# %%
# Which of them knows more?
# -------------------------
# The joint density of 50 further targets, for 12 functions. Higher is better.
print("nats per target, mean (median)")
for n in (5, 20):
    for learn in (cmanp, gaussian_process):
        densities = []
        for seed in range(12):
            _, X, y = make_function(seed)
            mean, cov = learn(X[:n], y[:n]).predict(X[20:], return_cov=True)
            densities.append(multivariate_normal(mean, cov, allow_singular=True).logpdf(y[20:]) / 50)
        print(f"{n:3} rows, {learn.__name__:16} {np.mean(densities):7.2f} ({np.median(densities):5.2f})")

# %%
# Paths with and without noise
# ----------------------------
# ``sample_y`` draws observations, noise included, and so does the Gaussian process
# with a ``WhiteKernel``. Noise is what two observations at one place do not share. So
# the function's own covariance stands between a grid and a copy of it.


def function_paths(reg, grid, n_paths, seed):
    mean, cov = reg.predict(np.concatenate([grid, grid]), return_cov=True)
    shared = cov[: len(grid), len(grid) :]
    return np.random.default_rng(seed).multivariate_normal(mean[: len(grid)], shared, n_paths, method="eigh").T


# %%
# The picture
# -----------
# Before any row, draws look like what each was told: the network by the functions
# that it was trained on, the Gaussian process by its kernel. After five, the Gaussian
# process has settled on hyperparameters already, here on nearly nothing but noise, and
# its band misses the function in many places. The network knows neither length nor
# noise yet, and says so with wide bands and noisy paths. After 20 they nearly agree.
# The kernel suits these functions, and the Gaussian process is then the better of the
# two.
function, X, y = make_function(3)
grid = np.linspace(-1.2, 1.2, 181)[:, None]
figure, axes = plt.subplots(3, 3, figsize=(11, 8.2), sharex=True, sharey=True, layout="constrained")
for column, n in enumerate((0, 5, 20)):
    network, gp = cmanp(X[:n], y[:n]), gaussian_process(X[:n], y[:n])
    rows = (
        ("CMANP, sample_y", network, network.sample_y(grid, 4, random_state=1)),
        ("CMANP, function alone", network, function_paths(network, grid, 4, seed=1)),
        ("Gaussian process, sample_y", gp, gp.sample_y(grid, 4, random_state=1)),
    )
    for ax, (name, reg, paths) in zip(axes[:, column], rows, strict=True):
        mean, std = reg.predict(grid, return_std=True)
        ax.fill_between(grid[:, 0], mean - 1.645 * std, mean + 1.645 * std, color="C0", alpha=0.2, label="90 % band")
        ax.plot(grid, paths, lw=0.9)
        ax.plot(grid, function(grid), "k--", lw=1.2, label="truth")
        ax.plot(X[:n], y[:n], "ko", ms=4)
        ax.set_title(f"{name}, {n} rows")
axes[0, 0].legend(loc="lower left", ncols=2)
axes[0, 0].set(ylim=(-3.5, 3.5))
plt.show()
