"""
What more data cost
===================

A Gaussian process keeps every row and the covariances of all pairs of them. Its
memory grows with the square of the number of rows, and its fit with the cube.
``CMANPRegressor`` keeps sums, so one row more costs the same however many there
were. This page follows both from 50 rows to where the first has to stop.
"""

# %%
# A function that is never used up
# --------------------------------
# Friedman's first: five features of ten matter, one of them through a sine of a
# product. The noise has a standard deviation of 1, and on average no prediction has a
# smaller error.
import pickle
import time
import warnings

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import make_friedman1
from sklearn.exceptions import ConvergenceWarning
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import ConstantKernel, Matern, WhiteKernel

from skcmanp import CMANPRegressor

X, y = make_friedman1(26_700, noise=1.0, random_state=0)
X_test, y_test = X[-1000:], y[-1000:]
SIZES = 50 * 2 ** np.arange(10)
UNITS_FROM = 800

# %%
# Both settle on the first rows what they do not learn later
# ----------------------------------------------------------
# Up to 800 rows both are fitted anew. From there on CMANP reads on. The Gaussian
# process would take minutes to choose its hyperparameters on so many rows, so they are
# chosen once, on 200, and kept: the times below are those of the algebra alone.
# (Length-scales of features that do not matter end at their bounds, and scikit-learn
# warns.)
warnings.simplefilter("ignore", ConvergenceWarning)
kernel = ConstantKernel() * Matern(np.ones(10), (0.1, 1e5), nu=2.5) + WhiteKernel(0.1)
start = time.perf_counter()
tuned = GaussianProcessRegressor(kernel, normalize_y=True).fit(X[:200], y[:200]).kernel_
print(f"choosing hyperparameters on 200 rows took {time.perf_counter() - start:.1f} s")


def measure(reg, update_seconds):
    rmse = np.sqrt(np.mean((y_test - reg.predict(X_test)) ** 2))
    return len(pickle.dumps(reg)), update_seconds, rmse


def timed(function, *arguments):
    start = time.perf_counter()
    function(*arguments)
    return time.perf_counter() - start


# %%
# The cost that counts on a stream is that of ten more rows: the Gaussian process has to
# be fitted again, with them.
results = {"CMANP": [], "Gaussian process": []}
cmanp = CMANPRegressor()
for n in SIZES:
    if n <= UNITS_FROM:
        cmanp.fit(X[:n], y[:n])
    else:
        cmanp.partial_fit(X[n // 2 : n], y[n // 2 : n])
    copy = pickle.loads(pickle.dumps(cmanp))
    seconds = min(timed(copy.partial_fit, X[n : n + 10], y[n : n + 10]) for _ in range(3))
    results["CMANP"].append((n, *measure(cmanp, seconds)))
    if n <= 1600:
        gp = GaussianProcessRegressor(tuned, optimizer=None, normalize_y=True).fit(X[:n], y[:n])
        seconds = min(timed(gp.fit, X[: n + 10], y[: n + 10]) for _ in range(3))
        results["Gaussian process"].append((n, *measure(gp, seconds)))

for name, rows in results.items():
    for n, size, seconds, rmse in rows:
        print(f"{name:17} {n:6,} rows {size / 1e6:7.2f} MB {1e3 * seconds:8.1f} ms  RMSE {rmse:.3f}")

# %%
# The picture
# -----------
# Row for row the Gaussian process is more accurate here. The function is smooth, its
# kernel fits, and below 200 rows it has hyperparameters from rows that it has not seen yet.
# It is also the smaller of the two, and no slower to update, up to some hundred rows. Then its
# cost sets in. CMANP goes on to 25,600 rows at the same cost per row, passes the
# error where the Gaussian process stopped, and is as large after the last row as after
# the first fit. (It has grown by 3 % from 50 to 800 rows, with the inducing points of its
# memory; from there on not at all.)
figure, axes = plt.subplots(1, 3, figsize=(12, 4.2), layout="constrained")
titles = ("Size of the pickled estimator, MB", "Reading ten more rows, ms", "Error on 1,000 other rows, RMSE")
for (name, rows), style in zip(results.items(), ("C0o-", "C2s-"), strict=True):
    n, size, seconds, rmse = np.array(rows).T
    for ax, values in zip(axes, (size / 1e6, 1e3 * seconds, rmse), strict=True):
        ax.loglog(n, values, style, ms=4, label=name)
for ax, title in zip(axes, titles, strict=True):
    ax.set(title=title, xlabel="rows read")
axes[2].axhline(1, color="k", ls="--", lw=1, label="noise")
axes[2].set_yticks([1, 1.2, 1.5, 2], labels=["1", "1.2", "1.5", "2"])
axes[2].minorticks_off()
axes[2].legend()
plt.show()
