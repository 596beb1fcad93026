"""Ways of fine-tuning compete on pictures held out of the training ones, and the winner is done on all of them."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch

from edgekit.api.train import train
from edgekit.checkpoints.checkpoint import Checkpoint, load_checkpoint
from edgekit.checkpoints.pretrained import read_weights
from edgekit.config.input import Input
from edgekit.config.recipe import Compete, Recipe, parse_recipe
from edgekit.data import Dataset
from edgekit.errors import EdgekitError, OutputError, UsageError
from edgekit.nets.library import preprocess
from edgekit.spec import IMAGENET_MEAN, PreprocessSpec
from edgekit.training import tasks
from edgekit.training.classification import ClassificationTraining
from edgekit.training.loop import compete
from edgekit.training.loop.choice import Choice, Told
from edgekit.training.loop.result import BEST, LAST, START, STATE
from edgekit.training.loop.run import train as train_loop
from edgekit.training.splits import load_splits
from edgekit.training.tasks import make_task
from edgekit.training.temperature import fit_temperature, nll

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
lr_head = 1e-2
lr_trunk = 1e-2
epochs = 2
[compete]
share = 0.2
least = 6
mixes = [0.25, 0.5]
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


@dataclass(frozen=True)
class Tried:
    """A competition: its folder, what came of it, what it said, and the two parts of the training pictures."""

    out: Path
    recipe: Recipe
    choice: Choice
    said: list[str]
    parts: tuple[Dataset, Dataset]


WAYS = (
    "head",
    "fine-tuned with 50% of the start",
    "fine-tuned with 25% of the start",
    "fine-tuned",
    "fine-tuned, head fitted again",
)


def test_the_ways_go_from_what_changes_least_to_what_changes_most() -> None:
    recipe = general()
    known = compete.ways(recipe.compete)
    assert tuple(way.name for way in known) == WAYS
    schedules = [way.of(recipe).schedule for way in known]
    assert [(s.epochs, s.mix, s.refit_head) for s in schedules] == [
        (0, 0.0, False), (2, 0.5, False), (2, 0.25, False), (2, 0.0, False), (2, 0.0, True)
    ]  # fmt: skip
    assert all(s.best == "last" and s.lr_trunk == 1e-2 for s in schedules)


@pytest.mark.parametrize(
    ("pictures", "share", "expected"), [(100, 0.2, 0.5), (400, 0.2, 0.5), (800, 0.2, 0.25), (5000, 0.2, 0.2)]
)
def test_more_are_held_out_where_pictures_are_few(pictures: int, share: float, expected: float) -> None:
    assert Compete(share=share).share_of(pictures) == expected


@pytest.fixture(scope="module")
def tried(pictures: Path, tmp_path_factory: pytest.TempPathFactory) -> Tried:
    """A competition on the tiny pictures, with what it asked for."""
    out, said, made = tmp_path_factory.mktemp("tries"), [], []

    def kept(recipe: Recipe, train_on: Dataset, held: Dataset) -> ClassificationTraining:
        made.append((train_on, held))
        return ClassificationTraining(recipe, train_on, held)

    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(tasks.TRAININGS, "classification", kept)
        recipe, choice = tasks.compete(general(), pictures, out, resume=False, say=said.append)
    return Tried(out, recipe, choice, said, made[0])


def test_it_is_decided_on_training_pictures_that_were_not_learnt_from(tried: Tried, pictures: Path) -> None:
    train_on = load_splits(pictures, general().data, 0).train
    kept, held = ({s.name for s in part} for part in tried.parts)
    assert not kept & held
    assert kept | held == {s.name for s in train_on}  # and none of validation
    assert tried.choice.pictures == len(held) >= 6


def test_the_try_has_as_many_steps_as_the_last_run(tried: Tried) -> None:
    kept, held = map(len, tried.parts)
    assert held / (kept + held) >= 0.3  # so that it matters
    assert load_checkpoint(tried.out / LAST).metrics["epoch"] == round(general().schedule.epochs * (kept + held) / kept)


def test_each_way_is_asked_for_what_it_would_be(tried: Tried, pictures: Path) -> None:
    """The weights of each are made again, by the formula, and answer with as many right."""
    start, end = (load_checkpoint(tried.out / name) for name in (START, LAST))
    task = ClassificationTraining(general(), *tried.parts)
    assert max(float((v - start.state_dict[k]).abs().max()) for k, v in floats(end).items()) > 1e-3
    for share, name in ((1.0, "head"), (0.5, WAYS[1]), (0.25, WAYS[2]), (0.0, "fine-tuned")):
        first = floats(start)
        state = {**end.state_dict, **{k: (1 - share) * v + share * first[k] for k, v in floats(end).items()}}
        task.net.load_state_dict(state)
        logits, labels = task.answers(task.net.eval())
        told = tried.choice.of(name)
        assert told.right == (logits.argmax(1) == labels).sum()
        assert told.nll == pytest.approx(nll(logits, labels, fit_temperature(logits, labels)), abs=1e-5)
    task.start(task.net)  # the end is what is loaded
    logits, labels = task.answers(task.net)
    assert tried.choice.of(WAYS[4]).nll == pytest.approx(nll(logits, labels, fit_temperature(logits, labels)), abs=1e-4)


def test_it_is_told_which_and_why(tried: Tried) -> None:
    lines = [line for line in tried.said if line.startswith("competition: ")]
    assert len(lines) == 2 + len(WAYS)
    assert lines[-1] == f"competition: {tried.choice.why()}"
    written = json.loads((tried.out / compete.CHOICE).read_text())
    assert written == tried.choice.to_dict()
    assert [way["name"] for way in written["ways"]] == list(WAYS)


@pytest.mark.parametrize("won", [WAYS[0], WAYS[1], WAYS[4]])
def test_what_is_worth_it_is_done_on_all_pictures(
    won: str, pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The end that is reported is that of the way, on validation pictures that chose nothing."""
    told = tuple(Told(name, 5, 0.1, 0.0, 0.0) for name in WAYS)
    monkeypatch.setattr(compete, "choose", lambda *_: Choice(told, won, 6))
    file = tmp_path / "general.toml"
    file.write_text(GENERAL)
    run = tmp_path / "run"
    result = train(file, pictures, run)
    assert (result.choice is not None and result.choice.won, result.chosen) == (won, False)
    one, other = (load_checkpoint(run / name).state_dict for name in (BEST, LAST))
    assert all(torch.equal(value, other[key]) for key, value in one.items())
    assert result.epochs == (0 if won == "head" else 2)
    marks = {key for row in result.rows for key in ("mixed", "refitted") if row.get(key)}
    assert marks == ({"mixed"} if "start" in won else set()) | ({"refitted"} if "again" in won else set())
    assert result.metrics == result.final


@pytest.mark.slow
def test_an_interrupted_competition_goes_on(pictures: Path, file: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    result = train(file, pictures, run)
    with pytest.raises(OutputError, match="holds a training already"):
        train(file, pictures, run)
    again = train(file, pictures, run, resume=True)
    assert (again.final["top1"], again.choice) == (result.final["top1"], result.choice)
    other = load_checkpoint(run / LAST)
    for name in (STATE, BEST, LAST):  # as if it had been interrupted during the tries
        (run / name).unlink()
    train(file, pictures, run, resume=True)
    last = load_checkpoint(run / LAST)
    assert all(torch.equal(value, last.state_dict[key]) for key, value in other.state_dict.items())


def test_several_processes_are_refused(pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(UsageError, match="one process"):
        tasks.compete(general(), pictures, tmp_path, resume=False, say=print)


@pytest.mark.parametrize(
    "change", ["schedule.probe_views=0", "task=detection", "compete.share=1.0", "schedule.epochs=0"]
)
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
