"""Seeds defects into an adoption, one at a time between its stages: each is caught at the stage that it is in.

The original behind the second preprocessing and decoding stays as it is, so that what is planted in the graph, in
edgekit's own preprocessing or in the written file is a difference. What a person states wrongly is on both sides, and
no comparison with the original sees it: that is what the table of labelled pictures is for. Defects of writing the file
are planted in `test_sabotage.py`, since every file is written by the same code.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper
from PIL import Image

from edgekit.errors import EdgekitError
from edgekit.graph.foreign import Cleaned
from edgekit.pipeline.adopting import AdoptOptions, run, run_adopt, stages
from edgekit.pipeline.writing import ExportResult
from edgekit.spec import PreprocessSpec, Suppression
from tests.faults.foreign_nets import CLASSES, SIDE, frames, yolov5_like, yolox_like

Patch = pytest.MonkeyPatch
Graph = onnx.ModelProto
WAYS = {"yolox": "yolox", "yolov5-heads": "ultralytics"}


@dataclass(frozen=True)
class Defect:
    """One thing that goes wrong.

    Attributes:
        seed: plants it.
        stage: that must fail, and none before it; None where the adoption ends with an error that says `says`.
        net: of `tests.faults.foreign_nets`, by its decoder.
    """

    name: str
    seed: Callable[[Patch], None]
    stage: str | None
    net: str = "yolox"
    says: str = ""


# -- in edgekit's own preprocessing --------------------------------------------------------------------------------


def prepared_with(**changes: object) -> Callable[[Patch], None]:
    honest = stages.preprocess

    def seed(patch: Patch) -> None:
        patch.setattr(stages, "preprocess", lambda frame, spec: honest(frame, replace(spec, **changes)))

    return seed


def shifted(patch: Patch) -> None:
    """By one pixel: two roundings of half a pixel."""
    honest = stages.preprocess
    patch.setattr(stages, "preprocess", lambda frame, spec: np.roll(honest(frame, spec), 1, axis=1))


# -- in cleaning ---------------------------------------------------------------------------------------------------


def cleaned_with(change: Callable[[Graph], None]) -> Callable[[Patch], None]:
    """Changes the cleaned graph, after all that cleaning itself compares."""
    honest = run.clean

    def seed(patch: Patch) -> None:
        def clean(*args: Any, **kwargs: Any) -> Cleaned:
            cleaned = honest(*args, **kwargs)
            change(cleaned.model)
            return cleaned

        patch.setattr(run, "clean", clean)

    return seed


def node_of(model: Graph, kind: str) -> onnx.NodeProto:
    return next(node for node in model.graph.node if node.op_type == kind)


def set_attribute(node: onnx.NodeProto, name: str, value: object) -> None:
    kept = [a for a in node.attribute if a.name != name]
    del node.attribute[:]
    node.attribute.extend([*kept, helper.make_attribute(name, value)])


def change_weights(model: Graph, name: str, change: Callable[[np.ndarray], np.ndarray]) -> None:
    tensor = next(t for t in model.graph.initializer if t.name == name)
    tensor.CopyFrom(numpy_helper.from_array(change(numpy_helper.to_array(tensor)).astype(np.float32), name))


def softmax_over_last_axis(model: Graph) -> None:
    """Opset 11's Softmax is over all but the batch, 13's over the last axis, where nothing is said."""
    set_attribute(node_of(model, "Softmax"), "axis", -1)


def resize_without_half_pixel(model: Graph) -> None:
    set_attribute(node_of(model, "Resize"), "coordinate_transformation_mode", "asymmetric")


def folded_with_another_eps(model: Graph) -> None:
    """1e-5 for 1e-3: the fold multiplies a channel by gain / sqrt(variance + eps)."""
    first = node_of(model, "Conv")
    variance = np.full(8, 0.01)
    change_weights(
        model, first.input[1], lambda w: w * np.sqrt((variance + 1e-3) / (variance + 1e-5))[:, None, None, None]
    )


def float16_weights(model: Graph) -> None:
    for tensor in list(model.graph.initializer):
        if tensor.data_type == onnx.TensorProto.FLOAT and len(tensor.dims) == 4:
            change_weights(model, tensor.name, lambda w: w.astype(np.float16))


# -- in the graph's two ends ---------------------------------------------------------------------------------------


def wrapped_with(**changes: object) -> Callable[[Patch], None]:
    """The graph's preprocessing is that of another spec."""
    honest = stages.wrap_input

    def seed(patch: Patch) -> None:
        def wrap(model: Graph, spec: PreprocessSpec, *rest: Any) -> tuple[str, ...]:
            told: tuple[str, ...] = honest(model, replace(spec, **changes), *rest)
            return told

        patch.setattr(stages, "wrap_input", wrap)

    return seed


