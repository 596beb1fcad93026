"""A CenterNet learns boxes by heart, scores as `edgekit eval` does, and its run is exact, shared and interruptible."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from edgekit import nets
from edgekit.benchmark.quality.accuracy import evaluate
from edgekit.checkpoints.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from edgekit.checkpoints.pretrained import start_from
from edgekit.config.recipe import Recipe, load_recipe, parse_recipe
from edgekit.data import hive_pictures, load_dataset
from edgekit.errors import CheckpointError, DataError, SplitError, UsageError
from edgekit.loading import open_predictor
from edgekit.metrics.ground_truth import GroundTruth, Predictions
from edgekit.nets.decoding.decode import Decode
from edgekit.spec import ModelSpec, PreprocessSpec
from edgekit.training.detection import DetectionTraining
from edgekit.training.loop.result import LAST, STATE
from edgekit.training.loop.run import train
from edgekit.training.splits import load_splits
from edgekit.training.tasks import make_task

HIVE = "synthetic://hive?n=8&val=4&height=96&width=128"
SMALL = """
name = "small"
task = "detection"
[net]
arch = "centernet-resnet18"
width = 0.125
max_detections = 20
[input]
train_size = [64, 96]
size = [64, 96]
resize = "letterbox"
[augment]
zoom = [0.8, 1.2]
mosaic = 0.3
brightness = 0.2
[schedule]
epochs = 2
batch = 4
ema = 0.9
lr_head = 1e-2
lr_trunk = 1e-2
save_steps = 1
"""
RUN = """
import os, signal, sys
from pathlib import Path
import torch
torch.set_num_threads(1)
sys.path.insert(0, {root!r})
from edgekit.config.recipe import parse_recipe
from edgekit.training.loop import run as loop
from edgekit.training.tasks import make_task
kill = int(sys.argv[2])
honest = loop._Run._step
def step(self, *values):
    if self.progress.step == kill:
        os.kill(os.getpid(), signal.SIGKILL)
    return honest(self, *values)
loop._Run._step = step
recipe = parse_recipe({recipe!r}, "small", sys.argv[3:])
loop.train(make_task(recipe, Path({data!r})), recipe, Path(sys.argv[1]))
"""


def small(*changes: str) -> Recipe:
    return parse_recipe(SMALL, "small", changes)


def in_a_process(out: Path, *changes: str, kill: int = -1, processes: int = 1) -> subprocess.CompletedProcess[str]:
    script = out.with_suffix(".py")
    root = str(Path(__file__).parents[2])
    script.write_text(RUN.format(root=root, recipe=SMALL, data=HIVE))
    command = [sys.executable]
    if processes > 1:
        port = str(29500 + os.getpid() % 400)
        command += ["-m", "torch.distributed.run", f"--nproc-per-node={processes}", f"--master-port={port}"]
    command += [str(script), str(out), str(kill), *changes]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
    return subprocess.run(command, capture_output=True, text=True, timeout=300, env=environment)


@pytest.mark.parametrize("head", ["ltrb", "offset_size"])
def test_targets_are_those_of_the_picture_that_is_shown(head: str) -> None:
    task = make_task(small(f"net.head={head}"), Path(HIVE))
    assert isinstance(task, DetectionTraining)
    seen = 0
    for index in range(len(task)):
        scene = task.varied(index, 3)
        sample = task.sample(index, 3)
        image, boxes = task.shown(index, 3)
        assert torch.equal(sample["image"], scene.image)
        assert torch.equal(image, scene.image)
        objects = scene.boxes[scene.labels >= 0]  # the hive sets hidden insects aside
        assert [list(b) for b in boxes] == objects.tolist()
        assert scene.image.shape == (3, 64, 96)
        assert int((sample["heatmap"] == 1).sum()) <= len(objects)
        assert bool((sample["heatmap"] == 1).any()) == bool(len(objects))
        seen += len(objects)
    assert seen > 5
    assert torch.equal(task.sample(0, 3)["image"], task.sample(0, 3)["image"])
    assert not torch.equal(task.sample(0, 3)["image"], task.sample(0, 4)["image"])


@pytest.mark.parametrize(("neck", "head"), [("fpn", "ltrb"), ("deconv", "offset_size")])
def test_a_training_leaves_a_checkpoint_that_eval_scores_alike(tmp_path: Path, neck: str, head: str) -> None:
    recipe = small(f"net.neck={neck}", f"net.head={head}", "schedule.ema=0")
    result = train(make_task(recipe, Path(HIVE)), recipe, tmp_path)
    loaded = load_checkpoint(tmp_path / LAST)
    assert loaded.spec.task == "detection"
    assert loaded.spec.classes == ("bee", "hornet")
    assert len(loaded.spec.thresholds) == len(loaded.spec.alarm_thresholds) == 2
    assert {"ap50", "ap"} <= set(result.final)
    with open_predictor(tmp_path / LAST) as predictor:
        report = evaluate(predictor, load_dataset(HIVE)).report
    assert report.mean.ap50 == pytest.approx(result.final["ap50"], abs=1e-9)
    assert report.mean.ap == pytest.approx(result.final["ap"], abs=1e-9)
    rows = (tmp_path / "metrics.csv").read_text().splitlines()
    assert "heatmap" in rows[0]
    assert len(rows) == 3


def test_the_alarm_has_its_own_threshold_at_a_limit_of_false_alarms(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of six pictures with a score each; the boxes' threshold is where their F1 is highest, the alarm's by picture."""
    task = make_task(small("threshold.false_alarms=0.34"), Path(HIVE))
    assert isinstance(task, DetectionTraining)
    box = [[0.0, 0, 10, 10]]
    with_one, without = GroundTruth(box, [1]), GroundTruth(np.zeros((0, 4)), [])
    scores = (0.9, 0.7, 0.3, 0.8, 0.4, 0.2)
    task._val.truths = [with_one] * 3 + [without] * 3
    founds = [Predictions(box, [score], [1]) for score in scores]
    monkeypatch.setattr(task._val, "found", lambda net: founds)
    spec = task.evaluate(task.net).spec
    assert spec.alarm_thresholds[1] == pytest.approx(0.55)  # one false alarm in three: between .7 and .4
    task.recipe = small("threshold.false_alarms=0.2")
    assert task.evaluate(task.net).spec.alarm_thresholds[1] == pytest.approx(0.85)  # none
    # no picture has a bee: an alarm is a box that is shown
    assert spec.alarm_thresholds[0] == spec.thresholds[0] == 0.5


