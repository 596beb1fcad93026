"""`--map` wherever a model meets data or another model that calls the same things differently."""

from __future__ import annotations

import json
import re
import shlex
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import edgekit
from edgekit import nets
from edgekit.checkpoints.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from edgekit.data import hive_pictures
from tests.conftest import CLASSES, NARROW, Cli, lively
from tests.training.conftest import TINY, TINY_NET, write_pictures

COCO = ("person", "Bees", "car", "drone bee", "asian_giant_hornet", *(f"thing {i}" for i in range(75)))
KINDS = (1, 4)  # of the made hive's bee and hornet; every third bee is a drone
MAP = "bee=Bees,bee=drone bee,hornet=asian_giant_hornet,-=*"


@pytest.fixture(scope="module")
def coco(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Made pictures of a hive as a COCO set of 80 classes, with a person in each of them."""
    folder = tmp_path_factory.mktemp("coco")
    (folder / "val").mkdir()
    (folder / "annotations").mkdir()
    images, annotations, bees = [], [], 0
    for n, sample in enumerate(hive_pictures(6, seed=11)):
        frame = sample.read()
        Image.fromarray(np.ascontiguousarray(frame[..., ::-1])).save(folder / "val" / f"{n}.png")
        images.append({"id": n, "file_name": f"{n}.png", "width": frame.shape[1], "height": frame.shape[0]})
        boxes = [(0, np.array([2.0, 2, 40, 60]), 0)]
        for box, label in zip(sample.boxes, sample.box_labels.tolist(), strict=True):  # type: ignore[arg-type, union-attr]
            bees += label == 0
            boxes.append((3 if label == 0 and bees % 3 == 0 else KINDS[label], box, 0))
        if sample.ignored_boxes is not None and sample.ignored_labels is not None:
            crowds = zip(sample.ignored_boxes, sample.ignored_labels.tolist(), strict=True)
            boxes += [(KINDS[label], box, 1) for box, label in crowds]
        for kind, (x1, y1, x2, y2), crowd in boxes:
            box = [float(v) for v in (x1, y1, x2 - x1, y2 - y1)]
            row = {"id": len(annotations), "image_id": n, "category_id": kind + 1, "bbox": box, "iscrowd": crowd}
            annotations.append({**row, "area": box[2] * box[3]})
    categories = [{"id": i + 1, "name": name} for i, name in enumerate(COCO)]
    content = {"images": images, "annotations": annotations, "categories": categories}
    (folder / "annotations" / "instances_val.json").write_text(json.dumps(content))
    return folder


@pytest.fixture(scope="module")
def truth(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What `eval` gives of the same pictures under the model's own names."""
    told = edgekit.evaluate("centernet-tiny", "synthetic://hive?n=6&seed=11", split="train").to_dict()
    content: dict[str, Any] = json.loads(json.dumps(told))
    return content


def test_eval_of_two_classes_on_eighty(cli: Cli, coco: Path, truth: dict[str, Any]) -> None:
    done = cli("eval", "centernet-tiny", "--data", coco, "--map", MAP, "--format", "json")
    assert done.code == 0, done.text
    assert "left out by the map: 6 of " in done.err
    assert "classes: person 6" in done.err
    found = json.loads(done.out)
    assert found["map"] == {"bee": ["Bees", "drone bee"], "hornet": ["asian_giant_hornet"], "-": ["*"]}
    assert (found["objects"], found["ignored"]) == (truth["objects"], truth["ignored"])
    assert found["mean"] == pytest.approx(truth["mean"], abs=2e-3)  # COCO keeps w and h, and its own areas
    by_python = edgekit.evaluate("centernet-tiny", coco, classes_map={
        "bee": ["Bees", "drone bee"], "hornet": "asian_giant_hornet", "-": "*"
    })  # fmt: skip
    assert by_python.to_dict()["mean"] == found["mean"]


def test_eval_without_a_map_proposes_the_one_to_paste(cli: Cli, coco: Path, truth: dict[str, Any]) -> None:
    done = cli("eval", "centernet-tiny", "--data", coco)
    assert done.code == 1
    proposed = re.search(r"fix: +(--map .*) \(which guesses", done.err)
    assert proposed is not None, done.err
    assert proposed[1] == "--map 'bee=Bees,bee=drone bee,hornet=asian_giant_hornet,-=*'"
    pasted = cli("eval", "centernet-tiny", "--data", coco, *shlex.split(proposed[1]), "--format", "json")
    assert json.loads(pasted.out)["objects"] == truth["objects"]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("bee", "A map has pairs of names."),
        ("bee=Bees,bee=drone bee,hornet=asian_giant_hornet", "The data has classes that are none of the model's."),
        ("bee=Bes,-=*", "did you mean Bees?"),
        ("nothing.toml", "cannot be read as a map"),
    ],
)
def test_a_map_that_does_not_fit_is_a_usage_error(cli: Cli, coco: Path, tmp_path: Path, text: str, told: str) -> None:
    for command in (("eval",), ("bench", "--out", tmp_path / "bench"), ("tune", "--out", tmp_path / "tuned")):
        done = cli(command[0], "centernet-tiny", "--data", coco, "--map", text, *command[1:])
        assert done.code == 2, done.text
        assert told in done.err
        assert not list(tmp_path.glob("*/*")), "a report of nothing"


