"""Which tools work with the estimator: every block of the guide's page is run with what is installed.

``python benchmarks/tools.py``; ``tox -e tools`` installs all of them and checks the same.
"""

from __future__ import annotations

import re
import textwrap
import warnings
from importlib.metadata import version
from pathlib import Path

from _report import write

PAGE = Path(__file__).parent.parent / "docs" / "guide" / "tools.rst"

# Where a distribution is not named as its module is.
DISTRIBUTIONS = {"skopt": "scikit-optimize"}


def blocks() -> dict[str, str]:
    """The page's code by the module that it is about, what all need first under ``setup``."""
    text = PAGE.read_text(encoding="utf-8")
    found = re.findall(r"   :name: tools-(\w+)\n\n((?:   .*\n|\n)+)", text)
    return {name: textwrap.dedent(code).strip() for name, code in found}


def run(name: str) -> dict[str, object]:
    """What a block leaves behind, with what it needs run first."""
    code = blocks()
    # Classes are found in their module's namespace.
    namespace: dict[str, object] = {"__name__": "__main__"}
    for part in ("setup", name):
        exec(compile(code[part], f"{PAGE.name}: {part}", "exec"), namespace)
    return namespace


def main() -> None:
    warnings.simplefilter("ignore")
    rows = []
    for name, code in blocks().items():
        if name == "setup":
            continue
        row = {"tool": name, "version": version(DISTRIBUTIONS.get(name, name))}
        try:
            run(name)
            works = "yes"
        except Exception as error:
            works = f"no: {type(error).__name__}: {error}"[:200]
        rows.append({**row, "works": works, "lines": len([line for line in code.splitlines() if line.strip()])})
        print(rows[-1], flush=True)
    write("tools", rows, keys=("tool",))


if __name__ == "__main__":
    main()
