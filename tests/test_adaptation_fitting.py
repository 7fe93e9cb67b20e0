import functools

import numpy as np
import pytest
import torch

from skcmanp.adaptation.fitting import MAX_SHARE, draft_memory, fit_without_memory, larger
from skcmanp.adaptation.missed import FOLDS, errors_of
from skcmanp.adaptation.rows import Rows, split_rows


@functools.cache
def rows(n=240, t=1):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(n, 2))
    y = np.sin(2 * x[:, :1]) + 0.5 * x[:, 1:] + 0.1 * rng.normal(size=(n, t))
    return Rows(x, y / y.std(0), np.ones(n))


@functools.cache
def draft():
    return draft_memory(rows(), 60, False)


@functools.cache
def fitted():
    return draft().finished()


def test_features_fill_the_memory():
    found = fitted()
    assert found.lengthscale.shape == (2,)
    assert 59 <= sum(part.n_features for part in found.parts) <= 60
    assert found.ratio.shape == (1,)
    assert found.missed.scale.shape == (1,)
    assert 0.005 < found.squares.mean() < 0.2  # the noise's variance is 0.02 of the targets'
    places = 60 - 3 - sum(part.n_features for part in found.parts if part.name == "main_effects")
    (points,) = (part for part in found.parts if part.name == "inducing_points")
    assert len(points.points) == int(MAX_SHARE * places)


@pytest.mark.parametrize(("noise", "grows"), [(1e-3, True), (3.0, False)])
def test_functions_without_noise_get_more_inducing_points(noise, grows):
    rng = np.random.default_rng(0)
    x = rng.uniform(-2, 2, (400, 3))
    y = np.sin(3 * x[:, :1]) * np.cos(3 * x[:, 1:2]) + x[:, 2:] + noise * rng.normal(size=(400, 1))
    few = Rows(x, y / y.std(), np.ones(400))
    fixed, free = (draft_memory(few, 90, may_grow) for may_grow in (False, True))
    assert (len(free.points) > len(fixed.points)) == grows
    n_features = sum(part.n_features for part in free.finished().parts)
    most = larger(90) if grows else 90
    assert most - 1 <= n_features <= most


def test_networks_without_a_memory_want_length_scales_alone():
    found = fit_without_memory(rows())
    assert found.parts == ()
    np.testing.assert_array_equal(found.squares, 0)
    np.testing.assert_array_equal(found.lengthscale, fit_without_memory(rows()).lengthscale)


def test_features_can_be_made_of_other_rows():
    found = fitted()
    x = rows().x / found.lengthscale
    psi, missed = draft().make(x[:100])(x)
    assert 40 < psi.shape[1] <= sum(part.n_features for part in found.parts)  # of fewer rows there are fewer points
    assert (missed >= 0).all()
    own = torch.cat([part.to("cpu")(torch.from_numpy(x).unsqueeze(0))[0] for part in found.parts[:-2]], -1)[0]
    np.testing.assert_allclose(psi[:, : own.shape[1]], own)  # all but inducing points and waves
    kernel = np.square(psi).sum(1) + missed
    lines = np.square(found.parts[0].of_rows(x)).sum(1)
    np.testing.assert_allclose(kernel - lines, 1, atol=0.4)


def test_a_test_tells_how_likely_rows_are_that_were_left_out():
    standard = rows()
    fold = split_rows(standard, FOLDS)
    kept, left_out = standard.take(fold != 0), standard.take(fold == 0)

    def tested(kept, left_out):
        by = draft().validated(kept, left_out)
        return *draft().tested(by, None), by.errors.mean_square

    scale, score, square = tested(kept, left_out)
    assert scale.shape == (1,)
    assert 0 < score < 2  # of a density of a standard deviation of a seventh
    assert 0.005 < square < 0.2
    _, of_nonsense, larger = tested(kept, left_out._replace(y=left_out.y[::-1]))
    assert of_nonsense < score - 1
    assert larger > 2 * square
    uninformed = kept._replace(x=np.zeros_like(kept.x)), left_out._replace(x=np.zeros_like(left_out.x))
    assert tested(*uninformed)[1] < score - 0.5


@pytest.mark.parametrize("k", range(FOLDS))
def test_errors_that_are_known_are_not_found_again(monkeypatch, k):
    """And those of another fold, or of other rows, are not taken for them."""
    fold, rest, n_found = split_rows(rows(), FOLDS), fitted()._asdict(), []
    by = draft().validated(rows().take(fold != k), rows().take(fold == k))
    moved = by._replace(kept=by.kept._replace(y=by.kept.y + 1e-9))
    wrong = by.errors._replace(error=100 * by.errors.error)
    of_many = errors_of
    monkeypatch.setattr("skcmanp.adaptation.missed.errors_of", lambda *args: n_found.append(1) or of_many(*args))
    for validation in (by, moved._replace(errors=wrong)):
        n_found.clear()
        found = draft().finished(validation)
        assert len(n_found) == FOLDS + 1 - (validation is by and k == 0)  # with the edge
        for name in ("squares", "ratio", "lengthscale"):
            np.testing.assert_array_equal(getattr(found, name), rest[name])
        np.testing.assert_array_equal(found.missed.scale, rest["missed"].scale)
        np.testing.assert_array_equal(found.missed.beyond, rest["missed"].beyond)


def test_a_function_changes_the_more_the_farther_rows_are():
    found = fitted()
    x = rows().x / found.lengthscale
    assert found.change(x, x) == pytest.approx(0, abs=1e-9)
    near, far = (found.change(x, x + size) for size in (0.1, 1.0))
    assert 0 < near < far


def test_every_target_has_its_own_scales():
    found = draft_memory(rows(120, 2), 30, False).finished()
    assert found.missed.scale.shape == (2,)
    assert found.ratio.shape == (1,)
