"""Many machines on real engines: shards read by Dask, Spark and Ray on this machine, and by one process.

``python benchmarks/engines.py [--rows N] [--workers N] [--engines NAME ...]`` needs what ``tox -e engines`` installs,
and Spark a Java runtime, 17 or newer. The functions are those of the guide.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Callable
from contextlib import contextmanager, suppress
from copy import deepcopy
from itertools import pairwise
from threading import Event, Thread
from typing import Any

import numpy as np
import pandas as pd
from _report import write
from sklearn.datasets import make_friedman1

from skcmanp import CMANPRegressor
from skcmanp.shards import combine_shards, merge_shards, read_shard

N_SHARDS, FAN_IN, TARGET = 32, 8, "y"


def with_dask_delayed(seed: Any, pairs: list[tuple[Any, Any]]) -> Any:
    import dask

    sent = dask.delayed(seed)
    shards = [dask.delayed(read_shard)(sent, X, y) for X, y in pairs]
    while len(shards) > 1:  # a tree
        shards = [dask.delayed(combine_shards)(shards[i : i + FAN_IN]) for i in range(0, len(shards), FAN_IN)]
    return merge_shards(seed, dask.compute(*shards))


def with_dask_dataframe(seed: Any, table: Any) -> Any:
    parts = table.to_delayed()
    return with_dask_delayed(seed, [(part.drop(columns=TARGET), part[TARGET]) for part in parts])


def with_spark(seed: Any, table: Any) -> Any:
    features = [name for name in table.columns if name != TARGET]

    def read(frames: Any) -> Any:
        shards = [read_shard(seed, frame[features], frame[TARGET]) for frame in frames]
        if shards:
            yield pd.DataFrame({"shard": [combine_shards(shards)]})

    shards = table.mapInPandas(read, "shard binary").rdd.map(lambda row: bytes(row.shard))
    nothing, add = read_shard(seed, [], []), lambda a, b: combine_shards([a, b])
    return merge_shards(seed, [shards.treeAggregate(nothing, add, add)])


def with_ray(seed: Any, pairs: list[tuple[Any, Any]]) -> Any:
    import ray

    sent, read = ray.put(seed), ray.remote(read_shard)
    combine = ray.remote(lambda *shards: combine_shards(shards))
    shards = [read.remote(sent, X, y) for X, y in pairs]
    while len(shards) > 1:  # a tree
        shards = [combine.remote(*shards[i : i + FAN_IN]) for i in range(0, len(shards), FAN_IN)]
    return merge_shards(seed, ray.get(shards))


# ---------------------------------------------------------------------- engines on this machine


@contextmanager
def dask_engine(workers: int) -> Any:
    from dask.distributed import Client, LocalCluster

    with (
        LocalCluster(n_workers=workers, threads_per_worker=1, dashboard_address=None) as cluster,
        Client(cluster) as client,
    ):
        yield client


@contextmanager
def spark_engine(workers: int) -> Any:
    from pyspark.sql import SparkSession

    os.environ.setdefault("PYSPARK_PYTHON", sys.executable)  # else the first python of the path
    builder = SparkSession.builder.master(f"local[{workers}]").config("spark.ui.enabled", "false")
    builder = builder.config("spark.sql.execution.arrow.maxRecordsPerBatch", 100_000)
    session = builder.config("spark.driver.memory", "3g").config("spark.driver.host", "localhost").getOrCreate()
    try:
        yield session
    finally:
        session.stop()


@contextmanager
def ray_engine(workers: int) -> Any:
    import ray

    ray.init(num_cpus=workers, include_dashboard=False, configure_logging=False)
    try:
        yield ray
    finally:
        ray.shutdown()


def pairs_of(table: pd.DataFrame, n: int) -> list[tuple[pd.DataFrame, pd.Series]]:
    """Shards of a table; the first is empty, as partitions may be."""
    edges = [0, *np.linspace(0, len(table), n).astype(int)]
    parts = (table.iloc[a:b] for a, b in pairwise(edges))
    return [(part.drop(columns=TARGET), part[TARGET]) for part in parts]


def run_dask_delayed(client: Any, seed: Any, path: str) -> Any:
    pairs = pairs_of(pd.read_parquet(path), N_SHARDS)
    return with_dask_delayed(seed, [tuple(client.scatter(list(pair))) for pair in pairs])


def run_dask_dataframe(client: Any, seed: Any, path: str) -> Any:
    import dask.dataframe as dd

    return with_dask_dataframe(seed, dd.read_parquet(path, split_row_groups=True))


def run_spark(session: Any, seed: Any, path: str) -> Any:
    return with_spark(seed, session.read.parquet(path).repartition(N_SHARDS))


def run_ray(ray: Any, seed: Any, path: str) -> Any:
    return with_ray(seed, pairs_of(pd.read_parquet(path), N_SHARDS))


ENGINES: dict[str, tuple[Callable[[int], Any], Callable[[Any, Any, str], Any]]] = {
    "Dask, delayed": (dask_engine, run_dask_delayed),
    "Dask, DataFrame": (dask_engine, run_dask_dataframe),
    "PySpark, mapInPandas": (spark_engine, run_spark),
    "Ray": (ray_engine, run_ray),
}


def make_table(n: int) -> pd.DataFrame:
    X, y = make_friedman1(n, n_features=10, noise=1.0, random_state=0)
    return pd.DataFrame(X, columns=[f"x{i}" for i in range(10)]).assign(**{TARGET: y})


class Usage(Thread):
    """Memory and processor time of this process and all that it starts, looked at twice a second, within ``with``."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.peak_mb, self._over = 0.0, Event()
        self._before: dict[int, float] = {}
        self._cpu: dict[int, float] = {}

    def __enter__(self) -> Usage:
        self._look()
        self._before = dict(self._cpu)
        self._start = time.perf_counter()
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.seconds = time.perf_counter() - self._start
        self._over.set()
        self.join()
        self._look()
        # Of processes that have ended, as it was when they were last seen.
        self.cpu_seconds = sum(cpu - self._before.get(pid, 0.0) for pid, cpu in self._cpu.items())

    def run(self) -> None:
        while not self._over.wait(0.5):
            self._look()

    def _look(self) -> None:
        import psutil

        this, mb = psutil.Process(), 0.0
        for process in (this, *this.children(recursive=True)):
            with suppress(psutil.Error):  # it has ended meanwhile
                times = process.cpu_times()
                self._cpu[process.pid] = times.user + times.system
                mb += process.memory_full_info().pss / 1e6  # what several share is counted once
        self.peak_mb = max(self.peak_mb, mb)


