from pathlib import Path

import pytest

from skcmanp import load_checkpoint, shipped_checkpoints
from skcmanp.recipes import load_recipe

RECIPES = Path(__file__).parent.parent / "recipes"
TEXT = """
name = "small"
description = "For tests"
limits = "Everything else"
[model]
dim_x = 2
dim = 16
n_blocks = 1
[tasks]
n_context = [1, 9]
priors = [{ kind = "gp", lengthscale = [0.5, 1.0] }]
[training]
steps = 3
"""


def write(tmp_path, text):
    path = tmp_path / "recipe.toml"
    path.write_text(text)
    return path


def test_recipes_become_objects(tmp_path):
    recipe = load_recipe(write(tmp_path, TEXT))
    assert (recipe.name, recipe.config.dim_x, recipe.training.steps) == ("small", 2, 3)
    assert recipe.tasks.n_context == (1, 9)
    assert recipe.tasks.dim_x == 2
    assert recipe.tasks.priors[0].lengthscale == (0.5, 1.0)


@pytest.mark.parametrize("name", sorted(shipped_checkpoints()))
def test_every_shipped_checkpoint_has_its_recipe(name):
    recipe = load_recipe(RECIPES / f"{name}.toml")
    model, card = load_checkpoint(shipped_checkpoints()[name])
    assert recipe.name == name
    assert model.config == recipe.config
    assert card["recipe"] == recipe.source
    assert card["steps"] == recipe.training.steps


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("name =", "name", "is not a TOML file"),
        ('description = "For tests"', "", r"missing \['description'\]"),
        ("steps = 3", "steps = 3\n[extra]", r"unknown \['extra'\]"),
        ("dim = 16", "dimm = 16", r"Unknown CMANPConfig keys \['dimm'\]"),
        ("dim = 16", "dim = 15", "dim=15 must be a multiple of n_heads=4"),
        ('kind = "gp"', 'kind = "gpp"', r"Unknown kind 'gpp' of prior; the known ones are \['gp', 'linear', 'mlp'\]"),
        ("steps = 3", "stepps = 3", "stepps"),
        ("lengthscale", "length_scale", "length_scale"),
        ("n_context", "context", "context"),
    ],
)
def test_mistakes_are_named(tmp_path, old, new, message):
    with pytest.raises(ValueError, match=rf"recipe\.toml.*{message}"):
        load_recipe(write(tmp_path, TEXT.replace(old, new)))


def test_absent_recipes_are_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no recipe .*absent\.toml"):
        load_recipe(tmp_path / "absent.toml")
