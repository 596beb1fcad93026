"""Ways of fine-tuning compete on pictures held out of the training ones, and the winner is done on all of them."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch

from edgekit.api.train import train
from edgekit.checkpoints.checkpoint import Checkpoint, load_checkpoint
from edgekit.checkpoints.pretrained import read_weights
from edgekit.config.recipe import Input, Recipe, parse_recipe
from edgekit.errors import EdgekitError, OutputError, UsageError
from edgekit.nets.library import preprocess
from edgekit.spec import IMAGENET_MEAN, PreprocessSpec
from edgekit.training import tasks
from edgekit.training.loop import compete
from edgekit.training.loop.result import BEST, LAST, START, STATE, TrainResult
from edgekit.training.loop.run import train as train_loop
from edgekit.training.splits import load_splits
from edgekit.training.tasks import make_task

GENERAL = """
name = "general"
[net]
arch = "timm:test_resnet"
[input]
train_size = 32
size = 32
[augment]
crop = [0.6, 1.0]
[schedule]
batch = 8
probe_views = 1
norm_stats = "fixed"
ema = 0.5
best = "last"
[compete]
share = 0.3
gentle = { lr_head = 1e-3, lr_trunk = 1e-4, epochs = 1 }
strong = { lr_head = 1e-2, lr_trunk = 1e-3, epochs = 2 }
"""


def general(*changes: str) -> Recipe:
    return parse_recipe(GENERAL, "general.toml", changes)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "general.toml"
    path.write_text(GENERAL)
    return path


def floats(checkpoint: Checkpoint) -> dict[str, torch.Tensor]:
    return {key: value for key, value in checkpoint.state_dict.items() if value.is_floating_point()}


# --- the winner


class Tries:
    """Stands in for the loop: gives each way the score that a test says, and keeps what it was asked."""

    def __init__(self, scores: Mapping[str, tuple[float, float]]) -> None:
        self.scores, self.recipes = scores, {}

    def __call__(self, task: Any, recipe: Recipe, out: Path, **_: Any) -> TrainResult:
        self.recipes[out.name] = recipe
        rows = [
            {"epoch": float(i), "scored": 1.0, "top1": self.scores[way][0], "nll_calibrated": self.scores[way][1]}
            for i, way in enumerate(("head", out.name, f"{out.name}, half-way"))
        ]
        return TrainResult(out, out, {}, {}, 1, 1, 0.0, 0.0, (), tuple(rows))


EQUAL = dict.fromkeys(("head", "gentle", "gentle, half-way", "strong", "strong, half-way"), (0.9, 0.3))


@pytest.mark.parametrize(
    ("better", "schedule"),
    [
        ({}, {"epochs": 0, "mix": 0.0}),
        ({"head": (0.95, 0.5)}, {"epochs": 0}),
        ({"gentle": (0.95, 0.5)}, {"epochs": 1, "mix": 0.0, "lr_head": 1e-3, "lr_trunk": 1e-4}),
        ({"gentle, half-way": (0.9, 0.2)}, {"epochs": 1, "mix": 0.5, "lr_head": 1e-3}),
        ({"strong": (0.95, 0.5), "head": (0.94, 0.1)}, {"epochs": 2, "mix": 0.0, "lr_head": 1e-2, "lr_trunk": 1e-3}),
        ({"strong, half-way": (0.9, 0.29)}, {"epochs": 2, "mix": 0.5, "lr_head": 1e-2}),
    ],
)
def test_the_best_on_held_out_training_pictures_wins(
    better: Mapping[str, Any],
    schedule: Mapping[str, Any],
    pictures: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """By what is right, then by the calibrated likelihood; of equals the one that changes least."""
    tries, said, seen = Tries({**EQUAL, **better}), [], []
    monkeypatch.setattr(compete, "train", tries)
    recipe = general()
    train_on = load_splits(pictures, recipe.data, 0).train
    monkeypatch.setitem(tasks.TRAININGS, "classification", lambda _, kept, held: seen.append((kept, held)))
    won = tasks.compete(recipe, pictures, tmp_path, resume=False, say=said.append)
    assert {name: getattr(won.schedule, name) for name in schedule} == schedule
    assert (won.schedule.best, won.schedule.batch) == ("last", 8)
    assert {name: (r.schedule.lr_trunk, r.schedule.epochs, r.schedule.mix) for name, r in tries.recipes.items()} == {
        "gentle": (1e-4, 1, 0.5),
        "strong": (1e-3, 2, 0.5),
    }
    names = [{s.name for s in part} for part in seen[0]]
    assert not names[0] & names[1]
    assert names[0] | names[1] == {s.name for s in train_on}  # and none of validation
    assert 0.1 < len(names[1]) / len(train_on) < 0.5
    assert "wins" in said[-1]


@pytest.mark.slow
def test_a_whole_training(pictures: Path, file: Path, tmp_path: Path) -> None:
    said: list[str] = []
    result = train(file, pictures, tmp_path / "run", say=said.append)
    assert len([line for line in said if line.startswith("competition: ")]) == 7
    assert not result.chosen
    assert {BEST, LAST, STATE} <= {path.name for path in (tmp_path / "run").iterdir()}
    one, other = load_checkpoint(tmp_path / "run" / BEST), load_checkpoint(tmp_path / "run" / LAST)
    assert all(torch.equal(value, other.state_dict[key]) for key, value in one.state_dict.items())
    winner = next(line for line in said if "wins" in line).split(": ")[1].split(" wins")[0]
    epochs = {"head": 0, "gentle": 1, "strong": 2}[winner.split(",")[0]]
    assert (result.epochs, one.recipe["schedule"]["epochs"]) == (epochs, epochs)
    with pytest.raises(OutputError, match="holds a training already"):
        train(file, pictures, tmp_path / "run")
    again = train(file, pictures, tmp_path / "run", resume=True)
    assert again.final["top1"] == result.final["top1"]
    for name in (STATE, BEST, LAST):  # as if it had been interrupted during the tries
        (tmp_path / "run" / name).unlink()
    shutil.rmtree(tmp_path / "run" / "tries" / "strong")
    train(file, pictures, tmp_path / "run", resume=True)
    last = load_checkpoint(tmp_path / "run" / LAST)
    assert all(torch.equal(value, last.state_dict[key]) for key, value in other.state_dict.items())


def test_several_processes_are_refused(pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(UsageError, match="one process"):
        tasks.compete(general(), pictures, tmp_path, resume=False, say=print)


@pytest.mark.parametrize("change", ["schedule.probe_views=0", "task=detection", "compete.share=1.0"])
def test_competitions_that_cannot_be_are_refused(change: str) -> None:
    with pytest.raises(UsageError):
        general(change)


# --- its parts in the loop


def test_the_start_is_mixed_in_at_the_end(pictures: Path, tmp_path: Path) -> None:
    made = {}
    for name, mix in (("plain", 0.0), ("mixed", 0.25)):
        recipe = general("compete.share=0", "schedule.epochs=2", "schedule.lr_trunk=1e-2", f"schedule.mix={mix}")
        made[name] = train_loop(make_task(recipe, pictures), recipe, tmp_path / name)
    start = floats(load_checkpoint(tmp_path / "mixed" / START))
    end, mixed = (floats(load_checkpoint(tmp_path / name / LAST)) for name in ("plain", "mixed"))
    assert max(float((end[key] - start[key]).abs().max()) for key in end) > 1e-3
    for key, value in mixed.items():
        torch.testing.assert_close(value, 0.75 * end[key] + 0.25 * start[key])
    assert [row.get("mixed") for row in made["mixed"].rows] == [None, None, None, 0.25]
    assert made["mixed"].best_epoch == 3


def test_no_epochs_leave_the_fitted_head_alone(pictures: Path, tmp_path: Path) -> None:
    recipe = general("compete.share=0", "schedule.epochs=0")
    task = make_task(recipe, pictures)
    before = {key: value.clone() for key, value in task.net.state_dict().items()}
    result = train_loop(task, recipe, tmp_path)
    after = load_checkpoint(tmp_path / LAST).state_dict
    assert (result.epochs, result.best_epoch, len(result.rows)) == (0, 0, 1)
    assert all(torch.equal(after[key], value) for key, value in before.items() if not key.startswith("fc."))
    assert not torch.equal(after["fc.weight"], before["fc.weight"])


@pytest.mark.parametrize("arch", ["timm:test_vit", "timm:test_convnext"])
def test_nets_with_layer_norm_are_trained(arch: str, pictures: Path, tmp_path: Path) -> None:
    changes = [f"net.arch={arch}", *(["net.arguments.img_size=32"] if "vit" in arch else [])]
    recipe = general(*changes, "compete.share=0", "schedule.epochs=1", "schedule.lr_trunk=1e-3", "schedule.lr_head=0.1")
    task = make_task(recipe, pictures)
    before = {key: value.clone() for key, value in task.net.state_dict().items()}
    result = train_loop(task, recipe, tmp_path)
    after = load_checkpoint(tmp_path / LAST)
    assert any("norm" in key and not torch.equal(after.state_dict[key], value) for key, value in before.items())
    assert result.final["top1"] >= 0
    assert len(task.heads) == 1


# --- what the net's published weights say of the pictures


def test_what_the_recipe_does_not_say_is_the_net_s_own(pictures: Path) -> None:
    recipe = parse_recipe('name = "a"\n[net]\narch = "timm:test_resnet"', "a.toml")
    assert make_task(recipe, pictures).spec.preprocess == preprocess("timm:test_resnet")


def test_what_the_recipe_says_is_kept() -> None:
    usual = PreprocessSpec(160, 160, shorter_side=200, interpolation="bicubic", mean=(0.5,) * 3, std=(0.5,) * 3)
    own = Input.model_validate({"size": 320, "mean": IMAGENET_MEAN}).as_published(usual)
    assert (own.train_size, own.shorter_side, own.interpolation) == ((160, 160), 400, "bicubic")
    assert (own.preprocess().mean, own.preprocess().std) == (IMAGENET_MEAN, (0.5,) * 3)
    assert Input.model_validate({}).as_published(usual).preprocess() == usual
    stretched = Input.model_validate({"resize": "stretch"}).as_published(usual).preprocess()
    assert (stretched.resize, stretched.shorter_side, stretched.height) == ("stretch", None, 160)


def test_weights_of_timm_are_not_fetched() -> None:
    with pytest.raises(EdgekitError, match="--weights FILE"):
        read_weights("imagenet", "timm:test_resnet", {})
