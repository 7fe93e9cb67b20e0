import dataclasses
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from test_tasks_celeba import write_celeba
from test_tasks_emnist import write_emnist

from skcmanp import CMANP, CMANPConfig, load_checkpoint, meta_train, shipped_checkpoints
from skcmanp.recipes import load_recipe, parse_recipe
from skcmanp.tasks import GPTasks
from skcmanp.training import initialize

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


def write_on(tmp_path, text, name="derived"):
    """A recipe that builds on the one of `TEXT`, or on another that `text` names."""
    write(tmp_path, TEXT)
    path = tmp_path / f"{name}.toml"
    path.write_text(text if "base" in text else f'base = "recipe.toml"\n{text}')
    return path


def test_recipes_build_on_another(tmp_path):
    tables = """
name = "larger"
[model]
n_blocks = 2
[tasks]
priors = [{ kind = "mlp" }, { kind = "linear" }]
[evaluation]
kind = "gp"
[training]
seed = 5
"""
    base, recipe = load_recipe(write(tmp_path, TEXT)), load_recipe(write_on(tmp_path, tables))
    assert (recipe.name, recipe.description, recipe.limits) == ("larger", base.description, base.limits)
    assert recipe.config == dataclasses.replace(base.config, n_blocks=2)
    assert recipe.training == dataclasses.replace(base.training, seed=5)
    assert recipe.tasks.n_context == base.tasks.n_context
    assert [type(prior).__name__ for prior in recipe.tasks.priors] == ["RandomMLP", "RandomLinear"]
    assert isinstance(recipe.evaluation_tasks, GPTasks)


def test_a_checkpoint_replaces_the_whole_model_of_a_base(tmp_path):
    write(tmp_path, TEXT)
    recipe = load_recipe(write_on(tmp_path, '[model]\ncheckpoint = "gp-1d"\n'))
    assert recipe.start == shipped_checkpoints()["gp-1d"]
    assert recipe.source["model"] == {"checkpoint": "gp-1d"}


def test_a_recipe_with_a_base_alone_is_the_base(tmp_path):
    assert load_recipe(write_on(tmp_path, "")).source == load_recipe(tmp_path / "recipe.toml").source


def test_what_a_card_records_stands_alone(tmp_path):
    """Of a recipe whose base has a base, in another folder, and which is incomplete by itself."""
    (tmp_path / "above").mkdir()
    table, rest = TEXT.split("[training]")
    write(tmp_path / "above", table)
    middle = f'base = "above/recipe.toml"\n[training]{rest}seed = 2\n'
    (tmp_path / "middle.toml").write_text(middle)
    recipe = load_recipe(write_on(tmp_path, 'base = "middle.toml"\n[training]\nseed = 3\n'))
    assert (recipe.name, recipe.training.steps, recipe.training.seed) == ("small", 3, 3)
    assert "base" not in recipe.source
    assert parse_recipe(recipe.source, "card", tmp_path / "elsewhere").training == recipe.training


def test_files_of_a_base_are_beside_the_recipe(tmp_path):
    (tmp_path / "above").mkdir()
    write(tmp_path / "above", with_tasks('kind = "datasets"\nfiles = "sensor*.csv"\ntarget = "level"\n'))
    write_datasets(tmp_path)
    assert len(load_recipe(write_on(tmp_path, 'base = "above/recipe.toml"\n')).tasks.datasets) == 3
    with pytest.raises(FileNotFoundError, match=r"No file matches .*above/sensor\*\.csv"):
        load_recipe(tmp_path / "above" / "recipe.toml")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("base = 3\n", r"derived\.toml: base=3 must be the file of a recipe"),
        ('base = "derived.toml"\n', r"derived\.toml is built on itself: .*derived\.toml -> .*derived\.toml; take base"),
        ('base = "other.toml"\n', r"derived\.toml is built on itself: .*derived.* -> .*other.* -> .*derived"),
        ("[model]\ndimm = 16\n", r"derived\.toml: Unknown CMANPConfig keys \['dimm'\]"),
        ("[extra]\nsteps = 16\n", r"derived\.toml must have .*unknown \['extra'\]"),
    ],
)
def test_mistakes_in_building_on_another_are_named(tmp_path, text, message):
    (tmp_path / "other.toml").write_text('base = "derived.toml"\n')
    with pytest.raises(ValueError, match=message):
        load_recipe(write_on(tmp_path, text))