@pytest.mark.slow
def test_killed_and_resumed_the_weights_are_equal_bit_for_bit(tmp_path: Path) -> None:
    recipe = small()
    train(make_task(recipe, Path(HIVE)), recipe, tmp_path / "whole")
    killed = in_a_process(tmp_path / "killed", kill=3)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    assert torch.load(tmp_path / "killed" / STATE, weights_only=True)["progress"]["step"] == 3
    train(make_task(recipe, Path(HIVE)), recipe, tmp_path / "killed", resume=True)
    one, other = (load_checkpoint(tmp_path / run / LAST) for run in ("whole", "killed"))
    assert all(torch.equal(one.state_dict[k], other.state_dict[k]) for k in one.state_dict)
    assert one.spec == other.spec


def losses(run: Path) -> np.ndarray:
    header, *rows = (line.split(",") for line in (run / "metrics.csv").read_text().splitlines())
    return np.array([[float(row[header.index(k)]) for k in ("loss", "heatmap", "box")] for row in rows])


@pytest.mark.slow
def test_two_processes_have_the_loss_curve_of_one(tmp_path: Path) -> None:
    """Objects are counted over both, so pictures with few do not weigh more.

    At small rates: at 1e-3 what the two round differently has grown to 1e-4 after three epochs, at 1e-4 it is 2e-7.
    """
    changes = ("schedule.batch=4", "schedule.epochs=3", "schedule.lr_head=1e-4", "schedule.lr_trunk=1e-4")
    for name, processes in (("one", 1), ("two", 2)):
        done = in_a_process(tmp_path / name, *changes, processes=processes)
        assert done.returncode == 0, done.stderr[-2000:]
    np.testing.assert_allclose(losses(tmp_path / "two"), losses(tmp_path / "one"), rtol=1e-5)


def test_a_trunk_comes_from_a_classifier_or_a_detector(tmp_path: Path, resnet_weights: Path) -> None:
    said: list[str] = []
    recipe = small("net.width=1.0", f"net.weights={resnet_weights}")
    splits = load_splits(Path(HIVE), recipe.data, 0)
    task = DetectionTraining(recipe, splits.train, splits.val, said.append)
    state = torch.load(resnet_weights, weights_only=True)
    assert torch.equal(task.net.state_dict()["trunk.layer3.0.conv1.weight"], state["layer3.0.conv1.weight"])
    assert any("120 tensors of the trunk" in line for line in said)
    save_checkpoint(tmp_path / "detector.pt", Checkpoint(task.spec, task.net.state_dict()))
    again = DetectionTraining(
        small("net.width=1.0", f"net.weights={tmp_path / 'detector.pt'}"), splits.train, splits.val
    )
    assert torch.equal(again.net.state_dict()["trunk.conv1.weight"], state["conv1.weight"])
    with pytest.raises(CheckpointError, match="another net"):
        DetectionTraining(
            small("net.arch=centernet-resnet34", f"net.weights={resnet_weights}"), splits.train, splits.val
        )
    with pytest.raises(CheckpointError, match="do not fit"):
        start_from(
            make_task(small(), Path(HIVE)).net, {f"trunk.{k}": v for k, v in state.items()}, ("neck", "branches")
        )


