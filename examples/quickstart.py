"""
Read two real data sets as streams
==================================

The estimator learns by reading rows. Here it reads the diabetes table, 40 rows
at a time, and a tenth of a photograph, in chunks that double: a pixel is a row,
with its place as features and its colour as targets. Every chunk is predicted
before it is read, so all scores are of rows not seen before.
"""

# %%
# Read, predict, score
# --------------------
import argparse
import time
from itertools import pairwise
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
from scipy.stats import norm
from sklearn.datasets import load_diabetes, load_sample_image

from skcmanp import CMANPRegressor


def read_stream(name, reg, X, y, edges):
    """Read on, chunk by chunk between the edges; score each before it is read, print and return the scores."""
    print(f"\n{name}")
    print(f"{'rows read':>10} {'seconds':>8} {'state bytes':>12} {'RMSE':>8} {'NLL':>8} {'90 % coverage':>14}")
    start = time.perf_counter()
    history = []
    for begin, end in pairwise(edges):
        mean, std = reg.predict(X[begin:end], return_std=True)
        error = y[begin:end] - mean
        rmse, nll = np.sqrt(np.mean(error**2)), -norm.logpdf(error, scale=std).mean()
        coverage = np.mean(np.abs(error) < norm.ppf(0.95) * std)
        history.append((begin, rmse, nll, coverage))
        seconds = time.perf_counter() - start
        print(f"{begin:10,} {seconds:8.2f} {reg.context_.nbytes:12,} {rmse:8.3f} {nll:8.3f} {coverage:14.3f}")
        reg.partial_fit(X[begin:end], y[begin:end])
    print(f"{reg.n_samples_seen_:10,} {time.perf_counter() - start:8.2f} {reg.context_.nbytes:12,}")
    return np.array(history)


parser = argparse.ArgumentParser(description="Read two real data sets as streams.")
parser.add_argument("--output", type=Path, default=Path("quickstart.png"))
output = parser.parse_known_args()[0].output
rng = np.random.default_rng(0)

# %%
# A table
# -------
# The last 80 rows are kept for the picture.
X, y = load_diabetes(return_X_y=True)
order = rng.permutation(len(X))
X, y = X[order], y[order]
table = CMANPRegressor().partial_fit(X[:42], y[:42])
read_stream("Diabetes, 362 of 442 patients, 10 features", table, X, y, range(42, 363, 40))
low, high = table.predict(X[362:], interval=0.9).T
mean, measured = table.predict(X[362:]), y[362:]
inside = (low < measured) & (measured < high)

# %%
# A photograph
# ------------
# Its 427 x 640 pixels come in random order. The first thousand decide on what
# scale the colours vary, and on the inducing points that the state remembers the
# picture by; from then on the state has a fixed size.
image = load_sample_image("china.jpg") / 255.0
height, width, _ = image.shape
pixels = np.stack(np.meshgrid(np.arange(height), np.arange(width), indexing="ij"), axis=-1)
order = rng.permutation(height * width)[: height * width // 10]
X, y = pixels.reshape(-1, 2)[order], image.reshape(-1, 3)[order]
few, many = 128, len(order)
places = pixels[::4, ::4]


def paint(reg):
    """Mean and standard deviation of every fourth pixel in both directions."""
    mean, std = reg.predict(places.reshape(-1, 2), return_std=True)
    return np.clip(mean, 0, 1).reshape(*places.shape[:2], 3), std.mean(axis=1).reshape(places.shape[:2])


title = f"Photograph, {many:,} of {height * width:,} pixels, 2 features"
photograph = CMANPRegressor(dtype="float32").partial_fit(X[:16], y[:16])
history = read_stream(title, photograph, X, y, [16, 32, 64, few])
after_few, _ = paint(photograph)
edges = [*few * 2 ** np.arange(8), many]
history = np.vstack([history, read_stream("The same, read on", photograph, X, y, edges)])
after_many, uncertainty = paint(photograph)

# %%
# The picture
# -----------
figure = plt.figure(figsize=(13, 8), layout="constrained")
top, bottom = figure.subfigures(2, height_ratios=[1.5, 1])
axes = top.subplot_mosaic([["table", "error"]]) | bottom.subplot_mosaic([["few", "many", "std", "truth"]])
ax = axes["table"]
by_mean = np.argsort(mean)
for rows, colour, label in ((inside, "C0", "inside"), (~inside, "C3", "outside")):
    at = np.flatnonzero(rows[by_mean])
    ax.plot(at, measured[by_mean][at], "o", ms=4, color=colour, label=f"measured, {label} the interval ({len(at)})")
ax.fill_between(range(len(mean)), low[by_mean], high[by_mean], alpha=0.2, lw=0, label="90 % interval")
ax.plot(mean[by_mean], "k-", lw=1, label="prediction")
ax.set(title="A table: 80 patients that were not read", xlabel="patients, by prediction", ylabel="disease progression")
ax.legend(loc="upper left", fontsize=8)

ax = axes["error"]
ax.plot(history[:, 0], history[:, 1], "o-", label="the next chunk, before it is read")
ax.axhline(y.std(axis=0).mean(), color="k", ls="--", lw=1, label="the mean colour as prediction")
ax.set(
    title="A photograph: the error falls as pixels are read",
    xlabel="pixels read",
    ylabel="RMSE of colours, from 0 to 1",
)
ax.set(xscale="log", ylim=(0, None))
ax.legend(loc="lower left", fontsize=8)

for key, picture, title in (
    ("few", after_few, f"predicted from {few} pixels"),
    ("many", after_many, f"predicted from {many:,} pixels, a tenth"),
    ("std", uncertainty, "standard deviation: bright is unsure"),
    ("truth", image, "the photograph"),
):
    axes[key].imshow(picture, extent=(0, width, height, 0))
    axes[key].set_title(title, fontsize=10)
    axes[key].set_axis_off()
megabytes = photograph.context_.nbytes / 1e6
figure.suptitle(f"Two data sets read as streams; the state of the photograph takes {megabytes:.1f} MB")
figure.savefig(output, dpi=110)
print(f"\nThe picture is in {output}.")
