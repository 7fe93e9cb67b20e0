import sys

import numpy as np
import pytest
import torch
from PIL import Image

from skcmanp.tasks.celeba import CelebA
from skcmanp.tasks.images import ImageTasks

SPLITS = (0, 0, 1, 2, 0, 2, 1, 0)


def write_celeba(folder, splits=SPLITS):
    """Images in CelebA's official layout: the k-th is brighter by k below the middle, and ever redder."""
    (folder / "img_align_celeba").mkdir(parents=True)
    for i in range(len(splits)):
        pixels = np.zeros((218, 178, 3), dtype=np.uint8)
        pixels[109:, :, 1] = 20 + 20 * i
        pixels[:, :, 0] = np.linspace(0, 255, 178)
        Image.fromarray(pixels).save(folder / "img_align_celeba" / f"{i + 1:06}.jpg", quality=95, subsampling=0)
    lines = [f"{i + 1:06}.jpg {split}\n" for i, split in enumerate(splits)]
    (folder / "list_eval_partition.txt").write_text("".join(lines))
    return folder


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_celeba(tmp_path_factory.mktemp("celeba"))


def order(images):
    """Which of the images of `write_celeba` these are."""
    return np.round((images[:, -2, :, 1].astype(float).mean(1) - 20) / 20).astype(int).tolist()


@pytest.mark.parametrize(
    ("split", "expected"),
    [("train", [0, 1, 4, 7]), ("valid", [2, 6]), ("test", [3, 5]), ("train+valid", [0, 1, 2, 4, 6, 7])],
)
def test_splits_are_those_of_the_partition_file(folder, split, expected):
    faces = CelebA(folder, 32, split)
    assert faces.shape == (len(expected), 32, 32, 3)
    assert len(faces) == len(expected)
    images = faces[np.arange(len(faces))]
    assert images.dtype == np.uint8
    assert order(images) == expected
    assert order(faces[np.array([1, 0, 1])]) == [expected[i] for i in (1, 0, 1)]


@pytest.mark.parametrize("size", [32, 64, 128])
def test_the_whole_image_is_squeezed(folder, size):
    (image,) = CelebA(folder, size, "test")[np.array([0])]
    assert image.shape == (size, size, 3)
    ramp = image[..., 0].astype(float).mean(0)
    np.testing.assert_allclose(ramp, 255 * (np.arange(size) + 0.5) / size, atol=3)  # left to right, to both edges
    below = image[..., 1].astype(float).mean(1)
    np.testing.assert_allclose(below, np.where(np.arange(size) < size / 2, 0, 80), atol=8)


def test_resizing_averages(tmp_path):
    """A fine chequerboard becomes grey; without averaging it would alias."""
    write_celeba(tmp_path, [0])
    pixels = np.where((np.indices((218, 178)).sum(0) % 2)[..., None] == 0, 0, 255) * np.ones(3)
    Image.fromarray(pixels.astype(np.uint8)).save(tmp_path / "img_align_celeba/000001.jpg", quality=95)
    (image,) = CelebA(tmp_path, 32)[np.array([0])]
    assert np.abs(image[2:-2, 2:-2].astype(int) - 127).max() < 12


def test_grey_images_have_three_channels(tmp_path):
    write_celeba(tmp_path, [0])
    Image.new("L", (178, 218), 77).save(tmp_path / "img_align_celeba/000001.jpg")
    np.testing.assert_array_equal(CelebA(tmp_path, 32)[np.array([0])], 77)


def test_threads_do_not_change_draws(folder):
    def batch(n_threads, seed=0):
        tasks = ImageTasks(CelebA(folder, 32, n_threads=n_threads))
        return tasks.sample(9, torch.Generator().manual_seed(seed))

    one, four, default = batch(1), batch(4), batch(None)
    for other in (four, default):
        assert all(torch.equal(s, t) for s, t in zip(one[:4], other[:4], strict=True))
    assert one.y.shape[2] == 3
    assert batch(1, seed=1).y.shape != one.y.shape


def test_memory_does_not_grow_with_the_number_of_images(folder):
    faces = CelebA(folder, 32)
    faces[np.array([0, 1])]
    assert not [value for value in vars(faces).values() if isinstance(value, np.ndarray)]


def test_absent_files_are_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no .*absent/img_align_celeba; a folder of CelebA has"):
        CelebA(tmp_path / "absent", 32)
    folder = write_celeba(tmp_path / "celeba")
    (folder / "img_align_celeba/000002.jpg").unlink()
    (folder / "img_align_celeba/000005.jpg").unlink()
    with pytest.raises(FileNotFoundError, match=r"img_align_celeba lacks 2 of 4 images: 000002\.jpg first"):
        CelebA(folder, 32)
    faces = CelebA(folder, 32, "test")
    (folder / "img_align_celeba/000004.jpg").unlink()
    with pytest.raises(FileNotFoundError, match=r"000004\.jpg"):
        faces[np.array([0])]
    (folder / "list_eval_partition.txt").unlink()
    with pytest.raises(FileNotFoundError, match=r"no .*list_eval_partition\.txt"):
        CelebA(folder, 32)


@pytest.mark.parametrize("damage", [lambda c: c[:600], lambda c: c[:-300], lambda c: b"", lambda c: b"<html>"])
def test_damaged_images_are_named(tmp_path, damage):
    path = write_celeba(tmp_path) / "img_align_celeba/000002.jpg"
    path.write_bytes(damage(path.read_bytes()))
    faces = CelebA(tmp_path, 32)
    assert order(faces[np.array([0, 2])]) == [0, 4]
    with pytest.raises(ValueError, match=r"000002\.jpg is damaged: .*Get it again"):
        faces[np.array([0, 1])]


def test_images_of_another_size_are_named(tmp_path):
    path = write_celeba(tmp_path) / "img_align_celeba/000002.jpg"
    Image.new("RGB", (218, 178)).save(path)
    with pytest.raises(ValueError, match=r"000002\.jpg has 218 x 178 pixels, not the 178 x 218 of"):
        CelebA(tmp_path, 32)[np.array([1])]


@pytest.mark.parametrize("line", ["000001.jpg", "000001.jpg 3", "000001.jpg 0 0", ""])
def test_damaged_lists_of_splits_are_named(tmp_path, line):
    write_celeba(tmp_path)
    with open(tmp_path / "list_eval_partition.txt", "a") as file:
        file.write(line + "\n")
    with pytest.raises(ValueError, match=r"list_eval_partition\.txt, line 9: '.*' is not an image's name and 0"):
        CelebA(tmp_path, 32)


def test_mistakes_are_named(folder, tmp_path):
    with pytest.raises(ValueError, match=r"split='train\+val' has \['val'\]; the known ones are train, valid, test"):
        CelebA(folder, 32, "train+val")
    for size in (0, 179):
        with pytest.raises(ValueError, match=f"size={size} must be between 1 and 178"):
            CelebA(folder, size)
    with pytest.raises(ValueError, match="n_threads=0 must be at least 1"):
        CelebA(folder, 32, n_threads=0)
    with pytest.raises(ValueError, match="has no image of split='valid'"):
        CelebA(write_celeba(tmp_path, [0, 2]), 32, "valid")


def test_absent_pillow_is_named(folder, monkeypatch):
    monkeypatch.setitem(sys.modules, "PIL", None)
    with pytest.raises(ImportError, match=r"needs Pillow: pip install 'skcmanp\[plot\]'"):
        CelebA(folder, 32)
