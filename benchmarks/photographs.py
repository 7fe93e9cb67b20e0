"""Photographs completed from few of their pixels, read as a stream: accuracy, seconds, and bytes.

The two photographs that scikit-learn ships, 427 x 640 pixels of three colours; 1, 5 and 20 % of the pixels, drawn at
random, are read in chunks, and all are predicted: ``python benchmarks/photographs.py``. Scores are of the pixels that
were not read, with intensities from 0 to 1, averaged over colours. The std of neighbours is that of out-of-fold
residuals, whose five fits count.
"""

from __future__ import annotations

import numpy as np
from _fields import Completion, complete, neighbours
from _report import RESULTS, figure, write
from PIL import Image
from sklearn.base import BaseEstimator
from sklearn.datasets import load_sample_image
from tqdm.auto import tqdm

from skcmanp import CMANPRegressor
from skcmanp.images import pixels_to_rows, rows_to_pixels
from skcmanp.metrics import gaussian_nll, interval_coverage

PHOTOGRAPHS = ("china.jpg", "flower.jpg")
FRACTIONS = (0.01, 0.05, 0.2)
DOT = 3
DRAWN = "CMANPRegressor, memory of 896"


def models() -> dict[str, BaseEstimator]:
    return {
        "CMANPRegressor()": CMANPRegressor(dtype="float32"),
        DRAWN: CMANPRegressor("tabular", memory_features=896, dtype="float32"),
        "CMANPRegressor, field-2d": CMANPRegressor("field-2d", dtype="float32"),
        "8 neighbours": neighbours(),
    }


def draw(results: dict[tuple[str, float], tuple[np.ndarray, Completion]]) -> None:
    """For every photograph and fraction what was read, mean and std; and the whole photograph."""
    picture, axes = figure(len(results), 4, figsize=(11.5, 2 * len(results)))
    for line, ((photograph, fraction), (read, result)) in zip(axes, results.items(), strict=True):
        image = load_sample_image(photograph)
        height, width, _ = image.shape
        row, column = read // width, read % width
        dots = np.ones((height // DOT + 1, width // DOT + 1, 3))
        dots[row // DOT, column // DOT] = image[row, column] / 255.0
        line[0].imshow(dots, interpolation="nearest")
        line[1].imshow(rows_to_pixels(result.mean, image.shape).clip(0, 1))
        line[2].imshow(result.std.mean(axis=1).reshape(height, width), cmap="magma", vmin=0.0, vmax=0.2)
        if fraction == FRACTIONS[0]:
            line[3].imshow(image)
        else:
            line[3].set_axis_off()
        for ax in line:
            ax.set(xticks=[], yticks=[])
        line[0].set_ylabel(f"{fraction:.0%}")
    titles = (f"read, a dot for {DOT} x {DOT} pixels", "mean", "std, from 0 (black) to 0.2", "truth")
    for ax, title in zip(axes[0], titles, strict=True):
        ax.set_title(title)
    picture.suptitle(DRAWN)
    path = RESULTS / "photographs.png"
    picture.savefig(path, dpi=80)
    Image.open(path).convert("RGB").quantize(256).save(path, optimize=True)  # a third of the size


def main() -> None:
    rows, drawn = [], {}
    for photograph in PHOTOGRAPHS:
        X, y = pixels_to_rows(load_sample_image(photograph))
        order = np.random.default_rng(0).permutation(len(X))
        for fraction in FRACTIONS:
            read, unread = np.split(order, [round(fraction * len(X))])
            for name, model in tqdm(models().items(), desc=f"{photograph}, {fraction:.0%}"):
                result = complete(model, X[read], y[read], X)
                truth, mean, std = y[unread], result.mean[unread], result.std[unread]
                rows.append(
                    {
                        "photograph": photograph,
                        "read": fraction,
                        "pixels": len(read),
                        "model": name,
                        "rmse": float(np.square(truth - mean).mean() ** 0.5),
                        "nll": float(gaussian_nll(truth, mean, std)),
                        "coverage_90": float(interval_coverage(truth, mean, std)),
                        **result.costs,
                    }
                )
                if name == DRAWN:
                    drawn[photograph, fraction] = read, result
    write("photographs", rows)
    draw(drawn)


if __name__ == "__main__":
    main()