def test_chains_of_bases_end(tmp_path):
    for i in range(1000):
        (tmp_path / f"{i}.toml").write_text(f'base = "{i + 1}.toml"\n')
    with pytest.raises(ValueError, match=r"0\.toml is built on more than 50 others"):
        load_recipe(tmp_path / "0.toml")


def test_absent_bases_are_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no recipe .*absent\.toml, the base of .*derived\.toml"):
        load_recipe(write_on(tmp_path, 'base = "absent.toml"\n'))


FUNCTIONS = TEXT[TEXT.index("n_context") : TEXT.index("[training]")]


def with_tasks(text):
    return TEXT.replace(FUNCTIONS, text)


def write_datasets(folder, n=3):
    """CSV files with two features and a target, and their rows."""
    rng = np.random.default_rng(0)
    for i in range(n):
        table = rng.normal(size=(60, 3))
        np.savetxt(folder / f"sensor{i}.csv", table, delimiter=",", header="a,b,level", comments="")


def test_gp_tasks(tmp_path):
    tasks = load_recipe(write(tmp_path, with_tasks('kind = "gp"\nkernel = "matern32"\nn_context = [0, 9]\n'))).tasks
    assert (tasks.kernel, tasks.dim_x, tasks.n_context) == ("matern32", 2, (0, 9))


def test_dataset_tasks_and_other_ones_to_evaluate_on(tmp_path):
    write_datasets(tmp_path)
    text = 'kind = "datasets"\nfiles = "sensor[01].csv"\ntarget = "level"\nfeatures = ["b"]\nn_target = 20\n'
    recipe = load_recipe(
        write(
            tmp_path,
            with_tasks(f"{text}[evaluation]\n{text}")
            .replace("sensor[01]", "sensor2", 2)
            .replace("sensor2", "sensor[01]", 1),
        )
    )
    assert len(recipe.tasks.datasets) == 2
    assert len(recipe.evaluation_tasks.datasets) == 1
    assert (recipe.tasks.n_features, recipe.tasks.dim_x) == (1, 2)


def test_weights_to_start_from(tmp_path):
    model_table = TEXT[TEXT.index("dim_x") : TEXT.index("[tasks]")]
    text = TEXT.replace(model_table, 'checkpoint = "gp-1d"\n')
    recipe = load_recipe(write(tmp_path, text))
    assert recipe.start == shipped_checkpoints()["gp-1d"]
    assert recipe.config == load_checkpoint(recipe.start)[0].config
    assert load_recipe(write(tmp_path, TEXT)).start is None
    with pytest.raises(
        FileNotFoundError, match=r"checkpoint 'gp-2d' is neither shipped \(field-2d, gp-1d, image-gray, tabular\) nor"
    ):
        load_recipe(write(tmp_path, text.replace("gp-1d", "gp-2d")))
    with pytest.raises(ValueError, match=r"checkpoint sets the whole model; leave out \['dim'\]"):
        load_recipe(write(tmp_path, text.replace("[tasks]", "dim = 16\n[tasks]")))
    with_head = load_recipe(write(tmp_path, text.replace("[tasks]", "joint_rank = 4\n[tasks]")))
    assert with_head.config == dataclasses.replace(recipe.config, joint_rank=4)


def test_the_papers_recipe_is_the_papers():
    recipe = load_recipe(RECIPES / "meta-regression.toml")
    assert recipe.config == CMANPConfig()
    assert vars(recipe.tasks) == vars(GPTasks())
    assert recipe.training.learning_rate_at(50_000) == pytest.approx(2.5e-4)


@pytest.fixture(scope="module")
def recipes(tmp_path_factory):
    """The recipes' folder, with the data that some of them need from the user."""
    folder = tmp_path_factory.mktemp("recipes")
    for path in RECIPES.glob("*.toml"):
        shutil.copy(path, folder)
    for split in ("train", "test"):
        write_emnist(folder / "data/emnist", split=split)
    write_celeba(folder / "data/celeba")
    return folder


NAMES = sorted(path.stem for path in RECIPES.glob("*.toml"))


@pytest.mark.parametrize("name", NAMES)
def test_every_recipe_loads_and_has_its_files_name(recipes, name):
    assert load_recipe(recipes / f"{name}.toml").name == name


