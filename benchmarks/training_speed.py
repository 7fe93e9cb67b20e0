"""Training steps per second: CMANP beside its peers, and the loop's options beside its default.

16 tasks a step of the papers' meta-regression. The first window of every run, with
compilation in it, is not counted. ``python benchmarks/training_speed.py``.
"""

from __future__ import annotations

import argparse

import torch
from _report import write
from _runs import MEMORY, MODELS

from skcmanp import CMANPConfig, TrainingOptions, meta_train
from skcmanp.tasks import GPTasks

OPTIONS = {
    "default": {},
    "precision='bfloat16'": {"precision": "bfloat16"},
    "compile=True": {"compile": True},
    "accumulate=4": {"accumulate": 4},
    "ema=0.999": {"ema": 0.999},
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=20, help="in a window")
    parser.add_argument("--device", default="cpu")
    arguments = parser.parse_args()

    cases = [(name, CMANPConfig(), "default") for name in MODELS if name != "cmanp"]
    cases += [("cmanp", CMANPConfig(), option) for option in OPTIONS]
    cases += [("cmanp, conjugate memory, 2 blocks", CMANPConfig(**MEMORY), "default")]
    rows = []
    for name, config, option in cases:
        torch.manual_seed(0)
        model = MODELS[name.split(",")[0]](config).to(arguments.device)
        n = arguments.steps
        options = TrainingOptions(
            steps=3 * n, batch_size=16, evaluate_every=n, n_evaluation=1, warmup=0, **OPTIONS[option]
        )
        log = meta_train(model, GPTasks(), options)
        rows.append(
            {
                "model": name,
                "options": option,
                "parameters": sum(p.numel() for p in model.parameters()),
                "steps_per_second": max(log.column("steps_per_second")[1:]),
                "first_window_seconds": round(n / log[0]["steps_per_second"], 1),
            }
        )
    write("training_speed", rows)


if __name__ == "__main__":
    main()
