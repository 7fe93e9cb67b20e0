"""CelebA's images, read from disk when they are needed."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

IMAGES = "img_align_celeba"
PARTITION = "list_eval_partition.txt"
SPLITS = {"train": "0", "valid": "1", "test": "2"}  # as the partition file has them
WIDTH, HEIGHT = 178, 218


class CelebA:
    """The aligned faces of CelebA, resized, from a folder in its official layout.

    Images are read and resized whenever they are asked for, so memory does not
    grow with their number. As in the neural-process papers' preparation the
    whole image, of 178 x 218 pixels, is squeezed into a square; nothing is cut
    off. Pillow's bicubic filter resizes, which averages over what it shrinks.

    The data set is Liu et al., "Deep learning face attributes in the wild"
    (2015). Its licence allows non-commercial research only.

    Parameters
    ----------
    folder : str or path
        Where ``img_align_celeba/`` and ``list_eval_partition.txt`` are.
    size : int
        Height and width in pixels; the papers have 32, 64 and 128.
    split : str, default="train"
        "train", "valid" or "test", or several joined by "+". The papers train on
        "train+valid".
    n_threads : int, optional
        How many images are read at the same time. By default a few more than
        there are processors, 32 at most.

    Attributes
    ----------
    shape : tuple of int
        ``(n, size, size, 3)``.

    Raises
    ------
    FileNotFoundError
        If the folder, the list of splits or an image is missing.
    ValueError
        If a parameter or the list of splits is invalid; and, when it is read,
        if an image is damaged or has another size.
    ImportError
        If Pillow is not installed.

    Examples
    --------
    >>> from skcmanp.tasks import CelebA, ImageTasks
    >>> faces = CelebA("data/celeba", size=64)  # doctest: +SKIP
    >>> tasks = ImageTasks(faces, n_context=(3, 797), max_rows=800)  # doctest: +SKIP
    """

    def __init__(self, folder: str | Path, size: int, split: str = "train", n_threads: int | None = None) -> None:
        if not 1 <= size <= WIDTH:
            raise ValueError(f"size={size!r} must be between 1 and {WIDTH}, the width of the originals.")
        if n_threads is not None and n_threads < 1:
            raise ValueError(f"n_threads={n_threads!r} must be at least 1, or None.")
        _pillow()
        self.folder = Path(folder) / IMAGES
        self.size = size
        self.n_threads = n_threads
        self.names = _names_of(Path(folder), split)
        self.shape = (len(self.names), size, size, 3)

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, indices: NDArray[np.int64], /) -> NDArray[np.uint8]:
        """Read images.

        Parameters
        ----------
        indices : ndarray (k,) of int
            In the order of the list of splits.

        Returns
        -------
        ndarray (k, size, size, 3), uint8
        """
        images = np.empty((len(indices), *self.shape[1:]), dtype=np.uint8)
        with ThreadPoolExecutor(self.n_threads) as pool:  # Pillow decodes without holding the interpreter's lock
            for i, image in enumerate(pool.map(self._read, [self.names[index] for index in indices])):
                images[i] = image
        return images

    def _read(self, name: str) -> NDArray[np.uint8]:
        Image = _pillow()
        path = self.folder / name
        try:
            with Image.open(path) as image:
                size = image.size
                image.load()
                pixels = image.convert("RGB").resize((self.size, self.size), Image.Resampling.BICUBIC)
        except FileNotFoundError:
            raise
        except (OSError, SyntaxError, ValueError) as error:
            raise ValueError(f"{path} is damaged: {error}. Get it again.") from error
        if size != (WIDTH, HEIGHT):
            raise ValueError(
                f"{path} has {size[0]} x {size[1]} pixels, not the {WIDTH} x {HEIGHT} of CelebA's aligned images."
            )
        return np.asarray(pixels)


def is_celeba(folder: Path) -> bool:
    """Whether a folder has some of CelebA's official layout."""
    return any((folder / name).exists() for name in (IMAGES, PARTITION))


def _names_of(folder: Path, split: str) -> list[str]:
    """Names of the images of some splits, all of which exist."""
    for path, is_there in ((folder / IMAGES, Path.is_dir), (folder / PARTITION, Path.is_file)):
        if not is_there(path):
            raise FileNotFoundError(f"There is no {path}; a folder of CelebA has {IMAGES}/ and {PARTITION}.")
    parts = split.split("+")
    if unknown := [part for part in parts if part not in SPLITS]:
        raise ValueError(f"split={split!r} has {unknown}; the known ones are {', '.join(SPLITS)}, joined by '+'.")
    wanted = {SPLITS[part] for part in parts}
    names = []
    for number, line in enumerate((folder / PARTITION).read_text(encoding="utf-8").splitlines(), start=1):
        match line.split():
            case [name, code] if code in SPLITS.values():
                if code in wanted:
                    names.append(name)
            case _:
                raise ValueError(
                    f"{folder / PARTITION}, line {number}: {line!r} is not an image's name and 0 (train), 1 (valid) or "
                    "2 (test)."
                )
    if not names:
        raise ValueError(f"{folder / PARTITION} has no image of split={split!r}.")
    there = set(os.listdir(folder / IMAGES))
    if missing := [name for name in names if name not in there]:
        raise FileNotFoundError(
            f"{folder / IMAGES} lacks {len(missing):,} of {len(names):,} images: {missing[0]} first."
        )
    return names


def _pillow() -> Any:
    try:
        from PIL import Image
    except ImportError as error:
        raise ImportError("Reading CelebA's images needs Pillow: pip install 'skcmanp[plot]'.") from error
    return Image
