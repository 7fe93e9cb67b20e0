"""Files that are whole or not there, and folders of one process."""

from __future__ import annotations

import contextlib
import os
import secrets
import sys
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A path of the process's own, whose file takes the place of `path` once the body has written it.

    A crash at any moment leaves the old file or the new one, and an error the
    old one.
    """
    partial = path.with_name(f".{path.name}.{os.getpid()}-{secrets.token_hex(4)}.partial")
    try:
        yield partial
        with open(partial, "rb+") as file:
            os.fsync(file.fileno())
        os.replace(partial, path)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise


@contextlib.contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Keep a folder to this process while the body runs; the end of the process, whatever it is, gives it free.

    What processes that were killed have left of files is removed.

    Raises
    ------
    BlockingIOError
        If another process has it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / ".lock", "ab") as file:
        try:
            _lock(file)
        except OSError as error:
            raise BlockingIOError(
                f"Another process is at work in {folder}; wait for its end, or choose another folder."
            ) from error
        for partial in folder.rglob(".*.partial"):
            partial.unlink(missing_ok=True)
        yield


def check_archive(path: Path) -> None:
    """Raise an error unless all parts of a zip archive, such as torch writes, are as they were written.

    Each has a checksum, a CRC-32, that torch itself does not look at.
    """
    with zipfile.ZipFile(path) as archive:
        if (damaged := archive.testzip()) is not None:
            raise ValueError(f"{damaged} is not as it was written")


def read_npz(path: Path, names: Sequence[str] | None = None) -> dict[str, NDArray[Any]]:
    """Arrays of an npz file, or those of some names that it has.

    Raises
    ------
    ValueError
        If it is not such a file, or damaged.
    """
    try:
        with open(path, "rb") as file, np.load(file) as arrays:
            return {name: arrays[name] for name in arrays.files if names is None or name in names}
    except (ValueError, TypeError, EOFError, zipfile.BadZipFile) as error:
        raise ValueError(f"{path} is not an npz file: {error}") from error


def _lock(file: BinaryIO) -> None:
    """The lock of an open file, which the operating system takes back when it is closed."""
    if sys.platform == "win32":
        import msvcrt

        msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
    else:
        import fcntl

        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
