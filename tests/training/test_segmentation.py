"""A U-Net in training: masks move with their pictures, void counts nowhere, what is learnt is exported and proven."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from PIL import Image
from torch import Tensor

import edgekit
from edgekit.checkpoints.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from edgekit.config.recipe import load_recipe
from edgekit.errors import DataError, UsageError
from edgekit.training.augment.masked import around, cut
from edgekit.training.losses import dice_loss, pixel_entropy
from edgekit.training.segmentation import SegmentationTraining
from edgekit.training.tasks import make_task
from tests.conftest import Cli

CLASSES = ("grass", "sky", "void", "fox")
COLOURS = np.array([[40, 160, 60], [200, 120, 40], [128, 128, 128], [30, 60, 200]], np.uint8)  # BGR, by number
TINY = (
    "net.weights=none", "net.width=0.125", "precision=fp32", "input.size=[64,96]", "input.train_size=64",
    "schedule.batch=4", "schedule.epochs=2", "schedule.evaluate_every=1", "schedule.ema=0.5",
)  # fmt: skip


RATES = ("schedule.lr_head=5e-3", "schedule.lr_trunk=5e-3", "augment.zoom=[0.9,1.2]")


def mask(seed: int, height: int = 60, width: int = 90) -> np.ndarray[Any, Any]:
    """Sky above grass with a fox, and a strip that nobody knows."""
    rng = np.random.default_rng(seed)
    numbers = np.zeros((height, width), np.uint8)
    numbers[: int(rng.integers(20, 40))] = 1
    y, x = int(rng.integers(20, 35)), int(rng.integers(10, 60))
    numbers[y : y + 15, x : x + 20] = 3
    numbers[-4:] = 2
    return numbers


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("masks")
    for split, count in (("train", 8), ("val", 4)):
        for name in ("images", "masks"):
            (folder / split / name).mkdir(parents=True)
        for i in range(count):
            numbers = mask(i + 100 * len(split))
            noise = np.random.default_rng(i).integers(-20, 20, (*numbers.shape, 3))
            frame = np.clip(COLOURS[numbers].astype(int) + noise, 0, 255).astype(np.uint8)
            Image.fromarray(frame[..., ::-1]).save(folder / split / "images" / f"{i}.png")
            Image.fromarray(numbers).save(folder / split / "masks" / f"{i}.png")
    (folder / "classes.txt").write_text("\n".join(CLASSES))
    return folder


def task_of(data: Path, *changes: str) -> SegmentationTraining:
    made = make_task(load_recipe("unet-r18", [*TINY, *changes]), data)
    assert isinstance(made, SegmentationTraining)
    return made


def picture_of(numbers: np.ndarray[Any, Any]) -> Tensor:
    return torch.from_numpy(COLOURS[numbers][..., ::-1].copy()).permute(2, 0, 1)


@pytest.mark.parametrize("scale", [(1.0, 1.0), (0.5, 0.5), (2.0, 2.0), (1.7, 0.6)])
@pytest.mark.parametrize("at", [(0.0, 0.0), (0.5, 0.5), (1.0, 0.3)])
def test_a_cut_moves_the_mask_with_its_picture(scale: tuple[float, float], at: tuple[float, float]) -> None:
    numbers = mask(3)
    image, moved = cut(picture_of(numbers), numbers.astype(np.int16), (64, 64), scale, at)
    assert (image.shape, moved.shape) == ((3, 64, 64), (64, 64))
    frame = image.permute(1, 2, 0).numpy()[..., ::-1].astype(int)
    near = np.abs(frame[:, :, None] - COLOURS.astype(int)).sum(3).argmin(2)  # by its colour
    inside = moved >= 0
    assert inside.mean() == pytest.approx(min(1, 60 * scale[0] / 64) * min(1, 90 * scale[1] / 64), abs=0.02)
    assert (near == moved)[inside].mean() > 0.95, "all but the edges, where colours mix"
    edges = np.zeros_like(inside)
    edges[1:-1, 1:-1] = (moved[1:-1, 1:-1] != moved[2:, 1:-1]) | (moved[1:-1, 1:-1] != moved[:-2, 1:-1])
    assert (frame[~inside] == 114).all()


def test_a_cut_of_the_whole_changes_nothing() -> None:
    numbers = mask(3)
    image, moved = cut(picture_of(numbers), numbers.astype(np.int16), numbers.shape, (1.0, 1.0), (0.3, 0.9))
    torch.testing.assert_close(image, picture_of(numbers))
    np.testing.assert_array_equal(moved, numbers)


def test_a_cut_around_a_class_shows_it_wherever_it_lies() -> None:
    numbers = np.zeros((60, 90), np.int16)
    for y, x in ((0, 0), (59, 89), (30, 2), (0, 89)):
        numbers[y, x] = 3
    rng = np.random.default_rng(0)
    places = set()
    for scale in ((1.0, 1.0), (2.0, 2.0), (0.5, 0.6), (3.1, 1.7)):
        for _ in range(40):
            at = around(numbers, 3, (32, 32), scale, tuple(rng.random(3)))
            assert all(0 <= share <= 1 for share in at)
            if min(scale) >= 1:  # smaller ones, a single pixel can vanish
                moved = cut(picture_of(numbers), numbers, (32, 32), scale, at)[1]
                assert (moved == 3).any(), (scale, at)
                places.update(map(tuple, np.argwhere(moved == 3).tolist()))
    assert len(places) > 60, "not always at one place of the part"


def test_the_share_of_cuts_around_other_classes_is_the_recipes(data: Path) -> None:
    shares = {}
    for share in (0.0, 0.5, 1.0):
        made = task_of(data, "input.train_size=32", "augment.zoom=[1.0,1.0]", f"augment.foreground={share}")
        fox = [bool((made.varied(i % len(made), i)[1] == made.spec.classes.index("fox")).any()) for i in range(200)]
        shares[share] = float(np.mean(fox))
    assert shares[0.0] < shares[0.5] < shares[1.0], shares


def test_variations_move_masks_and_fill_with_void(data: Path) -> None:
    task = task_of(data, "augment.mirror=1", "augment.zoom=[1,1]", "augment.degrees=40", "augment.hue=0")
    image, moved = task.varied(0, 7)
    assert (image.dtype, moved.dtype, moved.shape) == (torch.uint8, torch.int16, (64, 64))
    assert set(moved.unique().tolist()) <= {-1, 0, 1, 2}
    frame = image.permute(1, 2, 0).numpy()[..., ::-1].astype(int)
    near = np.abs(frame[:, :, None] - COLOURS[[0, 1, 3]].astype(int)).sum(3).argmin(2)
    known = moved.numpy() >= 0
    assert (near == moved.numpy())[known].mean() > 0.8
    again = task.varied(0, 7)
    torch.testing.assert_close(again[1], moved)
    assert not torch.equal(task.varied(0, 8)[1], moved)


def test_the_losses_are_those_of_a_slow_loop_and_void_is_in_neither() -> None:
    torch.manual_seed(0)
    logits, target = torch.randn(2, 3, 5, 4), torch.randint(-1, 3, (2, 5, 4))
    weights = torch.tensor([1.0, 0.5, 2.0])
    known = int((target >= 0).sum())
    total = 0.0
    for n, y, x in np.argwhere(target.numpy() >= 0).tolist():
        label = int(target[n, y, x])
        total -= float(logits[n, :, y, x].log_softmax(0)[label] * weights[label])
    assert float(pixel_entropy(logits, target, weights, torch.tensor(known))) == pytest.approx(total / known, rel=1e-5)
    pictures = []
    for n in range(2):
        share = logits[n].softmax(0)[:, target[n] >= 0]
        labels = target[n][target[n] >= 0]
        losses = [
            1 - float(2 * share[c][labels == c].sum() / (share[c].sum() + (labels == c).sum()))
            for c in labels.unique().tolist()
        ]
        pictures.append(np.mean(losses))
    assert float(dice_loss(logits, target)) == pytest.approx(np.mean(pictures), rel=1e-5)
    changed = torch.where((target < 0).unsqueeze(1), 50.0, logits)
    assert float(dice_loss(changed, target)) == pytest.approx(float(dice_loss(logits, target)), rel=1e-6)
    nothing = torch.full_like(target, -1)
    assert float(dice_loss(logits, nothing)) == 0


def test_rare_classes_weigh_more_where_that_is_asked_for(data: Path) -> None:
    plain = task_of(data, "schedule.class_balance=none")._weights
    balanced = task_of(data, "schedule.class_balance=loss")._weights
    assert plain.tolist() == [1, 1, 1]
    assert balanced[2] > balanced[:2].max() > 0, "the fox has the fewest pixels"
    drawn = task_of(data, "schedule.class_balance=sample").sampling_weights()
    assert drawn is not None
    assert len(drawn) == 8
    assert drawn.min() > 0


def test_it_learns_and_what_it_learnt_is_exported_and_proven(cli: Cli, data: Path, tmp_path: Path) -> None:
    changes = [
        word
        for change in (*TINY, "schedule.epochs=30", "schedule.evaluate_every=30", *RATES)
        for word in ("--set", change)
    ]
    run = tmp_path / "run"
    trained = cli("train", "unet-r18", "--data", data, "--out", run, *changes, "--format", "json")
    assert trained.code == 0, trained.text
    figures = json.loads(trained.out)["metrics"]
    assert figures["miou"] > 0.8, figures
    assert {"pixel_accuracy", "boundary_f", "iou_fox"} <= set(figures)
    spec = load_checkpoint(run / "best.pt").spec
    assert (spec.task, spec.classes) == ("segmentation", ("grass", "sky", "fox"))
    assert all((run / name).is_file() for name in ("curves.png", "confusion.png", "validation.jpg"))
    with (run / "metrics.csv").open() as stream:
        assert {"entropy", "dice", "miou"} <= set(next(csv.reader(stream)))
    measured = edgekit.evaluate(run / "best.pt", data).to_dict()
    assert measured["miou"] == pytest.approx(figures["miou"], abs=1e-6), "training measures what eval does"
    exported = cli("export", run / "best.pt", "--data", data, "--out", tmp_path)
    assert exported.code == 0, exported.text
    assert "equal to our net from its own checkpoint" in exported.out
    stages = json.loads((tmp_path / "best.verify.json").read_text())["stages"]
    equal = {stage["name"]: stage["pixels_equal"] for stage in stages if "pixels_equal" in stage}
    assert {"fold", "onnx", "batch"} <= set(equal)
    assert min(equal.values()) >= 0.9999, equal
    assert edgekit.evaluate(tmp_path / "best.onnx", data).to_dict()["miou"] == pytest.approx(measured["miou"], abs=1e-4)


@pytest.mark.slow
def test_the_net_that_keeps_its_magnitude_learns_and_is_proven(cli: Cli, data: Path, tmp_path: Path) -> None:
    wanted = (*(one for one in TINY if "width" not in one), "net.width=0.25", "schedule.epochs=30", "net.weights=none")
    changes = [word for change in (*wanted, "schedule.evaluate_every=30", *RATES[2:]) for word in ("--set", change)]
    run = tmp_path / "run"
    trained = cli("train", "unet-mp", "--data", data, "--out", run, *changes, "--format", "json")
    assert trained.code == 0, trained.text
    assert json.loads(trained.out)["metrics"]["miou"] > 0.6
    exported = cli("export", run / "best.pt", "--data", data, "--out", tmp_path)
    assert exported.code == 0, exported.text
    assert "equal to our net from its own checkpoint" in exported.out
    graph = onnx.load(tmp_path / "best.onnx").graph
    stored = {tensor.name for tensor in graph.initializer}
    convolutions = [node for node in graph.node if node.op_type == "Conv"]
    assert len(convolutions) == 27
    assert all(node.input[1] in stored for node in convolutions), "weights that nothing computes"
    refused = cli("train", "unet-mp", "--data", data, "--out", tmp_path / "b", *changes, "--weights", run / "best.pt")
    assert "no trunk that could start from weights" in refused.text


def test_a_trunk_by_name_starts_from_its_classifier(data: Path) -> None:
    """With random numbers in timm's names: what of them has a place in the trunk is taken, the rest is named."""
    timm = pytest.importorskip("timm")
    torch.manual_seed(5)
    plain = timm.create_model("tf_efficientnet_lite0", num_classes=7).state_dict()
    torch.save(plain, file := data.parent / "lite0.pth")
    told: list[str] = []
    changes = [*(one for one in TINY if not one.startswith(("net.", "precision"))), f"net.weights={file}"]
    made = make_task(load_recipe("unet-mobile", changes), data, told.append)
    stem = made.net.state_dict()["trunk.conv_stem.weight"]
    torch.testing.assert_close(stem, plain["conv_stem.weight"])
    assert made.spec.preprocess.mean == (0.5, 0.5, 0.5), "as its weights take pictures"
    assert any("left out: conv_head, bn2, classifier" in line for line in told), told


