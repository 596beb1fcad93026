"""What other people's files have that our own small ones have not: each was met in a file of a public package."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from edgekit.artifacts.onnx_file import read_onnx
from edgekit.errors import ArtifactError, UsageError
from edgekit.pipeline.adopting import AdoptOptions, run_adopt
from edgekit.pipeline.adopting.claims import ExporterClaims
from tests.conftest import Cli
from tests.pipeline.adopting.small import SIDE, classifier, constant, saved

PROPS = {"author": "Ultralytics", "names": "{0: 'bee', 1: 'hornet', 2: 'wasp'}"}


def adopted(file: Path, out: Path, **options: object) -> bool:
    return run_adopt(file, out, AdoptOptions(**{"pictures": 4, "preprocess": "unit", **options})).passed  # type: ignore[arg-type]


def test_a_side_of_minus_one_is_any_side(tmp_path: Path) -> None:
    """As Paddle's older exporter writes it."""
    file = classifier(tmp_path / "paddle.onnx")
    model = onnx.load(file)
    for side in model.graph.input[0].type.tensor_type.shape.dim:
        if side.dim_value != 3:
            side.dim_value = -1
    onnx.save(model, file)
    assert adopted(file, tmp_path / "out", task="classification", size=(SIDE, SIDE))


def test_a_map_with_nothing_in_it_is_not_taken_for_another_one(tmp_path: Path) -> None:
    """A text detector's probabilities where there is no text: a sigmoid is 1e-7 off whatever it gives."""
    rng = np.random.default_rng(0)
    weights = [
        constant("w", rng.normal(size=(8, 3, 5, 5)) / 8), *(constant(k, v) for k, v in (
            ("scale", rng.uniform(0.5, 1.5, 8)), ("shift", rng.normal(size=8)),
            ("mean", rng.normal(size=8) / 4), ("var", rng.uniform(0.2, 2, 8)),
        )), constant("w2", rng.normal(size=(1, 8, 1, 1)) / 2), constant("b2", [-13.0]),
    ]  # fmt: skip
    nodes = [
        helper.make_node("Conv", ["images", "w"], ["c"], "conv", pads=[2] * 4),
        helper.make_node("BatchNormalization", ["c", "scale", "shift", "mean", "var"], ["n"], "norm"),
        helper.make_node("Conv", ["n", "w2", "b2"], ["d"], "conv2"),
        helper.make_node("Sigmoid", ["d"], ["map"], "sigmoid"),
    ]
    file = saved(tmp_path / "text.onnx", nodes, weights, {"map": [1, 1, SIDE, SIDE]})
    assert adopted(file, tmp_path / "out", task="segmentation")


def test_several_inputs_are_refused_in_words(tmp_path: Path) -> None:
    file = classifier(tmp_path / "two.onnx")
    model = onnx.load(file)
    model.graph.input.append(helper.make_tensor_value_info("state", TensorProto.FLOAT, [1, 8]))
    onnx.save(model, file)
    with pytest.raises(ArtifactError, match="not exactly one input") as error:
        adopted(file, tmp_path / "out", task="classification")
    assert "state" in error.value.got


def rows(path: Path, props: dict[str, str]) -> Path:
    """[1, 60, 6]: a centre and a size from 0 to 1, a score and a label, of the picture's own numbers."""
    rng = np.random.default_rng(1)
    weights = [
        constant("w", rng.normal(size=(60, 3, 16, 16)) / 16),
        constant("shape", [0, 60, -1], np.int64),
        *(constant(f"{k}{i}", [v], np.int64) for i, (a, b) in enumerate(((0, 5), (5, 6))) for k, v in
          (("from", a), ("to", b))),
        constant("axis", [2], np.int64), constant("three", [3.0]),
    ]  # fmt: skip
    nodes = [
        helper.make_node("Conv", ["images", "w"], ["c"], "conv", strides=[16] * 2),
        helper.make_node("Reshape", ["c", "shape"], ["r"], "flat"),
        helper.make_node("Sigmoid", ["r"], ["s"], "sigmoid"),
        helper.make_node("Slice", ["s", "from0", "to0", "axis"], ["five"], "five"),
        helper.make_node("Slice", ["s", "from1", "to1", "axis"], ["last"], "last"),
        helper.make_node("Mul", ["last", "three"], ["much"], "much"),
        helper.make_node("Floor", ["much"], ["label"], "label"),
        helper.make_node("Concat", ["five", "label"], ["output0"], "put", axis=2),
    ]
    return saved(path, nodes, weights, {"output0": [1, 60, 6]}, props=props)


def test_rt_detrs_boxes_are_centres_and_its_pictures_are_stretched(tmp_path: Path) -> None:
    """Ultralytics' RT-DETR has six numbers a box as YOLO26 has, and they mean something else."""
    props = {**PROPS, "task": "detect", "head": "RTDETRDecoder", "end2end": "False"}
    result = run_adopt(rows(tmp_path / "rt.onnx", props), tmp_path / "out", AdoptOptions(pictures=4))
    assert result.passed
    spec = read_onnx(tmp_path / "out" / "rt.onnx").metadata.model
    assert spec.arch_args is not None
    assert spec.arch_args["decoder"]["decoder"] == "rt-detr-end-to-end"
    assert (spec.preprocess.resize, spec.preprocess.color) == ("stretch", "rgb")
    assert spec.suppression is None


def test_a_net_that_gives_labels_alone_is_told_its_classes(tmp_path: Path) -> None:
    """Nothing in [N, K, 6] says how many classes there are."""
    file = rows(tmp_path / "set.onnx", {})
    with pytest.raises(UsageError, match="How many classes") as error:
        adopted(file, tmp_path / "out", task="detection", decoder="end-to-end")
    assert "--classes" in str(error.value)
    names = ("bee", "hornet", "wasp")
    assert adopted(file, tmp_path / "out", task="detection", decoder="rt-detr-end-to-end", classes=names)
    assert read_onnx(tmp_path / "out" / "set.onnx").metadata.model.classes == names


def test_boxes_of_instances_are_taken_without_their_masks() -> None:
    assert ExporterClaims({**PROPS, "task": "segment"}).task == "detection"


def test_the_command_looks_at_as_many_boxes_as_the_python_door(
    cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """300 for 600 cost half a point of a YOLOX's AP50, and nothing else told that the two differed."""
    import edgekit.pipeline.adopting as adopting

    asked: list[AdoptOptions] = []

    def noted(model: Path, out: Path, options: AdoptOptions, say: object) -> None:
        asked.append(options)
        raise UsageError("enough")

    monkeypatch.setattr(adopting, "run_adopt", noted)
    for more in ((), ("--keep", "700"), ("--candidates", "150")):
        cli("adopt", tmp_path / "any.onnx", "--task", "detection", "--preprocess", "unit", *more)
    assert [(o.keep, o.candidates) for o in asked] == [(100, adopting.CANDIDATES), (700, 700), (100, 150)]
    assert AdoptOptions().candidates == adopting.CANDIDATES
