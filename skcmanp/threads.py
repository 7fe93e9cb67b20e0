"""Work on one thread, or on several that need not wait for each other.

Threads of OpenMP wait for each other after every operation. Where these take
microseconds that costs more than it saves, and a thousand times more as soon as
another process keeps one of the cores busy. Threads that take blocks of rows
wait once, at the end.
"""

from __future__ import annotations

import ctypes
import functools
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, nullcontext
from contextvars import ContextVar
from typing import TypeVar

import torch
from threadpoolctl import ThreadpoolController, threadpool_limits

Part = TypeVar("Part")
Found = TypeVar("Found")


# How many threads there were before libraries were limited to one.
_n_threads: ContextVar[int | None] = ContextVar("n_threads", default=None)


@functools.cache
def _openmp() -> ThreadpoolController:
    return ThreadpoolController().select(user_api="openmp")


@functools.cache
def _set_mkl_threads() -> Callable[[int], int]:
    """Sets how many threads MKL takes in the calling thread, and returns what it was; nothing where torch has no MKL.

    Inside torch it has a number of its own, which OpenMP's does not limit, and
    torch's does for all threads at once. 0 stands for that one.
    """
    try:
        return ctypes.CDLL(torch._C.__file__).MKL_Set_Num_Threads_Local
    except (AttributeError, OSError):
        return lambda n_threads: n_threads


@contextmanager
def one_thread() -> Iterator[None]:
    """Let torch work on one thread.

    Numbers of threads are set for the calling thread alone, and restored, so
    that neither the caller's settings nor other threads notice.
    """
    n_threads = torch.get_num_threads()  # which sets MKL's where a thread asks for the first time
    before = _set_mkl_threads()(1)
    try:
        with _openmp().limit(limits=1) if n_threads > 1 else nullcontext():
            yield
    finally:
        _set_mkl_threads()(before)


@contextmanager
def libraries_on_one_thread() -> Iterator[None]:
    """Let the libraries of matrices work on one thread, and `in_threads` on as many as torch had."""
    before = _n_threads.set(torch.get_num_threads())
    try:
        with one_thread(), threadpool_limits(1):
            yield
    finally:
        _n_threads.reset(before)


def in_threads(function: Callable[[Part], Found], parts: Sequence[Part], n_threads: int | None = None) -> list[Found]:
    """What a function makes of every part, in their order: of so many at a time, with one thread each.

    What is found does not depend on the number, by default that of torch's threads.
    """
    n_threads = min(n_threads or _n_threads.get() or torch.get_num_threads(), len(parts))

    def alone(part: Part) -> Found:
        with one_thread():
            return function(part)

    if n_threads < 2:
        return [alone(part) for part in parts]
    with ThreadPoolExecutor(n_threads) as pool:
        return list(pool.map(alone, parts))
