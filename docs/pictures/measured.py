"""Pictures of measurements that have none of their own: a function each, of one of the files in benchmarks/results."""

import csv
from collections.abc import Callable, Iterable
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes

RESULTS = Path("../../benchmarks/results").resolve()  # pictures are drawn in their folder
OURS, GREY = "#1f5a96", "0.6"
COLOURS = ["#e8862e", "#3d8f56", "#8b62ab", "#b5483d", "#7b7b7b", "#c79a1b", "#4aa3b5", "#d47fb0"]


def read(name: str) -> list[dict[str, str]]:
    with open(RESULTS / f"{name}.csv", newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def colours(names: Iterable[str]) -> dict[str, str]:
    """Ours in blue, the others as they come."""
    others = iter(COLOURS * 2)
    return {name: OURS if name.startswith(("CMANP", "all")) else next(others) for name in dict.fromkeys(names)}


def dots(
    rows: list[dict[str, str]],
    index: Callable[[dict[str, str]], str],
    model: str,
    value: str,
    *,
    relative: bool = False,
    limit: float = np.inf,
    label: str,
) -> Axes:
    """A line for every table, a dot for every model; `relative` to the line's least, and no further than a limit."""
    lines = list(dict.fromkeys(map(index, rows)))
    shades = colours(row[model] for row in rows)
    least = {line: min(float(row[value]) for row in rows if index(row) == line) for line in lines}
    ax = plt.subplots(figsize=(8, 0.9 + 0.3 * len(lines)))[1]
    for name, shade in shades.items():
        own = {index(row): float(row[value]) for row in rows if row[model] == name}
        x = np.array([min(own[line] - relative * least[line], limit) for line in own])
        ax.plot(x, [lines.index(line) for line in own], "o", ms=7, color=shade, alpha=0.85, label=name)
    ax.set(yticks=range(len(lines)), yticklabels=lines, xlabel=label)
    ax.invert_yaxis()
    ax.grid(axis="y", color="0.9")
    ax.legend(loc="center left", bbox_to_anchor=(1.0, 0.5), frameon=False, fontsize=8)
    return ax


def curves(rows: list[dict[str, str]], x: str, y: str, model: str) -> Axes:
    """A line for every model."""
    ax = plt.subplots(figsize=(8, 3))[1]
    for name, shade in colours(row[model] for row in rows).items():
        own = [row for row in rows if row[model] == name]
        ax.plot([float(row[x]) for row in own], [float(row[y]) for row in own], "o-", color=shade, label=name)
    ax.legend(loc="center left", bbox_to_anchor=(1.0, 0.5), frameon=False, fontsize=8)
    return ax


def speed() -> None:
    rows = [row for row in read("speed") if row["x"] not in ("", "nan")]
    rows = [{**row, "threads": f"{row['threads']} thread{'s' * (row['threads'] != '1')}"} for row in rows]
    ax = dots(rows, lambda row: row["what"], "threads", "x", label="Times as fast as the earlier commit")
    ax.axvline(1, color=GREY, lw=1)
    ax.set_xscale("log")
    ax.set_xticks([0.5, 1, 2, 4], ["0.5", "1", "2", "4"])
    ax.minorticks_off()


def accuracy() -> None:
    rows = [row for row in read("accuracy") if row["nll"] not in ("", "nan")]
    label = "NLL above the best model's, nats per target; 2 is 2 or more"
    dots(rows, lambda row: row["data"], "model", "nll", relative=True, limit=2.0, label=label)


def gal_ghahramani() -> None:
    rows = []
    for row in read("gal_ghahramani"):
        published = {name.removeprefix("NLL: "): row[name] for name in row if name.startswith("NLL: ")}
        for model, nll in {"CMANPRegressor()": row["nll"], **published}.items():
            if nll not in ("", "nan"):
                rows.append({"data": row["data"], "model": model, "nll": nll})
    label = "NLL above the best one, nats per target; 1.5 is 1.5 or more"
    dots(rows, lambda row: row["data"], "model", "nll", relative=True, limit=1.5, label=label)


def extrapolation() -> None:
    ax = curves(read("extrapolation"), "beyond", "coverage_90", "model")
    ax.axhline(0.9, color=GREY, ls=":")
    ax.set(xlabel="distance beyond the edge of the data, in half ranges", ylabel="coverage of 90 % intervals")


def function_std() -> None:
    rows = read("function_std")
    kinds = {"function_90": "CMANPRegressor()", "exact_process_function_90": "exact process"}
    cases = [
        {**row, "model": name, "coverage": row[column]}
        for row in rows
        for column, name in kinds.items()
        if row[column] not in ("", "nan")
    ]
    ax = dots(
        cases,
        lambda row: f"{row['function']}; {row['rows']} rows, noise {row['noise']}",
        "model",
        "coverage",
        label="coverage of the function by 90 % intervals without noise",
    )
    ax.axvline(0.9, color=GREY, ls=":")


def first_rows() -> None:
    label = "NLL above that of the best variant, nats per target"
    dots(read("first_rows"), lambda row: row["data"], "variant", "nll", relative=True, limit=1.0, label=label)


def beginnings() -> None:
    label = "NLL from 1,000 to 5,000 rows, above that of the best beginning; 1.5 is 1.5 or more"
    rows = read("beginnings")
    dots(rows, lambda row: row["stream"], "fixed by", "nll to 5000", relative=True, limit=1.5, label=label)


def streaming() -> None:
    rows = [row for row in read("streaming") if row["x"] not in ("", "nan")]
    ax = dots(rows, lambda row: row["what"], "dtype", "x", label="times as fast as the reference")
    ax.set_xscale("log")
    ax.axvline(1, color=GREY, ls=":")


def memory() -> None:
    ax = curves(
        [{**row, "label": f"{row['n_features']} features"} for row in read("memory")], "rows", "peak_mb", "label"
    )
    ax.set(xscale="log", xlabel="rows read", ylabel="peak memory, MB", ylim=(0, None))


def drift() -> None:
    kinds = {"float64_error": "CMANP: float64 statistics", "float32_error": "float32 statistics"}
    rows = [
        {"rows": row["rows"], "error": row[column], "kind": name}
        for row in read("drift")
        for column, name in kinds.items()
    ]
    ax = curves(rows, "rows", "error", "kind")
    ax.set(xscale="log", yscale="log", xlabel="single-row updates", ylabel="relative error")


def families() -> None:
    label = "log density above that of one latent, nats per target"
    dots(read("families"), lambda row: row["family"], "network", "to 1 latent", label=label)


def feature_order() -> None:
    kinds = {
        "rms change of mean / std": "another order of the columns",
        "with a tenth of the rows left out": "a tenth of the rows left out",
    }
    rows = [
        {"data": row["data"], "change": row[column], "kind": name}
        for row in read("feature_order")
        for column, name in kinds.items()
    ]
    dots(
        rows, lambda row: row["data"], "kind", "change", label="root mean square change of the mean, in predictive std"
    )
