"""Photographs completed from few of their pixels, read as a stream: accuracy, seconds, and bytes.

The two photographs that scikit-learn ships, 427 x 640 pixels of three colours; 1, 5 and 20 % of the pixels, drawn at
random, are read in chunks, and all are predicted: ``python benchmarks/photographs.py``. Scores are of the pixels that
were not read, with intensities from 0 to 1, averaged over colours. The std of neighbours is that of out-of-fold
residuals, whose five fits count.
"""

from __future__ import annotations

import numpy as np
from _fields import Completion, complete, larger_memory, neighbours
from _report import RESULTS, figure, write
from sklearn.base import BaseEstimator
from sklearn.datasets import load_sample_image
from tqdm.auto import tqdm

from skcmanp import CMANPRegressor
from skcmanp.images import pixels_to_rows, rows_to_pixels
from skcmanp.metrics import gaussian_nll, interval_coverage

PHOTOGRAPHS = ("china.jpg", "flower.jpg")
FRACTIONS = (0.01, 0.05, 0.2)
DRAWN = "CMANPRegressor, memory of 896"


def models() -> dict[str, BaseEstimator]:
    return {
        "CMANPRegressor()": CMANPRegressor(dtype="float32"),
        DRAWN: CMANPRegressor(larger_memory(896), dtype="float32"),
        "CMANPRegressor, field-2d": CMANPRegressor("field-2d", dtype="float32"),
        "8 neighbours": neighbours(),
    }


def panels(image: np.ndarray, results: dict[float, tuple[np.ndarray, Completion]]) -> dict[str, np.ndarray]:
    """Pictures by title: for every fraction what was read, mean and std; and the whole."""
    pictures = {}
    for fraction, (read, result) in results.items():
        seen = np.where(np.isin(np.arange(image[..., 0].size), read).reshape(image.shape[:2])[..., None], image, 1.0)
        pictures[f"{fraction:.0%} read"] = seen
        pictures[f"mean from {fraction:.0%}"] = rows_to_pixels(result.mean, image.shape).clip(0, 1)
        pictures[f"std from {fraction:.0%}"] = result.std.mean(axis=1).reshape(image.shape[:2])
    return {**pictures, "truth": image}


def draw(photographs: dict[str, dict[str, np.ndarray]]) -> None:
    """A row for each photograph."""
    n_columns = len(next(iter(photographs.values())))
    picture, axes = figure(len(photographs), n_columns, figsize=(2.6 * n_columns, 2.1 * len(photographs) + 0.4))
    for line, pictures in zip(axes, photographs.values(), strict=True):
        for ax, (title, pixels) in zip(line, pictures.items(), strict=True):
            ax.imshow(pixels, cmap="magma", vmin=0.0, vmax=0.2)  # both are of the std alone, which has no colours
            ax.set(xticks=[], yticks=[])
            if line is axes[0]:
                ax.set_title(title, fontsize=10)
    picture.suptitle(f"{DRAWN}; std from 0 (black) to 0.2")
    picture.savefig(RESULTS / "photographs.png", dpi=60)


def main() -> None:
    rows, drawn = [], {}
    for photograph in PHOTOGRAPHS:
        image = load_sample_image(photograph) / 255.0
        X, y = pixels_to_rows(image)
        order = np.random.default_rng(0).permutation(len(X))
        results = {}
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
                    results[fraction] = read, result
        drawn[photograph] = panels(image, results)
    write("photographs", rows)
    draw(drawn)


if __name__ == "__main__":
    main()
