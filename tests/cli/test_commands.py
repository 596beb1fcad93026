"""Each command on a small exported net: what it prints, writes and returns."""

from __future__ import annotations

import csv
import json
import re
from pathlib import Path
from typing import Any

from PIL import Image

from edgekit.data import made_pictures
from edgekit.spec import ModelSpec


def test_export_report(good: Path) -> None:
    report = json.loads(good.with_suffix(".verify.json").read_text())
    assert report["passed"] is True
    stages = {stage["name"]: stage for stage in report["stages"]}
    assert list(stages) == ["preprocess", "fold", "onnx", "batch", "file"]
    for stage in stages.values():
        assert stage["max_abs"] <= 1e-3
        assert stage["top1_agreement"] == 1.0
    assert len(report["fold"]["layers"]) == 20
    assert report["file"]["bytes"] == good.stat().st_size


def test_export_without_data_says_what_it_verified_on(cli: Any, checkpoint: Path, tmp_path: Path) -> None:
    done = cli("export", checkpoint, "--out", tmp_path, "--pictures", 3, "--batch", 2, "--format", "json")
    assert done.code == 0, done.text
    content = json.loads(done.out)
    assert content["data"] == {**content["data"], "source": "made in code", "pictures": 3}
    assert content == json.loads((tmp_path / "tiny.verify.json").read_text())
    assert "next: edgekit bench" in done.err


def test_verify_checkpoint_and_file(cli: Any, checkpoint: Path, good: Path, pictures: Path) -> None:
    done = cli("verify", checkpoint, good, "--data", pictures, "--format", "json")
    assert done.code == 0, done.text
    stage = json.loads(done.out)["stages"][0]
    assert stage["pictures"] == 8
    assert 0 < stage["max_abs"] < 1e-3  # torch against onnxruntime: near, and really two computations


def test_verify_can_fail(cli: Any, checkpoint: Path, good: Path) -> None:
    done = cli("verify", checkpoint, good, "--pictures", 2, "--max-abs", 1e-12)
    assert done.code == 3
    assert "max|d logits|" in done.err


def test_predict_text_json_and_copies(cli: Any, good: Path, pictures: Path, spec: ModelSpec, tmp_path: Path) -> None:
    text = cli("predict", good, pictures)
    assert text.code == 0
    assert len(text.out.splitlines()) == 8
    lines = [json.loads(line) for line in cli("predict", good, pictures, "--format", "json").out.splitlines()]
    assert [Path(line["file"]).name for line in lines] == [f"{i}.png" for i in range(8)]
    for line in lines:
        assert line["label"] == spec.classes[line["index"]] == line["top"][0]["label"]
        assert 1 / 7 <= line["score"] <= 1
    done = cli("predict", good, pictures, "--out", tmp_path / "o")
    assert done.code == 0
    copies = sorted((tmp_path / "o").iterdir())
    assert [p.name for p in copies] == [f"{i}.jpg" for i in range(8)]
    with Image.open(copies[0]) as copy, Image.open(pictures / "0.png") as original:
        assert copy.size == original.size
    assert cli("predict", good, pictures, "--out", tmp_path / "o").code == 1  # nothing is replaced unasked
    assert cli("predict", good, pictures, "--out", tmp_path / "o", "--force").code == 0


def test_predict_does_not_write_over_its_input(cli: Any, good: Path, tmp_path: Path) -> None:
    picture = tmp_path / "a.jpg"
    Image.new("RGB", (64, 64), "red").save(picture)
    before = picture.read_bytes()
    assert cli("predict", good, picture, "--out", tmp_path, "--force").code == 1
    assert picture.read_bytes() == before


def test_eval_is_the_same_for_file_and_checkpoint(
    cli: Any, good: Path, checkpoint: Path, spec: ModelSpec, tmp_path: Path
) -> None:
    with (tmp_path / "labels.csv").open("w", newline="") as stream:
        rows = csv.writer(stream)
        rows.writerow(["file", "class_index"])
        for i, sample in enumerate(made_pictures(12, seed=9)):
            Image.fromarray(sample.read()[..., ::-1]).save(tmp_path / f"{i}.png")
            rows.writerow([f"{i}.png", i % len(spec.classes)])
    reports = []
    for model in (good, checkpoint):
        done = cli("eval", model, "--data", tmp_path / "labels.csv", "--format", "json")
        assert done.code == 0, done.text
        reports.append(json.loads(done.out))
    assert reports[0]["backend"] == "onnxruntime"
    assert reports[1]["backend"] == "torch"
    for key in ("n", "top1", "top5", "top1_interval", "classes"):
        assert reports[0][key] == reports[1][key]
    assert reports[0]["n"] == 12
    low, high = reports[0]["top1_interval"]
    assert low <= reports[0]["top1"] <= high
    # what is right by hand: the answers of predict against the table
    lines = cli("predict", good, tmp_path, "--format", "json").out.splitlines()
    answers = {Path(line["file"]).stem: line["index"] for line in map(json.loads, lines)}
    hits = sum(answers[str(i)] == i % len(spec.classes) for i in range(12))
    assert reports[0]["top1_hits"] == hits
    text = cli("eval", good, "--data", tmp_path / "labels.csv")
    assert f"{hits / 12:.2%}" in text.out
    assert re.search(r"\n  balanced +\d+\.\d\d%\n", text.out)
    (tmp_path / "few.csv").write_text("file,class_index\n0.png,0\n1.png,1\n")
    few = cli("eval", good, "--data", tmp_path / "few.csv")
    wanted = f"not measured: no picture of {', '.join(spec.classes[2:7])} (5 classes)"
    assert re.search(rf"\n  balanced +{re.escape(wanted)}\n", few.out)
    assert json.loads(cli("eval", good, "--data", tmp_path / "few.csv", "--format", "json").out)["balanced"] is None


def test_eval_needs_labels(cli: Any, good: Path, pictures: Path) -> None:
    done = cli("eval", good, "--data", pictures)
    assert done.code == 1
    assert "labels" in done.err
