"""Small work on one thread.

Threads of OpenMP wait for each other after every operation. Where these take
microseconds that costs more than it saves, and a thousand times more as soon as
another process keeps one of the cores busy.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from threadpoolctl import ThreadpoolController

# Rows up to which work is small.
SMALL_ROWS = 256


@functools.cache
def _openmp() -> ThreadpoolController:
    return ThreadpoolController().select(user_api="openmp")


@contextmanager
def one_thread(applies: bool = True) -> Iterator[None]:
    """Let torch work on one thread, if this `applies`.

    OpenMP's number of threads is a setting of the calling thread alone, and is
    restored, so that neither the caller's settings nor other threads notice.
    """
    if not applies or torch.get_num_threads() == 1:
        yield
        return
    with _openmp().limit(limits=1):
        yield
