"""Image completion: a task is some pixels of an image."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from skcmanp.images import check_pixels, pixel_coordinates
from skcmanp.tasks.base import TaskBatch, uniform_int
from skcmanp.tasks.image_files import ImageSource, read_images


class ImageTasks:
    """Random pixels of images, to be completed from other random pixels.

    The image completion of the neural-process papers, see section 4.1 of Feng
    et al., "Memory Efficient Neural Processes via Constant Memory Attention
    Block" (2024). A pixel is a row: x is its row and column in [-1, 1], see
    `skcmanp.images.pixel_coordinates`, and y its intensity, one per channel, in
    [-0.5, 0.5]. Every task takes one image and pixels of it, none of them
    twice. All tasks of a batch have as many.

    Parameters
    ----------
    images : ndarray or ImageSource
        Images (n, H, W) or, with channels, (n, H, W, C), of dtype uint8 (0 to
        255) or floats between 0 and 1. They are not copied.
    n_context : tuple of int, default=(3, 197)
        Range of the number of context rows, uniform; it may start at 0.
    min_target, max_rows : int, default=3 and 200
        Targets number from `min_target` to what `max_rows` leaves, uniform. The
        papers have 200 rows at most for images of 28 x 28 and 32 x 32 pixels,
        800 for 64 x 64 and 1,600 for 128 x 128.

    Attributes
    ----------
    dim_x : int
        2.
    dim_y : int
        Number of channels.

    Raises
    ------
    ValueError
        If the images have another shape, dtype or range, or fewer than
        `max_rows` pixels, or if no room is left for targets.

    Examples
    --------
    >>> import numpy as np
    >>> import torch
    >>> from skcmanp.tasks import ImageTasks
    >>> images = np.random.default_rng(0).integers(0, 256, (10, 28, 28), dtype=np.uint8)
    >>> batch = ImageTasks(images).sample(16, torch.Generator().manual_seed(0))
    >>> batch.x.shape[0], batch.x.shape[1] + batch.x_target.shape[1] <= 200, batch.y.shape[2]
    (16, True, 1)
    """

    dim_x = 2

    def __init__(
        self,
        images: NDArray[Any] | ImageSource,
        n_context: tuple[int, int] = (3, 197),
        min_target: int = 3,
        max_rows: int = 200,
    ) -> None:
        if isinstance(images, np.ndarray):
            check_pixels(images, "images", ndim=3)
        self.images = images
        shape: tuple[int, ...] = images.shape
        self.n_images, self.height, self.width = shape[:3]
        self.dim_y = shape[3] if len(shape) == 4 else 1
        if not 0 <= n_context[0] <= n_context[1]:
            raise ValueError(f"n_context={n_context} must be the smallest and the largest number, of at least 0.")
        if min_target < 1 or n_context[1] + min_target > max_rows:
            raise ValueError(
                f"max_rows={max_rows} leaves no room for min_target={min_target} targets, at least 1, beside "
                f"n_context={n_context} rows."
            )
        if max_rows > self.height * self.width:
            raise ValueError(
                f"max_rows={max_rows} is more than the {self.height} x {self.width} pixels of an image; lower it."
            )
        self.n_context = n_context
        self.min_target = min_target
        self.max_rows = max_rows
        self._places = torch.tensor(pixel_coordinates(self.height, self.width), dtype=torch.float32)

    @classmethod
    def from_files(
        cls,
        files: str | Path,
        classes: tuple[int, int] | None = None,
        split: str | None = None,
        size: int | None = None,
        **kwargs: Any,
    ) -> ImageTasks:
        """Tasks of images in files.

        Parameters
        ----------
        files, classes, split, size
            See `skcmanp.tasks.image_files.read_images`.
        **kwargs
            Further arguments of `ImageTasks`.

        Raises
        ------
        FileNotFoundError
            If a file is missing.
        ValueError
            If one is damaged, or a parameter is invalid.
        """
        return cls(read_images(files, classes, split, size), **kwargs)

    def sample(self, batch_size: int, generator: torch.Generator) -> TaskBatch:
        """Draw a batch of tasks."""
        n_context = uniform_int(*self.n_context, generator)
        n_rows = n_context + uniform_int(self.min_target, self.max_rows - n_context, generator)
        chosen = torch.randint(self.n_images, (batch_size,), generator=generator)
        n_pixels = len(self._places)
        rows = torch.stack([torch.randperm(n_pixels, generator=generator)[:n_rows] for _ in range(batch_size)])

        images = torch.from_numpy(self.images[chosen.numpy()]).reshape(batch_size, n_pixels, self.dim_y)
        pixels = images.gather(1, rows.unsqueeze(-1).expand(-1, -1, self.dim_y))  # (B, N, C)
        y = (pixels.float() / 255 if pixels.dtype == torch.uint8 else pixels.float()) - 0.5
        (x, x_target), (y, y_target) = (t.tensor_split([n_context], dim=1) for t in (self._places[rows], y))
        return TaskBatch(x, y, x_target, y_target)

    def describe(self) -> dict[str, str]:
        """What a checkpoint's card says of the tasks."""
        return {
            "features": "2",
            "context rows in training": "{} to {}".format(*self.n_context),
            "images": f"{self.n_images:,} of {self.height} x {self.width} pixels",
        }