def decoded_with(
    change: Callable[[dict[str, Any]], None] = lambda how: None,
    before: Callable[[Graph], None] = lambda model: None,
    after: Callable[[Graph], None] = lambda model: None,
    **others: Any,
) -> Callable[[Patch], None]:
    """The decoding in the graph is another one.

    Args:
        change: of the reading's settings.
        before, after: changes of the graph around the decoding.
        others: arguments of `append` that are other than those stated.
    """
    honest = stages.decoders.append

    def seed(patch: Patch) -> None:
        def append(model: Graph, reading: Any, size: Any, **how: Any) -> None:
            settings = dict(reading.settings)
            change(settings)
            before(model)
            honest(model, replace(reading, settings=settings), size, **{**how, **others})
            after(model)

        patch.setattr(stages.decoders, "append", append)

    return seed


def between(kind: str, *more: str, to: str, **attributes: Any) -> Callable[[Graph], None]:
    """A node of this kind in front of the output `to`; `more` are names of initializers that `constants` has."""

    def change(model: Graph) -> None:
        for node in model.graph.node:
            for i, name in enumerate(node.output):
                if name == to:
                    node.output[i] = f"{to}/honest"
        model.graph.node.append(
            helper.make_node(kind, [f"{to}/honest", *more], [to], name=f"planted/{to}", **attributes)
        )
        known = {tensor.name for tensor in model.graph.initializer}
        model.graph.initializer.extend(
            numpy_helper.from_array(CONSTANTS[name], name) for name in more if name not in known
        )

    return change


CONSTANTS: Mapping[str, np.ndarray] = {
    "planted/one": np.asarray(1, np.int32),
    "planted/zero": np.asarray(0, np.float32),
    "planted/side": np.asarray(SIDE, np.float32),
    "planted/all_but_last": np.concatenate([np.ones((1, 83, 1)), np.zeros((1, 1, 1))], axis=1).astype(np.float32),
    "planted/columns": np.asarray([0, 1, 2, 3, 4, 6, 7, 5], np.int64),
}


def grown(patch: Patch) -> None:
    """A centre and a size are taken for two corners' worth: x1 y1 and a size."""
    from edgekit.graph.decoders.kinds import yolox

    def around(b: Any, centre: str, size: str) -> str:
        corner: str = b.add("Concat", centre, b.add("Add", centre, size), axis=-1)
        return corner

    patch.setattr(yolox, "around", around)


def cells_with(change: Callable[[dict[str, np.ndarray]], dict[str, np.ndarray]]) -> Callable[[Patch], None]:
    """The graph's table of cells is another one."""
    from edgekit.graph.decoders.kinds import yolox

    honest = yolox.anchors_of

    def seed(patch: Patch) -> None:
        patch.setattr(yolox, "anchors_of", lambda *args: change(honest(*args)))

    return seed


