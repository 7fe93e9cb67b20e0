"""The pages of docs/: that their examples run, and that the reference has every public name."""

import doctest
import importlib
import pkgutil
import re
import textwrap
from pathlib import Path

import pytest

import skcmanp

DOCS = Path(__file__).parent.parent / "docs"
WRITTEN = [*DOCS.glob("*.rst"), *DOCS.glob("guide/*.rst"), *DOCS.glob("develop/*.rst")]  # the others are generated
PAGES = sorted(path for path in WRITTEN if "\n>>> " in path.read_text(encoding="utf-8"))


def public_names():
    """Names of all modules with ``__all__``, as the reference has them: where the package itself has one, there."""
    found = [module.name for module in pkgutil.walk_packages(skcmanp.__path__) if module.name != "__main__"]
    for module in found:
        for name in getattr(importlib.import_module(f"skcmanp.{module}"), "__all__", []):
            yield name if name in skcmanp.__all__ else f"{module}.{name}"
    yield from skcmanp.__all__


SLOW = ("scaling_out.rst",)  # starts processes


@pytest.mark.parametrize(
    "path",
    [
        pytest.param(path, id=path.relative_to(DOCS).as_posix(), marks=pytest.mark.slow if path.name in SLOW else ())
        for path in PAGES
    ],
)
def test_examples_of_pages_run(path):
    assert doctest.testfile(str(path), module_relative=False).failed == 0


def test_code_of_the_front_page_runs():
    page = (DOCS / "index.rst").read_text(encoding="utf-8")
    code = page.split(".. code-block:: python\n")[1].split(".. grid::")[0]
    exec(textwrap.dedent(code), {})


def test_readme_is_short_and_its_code_runs():
    readme = (DOCS.parent / "README.md").read_text(encoding="utf-8")
    assert len(readme.splitlines()) <= 130
    exec(readme.split("```python\n")[1].split("```")[0], {})
    for target in re.findall(r"\]\((?!https?:)([^)]+)\)", readme):
        assert (DOCS.parent / target).exists(), target


def test_continuous_integration_runs_the_readmes_test_command():
    readme, runs = ((DOCS.parent / name).read_text(encoding="utf-8") for name in ("README.md", ".ci/run"))
    (command,) = re.findall(r"^python3 .*tox -e py$", readme, re.MULTILINE)
    assert f"\n{command}\n" in runs


def test_reference_has_every_public_name():
    listed = {line.strip().removeprefix(".. py:data:: ") for line in (DOCS / "api.rst").read_text().splitlines()}
    assert set(public_names()) <= listed, set(public_names()) - listed


def test_every_shipped_network_has_its_card_on_the_site():
    page = (DOCS / "cards.md").read_text(encoding="utf-8")
    for name in skcmanp.shipped_checkpoints():
        assert f"weights/{name}.md" in page


def test_every_measurement_is_on_the_site():
    pages = "".join(path.read_text(encoding="utf-8") for path in (DOCS / "benchmarks.rst", *DOCS.glob("guide/*.rst")))
    for path in (DOCS.parent / "benchmarks" / "results").glob("*"):
        is_curve = path.stem == "streams_curve"  # drawn, but too long for a table
        assert is_curve or f"results:: {path.stem}\n" in pages or path.name in pages, path.name
