"""
Read shards apart, merge what was learned
=========================================

What an estimator has read is a set of sums, and sums can be added in any order. So
a table that lies on several machines, or that several processes share, need not
be brought together: each reads its own shard, and ``merge`` adds the states. The
result is that of one ``fit`` of everything, to rounding.
"""

# %%
# A table in four shards
# ----------------------
# The rows are the pixels of a photograph: place and colours. They are cut in four
# from top to bottom, so that no shard is like another.
import pickle

import matplotlib.pyplot as plt
import numpy as np
from joblib import Parallel, delayed
from sklearn.datasets import load_sample_image

from skcmanp import CMANPRegressor

image = load_sample_image("flower.jpg")[::5, ::5] / 255.0
height, width, _ = image.shape
X = np.stack(np.meshgrid(np.arange(height), np.arange(width), indexing="ij"), axis=-1).reshape(-1, 2)
y = image.reshape(-1, 3)
shards = np.array_split(np.arange(len(X)), 4)
print(f"{len(X):,} rows, of which a shard has {len(shards[0]):,}")

# %%
# The same start
# --------------
# States can be added if they are in the same units. Either declare ``x_bounds`` and
# ``y_bounds``, or let an estimator settle the units on a sample of all rows and empty
# it with ``decay(0)``, which keeps the units. Every shard starts from a copy.
sample = np.random.default_rng(0).choice(len(X), 1000, replace=False)
blank = CMANPRegressor().fit(X[sample], y[sample]).decay(0)
start = pickle.dumps(blank)

# %%
# Read in processes
# -----------------
# joblib sends the shards to processes here. Within ``with
# joblib.parallel_config(backend="dask")`` the same lines send them to the workers of a
# Dask cluster. What comes back are estimators, whose size does not depend on that of
# the shards. Where the rows are at hand anyway, ``CMANPRegressor(n_jobs=4)`` does
# all this inside ``fit``.


def read(start, X, y):
    return pickle.loads(start).partial_fit(X, y)


readers = Parallel(n_jobs=2)(delayed(read)(start, X[rows], y[rows]) for rows in shards)

merged = pickle.loads(start)
stages = []
grid, truth = X.reshape(height, width, 2)[::2, ::2].reshape(-1, 2), image[::2, ::2].reshape(-1, 3)
for reader in readers:
    merged.merge(reader)
    mean, std = merged.predict(grid, return_std=True)
    unread = grid[:, 0] > height * merged.n_samples_seen_ / len(X)
    inside = np.abs(truth - mean)[unread] < 1.645 * std[unread]
    stages.append((merged.n_samples_seen_, mean))
    if unread.any():
        print(f"{inside.mean():.0%} of the part not read yet is within its 90 % intervals")
print(f"each of the {len(readers)} came back as {len(pickle.dumps(readers[0])) / 1e6:.2f} MB")

# %%
# Is it the same?
# ---------------
# The one that reads everything starts from the same copy.
whole = pickle.loads(start).partial_fit(X, y)
expected, std = whole.predict(grid, return_std=True)
other_order = pickle.loads(start)
for i in (2, 0, 3, 1):
    other_order.merge(readers[i])
for name, reg in (("merged", merged), ("merged in another order", other_order)):
    mean_error, std_error = (
        np.max(np.abs(a - b) / std) for a, b in zip(reg.predict(grid, return_std=True), (expected, std), strict=True)
    )
    assert max(mean_error, std_error) < 1e-9
    print(f"{name}: mean off by at most {mean_error:.0e} standard deviations, std by {std_error:.0e}")

# %%
# The picture
# -----------
# With every state that is merged, the picture is known further down. Below, the mean
# is a guess that runs off the scale at first; its intervals, printed above, are as
# wide. What blurs the flower is the memory: it is made of some hundred inducing points, and
# does not grow with the picture.
figure, axes = plt.subplots(2, 3, figsize=(11, 5.6), layout="constrained")
shape = image[::2, ::2].shape
panels = [("Photograph", image[::2, ::2])]
panels += [(f"{i} of 4 merged, {n:,} rows", mean.reshape(shape)) for i, (n, mean) in enumerate(stages, start=1)]
panels.append(("4 of 4 less one fit, times 10¹²", 0.5 + 1e12 * (stages[-1][1] - expected).reshape(shape)))
for ax, (title, picture) in zip(axes.flat, panels, strict=True):
    ax.imshow(np.clip(picture, 0, 1))
    ax.set_title(title)
    ax.set_axis_off()
plt.show()