@pytest.mark.parametrize(
    ("name", "shape", "max_rows", "n_images"),
    [
        ("emnist", (28, 28, 1), 200, 24_000),
        ("celeba-32", (32, 32, 3), 200, 182_637),
        ("celeba-64", (64, 64, 3), 800, 182_637),
        ("celeba-128", (128, 128, 3), 1600, 182_637),
    ],
)
def test_image_recipes_are_the_papers(recipes, name, shape, max_rows, n_images):
    recipe = load_recipe(recipes / f"{name}.toml")
    assert recipe.config == CMANPConfig(dim_x=2, dim_y=shape[2], min_std=0.05)
    for tasks in (recipe.tasks, recipe.evaluation_tasks):
        assert (tasks.height, tasks.width, tasks.dim_y) == shape
        assert (tasks.n_context, tasks.min_target, tasks.max_rows) == ((3, max_rows - 3), 3, max_rows)
    counts = (recipe.tasks.n_images, recipe.evaluation_tasks.n_images)
    assert counts == ((4, 4) if name == "emnist" else (6, 2))
    epochs = recipe.training.steps * recipe.training.batch_size / n_images
    assert epochs == 200
    assert recipe.training.learning_rate_at(0) == pytest.approx(5e-4)


IMAGE_NAMES = [name for name in NAMES if name.startswith(("emnist", "celeba", "image"))]


@pytest.mark.parametrize("name", IMAGE_NAMES)
def test_image_recipes_say_what_data_they_lack(tmp_path, name):
    for path in RECIPES.glob("*.toml"):
        shutil.copy(path, tmp_path)
    with pytest.raises(FileNotFoundError, match=r"neither a file nor a folder '.*data/(emnist|celeba)'"):
        load_recipe(tmp_path / f"{name}.toml")


@pytest.mark.parametrize("name", IMAGE_NAMES)
def test_image_recipes_train(recipes, name):
    recipe = load_recipe(recipes / f"{name}.toml")
    torch.manual_seed(0)
    model = initialize(CMANP(recipe.config), recipe.tasks, batch_size=2)
    before = [parameter.detach().clone() for parameter in model.parameters()]
    options = dataclasses.replace(recipe.training, steps=1, batch_size=2, accumulate=1, n_evaluation=1)
    log = meta_train(model, recipe.tasks, options, evaluation_tasks=recipe.evaluation_tasks, progress=False)
    assert np.isfinite(log[-1]["log_likelihood"])
    assert any(not torch.equal(old, new) for old, new in zip(before, model.parameters(), strict=True))


PAPERS = ["emnist", "celeba-32", "celeba-64", "celeba-128"]


@pytest.mark.parametrize("name", PAPERS)
def test_joint_image_recipes_add_a_head(recipes, name):
    recipe, joint = (load_recipe(recipes / f"{name}{suffix}.toml") for suffix in ("", "-and"))
    assert joint.config == dataclasses.replace(recipe.config, joint_rank=20)
    assert dataclasses.replace(joint.training, accumulate=1) == recipe.training
    assert (joint.source["tasks"], joint.source["evaluation"]) == (recipe.source["tasks"], recipe.source["evaluation"])


@pytest.mark.parametrize("name", PAPERS)
def test_image_recipes_with_memory_are_that_of_image_gray(recipes, name):
    """But for the papers' data, number of channels and of pixels, and length of training."""
    paper, gray, ours = (load_recipe(recipes / f"{n}.toml") for n in (name, "image-gray", f"{name}-memory"))
    max_rows = paper.tasks.max_rows
    assert ours.config == dataclasses.replace(gray.config, dim_y=paper.config.dim_y, max_count=float(max_rows))
    kept = {field: getattr(paper.training, field) for field in ("steps", "batch_size", "evaluate_every")}
    assert ours.training == dataclasses.replace(gray.training, **kept)
    assert (ours.source["tasks"], ours.source["evaluation"]) == (paper.source["tasks"], paper.source["evaluation"])


