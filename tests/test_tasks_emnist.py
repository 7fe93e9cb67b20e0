import gzip

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from skcmanp.tasks.emnist import read_emnist, read_idx

IMAGES = np.random.default_rng(0).integers(0, 256, (6, 28, 28), dtype=np.uint8)
LABELS = np.array([0, 3, 9, 10, 3, 46], dtype=np.uint8)


def idx_bytes(array):
    return bytes([0, 0, 8, array.ndim]) + np.array(array.shape, dtype=">u4").tobytes() + array.tobytes()


def write_emnist(folder, images=IMAGES, labels=LABELS, split="train", compressed=True):
    """Upright images in EMNIST's official layout, and the paths of its two files."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for kind, array in (("images-idx3", images.transpose(0, 2, 1)), ("labels-idx1", labels)):
        content = idx_bytes(array)
        path = folder / f"emnist-balanced-{split}-{kind}-ubyte{'.gz' if compressed else ''}"
        path.write_bytes(gzip.compress(content) if compressed else content)
        paths.append(path)
    return paths


@pytest.mark.parametrize("compressed", [False, True])
@pytest.mark.parametrize("split", ["train", "test"])
def test_images_are_upright(tmp_path, compressed, split):
    write_emnist(tmp_path, split=split, compressed=compressed)
    images, labels = read_emnist(tmp_path, split)
    np.testing.assert_array_equal(images, IMAGES)
    np.testing.assert_array_equal(labels, LABELS)
    assert images.dtype == labels.dtype == np.uint8


def test_the_files_store_columns_first(tmp_path):
    """What a file has second is the pixel below, not the one to the right."""
    path, _ = write_emnist(tmp_path, compressed=False)
    assert path.read_bytes()[17] == read_emnist(tmp_path)[0][0, 1, 0] == IMAGES[0, 1, 0]
    assert IMAGES[0, 1, 0] != IMAGES[0, 0, 1]


@given(array=hnp.arrays(np.uint8, hnp.array_shapes(max_dims=3, min_side=0, max_side=5)), compressed=st.booleans())
def test_any_array_comes_back(tmp_path_factory, array, compressed):
    path = tmp_path_factory.mktemp("idx") / ("array.gz" if compressed else "array")
    path.write_bytes(gzip.compress(idx_bytes(array)) if compressed else idx_bytes(array))
    np.testing.assert_array_equal(read_idx(path, array.ndim), array)


def test_absent_files_are_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no file emnist-balanced-train-images-idx3-ubyte or .*ubyte\.gz in"):
        read_emnist(tmp_path)
    _, labels = write_emnist(tmp_path)
    labels.unlink()
    with pytest.raises(FileNotFoundError, match="emnist-balanced-train-labels-idx1-ubyte"):
        read_emnist(tmp_path)
    with pytest.raises(FileNotFoundError, match="emnist-letters-train-images"):
        read_emnist(tmp_path, variant="letters")
    with pytest.raises(ValueError, match="split='valid' must be one of"):
        read_emnist(tmp_path, "valid")


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda content: content[:-1], r"is damaged: it has 4,703 values, not 4,704 as its sizes \(6, 28, 28\) say"),
        (lambda content: content + b"0", "is damaged: it has 4,705 values"),
        (lambda content: content[:10], "no IDX file of unsigned bytes with 3 axes"),
        (lambda content: b"", "it starts with nothing"),
        (lambda content: b"\x00\x00\x08\x01" + content[4:], "starts with 00000801, not 00000803"),
        (lambda content: b"\x00\x00\x0d\x03" + content[4:], "starts with 00000d03, not 00000803"),
        (
            lambda content: b"\x00\x00\x08\x03" + b"\xff" * 12 + content[16:],
            "not 79,228,162,458,924,105,385,300,197,375",
        ),
    ],
)
@pytest.mark.parametrize("compressed", [False, True])
def test_damaged_files_are_named(tmp_path, damage, message, compressed):
    path, _ = write_emnist(tmp_path, compressed=compressed)
    content = damage(idx_bytes(IMAGES.transpose(0, 2, 1)))
    path.write_bytes(gzip.compress(content) if compressed else content)
    with pytest.raises(ValueError, match=f"emnist-balanced-train-images.*{message}"):
        read_emnist(tmp_path)


@pytest.mark.parametrize("damage", [lambda c: c[:-40], lambda c: b"text" + c, lambda c: c[:40] + b"0" * 9 + c[49:]])
def test_damaged_compression_is_named(tmp_path, damage):
    path, _ = write_emnist(tmp_path)
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(ValueError, match=r"images-idx3-ubyte\.gz is damaged: .*Get it again"):
        read_emnist(tmp_path)
