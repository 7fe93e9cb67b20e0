"""Work on one thread, or on several that need not wait for each other.

Threads of OpenMP wait for each other after every operation. Where these take
microseconds that costs more than it saves, and a thousand times more as soon as
another process keeps one of the cores busy. Threads that take blocks of rows
wait once, at the end.
"""

from __future__ import annotations

import ctypes
import functools
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, nullcontext
from contextvars import ContextVar
from typing import TYPE_CHECKING, TypeVar

import torch
from threadpoolctl import ThreadpoolController

if TYPE_CHECKING:
    from threadpoolctl import LibController

Part = TypeVar("Part")
Found = TypeVar("Found")


# Rows of a product that is a thread's work.
PART_ROWS = 512

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


class _OneBlasThread:
    """Lets OpenBLAS work on one thread while anybody wants that.

    Its number of threads is the whole process's. So the first one to enter sets
    it, and the last one to leave restores it, whichever Python thread that is.
    """

    def __init__(self) -> None:
        self._before: list[tuple[LibController, int]] = []
        self.begin()

    def begin(self) -> None:
        """Nobody is inside."""
        self._lock, self._n_inside = threading.Lock(), 0

    def __enter__(self) -> None:
        with self._lock:
            if not self._n_inside:
                libraries = ThreadpoolController().select(user_api="blas").lib_controllers
                self._before = [(library, library.get_num_threads()) for library in libraries]
                self._set([(library, 1) for library in libraries])
            self._n_inside += 1

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._n_inside -= 1
            if not self._n_inside:
                self._set(self._before)

    def _set(self, numbers: list[tuple[LibController, int]]) -> None:
        for library, n_threads in numbers:
            # Some versions of threadpoolctl let one thread alone set the number, until it gives that up.
            give_up = getattr(library, "clear_controlling_thread", lambda force: None)
            give_up(force=True)
            library.set_num_threads(n_threads)
            give_up(force=True)


_one_blas_thread = _OneBlasThread()
if hasattr(os, "register_at_fork"):  # a child has none of the threads that would leave, or give the lock back
    os.register_at_fork(after_in_child=_one_blas_thread.begin)


@contextmanager
def libraries_on_one_thread() -> Iterator[None]:
    """Let the libraries of matrices work on one thread, and `in_threads` on as many as torch had."""
    before = _n_threads.set(torch.get_num_threads())
    try:
        with one_thread(), _one_blas_thread:
            yield
    finally:
        _n_threads.reset(before)


def blocks_of(n_rows: int, size: int = PART_ROWS) -> list[slice]:
    """All rows, so many at a time."""
    return [slice(start, start + size) for start in range(0, n_rows, size)]


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