def test_a_detector_goes_on_with_other_classes(tmp_path: Path) -> None:
    """Of the same net everything is taken over, and what answers for a class by the class's name."""
    trained = make_task(small(), Path(HIVE))
    last = trained.net.get_submodule("branches.heatmap.2")
    torch.nn.init.uniform_(last.weight)  # type: ignore[arg-type]
    torch.nn.init.uniform_(last.bias)  # type: ignore[arg-type]
    spec = replace(trained.spec, classes=("hornet", "wasp", "fly"))
    more = nets.build(spec).state_dict()
    rest = {k: v for k, v in trained.net.state_dict().items() if not k.startswith("branches.heatmap.2")}
    rows = {name: torch.stack([getattr(last, name)[i] for i in (1, 0, 0)]).detach() for name in ("weight", "bias")}
    state = {**more, **rest, **{f"branches.heatmap.2.{name}": value for name, value in rows.items()}}
    save_checkpoint(tmp_path / "three.pt", Checkpoint(spec, state))
    said: list[str] = []
    recipe = small(f"net.weights={tmp_path / 'three.pt'}")
    splits = load_splits(Path(HIVE), recipe.data, 0)
    task = DetectionTraining(recipe, splits.train, splits.val, said.append)
    assert task.spec.classes == ("bee", "hornet")
    (told,) = [line for line in said if "the whole net" in line]
    assert told.endswith("; its classes hornet; new are bee; left out wasp, fly")
    own, fresh = task.net.state_dict(), make_task(small(), Path(HIVE)).net.state_dict()
    for name, value in rest.items():
        assert torch.equal(own[name], value), name
    for name in ("weight", "bias"):
        layer = f"branches.heatmap.2.{name}"
        assert torch.equal(own[layer][1], rows[name][0]), "hornet's row is where hornet is here"
        assert torch.equal(own[layer][0], fresh[layer][0]), "bee starts as it always does"
    state.pop("neck.top.0.weight")
    save_checkpoint(tmp_path / "broken.pt", Checkpoint(spec, state))
    with pytest.raises(CheckpointError, match="does not have the weights of the net that it names"):
        DetectionTraining(small(f"net.weights={tmp_path / 'broken.pt'}"), splits.train, splits.val)
    other = small(f"net.weights={tmp_path / 'three.pt'}", "net.head=offset_size")
    said.clear()
    DetectionTraining(other, splits.train, splits.val, said.append)
    assert any("neck and head are new" in line for line in said), "another head: the trunk alone"


def test_a_trunk_by_name_comes_from_its_own_classifier(tmp_path: Path) -> None:
    """What the trunk has no place for is left out and said; the pictures are normalized as its weights take them."""
    torch.manual_seed(1)
    spec = ModelSpec("timm:test_resnet", ("a", "b", "c"), PreprocessSpec())
    plain = nets.build(spec).state_dict()
    save_checkpoint(tmp_path / "classifier.pt", Checkpoint(spec, plain))
    named = ("net.arch=centernet", "net.trunk=timm:test_resnet")
    said: list[str] = []
    recipe = small(*named, f"net.weights={tmp_path / 'classifier.pt'}", "schedule.epochs=1", "schedule.lr_trunk=0")
    splits = load_splits(Path(HIVE), recipe.data, 0)
    task = DetectionTraining(recipe, splits.train, splits.val, said.append)
    assert any("left out: fc" in line for line in said)
    assert (task.spec.preprocess.mean, task.spec.preprocess.std) == ((0.5,) * 3, (0.5,) * 3)
    train(task, recipe, tmp_path / "run")
    loaded = load_checkpoint(tmp_path / "run" / LAST)
    assert loaded.spec.arch_args == {"trunk": named[1][10:], "neck": "fpn", "head": "ltrb", "width": 0.125}
    trunk = {k.removeprefix("trunk."): v for k, v in loaded.net().state_dict().items() if k.startswith("trunk.")}
    learnt = [k for k, v in trunk.items() if v.is_floating_point() and "running" not in k]
    assert all(torch.equal(trunk[k], plain[k]) for k in learnt)  # at a rate of 0
    again = small(*named, f"net.weights={tmp_path / 'run' / LAST}")
    task = DetectionTraining(again, splits.train, splits.val)
    assert torch.equal(task.net.state_dict()["trunk.bn1.running_mean"], trunk["bn1.running_mean"])
    with pytest.raises(CheckpointError, match="another net"):
        DetectionTraining(small(named[0], "net.trunk=timm:test_efficientnet", f"net.weights={tmp_path / 'run' / LAST}"),
                          splits.train, splits.val)  # fmt: skip


