"""Real streams from their very first rows: what a beginning without typical rows costs.

Rows come in time order, 10 at a time up to 1,000 rows and 100 at a time from there on, and are predicted, scored and
learned: ``python benchmarks/beginnings.py --streams FOLDER``, with the folder of the streams' parquet files. Three
estimators differ in the rows that they are adapted to: the first 10, all so far until there are 1,000, as
`partial_fit` does, or 1,000 at once, before which there are no predictions. NLL in nats per row, in the target's own
units.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from _report import write
from _streams import STREAMS, load
from tqdm.auto import tqdm

from skcmanp import CMANPRegressor
from skcmanp.adaptation.first_rows import ENOUGH
from skcmanp.streaming import prequential

FIRST, CHUNK, LATE_CHUNK, END = 10, 10, 100, 5000
PARTS = {"to 100": (FIRST, 100), "to 1000": (100, ENOUGH), "to 5000": (ENOUGH, END)}


def run(X: np.ndarray, y: np.ndarray, first: int, frozen: bool, name: str) -> dict[str, float]:
    """RMSE and NLL by number of rows read, of an estimator that begins with so many rows."""
    regressor = CMANPRegressor()
    (regressor.fit if frozen else regressor.partial_fit)(X[:first], y[:first])
    starts = [*range(first, ENOUGH, CHUNK), *range(ENOUGH, len(y), LATE_CHUNK)]
    edges = list(zip(starts, [*starts[1:], len(y)], strict=True))
    lines = prequential(regressor, tqdm([(X[start:end], y[start:end]) for start, end in edges], desc=name))
    n_read, scores = first + lines["n_seen"], {}
    for part, (low, high) in PARTS.items():
        known = low >= first
        inside = (low <= n_read) & (n_read < high)
        n_rows = lines["n_rows"][inside]
        scores[f"nll {part}"] = float(np.average(lines["nll"][inside], weights=n_rows)) if known else ""
        scores[f"rmse {part}"] = float(np.average(lines["rmse"][inside] ** 2, weights=n_rows) ** 0.5) if known else ""
    return scores


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--streams", type=Path, required=True)
    folder = parser.parse_args().streams
    results = []
    for stream in STREAMS:
        X, y = (part[:END] for part in load(folder, stream))
        for name, first, frozen in (
            ("first 10 rows", FIRST, True),
            ("rows so far, until 1,000", FIRST, False),
            ("first 1,000 rows", ENOUGH, True),
        ):
            results.append({"stream": stream, "fixed by": name, **run(X, y, first, frozen, f"{stream}, {name}")})
    write("beginnings", results)


if __name__ == "__main__":
    main()
