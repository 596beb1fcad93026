"""fp16 and int8 through `edgekit export`: made from the proven file, judged by their own limits, else rejected."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from PIL import Image

from edgekit.artifacts.onnx_file import read_onnx
from edgekit.config.target import Limits
from edgekit.data import hive_pictures
from edgekit.pipeline import precision, run
from edgekit.quantize import place
from edgekit.quantize.shift import kept_operating_points
from edgekit.spec import ModelSpec, PreprocessSpec

TARGET = """
name = "both"
description = "all precisions on a CPU, for tests"
opset = 20
runtimes = ["onnxruntime"]
precisions = ["fp32", "fp16", "int8"]
scheme = "int8-x86"
[gate.fp32]
max_abs = 1e-3
top1_agreement = 1.0
boxes_matched = 0.999
[gate.fp16]
max_abs = 0.3
top1_agreement = 0.9
boxes_matched = 0.9
score_shift = 0.05
boxes = "shown"
[gate.int8]
max_abs = 20
top1_agreement = 0.6
boxes_matched = 0.5
score_shift = 0.6
boxes = "shown"
box_iou = 0.5
"""


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of 60 pictures that look like photographs."""
    folder = tmp_path_factory.mktemp("many")
    for i, sample in enumerate(hive_pictures(60, 31, 120, 200)):
        Image.fromarray(np.ascontiguousarray(sample.read()[..., ::-1])).save(folder / f"{i:02d}.png")
    return folder


