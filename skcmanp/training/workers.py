"""Processes that share every batch: data-parallel training under ``torchrun``."""

from __future__ import annotations

import contextlib
import importlib
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import torch
import torch.distributed as dist
from torch import nn

from skcmanp.tasks.base import TaskBatch


@dataclass(frozen=True)
class Workers:
    """A process among those that train together.

    Parameters
    ----------
    rank : int, default=0
        The first one evaluates, logs and saves.
    size : int, default=1
    """

    rank: int = 0
    size: int = 1

    @classmethod
    def current(cls) -> Workers:
        """Those of torch's process group, or this process alone."""
        if dist.is_available() and dist.is_initialized():
            return cls(dist.get_rank(), dist.get_world_size())
        return cls()

    @property
    def is_first(self) -> bool:
        return self.rank == 0

    def share(self, batch: TaskBatch) -> TaskBatch:
        """The tasks of this process of a batch that all have drawn."""
        return batch.split(self.size)[self.rank]

    def average_gradients(self, parameters: Iterable[nn.Parameter]) -> None:
        """Replace every process's gradients by their mean, in one message.

        `DistributedDataParallel` does the same while gradients are still being
        computed. These networks are too small to gain from that, and batches
        without context rows leave some of their parameters without gradient,
        which it warns of. All shares of a batch have equal sizes, so the same
        parameters have gradients everywhere.
        """
        if self.size == 1:
            return
        gradients = [p.grad for p in parameters if p.grad is not None]
        flat = torch.cat([gradient.flatten() for gradient in gradients])
        dist.all_reduce(flat)
        sizes = [gradient.numel() for gradient in gradients]
        for gradient, mean in zip(gradients, (flat / self.size).split(sizes), strict=True):
            gradient.copy_(mean.view_as(gradient))

    def agree(self, loss: float, stop: bool) -> tuple[float, bool]:
        """Mean loss, and whether any process is to stop: so all take the same decision."""
        if self.size == 1:
            return loss, stop
        on = "cuda" if dist.get_backend() == "nccl" else "cpu"
        both = torch.tensor([loss, float(stop)], dtype=torch.float64, device=on)
        dist.all_reduce(both)
        return both[0].item() / self.size, both[1].item() > 0


@contextlib.contextmanager
def process_group(device: torch.device) -> Iterator[torch.device]:
    """Join the processes that ``torchrun`` has launched; alone, do nothing.

    Yields the device of this process: with CUDA, the one of its local rank.
    """
    if "WORLD_SIZE" not in os.environ or not dist.is_available():
        yield device
        return
    if device.type == "cuda":
        device = torch.device("cuda", int(os.environ["LOCAL_RANK"]))
        torch.cuda.set_device(device)
    # This module's functions keep, as default argument, the group that there is when it is first
    # imported, which the first step of an optimiser does. Imported before there is one, it cannot
    # hold the group, and with it gloo's threads, until the interpreter dies under them (SIGABRT).
    importlib.import_module("torch.distributed.nn")
    dist.init_process_group("nccl" if device.type == "cuda" else "gloo")
    try:
        yield device
    finally:
        dist.destroy_process_group()
