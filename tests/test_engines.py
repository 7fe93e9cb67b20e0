"""Real engines on this machine give what one process does: ``tox -e engines``. Those not installed are skipped."""

import shutil
import subprocess
import sys
from copy import deepcopy
from importlib import import_module

import joblib
import numpy as np
import pytest
from conftest import assert_same_predictions, make_model

from skcmanp import CMANPRegressor

engines = pytest.importorskip("engines")

# Engines warn of what is theirs, when threads and sockets of theirs end.
pytestmark = pytest.mark.filterwarnings("ignore")

PACKAGES = {"Dask, delayed": "dask.distributed", "Dask, DataFrame": "dask.dataframe", "Ray": "ray"}
PACKAGES["PySpark, mapInPandas"] = "pyspark"

# Of joblib, and the modules that register them.
BACKENDS = {"Dask, delayed": ("dask", "distributed"), "Ray": ("ray", "ray.util.joblib")}
BACKENDS["PySpark, mapInPandas"] = ("spark", "joblibspark")


@pytest.fixture(scope="module")
def table():
    return engines.make_table(3_000)


def started(name):
    """An engine with two workers."""
    pytest.importorskip(PACKAGES[name])
    if "Spark" in name and not shutil.which("java"):
        pytest.skip("Spark needs a Java runtime, 17 or newer")
    return engines.ENGINES[name][0](2)


@pytest.mark.parametrize("name", engines.ENGINES)
def test_shards_on_an_engine_are_one_reading(name, table, tmp_path):
    X, y = table.drop(columns=engines.TARGET), table[engines.TARGET]
    seed = CMANPRegressor().fit(X[:200], y[:200])
    table.to_parquet(tmp_path / "table.parquet", row_group_size=1_000)
    table[:0].to_parquet(tmp_path / "nothing.parquet")
    with started(name) as engine:
        merged = engines.ENGINES[name][1](engine, seed, str(tmp_path / "table.parquet"))
        nothing = engines.ENGINES[name][1](engine, seed, str(tmp_path / "nothing.parquet"))
    assert nothing.n_samples_seen_ == 0
    assert merged.n_samples_seen_ == 3_000
    assert_same_predictions(merged, deepcopy(seed).decay(0).partial_fit(X, y), X[:100])


def test_no_shard_at_all_is_nothing(table):
    pytest.importorskip("dask")
    seed = CMANPRegressor().fit(table[:200].drop(columns=engines.TARGET), table[engines.TARGET][:200])
    assert engines.with_dask_delayed(seed, []).n_samples_seen_ == 0


@pytest.mark.parametrize("name", BACKENDS)
def test_n_jobs_on_an_engines_joblib_backend(name, table):
    X, y = table.drop(columns=engines.TARGET).to_numpy(), table[engines.TARGET].to_numpy()
    reg = CMANPRegressor(make_model(dim_x=10), chunk_size=500)
    whole = deepcopy(reg).fit(X, y)
    backend, module = BACKENDS[name]
    pytest.importorskip(module.split(".")[0])
    with started(name):
        getattr(import_module(module), f"register_{backend}", lambda: None)()  # Dask's is known to joblib
        with joblib.parallel_config(backend=backend):
            shards = reg.set_params(n_jobs=2).fit(X, y)
    assert np.isfinite(whole.predict(X[:10])).all()
    assert_same_predictions(shards, whole, X[:100])


def test_usage_is_of_all_processes():
    pytest.importorskip("psutil")
    alone = engines.Usage()
    with alone:
        pass
    with engines.Usage() as usage:
        subprocess.run([sys.executable, "-c", "kept = b'x' * 300_000_000; sum(range(50_000_000))"], check=True)
    assert usage.peak_mb > alone.peak_mb + 290
    assert usage.cpu_seconds > alone.cpu_seconds + 0.3