def main() -> None:
    import tempfile
    from pathlib import Path

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=2_000_000)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--engines", nargs="*", default=list(ENGINES))
    arguments = parser.parse_args()
    table = make_table(arguments.rows)
    X, y = table.drop(columns=TARGET), table[TARGET]
    seed = CMANPRegressor().fit(X[:2_000], y[:2_000])
    with Usage() as usage:
        whole = deepcopy(seed).decay(0).partial_fit(X, y)
    mean, std = whole.predict(X[:1_000], return_std=True)
    rows = [measured("one process", 1, usage, len(y), 0.0)]
    with tempfile.TemporaryDirectory() as folder:
        path = str(Path(folder) / "table.parquet")
        table.to_parquet(path, row_group_size=-(-len(table) // N_SHARDS))
        for name in arguments.engines:
            engine, run = ENGINES[name]
            with engine(arguments.workers) as running, Usage() as usage:
                merged = run(running, seed, path)
            assert merged.n_samples_seen_ == len(y)
            other_mean, other_std = merged.predict(X[:1_000], return_std=True)
            difference = max(np.abs(other_mean - mean).max(), np.abs(other_std - std).max()) / np.abs(mean).max()
            rows.append(measured(name, arguments.workers, usage, len(y), float(difference)))
            write("engines", rows, keys=("engine",))


def measured(engine: str, workers: int, usage: Usage, rows: int, difference: float) -> dict[str, object]:
    costs = {"seconds": usage.seconds, "cpu seconds": usage.cpu_seconds, "peak MB": usage.peak_mb}
    rate = {"rows_per_second": rows / usage.seconds}
    return {"engine": engine, "workers": workers, "rows": rows, **costs, **rate, "difference": difference}


if __name__ == "__main__":
    main()
