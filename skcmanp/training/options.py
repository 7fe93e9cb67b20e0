"""How a meta-training run optimises."""

from __future__ import annotations

import math
from dataclasses import dataclass

from skcmanp.fields import check_fields

PRECISIONS = ("float32", "bfloat16")

_RANGES = {
    **dict.fromkeys(("warmup", "seed", "alone", "distinct"), "[0, inf)"),
    "learning_rate": "(0, inf)",
    "betas": "[0, 1)",
    "cooldown": "[0, 1]",
    "weight_decay": "[0, inf)",
    "clip": "(0, inf]",
    "ema": "[0, 1)",
    "save_seconds": "[0, inf]",
}


@dataclass(frozen=True)
class TrainingOptions:
    """How a `meta_train` run optimises.

    Parameters
    ----------
    steps : int, default=10000
        Optimiser steps. A finished or interrupted run can be resumed with
        more; it is then the run that had them from the start, provided that
        its cool-down had not begun.
    batch_size : int, default=32
        Tasks in a step, of all processes together.
    learning_rate : float, default=1e-3
        Of AdamW, after warm-up.
    betas : tuple of float, default=(0.9, 0.98)
        Of AdamW.
    warmup : int, default=500
        Steps of linear warm-up.
    cooldown : float, default=0.3
        Last fraction of the steps, in which the learning rate falls to zero
        along a half cosine; 1 is a cosine over the whole run.
    weight_decay : float, default=1e-4
    clip : float, default=1.0
        Largest norm of the gradient; infinity does not clip.
    ema : float, default=0.0
        Decay per step of a moving average of the weights, such as 0.999. With
        it, the averaged weights are evaluated and are the result. 0 is none.
    accumulate : int, default=1
        Parts in which a batch is passed through the network, for batches that
        do not fit in memory. The gradient is the same.
    precision : {"float32", "bfloat16"}, default="float32"
        Of matrix products in training ("bfloat16" is autocast). Weights, head
        and evaluation stay in float32.
    compile : bool, default=False
        Pass the objective through `torch.compile`. Tasks differ in size, so
        its shapes are dynamic; the first steps take minutes.
    trainable : str, default=""
        How the names of the parameters start that are trained; the others stay
        as they are. "correlations." is the not-diagonal head.
    alone : int, default=0
        First steps, in which blocks learn to predict without the conjugate
        memory, for networks with ``memory_fusion="gate"``. These are cheap, and
        blocks that learn beside a memory that knows more learn less.
    distinct : int, default=0
        Number of different batches, which then come again in the same order,
        for tasks that take longer to draw than to learn from; see
        `skcmanp.tasks.KeptTasks`. With 0 all are different.
    seed : int, default=0
        Of the initial weights. Tasks do not depend on it: see `task_generator`.
    evaluate_every : int, default=1000
        Steps between evaluations, log lines and saves.
    save_seconds : float, default=300.0
        Longest time between saves, for evaluations that are far apart;
        infinity saves only with them.
    n_evaluation : int, default=32
        Batches in the fixed evaluation set.

    Raises
    ------
    ValueError
        If a value is not of its type or out of range.
    """

    steps: int = 10_000
    batch_size: int = 32
    learning_rate: float = 1e-3
    betas: tuple[float, float] = (0.9, 0.98)
    warmup: int = 500
    cooldown: float = 0.3
    weight_decay: float = 1e-4
    clip: float = 1.0
    ema: float = 0.0
    accumulate: int = 1
    precision: str = "float32"
    compile: bool = False
    trainable: str = ""
    alone: int = 0
    distinct: int = 0
    seed: int = 0
    evaluate_every: int = 1000
    save_seconds: float = 300.0
    n_evaluation: int = 32

    def __post_init__(self) -> None:
        check_fields(self, _RANGES)
        if self.precision not in PRECISIONS:
            raise ValueError(f"precision={self.precision!r} must be one of {PRECISIONS}.")

    def learning_rate_at(self, step: int) -> float:
        """Learning rate of a step: warm-up, plateau, cool-down."""
        cooldown_steps = self.cooldown * self.steps
        left = (self.steps - step) / cooldown_steps if cooldown_steps else 1.0
        fall = 1.0 if left >= 1 else 0.5 - 0.5 * math.cos(math.pi * left)
        return self.learning_rate * min(1.0, (step + 1) / max(1, self.warmup)) * fall
