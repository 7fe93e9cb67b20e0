import subprocess
import sys

import numpy as np
import pytest
import torch

from skcmanp.files import check_archive, locked, read_npz, replacing


def test_a_file_is_replaced_once_it_is_written(tmp_path):
    path = tmp_path / "state"
    path.write_text("old")
    with replacing(path) as partial:
        partial.write_text("new")
        assert path.read_text() == "old"
    assert path.read_text() == "new"
    assert list(tmp_path.iterdir()) == [path]


def test_an_error_leaves_the_old_file(tmp_path):
    path = tmp_path / "state"
    path.write_text("old")

    def interrupted():
        with replacing(path) as partial:
            partial.write_text("ne")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_temporary_files_are_the_processes_own(tmp_path):
    with replacing(tmp_path / "a") as one, replacing(tmp_path / "a") as other:
        assert one != other
        one.write_text("one")
        other.write_text("other")
    assert (tmp_path / "a").read_text() == "one"


def test_a_folder_is_kept_to_one_process_until_it_ends(tmp_path):
    code = (
        "import sys, time; from pathlib import Path; from skcmanp.files import locked\n"
        "with locked(Path(sys.argv[1])):\n"
        "    print('in', flush=True); time.sleep(600)\n"
    )
    process = subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout.readline() == "in\n"
        with pytest.raises(BlockingIOError, match="Another process is at work in"), locked(tmp_path):
            pass
    finally:
        process.kill()
        process.communicate()
    (tmp_path / ".state.1-ab.partial").write_text("left by the killed one")
    with locked(tmp_path):
        assert [path.name for path in tmp_path.iterdir()] == [".lock"]


def test_every_flipped_bit_of_what_an_archive_holds_is_noticed(tmp_path):
    path = tmp_path / "weights.pt"
    weights = torch.linspace(0, 1, 100)
    torch.save({"weights": weights}, path)
    check_archive(path)
    data, n_refused = path.read_bytes(), 0
    for at in np.random.default_rng(0).integers(8 * len(data), size=300).tolist():
        damaged = bytearray(data)
        damaged[at // 8] ^= 1 << at % 8
        path.write_bytes(damaged)
        try:
            check_archive(path)
            found = torch.load(path, weights_only=True)
        except Exception:  # by whatever reader notices first
            n_refused += 1
        else:
            assert torch.equal(found["weights"], weights)
    assert n_refused > 100


def test_arrays_of_npz_files_are_read_by_name_and_damage_is_noticed(tmp_path):
    path = tmp_path / "some.npz"
    np.savez(path, a=np.arange(3), b=np.ones(2))
    assert read_npz(path).keys() == {"a", "b"}
    assert read_npz(path, ["a", "c"]).keys() == {"a"}
    data = path.read_bytes()
    for damaged in (b"", data[:50], data[:-30], b"x" * 100):
        path.write_bytes(damaged)
        with pytest.raises(ValueError, match=r"some.npz is not an npz file"):
            read_npz(path)
