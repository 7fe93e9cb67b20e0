"""Train models of `meta_regression.py` side by side on a CUDA device, into the same folders.

    python benchmarks/meta_regression_cuda.py --steps 100000 --models cmanp cmanp-initialised

goes on with runs where they are, and ends after ``--seconds`` with all states saved; ``meta_regression.py evaluate``
then evaluates them.
"""

from __future__ import annotations

import argparse
import math
import multiprocessing
import os
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import torch
from _captured import train_captured
from meta_regression import META_REGRESSION, VARIANTS, runs_for


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=100_000)
    parser.add_argument("--models", nargs="+", choices=list(VARIANTS), metavar="MODEL", required=True)
    parser.add_argument("--runs", type=Path, help="folder of the runs")
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--seconds", type=float, default=math.inf, help="after which no step is begun")
    parser.add_argument("--compile", action="store_true", help="pass the blocks of CMANP through torch.compile")
    parser.add_argument("--tf32", action="store_true", help="round factors of matrix products to 10 bits")
    arguments = parser.parse_args(argv)
    torch.set_float32_matmul_precision("high" if arguments.tf32 else "highest")
    variants = [VARIANTS[name] for name in arguments.models]
    # Before there is anything on the device, which a fork could not use.
    n_workers, fork = max(1, len(os.sched_getaffinity(0)) - 2), multiprocessing.get_context("fork")
    with ProcessPoolExecutor(n_workers, fork, torch.set_num_threads, (1,)) as executor:
        list(executor.map(abs, range(64)))
        train_captured(
            variants, META_REGRESSION, arguments.steps, arguments.runs or runs_for(arguments.steps), executor,
            torch.device(arguments.device), arguments.seconds, arguments.compile,
        )  # fmt: skip


if __name__ == "__main__":
    main()