def test_bench_measures_the_same_accuracy(cli: Cli, coco: Path, tmp_path: Path, truth: dict[str, Any]) -> None:
    (tmp_path / "names.toml").write_text('[map]\nbee = ["Bees", "drone bee"]\nhornet = "asian_giant_hornet"\n"-" = "*"')
    names = ("--data", coco, "--map", tmp_path / "names.toml", "--format", "json")
    bench = ("--iterations", 3, "--turns", 1, "--warmup", 0, "--no-cold", "--out", tmp_path / "bench")
    done = cli("bench", "centernet-tiny", *names, *bench)
    assert done.code == 0, done.text
    report = json.loads(done.out)
    measured = report["rows"][0]["accuracy"]["metrics"]["ap50"]["value"]
    assert report["settings"]["map"]["-"] == ["*"]  # two reports with other maps are not compared
    assert measured == pytest.approx(truth["mean"]["ap50"], abs=2e-3)


@pytest.mark.slow
def test_tune_measures_the_same_accuracy(cli: Cli, coco: Path, tmp_path: Path, truth: dict[str, Any]) -> None:
    options = ("--map", MAP, "--seconds", 0.1, "--backend", "onnxruntime", "--out", tmp_path, "--format", "json")
    done = cli("tune", "centernet-tiny", "--data", coco, *options)
    assert done.code == 0, done.text
    assert json.loads(done.out)["accuracy"] == pytest.approx(truth["mean"]["ap50"], abs=2e-3)


def test_verify_of_two_models_with_other_names(cli: Cli, tmp_path: Path) -> None:
    theirs = ("Wasps", "Bees", "Hornets", "flies", "moth", "leaf", "nothing")
    checkpoint, other, weights = tmp_path / "tiny.pt", tmp_path / "other.pt", lively(NARROW).state_dict()
    save_checkpoint(checkpoint, Checkpoint(NARROW, weights))
    save_checkpoint(other, Checkpoint(replace(NARROW, classes=theirs), weights))
    refused = cli("verify", checkpoint, other, "--pictures", 4)
    assert refused.code == 2
    assert "only other.pt has Wasps, Bees, Hornets, flies, nothing; only tiny.pt has wasp, " in refused.err
    proposed = re.search(r"fix: +(--map .*) \(which guesses", refused.err)
    assert proposed is not None
    assert proposed[1] == "--map wasp=Wasps,bee=Bees,hornet=Hornets,fly=flies,-=nothing,-=air"
    done = cli("verify", checkpoint, other, "--pictures", 4, *shlex.split(proposed[1]))
    assert done.code == 0, done.text
    assert "on 4 pictures, in 6 classes by the map (Wasps as wasp, " in done.out
    assert "left out of tiny.pt: 1 of 7 classes, air" in done.out
    swapped = "wasp=Bees,bee=Wasps,hornet=Hornets,fly=flies,-=*"
    assert cli("verify", checkpoint, other, "--pictures", 4, "--map", swapped).code == 3
    whole = edgekit.verify(checkpoint, other, pictures=4, classes_map=dict(zip(CLASSES, theirs, strict=True)))
    assert whole.passed
    assert whole.to_dict()["stages"][0]["classes"].startswith("in 7 classes by the map")


def test_nets_with_other_names_in_one_bench_are_not_compared_answer_by_answer(tmp_path: Path) -> None:
    """The same net with its names turned around agrees index by index, and says another thing of every picture."""
    weights = lively(NARROW).state_dict()
    write_pictures(tmp_path / "data", ("Bees", "Hornets"), 2, seed=0)
    for name, classes in (("one", CLASSES), ("turned", (CLASSES[1], CLASSES[0], *CLASSES[2:]))):
        save_checkpoint(tmp_path / f"{name}.pt", Checkpoint(replace(NARROW, classes=classes), weights))
    models = [tmp_path / "one.pt", tmp_path / "turned.pt"]
    options = edgekit.BenchOptions(2, 1, 0, cold=False, classes_map="bee=Bees,hornet=Hornets")
    rows = edgekit.bench(models, tmp_path / "data", options=options).rows
    assert [row.accuracy is not None for row in rows] == [True, True]
    assert rows[0].model == rows[1].model
    assert rows[1].agreement is None


def test_train_learns_the_classes_of_the_map(cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(nets.NETS, "resnet18", TINY_NET)
    data = tmp_path / "data"
    for split, seed in (("train", 0), ("val", 1)):
        write_pictures(data / split, ("red", "green", "blue"), 4, seed=seed)
    (data / "val" / "blue").rename(data / "val" / "Blue")
    table = '\n[map]\nwarm = "red"\ncold = ["green", "blue"]\n'
    (tmp_path / "tiny.toml").write_text(TINY.replace("epochs = 3", "epochs = 1\nprobe_views = 1") + table)
    done = cli("train", tmp_path / "tiny.toml", "--data", data, "--out", tmp_path / "run")
    assert done.code == 0, done.text
    assert load_checkpoint(tmp_path / "run" / "best.pt").spec.classes == ("cold", "warm")
    assert "training: classes by the map: blue as cold, green as cold, red as warm" in done.err
    chosen = cli("train", tmp_path / "tiny.toml", "--data", data, "--out", tmp_path / "two", "--map", "-=blue")
    assert chosen.code == 0, chosen.text
    assert load_checkpoint(tmp_path / "two" / "best.pt").spec.classes == ("green", "red")
    assert "validation: left out by the map: 4 of 12 pictures" in chosen.err
    assert cli("train", tmp_path / "tiny.toml", "--data", data, "--map", "-=bleu").code == 2
    assert cli("eval", tmp_path / "run" / "best.pt", "--data", data, "--map", "cold=green,cold=blue,warm=red").code == 0
