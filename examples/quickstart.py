"""
Read two real data sets as streams
==================================

The estimator learns by reading rows. Here it reads the diabetes table in
chunks of 40 rows, and a photograph in chunks of 8,192 pixels: a pixel is a
row, with its place as features and its colour as targets. Every chunk is
predicted before it is read, so all figures are on rows not seen before, and
the state has the same size from the first chunk to the last.
"""

# %%
# Read, predict, score
# --------------------
import argparse
import time
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
from scipy.stats import norm
from sklearn.datasets import load_diabetes, load_sample_image

from skcmanp import CMANPRegressor


def read_stream(name, reg, X, y, first, chunk):
    """Read rows in chunks, score each before it is read, print and return the scores."""
    print(f"\n{name}: {len(X):,} rows, {X.shape[1]} features, checkpoint ", end="")
    start = time.perf_counter()
    reg.fit(X[:first], y[:first])
    print(f"{reg.checkpoint_.name!r}")
    print(f"{'rows seen':>10} {'seconds':>8} {'state bytes':>12} {'RMSE':>8} {'NLL':>8} {'90 % coverage':>14}")
    history = []
    stages = set(np.geomspace(1, np.ceil((len(X) - first) / chunk), 6).astype(int))
    for i, at in enumerate(range(first, len(X), chunk), start=1):
        X_new, y_new = X[at : at + chunk], y[at : at + chunk]
        mean, std = reg.predict(X_new, return_std=True)
        rmse = np.sqrt(np.mean((y_new - mean) ** 2))
        nll = -norm.logpdf(y_new, mean, std).mean()
        coverage = np.mean(np.abs(y_new - mean) < norm.ppf(0.95) * std)
        history.append((at, rmse, nll, coverage))
        if i in stages:
            seconds = time.perf_counter() - start
            print(f"{at:10,} {seconds:8.2f} {reg.context_.nbytes:12,} {rmse:8.3f} {nll:8.3f} {coverage:14.3f}")
        reg.partial_fit(X_new, y_new)
    seconds = time.perf_counter() - start
    print(f"{reg.n_samples_seen_:10,} {seconds:8.2f} {reg.context_.nbytes:12,}  (all read)")
    return np.array(history)


parser = argparse.ArgumentParser(description="Read two real data sets as streams.")
parser.add_argument("--output", type=Path, default=Path("quickstart.png"))
output = parser.parse_known_args()[0].output
rng = np.random.default_rng(0)

# %%
# A table
# -------
X, y = load_diabetes(return_X_y=True)
order = rng.permutation(len(X))
X, y = X[order], y[order]
table = CMANPRegressor()
read_stream("Diabetes", table, X[:362], y[:362], first=42, chunk=40)
mean, std = table.predict(X[362:], return_std=True)

# %%
# A photograph
# ------------
# 427 x 640 pixels in random order. The first 1,024 decide on what scale the
# colours vary, and on the inducing points that the state remembers the picture by.
image = load_sample_image("china.jpg") / 255.0
height, width, _ = image.shape
pixels = np.stack(np.meshgrid(np.arange(height), np.arange(width), indexing="ij"), axis=-1).reshape(-1, 2)
colours = image.reshape(-1, 3)
order = rng.permutation(len(pixels))
photo = CMANPRegressor(dtype="float32")
history = read_stream("Photograph", photo, pixels[order], colours[order], first=1024, chunk=8192)

# %%
# The picture
# -----------
coarse = pixels.reshape(height, width, 2)[::4, ::4]
photo_mean, photo_std = photo.predict(coarse.reshape(-1, 2), return_std=True)

figure, axes = plt.subplots(2, 3, figsize=(12, 6.6), layout="constrained")
ax = axes[0, 0]
ax.errorbar(mean, y[362:], xerr=1.645 * std, fmt="o", ms=4, lw=0.7, alpha=0.7)
ax.plot([0, 350], [0, 350], "k--", lw=1)
ax.set(title="Diabetes: 80 rows not read", xlabel="prediction, 90 % interval", ylabel="disease progression")

ax = axes[0, 1]
ax.plot(history[:, 0], history[:, 1], label="RMSE of the next chunk")
ax.axhline(colours.std(axis=0).mean(), color="k", ls="--", lw=1, label="std of the colours")
ax.set(title="Photograph: error", xlabel="pixels read", ylim=(0, None))
ax.legend()

ax = axes[0, 2]
ax.plot(history[:, 0], history[:, 3], label="90 % intervals")
ax.axhline(0.9, color="k", ls="--", lw=1)
ax.set(title="Photograph: coverage of the next chunk", xlabel="pixels read", ylim=(0.5, 1))
ax.legend()

for ax, title, picture in (
    (axes[1, 0], "Photograph", image),
    (axes[1, 1], f"Mean, from {photo.context_.nbytes / 1e3:.0f} kB of state", photo_mean.reshape(*coarse.shape[:2], 3)),
    (axes[1, 2], "Standard deviation", photo_std.mean(axis=1).reshape(coarse.shape[:2])),
):
    ax.imshow(np.clip(picture, 0, 1) if picture.ndim == 3 else picture, extent=(0, width, height, 0))
    ax.set_title(title)
    ax.set_axis_off()
figure.savefig(output, dpi=110)
print(f"\nThe picture is in {output}.")
