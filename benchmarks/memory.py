"""Peak memory and state size against the number of rows streamed.

Each count runs in a process of its own: ``python benchmarks/memory.py``.
"""

from __future__ import annotations

import argparse
import json
import pickle
import resource
import subprocess
import sys
import time

from _report import write

CHUNK = 10_000


def stream(n_rows: int, n_features: int) -> dict:
    """Stream generated rows through partial_fit and measure this process."""
    import numpy as np

    from skcmanp import CMANPRegressor

    rng = np.random.default_rng(0)
    reg = CMANPRegressor(dtype="float32")
    start = time.perf_counter()
    for _ in range(n_rows // CHUNK):
        X = rng.normal(size=(CHUNK, n_features))
        reg.partial_fit(X, X[:, 0] + rng.normal(size=CHUNK))
        reg.predict(X[:100])
    seconds = time.perf_counter() - start
    return {
        "n_features": n_features,
        "rows": n_rows,
        "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        "state_bytes": reg.context_.nbytes,
        "pickle_bytes": len(pickle.dumps(reg)),
        "rows_per_second": n_rows / seconds,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--max-rows", type=int, default=10_000_000)
    parser.add_argument("--child", type=int, nargs=2, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child:
        print(json.dumps(stream(*arguments.child)))
        return
    rows = []
    for n_features in (1, 10):
        for exponent in range(4, 8):
            if 10**exponent <= arguments.max_rows:
                command = [sys.executable, __file__, "--child", str(10**exponent), str(n_features)]
                done = subprocess.run(command, capture_output=True, text=True, check=True)
                rows.append(json.loads(done.stdout))
    write("memory", rows)


if __name__ == "__main__":
    main()
