"""
The lower half of a digit
=========================

Somebody has written a digit, and we see its upper half. What is below? A row is a digit,
the 32 pixels above are its features, and the 32 below are targets, all at once. Nothing
is trained: ``CMANPRegressor`` reads digits as they come, says what it expects below,
and where it cannot know.
"""

# %%
# Read digits
# -----------
# The digits of scikit-learn have 8 x 8 pixels, and 32 features are as many as the checkpoint takes. The last
# 297 digits are kept to be completed. The others are read as they come, and the first thousand of them settle the
# units. Randomised trees and nearest neighbours are fitted anew to the same digits each time.
import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits
from sklearn.ensemble import ExtraTreesRegressor
from sklearn.metrics import root_mean_squared_error
from sklearn.neighbors import KNeighborsRegressor

from skcmanp import CMANPRegressor
from skcmanp.metrics import interval_coverage
from skcmanp.streaming import fit_stream, split_batches

pixels, digit = load_digits(return_X_y=True)
upper, lower = pixels[:, :32] / 16, pixels[:, 32:] / 16
new, new_lower = upper[1500:], lower[1500:]

reg = CMANPRegressor(dtype="float32")
means = {}
for start, stop in ((0, 200), (200, 500), (500, 1500)):
    fit_stream(reg, split_batches(upper[start:stop], lower[start:stop], batch_size=200))
    means[stop], std = reg.predict(new, return_std=True)
    coverage = interval_coverage(new_lower, means[stop], std)
    print(f"{stop:5} digits: RMSE {root_mean_squared_error(new_lower, means[stop]):.3f}", end="")
    for peer in (ExtraTreesRegressor(50, random_state=0), KNeighborsRegressor()):
        peer_lower = peer.fit(upper[:stop], lower[:stop]).predict(new)
        print(f", {type(peer).__name__} {root_mean_squared_error(new_lower, peer_lower):.3f}", end="")
    print(f"; 90 % intervals hold {coverage:.1%}, {reg.context_.nbytes / 1e6:.1f} MB")

# %%
# The picture
# -----------
# The first of each digit among those kept. Below the line is what the model adds. A nought is clear from the
# start. The upper half of a three could end in several ways, and after 200 digits the model draws a mixture of them; it
# gets sharper with more, and what stays open has a large standard deviation, while the empty margins have
# almost none. Its error is that of the trees, and they do not say how sure they are.
#
# Every pixel is predicted by itself, so ``sample_y`` would not draw strokes that hang together. That, and
# completion from pixels anywhere, takes a network that was trained on pictures: see ``skcmanp.tasks.ImageTasks``.
figure, axes = plt.subplots(6, 10, figsize=(10, 6.6), layout="constrained")
chosen = [np.flatnonzero(digit[1500:] == value)[0] for value in range(10)]
nothing = np.full_like(new_lower, np.nan)
rows = {"known": nothing, **{f"{n:,} read": mean for n, mean in means.items()}, "truth": new_lower}
for ax_row, (name, halves) in zip(axes[[0, 1, 2, 3, 5]], rows.items(), strict=True):
    ax_row[0].set_ylabel(name)
    for ax, i in zip(ax_row, chosen, strict=True):
        ax.imshow(np.concatenate([new[i], halves[i]]).reshape(8, 8), vmin=0, vmax=1, cmap="gray_r")
axes[4, 0].set_ylabel("std")
for ax, i in zip(axes[4], chosen, strict=True):
    ax.imshow(np.concatenate([nothing[i], std[i]]).reshape(8, 8), vmin=0, vmax=0.4)
for ax in axes.ravel():
    ax.set(xticks=[], yticks=[])
    ax.axhline(3.5, color="C3", lw=1)
plt.show()
