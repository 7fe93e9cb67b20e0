"""EMNIST's own files."""

from __future__ import annotations

import gzip
import math
import zlib
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

SPLITS = ("train", "test")
UNSIGNED_BYTES = 0x08


def read_emnist(
    folder: str | Path, split: str = "train", variant: str = "balanced"
) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Read handwritten characters from EMNIST's files.

    The files are those of Cohen et al., "EMNIST: extending MNIST to handwritten
    letters" (2017), such as ``emnist-balanced-train-images-idx3-ubyte.gz`` and
    ``emnist-balanced-train-labels-idx1-ubyte.gz``, compressed or not. They hold
    images with rows and columns swapped; here they are upright.

    Parameters
    ----------
    folder : str or path
        Where the files are.
    split : {"train", "test"}, default="train"
    variant : str, default="balanced"
        Which of EMNIST's data sets, as its files are named. The balanced one
        has digits as classes 0 to 9, and letters as 10 to 46.

    Returns
    -------
    images : ndarray (n, 28, 28), uint8
        Ink is bright.
    labels : ndarray (n,), uint8

    Raises
    ------
    FileNotFoundError
        If a file is missing.
    ValueError
        If a file is damaged, or `split` is unknown.
    """
    if split not in SPLITS:
        raise ValueError(f"split={split!r} must be one of {SPLITS} for EMNIST.")
    images = read_idx(_find(Path(folder), f"emnist-{variant}-{split}-images-idx3-ubyte"), 3)
    labels = read_idx(_find(Path(folder), f"emnist-{variant}-{split}-labels-idx1-ubyte"), 1)
    return np.ascontiguousarray(images.transpose(0, 2, 1)), labels


def read_idx(path: str | Path, ndim: int) -> NDArray[np.uint8]:
    """Read an IDX file of unsigned bytes.

    Such a file has two zero bytes, a code for the type, the number of axes, the
    size of every axis as a big-endian 32-bit integer, and then the values.

    Parameters
    ----------
    path : str or path
        Compressed, if its name ends in ``.gz``.
    ndim : int
        Number of axes that it must have.

    Returns
    -------
    ndarray of uint8
        Read-only.

    Raises
    ------
    ValueError
        If the file is damaged, or its type or number of axes is another one.
    """
    path = Path(path)
    try:
        content = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise ValueError(f"{path} is damaged: {error}. Get it again.") from error
    start = 4 * (1 + ndim)
    magic = bytes([0, 0, UNSIGNED_BYTES, ndim])
    if content[:4] != magic or len(content) < start:
        raise ValueError(
            f"{path} is no IDX file of unsigned bytes with {ndim} axes: it starts with "
            f"{content[:4].hex() or 'nothing'}, not {magic.hex()} and {ndim} sizes."
        )
    shape = tuple(int(size) for size in np.frombuffer(content, dtype=">u4", count=ndim, offset=4))
    if len(content) - start != math.prod(shape):
        raise ValueError(
            f"{path} is damaged: it has {len(content) - start:,} values, not {math.prod(shape):,} as its sizes "
            f"{shape} say. Get it again."
        )
    return np.frombuffer(content, dtype=np.uint8, offset=start).reshape(shape)


def _find(folder: Path, name: str) -> Path:
    for path in (folder / name, folder / f"{name}.gz"):
        if path.is_file():
            return path
    raise FileNotFoundError(f"There is no file {name} or {name}.gz in {folder}.")