def of_double_stride(cells: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The last grid's."""
    return {**cells, "stride": np.where(cells["stride"] == 32, 64, cells["stride"]).astype(np.float32)}


def of_columns(cells: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Column after column for row after row."""
    return {**cells, "corner": cells["corner"][:, ::-1].copy()}


def from_middles(cells: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Half a cell further."""
    return {**cells, "corner": cells["middle"]}


def scores_with(**changes: object) -> Callable[[Patch], None]:
    """What the graph takes the scores for."""
    from edgekit.graph.decoders import detector

    honest = detector.select

    def seed(patch: Patch) -> None:
        patch.setattr(detector, "select", lambda b, places, kept: honest(b, replace(places, **changes), kept))

    return seed


def fewer_rounds(patch: Patch) -> None:
    """One round of suppression: what a suppressed box would have suppressed is gone too."""
    from edgekit.graph.decoders import select

    patch.setattr(select, "ROUNDS", 1)


def areas_in_float16(model: Graph) -> None:
    """Boxes' areas go through float16: above 65504 one is infinite, and such a box covers no other."""
    made = {name: node for node in model.graph.node for name in node.output}
    both = made[node_of(model, "Greater").input[1]]
    share = made[both.input[0]]
    at = next(i for i, node in enumerate(model.graph.node) if node.name == share.name)
    area = share.input[0]
    share.input[0] = "planted/back"
    for name, given, kind in (("planted/back", "planted/half", 1), ("planted/half", area, 10)):
        model.graph.node.insert(at, helper.make_node("Cast", [given], [name], to=kind, name=name))


# -- in the batch ---------------------------------------------------------------------------------------------------


def mixed(model: Graph) -> None:
    """A tenth of each row is the mean over the batch: nothing changes for one picture alone."""
    for node in model.graph.node:
        for i, name in enumerate(node.output):
            if name == "scores":
                node.output[i] = "planted/scores"
    made = [
        helper.make_node("ReduceMean", ["planted/scores", "planted/axis"], ["planted/mean"], keepdims=1),
        helper.make_node("Sub", ["planted/mean", "planted/scores"], ["planted/off"]),
        helper.make_node("Mul", ["planted/off", "planted/tenth"], ["planted/some"]),
        helper.make_node("Add", ["planted/scores", "planted/some"], ["scores"]),
    ]
    for number, node in enumerate(made):
        node.name = f"planted/{number}"
    model.graph.node.extend(made)
    model.graph.initializer.extend(
        [
            numpy_helper.from_array(np.asarray([0]), "planted/axis"),
            numpy_helper.from_array(np.asarray(0.1, np.float32), "planted/tenth"),
        ]
    )


DEFECTS = [
    Defect("letterbox in the centre", prepared_with(align="centre"), "preprocess"),
    Defect("interpolation", prepared_with(interpolation="nearest"), "preprocess"),
    Defect("shifted by a pixel", shifted, "preprocess"),
    Defect("softmax's axis of another opset", cleaned_with(softmax_over_last_axis), "clean"),
    Defect("resize without half pixels", cleaned_with(resize_without_half_pixel), "clean"),
    Defect("another eps in the fold", cleaned_with(folded_with_another_eps), "clean"),
    Defect("weights in float16", cleaned_with(float16_weights), "clean"),
    Defect("channel order", wrapped_with(color="rgb"), "onnx"),
    Defect("scale", wrapped_with(std=(1.0, 1.0, 1.0)), "onnx"),
    Defect("mean", wrapped_with(mean=(0.485, 0.456, 0.406)), "onnx", "yolov5-heads"),
    Defect("std", wrapped_with(std=(0.229, 0.224, 0.225)), "onnx", "yolov5-heads"),
    Defect("stride", cells_with(of_double_stride), "onnx"),
    Defect("cells by column", cells_with(of_columns), "onnx"),
    Defect("half a cell off", cells_with(from_middles), "onnx"),
    Defect(
        "anchor order", decoded_with(lambda how: how.update(anchors=[a[::-1] for a in how["anchors"]])), "onnx",
        "yolov5-heads",
    ),
    Defect("anchors of other strides", decoded_with(lambda how: how.update(anchors=how["anchors"][::-1])), "onnx",
           "yolov5-heads"),
    Defect("classes off by one", decoded_with(after=between("Add", "planted/one", to="labels")), "onnx"),
    Defect("columns rolled", decoded_with(before=between("Gather", "planted/columns", to="output", axis=2)), "onnx"),
    Defect("a sigmoid twice", scores_with(sigmoid=True), "onnx"),
    Defect("no sigmoid", scores_with(sigmoid=False), "onnx", "yolov5-heads"),
    Defect("scores without objectness", scores_with(objectness=""), "onnx"),
    Defect("corners for centres", grown, "onnx"),
    Defect("suppression across classes", decoded_with(suppression=Suppression(0.3, across_classes=True)), "onnx"),
    Defect("another limit of IoU", decoded_with(suppression=Suppression(0.4)), "onnx"),
    Defect("no suppression", decoded_with(suppression=None), "onnx"),
    Defect("one round of suppression", fewer_rounds, "onnx"),
    Defect("fewer candidates", decoded_with(candidates=20), "onnx"),
    Defect("fewer boxes", decoded_with(keep=10), None, says="not what its metadata says"),
    Defect("a dropped row", decoded_with(before=between("Mul", "planted/all_but_last", to="output")), "onnx"),
    Defect("clipped boxes", decoded_with(after=between("Clip", "planted/zero", "planted/side", to="boxes")), "onnx"),
    Defect("float16 overflows in the overlaps", decoded_with(after=areas_in_float16), "onnx"),
    Defect("rows that mix", decoded_with(after=mixed), "batch"),
]  # fmt: skip


@pytest.fixture(scope="module")
def originals(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("originals")
    for number, frame in enumerate(frames(5)):
        Image.fromarray(frame[:, :, ::-1]).save(folder / f"{number}.png")
    return {"yolox": yolox_like(folder / "yolox.onnx"), "yolov5-heads": yolov5_like(folder / "yolov5.onnx")}


def adopted(file: Path, decoder: str, out: Path) -> ExportResult:
    options = AdoptOptions(
        "detection", file.parent, decoder=decoder, preprocess=WAYS[decoder], keep=50, candidates=84,
        classes=[f"class {i}" for i in range(CLASSES)], suppression=Suppression(0.3),
    )  # fmt: skip
    return run_adopt(file, out, options)


@pytest.mark.parametrize("net", WAYS)
def test_without_a_defect_every_stage_passes(net: str, originals: dict[str, Path], tmp_path: Path) -> None:
    result = adopted(originals[net], net, tmp_path)
    assert result.passed, [stage.to_dict() for stage in result.stages]
    assert [stage.name for stage in result.stages] == ["preprocess", "clean", "onnx", "batch", "file"]


@pytest.mark.parametrize("defect", DEFECTS, ids=lambda defect: defect.name)
def test_it_is_caught_where_it_is(
    defect: Defect, originals: dict[str, Path], tmp_path: Path, monkeypatch: Patch
) -> None:
    defect.seed(monkeypatch)
    if defect.stage is None:
        with pytest.raises(EdgekitError, match=defect.says):
            adopted(originals[defect.net], defect.net, tmp_path)
        return
    result = adopted(originals[defect.net], defect.net, tmp_path)
    told = {stage.name: stage.passed for stage in result.stages}
    assert not result.passed
    assert next(name for name, passed in told.items() if not passed) == defect.stage, told