@pytest.fixture(scope="module")
def resnet_weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from edgekit import nets
    from edgekit.spec import PreprocessSpec

    path = tmp_path_factory.mktemp("weights") / "resnet18.pth"
    torch.manual_seed(3)
    net = nets.build(ModelSpec("resnet18", tuple(map(str, range(1000))), PreprocessSpec()))
    torch.save(net.state_dict(), path)
    return path


# -- what cannot be trained on ------------------------------------------------------------------------------------


def write_yolo(
    folder: Path, splits: tuple[str, ...] = ("train", "val"), count: int = 4, names: str = "[bee, hornet]"
) -> Path:
    for s, split in enumerate(splits):
        (folder / split / "images").mkdir(parents=True)
        (folder / split / "labels").mkdir()
        for i, sample in enumerate(hive_pictures(count, 20 + s, 96, 128)):
            Image.fromarray(np.ascontiguousarray(sample.read()[..., ::-1])).save(folder / split / "images" / f"{i}.png")
            lines = []
            assert sample.boxes is not None
            assert sample.box_labels is not None
            for (x1, y1, x2, y2), label in zip(sample.boxes.tolist(), sample.box_labels.tolist(), strict=True):
                lines.append(f"{label} {(x1 + x2) / 256} {(y1 + y2) / 192} {(x2 - x1) / 128} {(y2 - y1) / 96}")
            (folder / split / "labels" / f"{i}.txt").write_text("\n".join(lines))
    entries = "".join(f"{split}: {split}/images\n" for split in splits)
    (folder / "data.yaml").write_text(f"path: .\n{entries}names: {names}\n")
    return folder


def test_a_data_set_with_splits_is_taken_as_it_says(tmp_path: Path) -> None:
    splits = load_splits(write_yolo(tmp_path), small().data, 0)
    assert (len(splits.train), len(splits.val)) == (4, 4)
    assert any(note.startswith("training:") and "objects in 4 pictures" in note for note in splits.notes)


def test_without_a_held_out_split_a_share_is_held_out_by_group(tmp_path: Path) -> None:
    data = write_yolo(tmp_path, ("train",), count=10)
    splits = load_splits(data, small("data.val_share=0.3").data, 0)
    assert (len(splits.train), len(splits.val)) == (7, 3)
    assert {s.name for s in splits.train}.isdisjoint(s.name for s in splits.val)
    assert any("held out by group" in note for note in splits.notes)
    grouped = load_splits(data, small("data.val_share=0.3", r"data.group=(\d)\.png").data, 0)
    assert len(grouped.train) + len(grouped.val) == 10
    one = load_splits(data / "train", small("data.val_share=0.3").data, 0)  # its images/ and labels/ alone
    assert (len(one.train), len(one.val)) == (7, 3)
    with pytest.raises(SplitError, match="has no such split"):
        load_splits(data, small("data.val=night").data, 0)


def test_pictures_without_boxes_are_refused(tmp_path: Path, pictures: Path) -> None:
    with pytest.raises(DataError, match="have no boxes"):
        make_task(small(), pictures)


def test_splits_of_other_classes_are_refused() -> None:
    train_set, val_set = load_dataset(HIVE, split="train"), load_dataset(HIVE)
    from dataclasses import replace

    with pytest.raises(DataError, match="different classes"):
        DetectionTraining(small(), train_set, replace(val_set, classes=("bee", "wasp")))
    bare = tuple(replace(s, boxes=np.zeros((0, 4), np.float32), box_labels=np.zeros(0, np.int64)) for s in train_set)
    with pytest.raises(DataError, match="No training picture has an object"):
        DetectionTraining(small(), replace(train_set, samples=bare), val_set)


def test_a_label_for_a_class_that_is_not_there_is_refused(tmp_path: Path) -> None:
    data = write_yolo(tmp_path)
    (data / "train" / "labels" / "0.txt").write_text("7 0.5 0.5 0.1 0.1")
    with pytest.raises(DataError, match="7"):
        make_task(small(), data)


