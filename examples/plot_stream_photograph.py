"""
A photograph, pixel by pixel
============================

Think of a photograph as a table: a row per pixel, with its place as features and its
three colours as targets. Shuffle the rows and let them arrive as a stream. What does the
picture look like after one pixel in a hundred? Where is it still unsure, and is
it right to be?
"""

# %%
# From a picture to rows
# ----------------------
# ``pixels_to_rows`` gives places between -1 and 1 and intensities between -0.5 and 0.5;
# ``rows_to_pixels`` is the way back. Every second pixel of the flower that comes with
# scikit-learn makes 68,480 rows. We look at a coarser grid, whose rows are predicted
# again and again.
import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_sample_image

from skcmanp import CMANPRegressor
from skcmanp.images import pixels_to_rows, rows_to_pixels
from skcmanp.metrics import interval_coverage

photo = load_sample_image("flower.jpg")[::2, ::2]
X, y = pixels_to_rows(photo)
order = np.random.default_rng(0).permutation(len(X))
arrived = np.argsort(order)  # when each pixel comes
shape = photo[::2, ::2].shape
grid = np.arange(len(X)).reshape(photo.shape[:2])[::2, ::2].ravel()

# %%
# Read, and look
# --------------
# The first 512 pixels settle the units, where the memory has its inducing points, and where noise
# is large; the first 1,000 settle all this once more. Pixels are read in chunks of 1,000 and thrown
# away. From the thousandth on the state has the same size, so the picture that it holds cannot
# become as sharp as the photograph.
reg = CMANPRegressor(dtype="float32")
looks = {}
n_read = 0
for share in (0.01, 0.05, 0.2):
    n = round(share * len(X))
    while n_read < n:
        rows = order[n_read : min(n_read + 1000, n)]
        reg.partial_fit(X[rows], y[rows])
        n_read += len(rows)
    mean, std = reg.predict(X[grid], return_std=True)
    looks[share] = mean, std
    unread = arrived[grid] >= n
    truth = y[grid[unread]]
    rmse = np.sqrt(np.mean((truth - mean[unread]) ** 2))
    coverage = interval_coverage(truth, mean[unread], std[unread])
    print(f"{n:6,} pixels read: RMSE {rmse:.3f}, 90 % intervals hold {coverage:.0%}, {reg.context_.nbytes:,} bytes")

# %%
# The picture
# -----------
# In columns, what is known after one, five and twenty per cent, the mean, and the standard
# deviation. The blossom is there at once; its rim, and its centre with the small petals, are
# where the model is unsure. On the right, pixels that were not read are sorted into ten groups
# by their standard deviation: on the dashed line, errors would be exactly as large as
# announced. The model knows where it is wrong: where it is least sure, errors are about as
# large as announced. It is too modest where the picture is calm, by a factor of 1.4 to 2.
#
# Between five and twenty per cent little is gained: there is no room for more detail. With twice
# as many features, ``memory_features=896``, the last RMSE is 0.070 instead of 0.076, and the state 3.4 MB.
figure = plt.figure(figsize=(13, 6.4), layout="constrained")
layout = figure.add_gridspec(3, 4, width_ratios=(1, 1, 1, 1.1))
brightest = max(np.quantile(std, 0.99) for _, std in looks.values())
for column, (share, (mean, std)) in enumerate(looks.items()):
    known = np.where((arrived < share * len(X)).reshape(*photo.shape[:2], 1), photo, 255)
    pictures = {
        "known": known,
        "mean": rows_to_pixels(mean, shape).clip(0, 1),
        "std": std.mean(axis=1).reshape(shape[:2]),
    }
    for row, (name, picture) in enumerate(pictures.items()):
        ax = figure.add_subplot(layout[row, column])
        image = ax.imshow(picture, vmin=0, vmax=brightest)
        ax.set(xticks=[], yticks=[], ylabel="" if column else name, title="" if row else f"{share:.0%} of the pixels")
figure.colorbar(image, ax=ax, shrink=0.9)

ax = figure.add_subplot(layout[0, 3])
ax.imshow(photo)
ax.set(title="the photograph", xticks=[], yticks=[])

ax = figure.add_subplot(layout[1:, 3])
ax.plot([0, 0.25], [0, 0.25], "k--", lw=1)
for share, (mean, std) in looks.items():
    unread = arrived[grid] >= share * len(X)
    error, announced = (y[grid] - mean)[unread].ravel(), std[unread].ravel()
    groups = np.array_split(np.argsort(announced), 10)
    by_group = [np.sqrt([np.mean(values[group] ** 2) for group in groups]) for values in (announced, error)]
    ax.plot(*by_group, "o-", ms=4, label=f"after {share:.0%}")
ax.set(title="pixels not read", xlabel="predicted standard deviation", ylabel="RMSE")
ax.legend()
plt.show()
