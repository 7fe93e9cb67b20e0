import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parent.parent / "examples"
QUICK = ("plot_table_as_it_is",)
GALLERY = [
    pytest.param(path, id=path.stem, marks=[] if path.stem in QUICK else pytest.mark.slow)
    for path in sorted(EXAMPLES.glob("plot_*.py"))
]

# Runs a script of the gallery as sphinx-gallery does, and asks for exactly one picture with something in it.
RUN = """
import runpy, sys
import matplotlib.pyplot as plt
runpy.run_path(sys.argv[1], run_name="__main__")
assert len(plt.get_fignums()) == 1
assert all(ax.has_data() for ax in plt.gcf().axes)
plt.gcf().canvas.draw()
"""


def run(*arguments):
    environment = {**os.environ, "MPLBACKEND": "Agg"}
    return subprocess.run([sys.executable, *arguments], capture_output=True, text=True, env=environment)


@pytest.mark.slow
def test_quickstart_runs(tmp_path):
    done = run(str(EXAMPLES / "quickstart.py"), "--output", str(tmp_path / "picture.png"))
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "picture.png").read_bytes().startswith(b"\x89PNG")
    assert "273,280" in done.stdout
    assert "27,328" in done.stdout  # all were read
    assert "362" in done.stdout


@pytest.mark.parametrize("path", GALLERY)
def test_gallery_runs(path):
    done = run("-c", RUN, str(path))
    assert done.returncode == 0, done.stderr
    assert done.stdout


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("plot_*.py")), ids=lambda path: path.stem)
def test_gallery_has_titles(path):
    title, underline, *_ = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))).splitlines()
    assert underline == "=" * len(title)