@pytest.mark.parametrize("name", sorted(shipped_checkpoints()))
def test_every_shipped_checkpoint_has_its_recipe(recipes, name):
    recipe = load_recipe(recipes / f"{name}.toml")
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
        (
            'kind = "gp"',
            'kind = "gpp"',
            r"Unknown kind 'gpp' of prior; the known ones are \['gates', 'gp', 'linear', .*, 'sums', 'trees'\]",
        ),
        ("steps = 3", "stepps = 3", "stepps"),
        ("lengthscale", "length_scale", "length_scale"),
        ("n_context", "context", "context"),
        (
            FUNCTIONS,
            'kind = "gps"\n',
            r"Unknown kind 'gps' of tasks; the known ones are \['datasets', 'functions', 'gp', 'images'\]",
        ),
        (FUNCTIONS, 'kind = "gp"\nkernel = "rbg"\n', "Unknown kernel 'rbg'"),
        ("steps = 3", "steps = 0", "steps=0 must be an integer in \\[1, inf\\)"),
    ],
)
def test_mistakes_are_named(tmp_path, old, new, message):
    with pytest.raises(ValueError, match=rf"recipe\.toml.*{message}"):
        load_recipe(write(tmp_path, TEXT.replace(old, new)))


def test_absent_recipes_are_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no recipe .*absent\.toml"):
        load_recipe(tmp_path / "absent.toml")


def test_absent_data_sets_are_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"No file matches .*sensor\*\.csv"):
        load_recipe(write(tmp_path, with_tasks('kind = "datasets"\nfiles = "sensor*.csv"\n')))


def test_data_sets_must_fit_the_model(tmp_path):
    write_datasets(tmp_path)
    text = with_tasks('kind = "datasets"\nfiles = "sensor*.csv"\ntarget = "level"\n')
    assert load_recipe(write(tmp_path, text)).tasks.n_features == 2
    with pytest.raises(ValueError, match="have 2 features, more than dim_x=1"):
        load_recipe(write(tmp_path, text.replace("dim_x = 2", "dim_x = 1")))
    with pytest.raises(ValueError, match="have 1 targets, but the model has dim_y=2"):
        load_recipe(write(tmp_path, text.replace("dim_x = 2", "dim_x = 2\ndim_y = 2")))


def test_tasks_are_scaled_as_the_model_reads_them(tmp_path):
    write_datasets(tmp_path)
    datasets = with_tasks('kind = "datasets"\nfiles = "sensor*.csv"\ntarget = "level"\n')
    for text in (TEXT, datasets):
        assert load_recipe(write(tmp_path, text)).tasks.adapt_for is None
        recipe = load_recipe(write(tmp_path, text.replace("dim_x = 2", "dim_x = 2\nrelevance = true")))
        assert recipe.tasks.adapt_for == recipe.config
    with pytest.raises(ValueError, match="'gp' are not scaled, but the model has relevance=true"):
        load_recipe(write(tmp_path, with_tasks('kind = "gp"\n').replace("dim_x = 2", "dim_x = 2\nrelevance = true")))


def write_images(folder, *shape):
    np.savez(folder / "images.npz", images=np.zeros(shape, dtype=np.uint8), labels=np.arange(shape[0]))


IMAGES = 'kind = "images"\nfiles = "images.npz"\nclasses = [0, 4]\nn_context = [1, 9]\nmax_rows = 20\n'


def test_image_tasks(tmp_path):
    write_images(tmp_path, 9, 7, 7)
    tasks = load_recipe(write(tmp_path, with_tasks(IMAGES))).tasks
    assert (tasks.n_images, tasks.n_context, tasks.max_rows) == (5, (1, 9), 20)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("dim_x = 2", "dim_x = 3", "A pixel has 2 coordinates, but the model has dim_x=3"),
        ("dim_x = 2", "dim_x = 2\ndim_y = 3", "The images have 1 channels, but the model has dim_y=3"),
        ("dim_x = 2", "dim_x = 2\nrelevance = true", "'images' are not scaled, but the model has relevance=true"),
        ("[0, 4]", "[9, 12]", r"no image with a label of classes=\[9, 12\]; its labels are 0 to 8"),
        ("max_rows", "max_row", "max_row"),
    ],
)
def test_images_must_fit_the_model(tmp_path, old, new, message):
    write_images(tmp_path, 9, 7, 7)
    with pytest.raises(ValueError, match=message):
        load_recipe(write(tmp_path, with_tasks(IMAGES).replace(old, new)))


def test_absent_images_are_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"neither a file nor a folder '.*images\.npz'"):
        load_recipe(write(tmp_path, with_tasks(IMAGES)))