def test_bad_boxes_and_unreadable_pictures_are_told_and_left_out(tmp_path: Path) -> None:
    data = write_yolo(tmp_path)
    (data / "train" / "labels" / "0.txt").write_text(
        "0 0.5 0.5 0 0.1\n1 1.5 0.5 0.1 0.1\n0 0.5 0.5 0.2 0.2\n0 nan 1 1 1"
    )
    picture = data / "train" / "images" / "1.png"
    picture.write_bytes(picture.read_bytes()[:2000])
    said: list[str] = []
    task = make_task(small("schedule.epochs=1"), data, said.append)
    text = "\n".join(said)
    assert len(task) == 2  # of four: a picture with a box that cannot be used is no picture without objects
    assert "without area" in text
    assert "left out, with a box that cannot be used" in text
    assert "1.png" in text
    train(task, small("schedule.epochs=1"), tmp_path / "run")


def test_a_picture_that_is_gone_in_mid_epoch_is_skipped_and_listed(tmp_path: Path) -> None:
    data = write_yolo(tmp_path / "data", count=6)
    recipe = small("data.cache_mb=0", "schedule.epochs=2", "schedule.batch=2", "augment.mosaic=0")
    task = make_task(recipe, data)
    (data / "train" / "images" / "2.png").write_bytes(b"\x89PNG broken")
    result = train(task, recipe, tmp_path / "run")
    assert len(result.skipped) == 1
    assert "2.png" in result.skipped[0]


def test_a_net_that_answers_nan_is_never_the_best(tmp_path: Path) -> None:
    task = make_task(small(), Path(HIVE))
    with torch.no_grad():
        task.net.branches["heatmap"][2].bias.fill_(float("nan"))
    score = task.evaluate(task.net.eval())
    assert score.key == (0.0, 0.0)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ("input.resize=crop", "letterbox or stretch"),
        ("input.size=100", "multiples of 32"),
        ("schedule.drops=[0.5]", "cosine = false"),
        ("net.max_detections=5000", "3840"),
        ("loss.heatmap=huber", "focal"),
        ("augment.zoom=[2, 1]", "zoom"),
    ],
)
def test_recipes_that_cannot_be_trained_are_refused(change: str, told: str) -> None:
    with pytest.raises(UsageError) as caught:
        small(change)
    assert told in str(caught.value)


@pytest.mark.parametrize(
    "name", ["centernet-r18", "centernet-r18-paper", "centernet-tiny", "centernet-mobile", "hornet-mobile"]
)
def test_shipped_recipes_are_whole(name: str) -> None:
    recipe = load_recipe(name)
    assert recipe.task == "detection"
    assert Decode(recipe.net.max_detections).k == recipe.net.max_detections


def test_a_rate_that_drops(tmp_path: Path) -> None:
    from edgekit.training.loop.schedule import RatePlan

    plan = RatePlan(epoch_steps=10, epochs=10, cosine=False, drops=(0.5, 0.8))
    factors = [plan.factor(step, trunk=False) for step in range(100)]
    assert factors[49] == 1.0
    assert factors[50] == pytest.approx(0.1)
    assert factors[79] == pytest.approx(0.1)
    assert factors[80] == pytest.approx(0.01)


@pytest.mark.slow
def test_16_real_pictures_are_learnt_by_heart(tmp_path: Path) -> None:
    """COCO pictures with their boxes, without variation, until AP50 on these same pictures is 0.95."""
    root = os.environ.get("EDGEKIT_DATA")
    if root is None:
        pytest.skip("EDGEKIT_DATA is not set: no COCO pictures")
    by_heart(load_dataset(Path(root) / "coco128", split="train"), tmp_path)


def by_heart(dataset: Any, tmp_path: Path) -> None:
    from dataclasses import replace

    chosen = [s for s in dataset if s.boxes is not None and 1 <= len(s.boxes) <= 8 and s.ignored_boxes is None][:16]
    assert len(chosen) == 16
    part = replace(dataset, samples=tuple(chosen))
    changes = [
        "net.width=0.5",
        "net.max_detections=100",
        "input.size=256",
        "input.train_size=256",
        "augment.zoom=[1, 1]",
    ]
    changes += ["augment.mosaic=0", "augment.mirror=0", "augment.brightness=0", "schedule.epochs=240"]
    changes += ["schedule.batch=4", "schedule.ema=0", "schedule.lr_head=1e-3", "schedule.lr_trunk=1e-3"]
    changes += ["schedule.evaluate_every=60", "schedule.weight_decay=0", "schedule.save_steps=1000"]
    recipe = small(*changes)
    task = DetectionTraining(recipe, part, part)
    result = train(task, recipe, tmp_path)
    assert result.final["ap50"] >= 0.95
    shutil.rmtree(tmp_path)
