"""The package as a whole: layers, laziness, size of files, public names."""

import ast
import importlib
import subprocess
import sys
from pathlib import Path

import pytest

import skcmanp

PACKAGE = Path(skcmanp.__file__).parent

# Each layer imports only from those before it.
LAYERS = [
    {
        "bounds",
        "fields",
        "files",
        "images",
        "progress",
        "wrappers",
        "frames",
        "kernels",
        "layout",
        "products",
        "replay",
        "threads",
    },
    {"validation", "seal"},
    {"state.softmax", "state.sums", "nn.config", "adaptation.base"},
    {"state.summary"},
    {"adaptation.columns", "adaptation.ranks", "adaptation.rows", "adaptation.trend", "adaptation.waves"},
    {"adaptation.encoding", "adaptation.categories", "adaptation.trees", "adaptation.ridge"},
    {"adaptation.inputs", "adaptation.warp", "adaptation.first_rows"},
    {"adaptation.targets"},
    {"adaptation.inducing", "adaptation.main_effects", "adaptation.missed", "adaptation.noise"},
    {"adaptation.evidence", "adaptation.basis"},
    {"adaptation.sparse_process"},
    {"adaptation.fitting"},
    {"adaptation.adaptation"},
    {"adaptation"},
    {"metrics.gaussian"},
    {"metrics.scorers"},
    {"metrics"},
    {"streaming.arrow"},
    {"streaming.files"},
    {"streaming.batches"},
    {"streaming.learning"},
    {"streaming.prequential", "streaming.river"},
    {"streaming"},
    {"inspection.base"},
    {"inspection.intervals", "inspection.calibration", "inspection.stream"},
    {"inspection"},
    {"state.context", "devices"},
    {"state"},
    {"nn.attention", "nn.covariances", "nn.embedding"},
    {"nn.features", "nn.heads"},
    {"nn.conjugate"},
    {"nn.cmab", "nn.steps"},
    {"nn.model"},
    {"nn.calibration"},
    {"inference"},
    {"checkpoints"},
    {"parallel", "joint"},
    {"learner", "predictor"},
    {"algebra", "prediction", "notebook"},
    {"regressor"},
    {"deployment", "shards"},
    {"mixture"},
    {"mixture.serial"},
    {"mixture.columns", "mixture.linear", "mixture.scale", "mixture.conformal", "mixture.ring"},
    {"mixture.breaks", "mixture.errors", "mixture.limits", "mixture.weights"},
    {"mixture.reading", "mixture.trees"},
    {"mixture.experts"},
    {"mixture.mixture"},
    {"stream"},
    {"tasks.base"},
    {"tasks.adapted", "tasks.kernels", "tasks.celeba", "tasks.emnist", "tasks.kept"},
    {"tasks.gp", "tasks.datasets", "tasks.image_files"},
    {"tasks.functions", "tasks.images", "tasks.series", "tasks.tabular"},
    {"tasks"},
    {"training.evaluation"},
    {"training.options", "training.log", "training.signals", "training.workers"},
    {"training.loop"},
    {"training"},
    {"recipes"},
    {"cards"},
    {"cli"},
    {"__main__"},
]
RANK = {name: rank for rank, names in enumerate(LAYERS) for name in names}
NEVER = {"regressor": {"tasks", "training", "recipes", "cli"}}


def modules():
    for path in sorted(PACKAGE.rglob("*.py")):
        name = ".".join(path.relative_to(PACKAGE).with_suffix("").parts).removesuffix(".__init__")
        if name not in ("__init__", "nn"):
            yield name, path


def imported(path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("skcmanp."):
            yield node.module.removeprefix("skcmanp.")


@pytest.mark.parametrize(("name", "path"), list(modules()))
def test_imports_go_down_the_layers(name, path):
    for other in imported(path):
        assert RANK[other] < RANK[name], f"{name} must not import {other}"
        assert not any(other.startswith(forbidden) for forbidden in NEVER.get(name, ()))


@pytest.mark.parametrize(("name", "path"), list(modules()))
def test_modules_are_short_and_documented(name, path):
    source = path.read_text()
    assert len(source.splitlines()) <= 400
    assert ast.get_docstring(ast.parse(source))


def test_importing_the_package_is_light():
    code = (
        "import sys, skcmanp; dir(skcmanp);"
        "heavy = {'torch', 'matplotlib', 'sklearn', 'numpy', 'skcmanp.tasks', 'skcmanp.training'} & set(sys.modules);"
        "assert not heavy, heavy;"
        "from skcmanp import CMANPRegressor; CMANPRegressor();"
        "heavy = {'matplotlib', 'skcmanp.tasks', 'skcmanp.training', 'skcmanp.cli'} & set(sys.modules);"
        "assert not heavy, heavy"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_public_names_resolve_and_are_documented():
    assert sorted(skcmanp.__all__) == sorted(skcmanp._MODULES)
    for name in skcmanp.__all__:
        public = getattr(skcmanp, name)
        assert public.__doc__
        assert name in dir(skcmanp)
        defining = importlib.import_module(f"skcmanp.{skcmanp._MODULES[name]}")
        assert getattr(defining, name) is public
    with pytest.raises(AttributeError, match="no attribute 'CMANPRegresor'"):
        _ = skcmanp.CMANPRegresor


def test_estimator_reaches_no_network():
    """No module of the package imports anything that opens connections."""
    network = {"socket", "urllib", "http", "requests", "ssl", "huggingface_hub"}
    for _, path in modules():
        for node in ast.walk(ast.parse(path.read_text())):
            names = [a.name for a in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            assert not {name.split(".")[0] for name in names} & network


def test_typing_marker_ships():
    assert (PACKAGE / "py.typed").is_file()
