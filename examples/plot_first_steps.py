"""
First steps: fit, read on, predict
==================================

``CMANPRegressor`` was trained once, on many made-up data sets. It learns yours
by reading the rows: there are no gradient steps, and there is nothing to tune.
What it has read is a state of fixed size. This page reads the diabetes table:
442 patients, ten measurements each, and how far the disease has progressed a
year later. The last 100 patients are kept for testing.
"""

# %%
# Fit
# ---
# ``fit`` uses the first rows twice: once to settle the units (centre, scale, and
# how much each feature matters), and once to read them. All that comes later is
# reading.
import pickle
import time

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_diabetes
from sklearn.utils import shuffle

from skcmanp import CMANPRegressor

X, y = shuffle(*load_diabetes(return_X_y=True), random_state=0)
X_test, y_test = X[342:], y[342:]

reg = CMANPRegressor().fit(X[:100], y[:100])
print(f"{reg.n_samples_seen_} rows read with checkpoint {reg.checkpoint_.name!r}")

# %%
# Read on
# -------
# ``partial_fit`` adds rows to what is known. No earlier row is read again, and
# none is forgotten. Beside it, a second estimator is fitted anew to all rows
# each time, which also settles the units anew. A third has nothing to begin with but
# a dozen patients, so it begins with ``partial_fit``, which settles the units again
# at 16, 32, 64, ... rows, up to a thousand.
rows, kilobytes, milliseconds = [100], [len(pickle.dumps(reg)) / 1e3], []
rmse = {"read on from 100 rows": [], "begun with 12 rows": [], "fitted anew": []}


def score(name, estimator):
    rmse[name].append(np.sqrt(np.mean((y_test - estimator.predict(X_test)) ** 2)))


begun_small = CMANPRegressor().partial_fit(X[:12], y[:12])
for at in range(12, 100, 22):
    begun_small.partial_fit(X[at : at + 22], y[at : at + 22])
score("read on from 100 rows", reg)
score("begun with 12 rows", begun_small)
score("fitted anew", reg)
for at in range(100, 342, 22):
    start = time.perf_counter()
    reg.partial_fit(X[at : at + 22], y[at : at + 22])
    milliseconds.append(1e3 * (time.perf_counter() - start))
    rows.append(reg.n_samples_seen_)
    kilobytes.append(len(pickle.dumps(reg)) / 1e3)
    score("read on from 100 rows", reg)
    score("begun with 12 rows", begun_small.partial_fit(X[at : at + 22], y[at : at + 22]))
    score("fitted anew", CMANPRegressor().fit(X[: at + 22], y[: at + 22]))

print(f"reading 22 more rows takes {np.median(milliseconds):.1f} ms")
print(f"pickle: {kilobytes[0]:.0f} kB after {rows[0]} rows, {kilobytes[-1]:.0f} kB after {rows[-1]}")

# %%
# Predict, and say how sure
# -------------------------
# ``return_std=True`` works as in scikit-learn's Gaussian process. The standard
# deviation is that of a new observation, noise included, so 1.645 of them on
# either side of the mean are meant to hold 90 patients of 100.
mean, std = reg.predict(X_test, return_std=True)
inside = np.abs(y_test - mean) < 1.645 * std
print(f"{inside.sum()} of {len(inside)} patients are within their intervals")

# %%
# The picture
# -----------
# On the left, the test patients in the order of their predictions. On the right,
# what more rows bring and what they cost. Reading on is cheap, and gains. Settling
# the units again gains more: 100 rows are few to tell what matters among ten
# measurements. ``fit`` takes them to be enough; after ``partial_fit``, more count. And
# the state is larger than this table, whose numbers take 39 kB. It pays where rows keep
# coming.
figure = plt.figure(figsize=(11, 4.8), layout="constrained")
grid = figure.add_gridspec(2, 2, width_ratios=(1.9, 1))

ax = figure.add_subplot(grid[:, 0])
order = np.argsort(mean)
place = np.arange(len(order))
ax.vlines(place, (mean - 1.645 * std)[order], (mean + 1.645 * std)[order], color="C0", alpha=0.3, lw=3)
ax.plot(place, mean[order], color="C0", label="prediction, 90 % interval")
for chosen, colour, label in ((inside, "k", "truth, inside"), (~inside, "C3", "truth, outside")):
    ax.plot(place[chosen[order]], y_test[order][chosen[order]], "o", color=colour, ms=4, label=label)
ax.set(title="100 patients not read", xlabel="patients, by prediction", ylabel="progression of the disease")
ax.legend(loc="upper left")

ax = figure.add_subplot(grid[0, 1])
for (name, values), style in zip(rmse.items(), ("C0-", "C1--", "k:"), strict=True):
    ax.plot(rows, values, style, label=name)
ax.set(title="Error on the 100 patients", ylabel="RMSE", xlabel="rows read", ylim=(47, None))
ax.legend(fontsize=7, loc="lower left")

ax = figure.add_subplot(grid[1, 1])
ax.plot(rows, kilobytes, "C0-")
ax.set(title="Size of the pickled estimator", xlabel="rows read", ylabel="kB", ylim=(0, 1000))
plt.show()
