"""The loader of the sets that people compare on, in both of their layouts; nothing of them is here."""

import gal_ghahramani
import numpy as np


def test_both_layouts_are_the_same_table(tmp_path):
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(30, 3)), rng.normal(size=30)
    tests = np.array([rng.choice(30, 3, replace=False) for _ in range(11)])
    folder = tmp_path / "kin8nm" / "data"
    folder.mkdir(parents=True)
    np.savetxt(folder / "data.txt", np.c_[X[:, :2], y, X[:, 2]], fmt="%.17g")
    np.savetxt(folder / "index_features.txt", [0, 1, 3], fmt="%d")
    np.savetxt(folder / "index_target.txt", [2], fmt="%d")
    for i, test in enumerate(tests):
        np.savetxt(folder / f"index_test_{i}.txt", test, fmt="%d")
        np.savetxt(folder / f"index_train_{i}.txt", np.setdiff1d(np.arange(30), test), fmt="%d")
    np.savez(tmp_path / "power_plant.npz", X=X, y=y, test_idx=tests)
    for name in ("kin8nm", "power-plant"):
        found_X, found_y, found_tests = gal_ghahramani.load(tmp_path, name)
        np.testing.assert_array_equal(found_X, X)
        np.testing.assert_array_equal(found_y, y)
        np.testing.assert_array_equal(found_tests, tests)
    assert gal_ghahramani.load(tmp_path, "yacht") is None


def test_scores_are_of_rows_that_were_not_learned():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(60, 2))
    y = X[:, 0].copy()
    y[:10] += 100  # what is held out is known by none of the others
    assert gal_ghahramani.scores(X, y, np.arange(10))["rmse"] > 90


def test_published_figures_are_of_these_sets():
    assert all(set(figures) <= set(gal_ghahramani.SETS) for figures in gal_ghahramani.PUBLISHED.values())
