"""
Draws of a photograph
=====================

Part of a photograph is known in a few of its pixels. The mean is one completion, the smoothest. ``sample_y``
draws completions that the model thinks possible, all pixels together: what it believes of one of them goes with
what it believes of its neighbours.
"""

# %%
# A corner of a photograph
# ------------------------
# Draws are joint: they take the covariance of all pixels of a block, and blocks know those before. That is for a few
# thousand pixels, not for a whole photograph. So this is the corner of a roof in one of the photographs that come
# with scikit-learn, 48 x 48 pixels in grey.
import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_sample_image

from skcmanp import CMANPRegressor
from skcmanp.images import pixels_to_rows, rows_to_pixels
from skcmanp.metrics import gaussian_nll, interval_coverage

corner = load_sample_image("china.jpg")[150:246:2, 40:136:2].mean(axis=2) / 255
shape = corner.shape
X, y = pixels_to_rows(corner)
y = y.ravel()
order = np.random.default_rng(0).permutation(len(X))


def difference(pixels):
    """Mean absolute difference of pixels side by side."""
    return np.abs(np.diff(pixels.reshape(shape), axis=1)).mean()


# %%
# What is known, and what may be
# ------------------------------
# The default reads a twentieth of the pixels, then a fifth. The density of all unread pixels together is higher than
# the product of their densities one by one: the photograph has the correlations that the draws have.
rows = []
for share in (0.05, 0.2):
    read, unread = np.split(order, [round(share * len(X))])
    reg = CMANPRegressor().fit(X[read], y[read])
    mean, std = reg.predict(X, return_std=True)
    draws = reg.sample_y(X, n_samples=3, random_state=0).T
    known = np.full(len(X), np.nan)
    known[read] = y[read]
    rows.append([known, mean, std, *draws, y])
    apart = -gaussian_nll(y[unread], mean[unread], std[unread])
    together = reg.log_prob(X[unread], y[unread], joint=True) / len(unread)
    coverage = interval_coverage(y[unread], mean[unread], std[unread])
    print(f"{len(read)} of {len(X):,} pixels, 90 % intervals hold {coverage:.0%}")
    print(f"  log density per pixel: one by one {apart:.2f}, together {together:.2f}")
    print(f"  neighbours differ by {difference(y):.3f}, in the mean by {difference(mean):.3f}", end="")
    print(f", in draws by {np.mean([difference(draw) for draw in draws]):.3f}")

# %%
# The picture
# -----------
# After a twentieth, draws differ in where the roof ends; after a fifth they agree on it. They are not photographs: what
# the inducing points of the memory cannot carry is noise to it, independent from pixel to pixel. So draws are smooth
# shapes under grain. The mean is smoother than the photograph, and a draw is rougher.
titles = ["known", "mean", "std, to 0.3", "a draw", "another", "a third", "truth"]
figure, axes = plt.subplots(2, 7, figsize=(11, 3.5), layout="constrained")
for ax_row, panels in zip(axes, rows, strict=True):
    for ax, panel in zip(ax_row, panels, strict=True):
        is_std = panel is panels[2]
        pixels = panel.reshape(shape) if is_std else rows_to_pixels(panel, shape)
        ax.set_facecolor("#9db8d9")
        ax.imshow(pixels, cmap="magma" if is_std else "gray", vmin=0, vmax=0.3 if is_std else 1)
        ax.set(xticks=[], yticks=[])
for ax, title in zip(axes[0], titles, strict=True):
    ax.set_title(title)
plt.show()
