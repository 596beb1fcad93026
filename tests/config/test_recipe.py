from __future__ import annotations

from pathlib import Path

import pytest

from edgekit.config.recipe import Recipe, load_recipe, parse_recipe, recipe_names
from edgekit.errors import UsageError

BARE = 'name = "x"\n'


def test_every_shipped_recipe_loads_under_its_name() -> None:
    assert "resnet18-finetune" in recipe_names()
    for name in recipe_names():
        assert load_recipe(name).name == name


def test_defaults_are_a_whole_recipe() -> None:
    recipe = parse_recipe(BARE, "x")
    assert recipe.schedule.optimizer == "adamw"
    assert recipe.input.preprocess().shorter_side == 256
    assert Recipe.model_validate(recipe.model_dump(mode="json")) == recipe


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (BARE + "[schedule]\nepoch = 3", ("schedule.epoch", "did you mean epochs?")),
        (BARE + "[scheduel]\nepochs = 3", ("scheduel", "did you mean schedule?")),
        (BARE + "[schedule]\nepochs = 0", ("[schedule]", "probe_views of at least 1")),
        (BARE + '[schedule]\noptimizer = "adam"', ("schedule.optimizer", "adamw")),
        (BARE + "[schedule]\nepochs = 3\nfreeze_epochs = 4", ("[schedule]", "freeze_epochs of at most epochs")),
        (BARE + "[input]\nsize = 224\nshorter_side = 200", ("shorter_side", "at least")),
        (BARE + "[augment]\ncrop = [0.9, 0.2]", ("[augment]", "crop")),
        ("[schedule]\nepochs = 3", ("no name",)),
        ("name = ", ("not TOML",)),
    ],
)
def test_what_is_wrong_is_named(text: str, said: tuple[str, ...]) -> None:
    with pytest.raises(UsageError) as caught:
        parse_recipe(text, "mine.toml")
    message = str(caught.value)
    assert "mine.toml" in message
    assert all(part in message for part in said), message
    assert len(message) < 600


def test_set_is_typed_by_the_schema() -> None:
    changes = ["schedule.epochs=7", "schedule.lr_head=1e-2", "schedule.cosine=false", "net.weights=128"]
    changes += ["data.val=none", "net.norm=none", "augment.crop=[0.5, 1.0]", "precision=bf16", "data.workers=0"]
    changes += ['schedule.frozen=["conv1", "bn1"]']
    recipe = parse_recipe(BARE + '[data]\nval = "test"', "x", changes)
    assert (recipe.schedule.epochs, recipe.schedule.lr_head, recipe.schedule.cosine) == (7, 0.01, False)
    assert recipe.net.weights == "128"
    assert recipe.data.val is None
    assert recipe.net.norm == "none"
    assert recipe.augment.crop == (0.5, 1.0)
    assert recipe.precision == "bf16"
    assert recipe.schedule.frozen == ("conv1", "bn1")


def test_the_interpolation_reaches_the_model() -> None:
    spec = parse_recipe(BARE, "x", ["input.resize=letterbox", "input.interpolation=area"]).input.preprocess()
    assert (spec.resize, spec.interpolation) == ("letterbox", "area")
    for how in ("area", "pyramid"):
        assert parse_recipe(BARE, "x", [f"input.interpolation={how}"]).input.preprocess().interpolation == how
    assert parse_recipe(BARE, "x").input.preprocess().interpolation == "bilinear"
    with pytest.raises(UsageError):
        parse_recipe(BARE, "x", ["input.interpolation=nearest"])


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("schedule.epoch=3", "did you mean epochs?"),
        ("shedule.epochs=3", "did you mean schedule?"),
        ("schedule.epochs.more=3", "nothing below"),
        ("schedule=3", "schedule.epochs"),
        ("schedule.epochs=many", "integer"),
        ("schedule.epochs=-1", "greater than or equal to 0"),
        ("schedule.epochs", "key=value"),
    ],
)
def test_set_says_what_is_wrong(change: str, said: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_recipe(BARE, "x", [change])
    assert said in str(caught.value)


def test_an_unknown_name_and_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="did you mean resnet18-finetune"):
        load_recipe("resnet18-finetun")
    with pytest.raises(UsageError, match="cannot be read as a recipe"):
        load_recipe(str(tmp_path / "none.toml"))