def test_a_unet_that_starts_from_one_of_its_net_takes_all_of_it(data: Path, tmp_path: Path) -> None:
    first = task_of(data)
    torch.nn.init.uniform_(first.net.head.weight)  # type: ignore[union-attr, arg-type]
    turned = replace(first.spec, classes=tuple(reversed(first.spec.classes)))
    state = {name: value.clone() for name, value in first.net.state_dict().items()}
    for name in ("head.weight", "head.bias"):
        state[name] = state[name].flip(0)
    save_checkpoint(tmp_path / "turned.pt", Checkpoint(turned, state))
    told: list[str] = []
    changes = [*(one for one in TINY if not one.startswith("net.weights")), f"net.weights={tmp_path / 'turned.pt'}"]
    again = make_task(load_recipe("unet-r18", changes), data, told.append)
    assert all(torch.equal(value, first.net.state_dict()[name]) for name, value in again.net.state_dict().items())
    assert any("the whole net" in line for line in told), told


def test_pictures_without_masks_or_names_are_refused(data: Path, tmp_path: Path) -> None:
    for split in ("train", "val"):
        (tmp_path / split).symlink_to(data / split)
    with pytest.raises(DataError, match="what the numbers in the masks are"):
        task_of(tmp_path)
    with pytest.raises(DataError, match="have masks, which this recipe does not learn"):
        make_task(load_recipe("classifier"), data)
    with pytest.raises(UsageError, match="do not move masks along"):
        task_of(data, "augment.mosaic=0.5")
    with pytest.raises(UsageError, match="multiples of 32"):
        task_of(data, "input.size=[60,90]")


def test_a_set_without_splits_holds_some_out(data: Path, tmp_path: Path) -> None:
    (tmp_path / "images").symlink_to(data / "train" / "images")
    (tmp_path / "masks").symlink_to(data / "train" / "masks")
    (tmp_path / "classes.txt").write_text("\n".join(CLASSES))
    task = task_of(tmp_path)
    assert 1 <= len(task._val.samples) <= 4
    assert len(task) + len(task._val.samples) == 8
