"""
Characters from a few of their pixels
=====================================

The checkpoint ``image-gray`` was trained on handwritten digits of 28 x 28
pixels. It knows no pixel of what follows: characters of a printed font, drawn
here by matplotlib, letters among them. A pixel is a row, its place the two
features and its grey the target, so completing a picture is regression from the
pixels that are known.
"""

# %%
# Characters, printed
# -------------------
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.font_manager import FontProperties
from matplotlib.path import Path
from matplotlib.textpath import TextPath

from skcmanp import CMANPRegressor
from skcmanp.images import pixels_to_rows, rows_to_pixels
from skcmanp.metrics import gaussian_nll, interval_coverage

SHAPE = (28, 28)


def print_character(character):
    """Draw a character: the part of every pixel that its outline covers, from 0 to 1."""
    outline = TextPath((0, 0), character, size=1, prop=FontProperties(family="DejaVu Sans Mono", weight="bold"))
    low, high = outline.vertices.min(0), outline.vertices.max(0)
    scale = 20 / (high - low).max()
    vertices = (outline.vertices - (low + high) / 2) * scale + 14
    fine = (np.arange(4 * 28) + 0.5) / 4
    places = np.stack(np.meshgrid(fine, fine[::-1]), axis=-1).reshape(-1, 2)
    inside = np.zeros(len(places), dtype=bool)
    for polygon in Path(vertices, outline.codes).to_polygons():
        inside ^= Path(polygon).contains_points(places)  # holes are outlines within outlines
    return inside.reshape(28, 4, 28, 4).mean(axis=(1, 3))


# %%
# From 40 to 160 of 784 pixels
# ----------------------------
# The estimator reads pixels on, 40 at a time; nothing is standardised, because the
# network was trained on places and greys as `pixels_to_rows` has them. Then all
# pixels are predicted, and what was not known is scored. ``sample_y`` draws whole
# pictures, all pixels of which are Gaussian together.
characters = "2580RSk"
rng = np.random.default_rng(0)
pictures = []
for character in characters:
    image = print_character(character)
    X, y = pixels_to_rows(image)
    order = rng.permutation(len(X))
    reg = CMANPRegressor("image-gray", standardize=False, target_block_size=len(X))
    stages = []
    for n in range(0, 160, 40):
        read, unread = order[n : n + 40], order[n + 40 :]
        reg.partial_fit(X[read], y[read])
        mean, std = reg.predict(X, return_std=True)
        scores = y[unread, 0], mean[unread].ravel(), std[unread].ravel()
        draws = reg.sample_y(X, n_samples=2, random_state=0)
        stages.append((mean, std, draws, gaussian_nll(*scores), interval_coverage(*scores)))
    pictures.append((image, order, stages))

print("pixels known, NLL and 90 % coverage of the others")
for i, n in enumerate(range(40, 200, 40)):
    nll, coverage = np.mean([stages[i][3:] for _, _, stages in pictures], axis=0)
    print(f"{n:12d} {nll:5.2f} {coverage:8.2f}")
print(f"state: {reg.context_.nbytes:,} bytes")

# %%
# What it makes of them
# ---------------------
# With 40 pixels there are strokes; with 160, a fifth, there are characters. The
# standard deviation at 160 is large along edges, whose exact place the known pixels
# leave open, and small where there is nothing but paper. Draws have parts that are
# white or black together, and disagree where the standard deviation is large. But a
# Gaussian has no sharp edges: their strokes are speckled, as no printer prints them.
titles = ["mean", "std", "a draw", "another"]
figure, axes = plt.subplots(len(characters), 11, figsize=(11, 7.6), layout="constrained")
for row, (image, order, stages) in zip(axes, pictures, strict=True):
    panels = []
    for n, (mean, std, draws, *_) in ((40, stages[0]), (160, stages[3])):
        known = np.full(image.size, np.nan)
        known[order[:n]] = image.ravel()[order[:n]]
        completions = [rows_to_pixels(values, SHAPE) for values in (mean, *draws.T)]
        panels += [known.reshape(SHAPE), completions[0], std.reshape(SHAPE), *completions[1:]]
    for i, (ax, panel) in enumerate(zip(row, [*panels, image], strict=True)):
        ax.set_facecolor("#9db8d9")
        is_std = i in (2, 7)
        ax.imshow(panel, cmap="magma" if is_std else "gray", vmin=0, vmax=0.35 if is_std else 1)
        ax.set(xticks=[], yticks=[])
for ax, title in zip(axes[0], ["40 known", *titles, "160 known", *titles, "truth"], strict=True):
    ax.set_title(title, fontsize=9)
plt.show()
