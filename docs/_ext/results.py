"""The directive ``results``: a table of one of the CSV files in ``benchmarks/results``.

Every table ends with the script that measured it, at which commits, and on what. Options:

``columns``
    Columns of the file to show, separated by commas.
``pivot``
    A column whose values become columns of the table, such as the models that are compared.
``index``
    With ``pivot``: the columns that name a row of the table.
``best``
    With ``pivot``, ``low`` or ``high``: a row's best first number is bold.
``where``
    ``column=value``, separated by semicolons: rows of the file to keep. ``value|value`` is either.
"""

import csv
from pathlib import Path
from typing import Any, ClassVar

from docutils import nodes
from docutils.parsers.rst import directives
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

RESULTS = Path(__file__).parents[2] / "benchmarks" / "results"

Row = dict[str, str]


def names(argument: str) -> list[str]:
    """Names between commas."""
    return [name.strip() for name in argument.split(",")]


def conditions(argument: str) -> dict[str, list[str]]:
    """``a=1|2; b=3`` as a dict."""
    pairs = (condition.split("=", 1) for condition in argument.split(";"))
    return {column.strip(): values.strip().split("|") for column, values in pairs}


def readable(text: str) -> str:
    """A number with three significant digits and its thousands apart; other text as it is."""
    try:
        value = float(text)
    except ValueError:
        return text
    if value != value:
        return ""
    is_whole = text.lstrip("-").isdigit() or 1000 <= abs(value) < 1e8
    return f"{value:,.0f}" if is_whole else f"{value:#.3g}".rstrip(".")


def provenance(name: str, rows: list[Row]) -> str:
    """Where figures come from. Commands name folders of the machine that ran them, so only the script is told."""
    commits = sorted({row["commit"] for row in rows})
    machines = {f"{row['device']}, torch {row['torch']}".replace("1 threads", "1 thread") for row in rows}
    at = f"commit{'s' * (len(commits) > 1)} {', '.join(commits)}"
    return f"benchmarks/{name}.py, {at}; {' and '.join(sorted(machines))}."


class Results(SphinxDirective):
    """See the module's docstring."""

    required_arguments = 1
    option_spec: ClassVar[dict] = {
        "columns": names,
        "index": names,
        "pivot": directives.unchanged_required,
        "best": lambda argument: {"low": min, "high": max}[directives.choice(argument, ("low", "high"))],
        "where": conditions,
    }

    def run(self) -> list[nodes.Node]:
        name = self.arguments[0]
        path = RESULTS / f"{name}.csv"
        self.env.note_dependency(str(path))
        wanted = self.options.get("where", {})
        with open(path, newline="", encoding="utf-8") as file:
            rows = [row for row in csv.DictReader(file) if all(row[key] in values for key, values in wanted.items())]
        if not rows:
            raise self.error(f"No row of {path.name} fulfils :where:.")
        lines = self.pivoted(rows) if "pivot" in self.options else self.flat(rows)
        return [table(lines), nodes.paragraph("", provenance(name, rows), classes=["provenance"])]

    def flat(self, rows: list[Row]) -> list[list[nodes.Node]]:
        columns = self.options["columns"]
        return [list(map(nodes.Text, columns)), *([nodes.Text(readable(row[c])) for c in columns] for row in rows)]

    def pivoted(self, rows: list[Row]) -> list[list[nodes.Node]]:
        index, pivot, values = self.options["index"], self.options["pivot"], self.options["columns"]
        # Ours first: wide tables are seen from the left.
        columns = sorted(dict.fromkeys(row[pivot] for row in rows), key=lambda name: "cmanp" not in name.lower())
        found: dict[tuple[str, ...], dict[str, Row]] = {}
        for row in rows:
            found.setdefault(tuple(row[key] for key in index), {})[row[pivot]] = row
        lines = [list(map(nodes.Text, [*index, *columns]))]
        for key, by_column in found.items():
            best = None
            if "best" in self.options:
                best = self.options["best"]((float(row[values[0]]) for row in by_column.values()), default=None)
            cells: list[nodes.Node] = [nodes.Text(readable(part)) for part in key]
            for column in columns:
                row = by_column.get(column)
                text = "" if row is None else " / ".join(readable(row[value]) for value in values)
                is_best = row is not None and best is not None and float(row[values[0]]) == best
                cells.append(nodes.strong("", text) if is_best else nodes.Text(text))
            lines.append(cells)
        return lines


def table(lines: list[list[nodes.Node]]) -> nodes.table:
    """A table with a head."""
    head, *body = (nodes.row("", *(nodes.entry("", nodes.paragraph("", "", cell)) for cell in line)) for line in lines)
    columns = [nodes.colspec(colwidth=1) for _ in lines[0]]
    group = nodes.tgroup("", *columns, nodes.thead("", head), nodes.tbody("", *body), cols=len(columns))
    return nodes.table("", group, classes=["results"])


def setup(app: Sphinx) -> dict[str, Any]:
    app.add_directive("results", Results)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