@pytest.fixture(scope="module")
def target(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("target") / "both.toml"
    path.write_text(TARGET)
    return path


def arguments(checkpoint: Path, many: Path, target: Path, out: Path, *more: object) -> tuple[object, ...]:
    usual = ("--data", many, "--out", out, "--target", target, "--pictures", 12, "--calibrate", 40)
    return ("export", checkpoint, *usual, *more)


@pytest.fixture(scope="module")
def made(
    cli: Any, checkpoint: Path, many: Path, target: Path, tmp_path_factory: pytest.TempPathFactory
) -> Callable[[str], tuple[Any, Path]]:
    """How an export in a precision ended, and its folder; each is made once."""

    @cache
    def export(precision: str) -> tuple[Any, Path]:
        out = tmp_path_factory.mktemp(precision)
        return cli(*arguments(checkpoint, many, target, out, "--precision", precision)), out

    return export


@pytest.mark.parametrize(("asked", "name"), [("fp16", "fp16"), ("int8", "int8-x86")])
def test_a_second_file_is_made_and_proven(
    cli: Any, checkpoint: Path, many: Path, target: Path, made: Any, asked: str, name: str
) -> None:
    outcome, folder = made(asked)
    assert outcome.code == 0, outcome.text
    first, second = folder / "tiny.onnx", folder / f"tiny.{name}.onnx"
    a, b = read_onnx(first).metadata, read_onnx(second).metadata
    assert (a.precision, b.precision) == ("fp32", name)
    assert (a.model, a.lineage.checkpoint, a.lineage.folded) == (b.model, b.lineage.checkpoint, b.lineage.folded)
    assert a.lineage.graph != b.lineage.graph
    assert b.verification["passed"] is True
    report = json.loads((folder / f"tiny.{name}.verify.json").read_text())
    assert [s["name"] for s in report["stages"]] == [name, "file"]
    assert report["calibration"]["pictures"] == 40
    assert report["precision"] == name
    subject = f"{name} is " if report["speed"]["times"] else ""
    assert f"\n{subject}{report['speed']['text']}\n" in outcome.out
    assert f"{name} verified: within the limits (max|d| " in outcome.out
    limit = {"fp16": "0.3, agreement", "int8": "20, agreement"}[asked]
    assert f"of at most {limit}" in outcome.out
    assert ") of our net from its own checkpoint, on 12 pictures" in outcome.out
    for verdict in (report["verdict"], b.verification["verdict"]):
        assert verdict["relation"] == "within limits"
        assert verdict["within_limits_of"] == ["our net from its own checkpoint"]
        assert "equal" not in verdict["text"]
    equal = cli("verify", checkpoint, second, "--data", many, "--target", target, "--pictures", 12)
    assert equal.code == 0, equal.text
    assert equal.out.startswith(f"{name} within the limits of tiny.pt (our net from its own checkpoint, run by torch)")
    strict = cli("verify", checkpoint, second, "--data", many, "--target", target, "--pictures", 12, "--max-abs", 1e-6)
    assert strict.code == 3


def test_it_is_really_int8_and_really_half(made: Any) -> None:
    int8 = read_onnx(made("int8")[1] / "tiny.int8-x86.onnx")
    half = read_onnx(made("fp16")[1] / "tiny.fp16.onnx")
    kinds = {t.data_type for t in int8.model.graph.initializer}
    assert onnx.TensorProto.INT8 in kinds
    assert sum(node.op_type == "DequantizeLinear" for node in int8.model.graph.node) > 20
    assert onnx.TensorProto.FLOAT16 in {t.data_type for t in half.model.graph.initializer}
    fp32 = (made("int8")[1] / "tiny.onnx").stat().st_size
    assert len(int8.data) < 0.35 * fp32
    assert len(half.data) < 0.6 * fp32


def test_calibration_does_not_see_the_gates_pictures(
    cli: Any, checkpoint: Path, many: Path, target: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[str] = []
    honest = precision.calibrate

    def calibrate(model: Any, dataset: Any, *rest: Any, **options: Any) -> Any:
        seen.extend(sample.name for sample in dataset)
        return honest(model, dataset, *rest, **options)

    monkeypatch.setattr(precision, "calibrate", calibrate)
    assert cli(*arguments(checkpoint, many, target, tmp_path, "--precision", "fp16")).code == 0
    gate = {f"{(2 * i + 1) * 60 // 24:02d}.png" for i in range(12)}
    assert len(seen) == 40
    assert gate.isdisjoint(seen)


def test_a_wrong_graph_is_rejected_and_the_fp32_file_stays(
    cli: Any, checkpoint: Path, many: Path, target: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    honest = place._parameters

    def parameters(*given: Any) -> dict[str, tuple[float, int]]:
        return {name: (scale / 40, zero) for name, (scale, zero) in honest(*given).items()}  # nearly all saturates

    monkeypatch.setattr(place, "_parameters", parameters)
    outcome = cli(*arguments(checkpoint, many, target, tmp_path, "--precision", "int8"))
    assert outcome.code == 3, outcome.text
    assert "verification failed at stage int8-x86" in outcome.err
    assert (tmp_path / "tiny.onnx").is_file()
    assert not (tmp_path / "tiny.int8-x86.onnx").exists()
    assert (tmp_path / "tiny.int8-x86.onnx.rejected").is_file()
    assert json.loads((tmp_path / "tiny.int8-x86.rejected.verify.json").read_text())["passed"] is False


@pytest.mark.slow
def test_a_budget_gives_layers_back_and_says_which(
    cli: Any, checkpoint: Path, many: Path, target: Path, tmp_path: Path
) -> None:
    drop = (
        "--precision",
        "int8",
        "--max-drop",
        "10",
    )  # a net that was not trained: pictures on the edge of two classes
    outcome = cli(*arguments(checkpoint, many, target, tmp_path, *drop))
    assert outcome.code == 0, outcome.text
    report = json.loads((tmp_path / "tiny.int8-x86.verify.json").read_text())
    found = report["search"]
    assert found["drop"] <= 10
    assert len(found["ranking"]) == 21  # 20 convolutions and the linear layer
    assert set(found["kept"]) == set(report["int8"]["kept"])
    assert "points of agreement on 40 pictures" in outcome.err
    again = cli(*arguments(checkpoint, many, target, tmp_path, *drop, "--force"))  # from what was kept
    assert again.code == 0
    assert json.loads((tmp_path / "tiny.int8-x86.verify.json").read_text())["search"] == found


class _ReachedError(Exception):
    """The export would begin here."""


@pytest.mark.parametrize(("copies", "pictures"), [(1, 40), (2, 30)])
def test_too_few_pictures_are_refused_first_and_the_advice_works(
    copies: int, pictures: int, cli: Any, checkpoint: Path, many: Path, target: Path, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    """Copies of a picture are no other pictures."""
    data, out = tmp_path / "data", tmp_path / "out"
    data.mkdir()
    for i, path in enumerate(sorted(many.iterdir())[: 60 if copies == 1 else 40]):
        for copy in range(copies):
            (data / f"{i:02d}-{copy}.png").write_bytes(path.read_bytes())

    def begin(*given: Any) -> Any:
        raise _ReachedError

    monkeypatch.setattr(run, "fold_stages", begin)
    words = ("export", checkpoint, "--data", data, "--target", target, "--precision", "int8", "--out", out)
    refused = cli(*words, "--pictures", pictures)
    assert refused.code == 1, refused.text
    assert "too few pictures to calibrate on" in refused.err
    assert not out.exists()  # nothing was exported before it was said
    advice = re.search(r"--pictures (\d+);", refused.err)
    assert advice is not None
    assert "_ReachedError" in cli(*words, "--pictures", advice[1]).err
    assert "too few" in cli(*words, "--pictures", int(advice[1]) + 1).err


def test_how_many_pictures_are_missing_is_said(
    cli: Any, checkpoint: Path, many: Path, target: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def begin(*given: Any) -> Any:
        raise _ReachedError

    monkeypatch.setattr(run, "fold_stages", begin)
    data = tmp_path / "data"
    data.mkdir()
    rest = sorted(many.iterdir())
    for path in rest[:20]:
        (data / path.name).write_bytes(path.read_bytes())
    words = ("export", checkpoint, "--data", data, "--target", target, "--precision", "fp16", "--out", tmp_path / "out")
    refused = cli(*words, "--pictures", 1)
    assert refused.code == 1, refused.text
    assert "13 more pictures in --data" in refused.err
    for path in rest[20:33]:
        (data / path.name).write_bytes(path.read_bytes())
    assert "_ReachedError" in cli(*words, "--pictures", 1).err


@pytest.mark.parametrize(
    ("more", "code", "says"),
    [
        (("--precision", "fp16", "--max-drop", "1"), 2, "--max-drop is for int8"),
        (("--precision", "int8", "--pictures", "40"), 1, "too few pictures to calibrate on"),
        (("--precision", "int8", "--calibrate", "8"), 2, "--calibrate takes too few pictures"),
        (("--precision", "int8", "--data", "synthetic://hive?n=60&height=96&width=160"), 1, "made in code"),
    ],
)
def test_what_makes_no_sense_is_refused(
    cli: Any, checkpoint: Path, many: Path, target: Path, tmp_path: Path, more: Any, code: int, says: str
) -> None:
    outcome = cli(*arguments(checkpoint, many, target, tmp_path, *more))
    assert outcome.code == code, outcome.text
    assert says in outcome.err
    assert not list(tmp_path.iterdir())  # it is said before the float32 export


def test_pictures_and_a_target_that_has_the_precision_are_needed(cli: Any, checkpoint: Path, tmp_path: Path) -> None:
    without = cli("export", checkpoint, "--out", tmp_path, "--precision", "int8")
    assert without.code == 2
    assert "real pictures" in without.err
    other = cli("export", checkpoint, "--out", tmp_path, "--precision", "fp16")  # x86-cpu has none
    assert other.code == 2
    assert "fp32, int8" in other.err
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_a_detector_keeps_its_operating_points(cli: Any, many: Path, target: Path, tmp_path: Path) -> None:
    from edgekit.checkpoints.checkpoint import Checkpoint, save_checkpoint
    from tests.faults.test_detector_gate import lively, spec_of

    spec = replace(spec_of("fpn", "ltrb"), alarm_thresholds=(0.3, 0.35))
    save_checkpoint(tmp_path / "found.pt", Checkpoint(spec, lively(spec).state_dict()))
    outcome = cli(*arguments(tmp_path / "found.pt", many, target, tmp_path, "--precision", "int8"))
    assert outcome.code == 0, outcome.text
    report = json.loads((tmp_path / "found.int8-x86.verify.json").read_text())
    of = [(entry["of"], entry["class"]) for entry in report["score_shift"]]
    assert of == [(which, name) for which in ("thresholds", "alarm_thresholds") for name in ("bee", "hornet")]
    stored = read_onnx(tmp_path / "found.int8-x86.onnx").metadata.model
    moved = tuple(entry["threshold"] for entry in report["score_shift"])
    assert (*stored.thresholds, *stored.alarm_thresholds) == moved
    graph = read_onnx(tmp_path / "found.int8-x86.onnx").model.graph
    decoding = {node.name: node for node in graph.node if node.name.startswith("decode")}
    assert decoding
    assert not [n for n in decoding.values() if "QuantizeLinear" in n.op_type]


def test_thresholds_of_boxes_and_of_alarms_move_with_the_scores() -> None:
    from tests.faults.test_detector_gate import spec_of

    class Lower:
        """The same boxes, each with a score that is lower by a tenth."""

        def answers(self, pixels: list[Any], batch: int) -> dict[str, Any]:
            return {**before, "scores": before["scores"] - np.float32(0.1)}

    spec = replace(spec_of("fpn", "ltrb"), thresholds=(0.4, 0.6), alarm_thresholds=(0.5, 0.7))
    best = np.linspace(0.15, 0.95, 41, dtype=np.float32)
    before = {
        "boxes": np.tile(np.array([0, 0, 8, 8], np.float32), (41, 2, 1)),
        "scores": np.stack([best, best], 1),
        "labels": np.tile(np.array([0, 1], np.int32), (41, 1)),
    }
    moved, told = kept_operating_points(None, Lower(), hive_pictures(41, 0), spec, before)  # type: ignore[arg-type]
    assert moved.thresholds == pytest.approx((0.3, 0.5), abs=0.015)
    assert moved.alarm_thresholds == pytest.approx((0.4, 0.6), abs=0.015)
    assert [entry["before"] for entry in told] == [0.4, 0.6, 0.5, 0.7]


def test_a_search_counts_boxes_as_the_gate_does() -> None:
    """A search that takes looser boxes for the same stops where the gate refuses."""
    spec = ModelSpec(
        "centernet-resnet18", ("bee",), PreprocessSpec(64, 64), task="detection", max_detections=3, thresholds=(0.3,)
    )
    wanted = {
        "boxes": np.float32([[[0, 0, 20, 20], [30, 30, 50, 50], [0, 0, 0, 0]]]),
        "scores": np.float32([[0.9, 0.8, 0.0]]),
        "labels": np.zeros((1, 3), np.int64),
    }
    moved = {**wanted, "boxes": wanted["boxes"].copy()}
    moved["boxes"][0, 0, [0, 2]] += 5  # IoU 15 / 25
    for iou, drop in ((0.5, 0.0), (0.75, 50.0)):
        limits = Limits(max_abs=1, top1_agreement=1, boxes_matched=1, boxes="shown", box_iou=iou, score_shift=0.25)
        assert precision.measured(wanted, moved, spec, limits).drop == drop
