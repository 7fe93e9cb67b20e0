"""What each thing is worth that the first rows fix, beside centre, scale and length-scales.

The default as it is, and with one part left out: no trend, no main effects, inducing points that stay rows, noise that
is the same everywhere, and a scale of what the features miss that is the evidence's instead of cross-validation's; and
with none of all that. On real tables, ``python benchmarks/first_rows.py [--uci FOLDER]``, and on a made-up one whose
noise grows 13-fold along a feature (1,000 rows read, 2,000 predicted; five draws).
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from contextlib import ExitStack
from itertools import chain
from typing import Any
from unittest.mock import patch

import numpy as np
from _report import standard_error, write
from accuracy import Splits, add_table_options, score, tables
from tqdm.auto import tqdm

from skcmanp import CMANPRegressor
from skcmanp.adaptation.evidence import Evidence, maximise_evidence
from skcmanp.adaptation.main_effects import MainEffects
from skcmanp.adaptation.missed import Missed
from skcmanp.adaptation.noise import NoiseProfile
from skcmanp.adaptation.rows import Rows
from skcmanp.adaptation.sparse_process import fit_sparse_process


def no_trend(rows: Rows, effects: MainEffects) -> Evidence:
    found = maximise_evidence(rows, effects)
    return found._replace(slope=np.zeros_like(found.slope))


def no_cosines(n_features: int, n_places: int) -> int:
    return 0


def points_stay(rows: Rows, points: np.ndarray, *others: Any) -> tuple[np.ndarray, NoiseProfile | None]:
    return fit_sparse_process(rows, points, *others, moves=False)


def constant_noise(*arguments: Any) -> tuple[np.ndarray, None]:
    return fit_sparse_process(*arguments)[0], None


def no_sparse_process(rows: Rows, points: np.ndarray, *others: Any) -> tuple[np.ndarray, None]:
    return points, None


def missed_by_evidence(rows: Rows, *arguments: Any) -> tuple[Missed, np.ndarray]:
    *_, signal = arguments
    return Missed(signal, signal, np.ones(2)), np.zeros(len(rows.x))


# What takes the place of functions in `skcmanp.adaptation.fitting`.
VARIANTS: dict[str, dict[str, Callable[..., Any]]] = {
    "all": {},
    "no trend": {"maximise_evidence": no_trend},
    "no main effects": {"n_cosines": no_cosines},
    "inducing points stay": {"fit_sparse_process": points_stay},
    "constant noise": {"fit_sparse_process": constant_noise},
    "missed by evidence": {"missed_scale": missed_by_evidence},
    "none": {
        "maximise_evidence": no_trend,
        "n_cosines": no_cosines,
        "fit_sparse_process": no_sparse_process,
        "missed_scale": missed_by_evidence,
    },
}


def swelling() -> tuple[str, np.ndarray, np.ndarray, Splits]:
    """Noise whose standard deviation grows 13-fold along the first of three features."""
    rng = np.random.default_rng(0)
    X = rng.uniform(-1, 1, (3000, 3))
    y = 2 * np.sin(3 * X[:, 0]) + 4 * X[:, 1] + np.exp(1.3 * np.sin(2.5 * X[:, 0])) * rng.normal(size=len(X))
    splits = [np.split(rng.permutation(len(X)), [1000]) for _ in range(5)]
    return "swelling noise", X, y, [(train, test) for train, test in splits]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    add_table_options(parser)
    arguments = parser.parse_args()
    rows = []
    for data, X, y, splits in chain([swelling()], tables(arguments.uci, arguments.splits)):
        baseline: np.ndarray | None = None
        for name, variant in tqdm(VARIANTS.items(), desc=data):
            scores = []
            for train, test in splits[: arguments.splits]:
                with ExitStack() as stack:
                    for function, other in variant.items():
                        stack.enter_context(patch(f"skcmanp.adaptation.fitting.{function}", other))
                    regressor = CMANPRegressor().fit(X[train], y[train])
                scores.append(score(*regressor.predict(X[test], return_std=True), y[test]))
            likelihood, rmse, coverage = np.array(scores).T
            baseline = -likelihood if baseline is None else baseline
            rows.append(
                {
                    "data": data,
                    "variant": name,
                    "splits": len(scores),
                    "nll": float(-likelihood.mean()),
                    "nll se": standard_error(-likelihood),
                    "beyond all": float((-likelihood - baseline).mean()),
                    "beyond all se": standard_error(-likelihood - baseline),
                    "rmse": float(rmse.mean()),
                    "coverage_90": float(coverage.mean()),
                }
            )
    write("first_rows", rows)


if __name__ == "__main__":
    main()
