"""Seeds defects into the pipeline, one at a time: the gate or the loader catches each and says where it arose.

Every defect is also put through the same steps without the gate, with a plain `torch.onnx.export`, on a smaller net:
there it raises nothing, the ONNX checker and onnxruntime accept the file, and the answers are wrong.
"""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

import edgekit.graph.fold_bn as fold_module
import edgekit.vision.preprocess as vision
from edgekit import nets, pipeline, predictor
from edgekit.artifact import KEY, Lineage, Metadata, read_onnx
from edgekit.data import made_pictures
from edgekit.graph import to_onnx
from edgekit.nets import blocks
from edgekit.nets.blocks import BasicBlock
from edgekit.spec import ModelSpec, PreprocessSpec, digest
from edgekit.training.checkpoint import Checkpoint, save_checkpoint

Patch = pytest.MonkeyPatch
Graph = onnx.ModelProto
LAYER = "layer1.1.conv2"  # both the net and the small one of the plain path have it


@dataclass(frozen=True)
class Defect:
    """One thing that goes wrong.

    Attributes:
        seed: plants it.
        stage: the stage that the message must name.
        tensor: the first wrong tensor that the message must name; None where the stage knows of none.
        code: exit code of `edgekit export`.
        arguments: options of the export beside the usual ones.
        foreign: whether it shows only with a plain state dict, which is compared with torchvision's own net.
        reuses: whether the torch module is intact, so that its export can be taken from an earlier run.
    """

    name: str
    seed: Callable[[Patch], None]
    stage: str
    tensor: str | None = None
    code: int = 3
    arguments: tuple[str, ...] = ()
    foreign: bool = False
    reuses: bool = False


# -- the fold -----------------------------------------------------------------------------------------------------


def fold_with(change: Callable[[nn.Module, Any], tuple[nn.Module, Any]]) -> Callable[[Patch], None]:
    """Changes the layer or the norm before they are folded."""
    honest = fold_module.folded_layer

    def seed(patch: Patch) -> None:
        patch.setattr(fold_module, "folded_layer", lambda layer, norm: honest(*change(layer, copy.deepcopy(norm))))

    return seed


def other_eps(layer: nn.Module, norm: Any) -> tuple[nn.Module, Any]:
    norm.eps = 1e-3
    return layer, norm


def std_for_var(layer: nn.Module, norm: Any) -> tuple[nn.Module, Any]:
    norm.running_var.sqrt_()
    return layer, norm


def no_mean(layer: nn.Module, norm: Any) -> tuple[nn.Module, Any]:
    norm.running_mean.zero_()
    return layer, norm


def spoil_folded(path: str, change: Callable[[nn.Module], None]) -> Callable[[Patch], None]:
    """Changes one module of the folded net."""
    honest = fold_module.fold_bn

    def fold_bn(net: nn.Module, example: Tensor) -> tuple[nn.Module, Any]:
        folded, report = honest(net, example)
        with torch.no_grad():
            change(folded.get_submodule(path))
        return folded, report

    return lambda patch: patch.setattr(fold_module, "fold_bn", fold_bn)


def flip_gamma(module: Any) -> None:
    """What one gamma of the other sign does to a folded layer with beta = 0: its filter and bias change sign."""
    module.weight[3] *= -1
    module.bias[3] *= -1


def bias_before_scale(patch: Patch) -> None:
    honest = fold_module.folded_layer

    def folded_layer(layer: nn.Module, norm: Any) -> nn.Module:
        new = honest(layer, norm)
        scale = norm.weight / torch.sqrt(norm.running_var + norm.eps)
        new.bias = nn.Parameter(((norm.bias - norm.running_mean) * scale).detach())
        return new

    patch.setattr(fold_module, "folded_layer", folded_layer)


def nan_in_one_channel(module: Any) -> None:
    module.weight[2] = float("nan")


def transpose_weights(module: Any) -> None:
    module.weight.copy_(module.weight.transpose(2, 3).clone())


class NoSkip(BasicBlock):
    def forward(self, x: Tensor) -> Tensor:
        return self.relu(self.bn2(self.conv2(self.relu(self.bn1(self.conv1(x))))))


def drop_skip(block: nn.Module) -> None:
    block.__class__ = NoSkip


# -- the net itself -----------------------------------------------------------------------------------------------


def no_skip_anywhere(patch: Patch) -> None:
    patch.setattr(BasicBlock, "forward", NoSkip.forward)


def net_with_other_eps(patch: Patch) -> None:
    patch.setitem(blocks.NORMS, "batch", lambda channels: nn.BatchNorm2d(channels, eps=1e-3))


# -- from frame to input ------------------------------------------------------------------------------------------


def stretch(patch: Patch) -> None:
    patch.setattr(vision, "_place", lambda h, w, spec: (spec.height, spec.width, 0, 0))


def crop_one_pixel_off(patch: Patch) -> None:
    honest = vision._place

    def place(h: int, w: int, spec: PreprocessSpec) -> tuple[int, int, int, int]:
        height, width, top, left = honest(h, w, spec)
        return height, width, top - 1, left

    patch.setattr(vision, "_place", place)


def resize_as(interpolation: str) -> Callable[[Patch], None]:
    honest = vision._resize

    def resize(frame: Any, height: int, width: int, spec: PreprocessSpec) -> Any:
        other = replace(spec, interpolation=interpolation, antialias=interpolation == "area")  # type: ignore[arg-type]
        return honest(frame, height, width, other)

    return lambda patch: patch.setattr(vision, "_resize", resize)


def normalise_with(**changes: Any) -> Callable[[Patch], None]:
    honest = vision.normalise

    def normalise(batch: Any, spec: PreprocessSpec) -> Any:
        return honest(batch, replace(spec, **changes))

    def seed(patch: Patch) -> None:
        patch.setattr(pipeline, "normalise", normalise)
        patch.setattr(predictor, "normalise", normalise)

    return seed


def normalise_at_run_time_with(**changes: Any) -> Callable[[Patch], None]:
    honest = vision.normalise
    return lambda patch: patch.setattr(predictor, "normalise", lambda b, spec: honest(b, replace(spec, **changes)))


# -- the module that is exported ----------------------------------------------------------------------------------


def deploy_with(**changes: Any) -> Callable[[Patch], None]:
    """Builds another preprocessing into the graph than the net was trained with."""
    honest = to_onnx.Deploy
    return lambda patch: patch.setattr(to_onnx, "Deploy", lambda net, spec: honest(net, replace(spec, **changes)))


def spoil_deploy(change: Callable[[Any], None]) -> Callable[[Patch], None]:
    honest = to_onnx.Deploy

    def deploy(net: nn.Module, spec: PreprocessSpec) -> nn.Module:
        module = honest(net, spec)
        with torch.no_grad():
            change(module)
        return module

    return lambda patch: patch.setattr(to_onnx, "Deploy", deploy)


def mean_in_units_of_one(deploy: Any) -> None:
    deploy.mean /= 255


def forget_255(deploy: Any) -> None:
    deploy.net.conv1.weight *= 255


def mean_in_rgb_order(deploy: Any) -> None:
    deploy.mean.copy_(deploy.mean.flip(1))


class Mixing(to_onnx.Deploy):
    def forward(self, image: Tensor) -> Tensor:
        out = super().forward(image)
        return out + 0.1 * (out.mean(0, keepdim=True) - out)


class Turned(to_onnx.Deploy):
    def forward(self, image: Tensor) -> Tensor:
        return super().forward(image.flip(1))


def head_with(change: Callable[[nn.Module, str, float], nn.Module]) -> Callable[[Patch], None]:
    return lambda patch: patch.setattr(to_onnx, "divide_head", change)


def temperature_twice(net: nn.Module, path: str, temperature: float, honest: Any = to_onnx.divide_head) -> nn.Module:
    return honest(honest(net, path, temperature), path, temperature)


# -- the graph ----------------------------------------------------------------------------------------------------


def edit_graph(change: Callable[[Graph], None]) -> Callable[[Patch], None]:
    """Changes the graph right after torch's exporter made it."""

    def seed(patch: Patch) -> None:
        honest = to_onnx._export

        def export(*arguments: Any, **options: Any) -> Graph:
            model = honest(*arguments, **options)
            change(model)
            return model

        patch.setattr(to_onnx, "_export", export)

    return seed


def weight(model: Graph, ending: str) -> onnx.TensorProto:
    return next(t for t in model.graph.initializer if t.name.endswith(ending))


def set_weight(tensor: onnx.TensorProto, value: NDArray[Any]) -> None:
    tensor.CopyFrom(onnx.numpy_helper.from_array(np.ascontiguousarray(value), tensor.name))


def node_of(model: Graph, weight_ending: str) -> onnx.NodeProto:
    return next(n for n in model.graph.node if any(i.endswith(weight_ending) for i in n.input))


def drop_relu(model: Graph) -> None:
    made = node_of(model, "layer1.1.conv1.weight").output[0]
    relu = next(n for n in model.graph.node if n.op_type == "Relu" and n.input[0] == made)
    for node in model.graph.node:
        node.input[:] = [made if name == relu.output[0] else name for name in node.input]
    model.graph.node.remove(relu)


def through_fp16(model: Graph) -> None:
    for tensor in model.graph.initializer:
        value = onnx.numpy_helper.to_array(tensor)
        if value.dtype == np.float32:
            set_weight(tensor, value.astype(np.float16).astype(np.float32))


def swap_two_logits(model: Graph) -> None:
    for name in ("fc.weight", "fc.bias"):
        tensor = weight(model, name)
        value = onnx.numpy_helper.to_array(tensor).copy()
        set_weight(tensor, value[[0, 2, 1, *range(3, len(value))]])


def append_softmax(model: Graph) -> None:
    last = next(n for n in model.graph.node if "logits" in n.output)
    last.output[0] = "before"
    model.graph.node.append(onnx.helper.make_node("Softmax", ["before"], ["logits"], axis=1))


def asymmetric_padding(model: Graph) -> None:
    pads = next(a for a in node_of(model, f"{LAYER}.weight").attribute if a.name == "pads")
    pads.ints[:] = [0, 0, 2, 2]


def channels_first_input(model: Graph) -> None:
    """The graph takes [N, 3, H, W] where everything else says [N, H, W, 3]."""
    value = model.graph.input[0]
    n, h, w, c = [copy.deepcopy(d) for d in value.type.tensor_type.shape.dim]
    del value.type.tensor_type.shape.dim[:]
    value.type.tensor_type.shape.dim.extend([n, c, h, w])
    turn = next(node for node in model.graph.node if node.op_type == "Transpose")
    turn.attribute[0].ints[:] = [0, 1, 2, 3]


def batch_of_two(model: Graph) -> None:
    """What an exporter does that takes the example's batch for a constant."""
    for value in (*model.graph.input, *model.graph.output):
        value.type.tensor_type.shape.dim[0].dim_value = 2


def old_opset(model: Graph) -> None:
    next(o for o in model.opset_import if o.domain == "").version = 19


# -- the file and its metadata ------------------------------------------------------------------------------------


def write_to_disk(change: Callable[[bytes], bytes]) -> Callable[[Patch], None]:
    """What arrives on the disk is not what was written: a full disk, a bad cable, a flipped bit."""
    honest = pipeline.atomic

    class Stream:
        def __init__(self, stream: Any) -> None:
            self.stream, self.name = stream, stream.name

        def write(self, data: bytes) -> None:
            self.stream.write(change(data))

        def flush(self) -> None:
            self.stream.flush()

    class Atomic:
        def __init__(self, path: Path, *, overwrite: bool = False) -> None:
            self.inner = honest(path, overwrite=overwrite)

        def __enter__(self) -> Stream:
            return Stream(self.inner.__enter__())

        def __exit__(self, *error: Any) -> Any:
            return self.inner.__exit__(*error)

    return lambda patch: patch.setattr(pipeline, "atomic", Atomic)


def flip_a_weight_bit(data: bytes) -> bytes:
    spoiled = bytearray(data)
    spoiled[len(spoiled) // 2] ^= 0x40
    return bytes(spoiled)


def describe_with(change: Callable[[ModelSpec], ModelSpec]) -> Callable[[Patch], None]:
    """Writes another model's description into the file."""
    honest = pipeline.Metadata

    def metadata(model: ModelSpec, *rest: Any, **named: Any) -> Metadata:
        return honest(change(model), *rest, **named)

    return lambda patch: patch.setattr(pipeline, "Metadata", metadata)


def stale_lineage(patch: Patch) -> None:
    patch.setattr(pipeline, "Lineage", lambda checkpoint, folded: Lineage("0" * 64, folded))


FILE = {"stage": "file", "reuses": True}
GRAPH = {"stage": "onnx", "reuses": True}

DEFECTS = (
    Defect("BN eps wrong in the fold", fold_with(other_eps), "fold", "bn1"),
    Defect("a gamma's sign flipped in the fold", spoil_folded(LAYER, flip_gamma), "fold", "layer1.1.bn2"),
    Defect("std taken for var in the fold", fold_with(std_for_var), "fold", "bn1"),
    Defect("BN mean left out of the fold", fold_with(no_mean), "fold", "bn1"),
    Defect("fold adds beta before it scales", bias_before_scale, "fold", "bn1"),
    Defect("weights transposed in the fold", spoil_folded(LAYER, transpose_weights), "fold", "layer1.1.bn2"),
    Defect("NaN in one channel", spoil_folded(LAYER, nan_in_one_channel), "fold", "layer1.1.bn2"),
    Defect("residual dropped in the folded net", spoil_folded("layer1.1", drop_skip), "fold", "layer1.1.relu_1"),
    Defect("residual dropped in the net", no_skip_anywhere, "net", "layer1.0.relu_1", foreign=True),
    Defect("BN eps wrong in the net", net_with_other_eps, "net", "bn1", foreign=True),
    Defect("picture stretched instead of cropped", stretch, "preprocess", "image"),
    Defect("crop one pixel off", crop_one_pixel_off, "preprocess", "image"),
    Defect("no antialiasing", resize_as("bilinear"), "preprocess", "image"),
    Defect("INTER_AREA instead of bilinear", resize_as("area"), "preprocess", "image"),
    Defect("BGR normalised as RGB", normalise_with(color="bgr"), "preprocess", "image"),
    Defect("mean wrong", normalise_with(mean=(0.5, 0.5, 0.5)), "preprocess", "image"),
    Defect(
        "--input float normalised otherwise at run time",
        normalise_at_run_time_with(std=(0.25, 0.25, 0.25)),
        "onnx",
        arguments=("--input", "float"),
    ),
    Defect("RGB and BGR swapped in the graph", deploy_with(color="bgr"), "onnx", "conv1"),
    Defect("mean wrong in the graph", deploy_with(mean=(0.5, 0.5, 0.5)), "onnx", "conv1"),
    Defect("std wrong in the graph", deploy_with(std=(0.25, 0.25, 0.25)), "onnx", "conv1"),
    Defect("mean not scaled by 255 in the graph", spoil_deploy(mean_in_units_of_one), "onnx", "conv1"),
    Defect("255 forgotten in the graph", spoil_deploy(forget_255), "onnx", "conv1"),
    Defect("mean in RGB order in the graph", spoil_deploy(mean_in_rgb_order), "onnx", "conv1"),
    Defect("picture upside down in the graph", lambda p: p.setattr(to_onnx, "Deploy", Turned), "onnx", "conv1"),
    Defect("temperature applied twice", head_with(temperature_twice), "onnx", "logits"),
    Defect("temperature forgotten", head_with(lambda net, path, temperature: net), "onnx", "logits"),
    Defect("rows of a batch mixed", lambda p: p.setattr(to_onnx, "Deploy", Mixing), "batch"),
    Defect(
        "rows of a fixed batch mixed",
        lambda p: p.setattr(to_onnx, "Deploy", Mixing),
        "onnx",
        arguments=("--batch", "4"),
    ),
    Defect("ReLU dropped", edit_graph(drop_relu), tensor="layer1.1.conv2", **GRAPH),
    Defect("weights rounded to fp16", edit_graph(through_fp16), tensor="conv1", **GRAPH),
    Defect("two logits swapped", edit_graph(swap_two_logits), tensor="logits", **GRAPH),
    Defect("probabilities instead of logits", edit_graph(append_softmax), tensor="logits", **GRAPH),
    Defect("padding moved", edit_graph(asymmetric_padding), tensor=LAYER, **GRAPH),
    Defect("channels first where last is said", edit_graph(channels_first_input), code=5, **GRAPH),
    Defect("batch taken for a constant", edit_graph(batch_of_two), code=1, **GRAPH),
    Defect("another opset", edit_graph(old_opset), code=1, **GRAPH),
    Defect("file cut off", write_to_disk(lambda data: data[: len(data) // 2]), **FILE),
    Defect("one bit of a weight flipped on the disk", write_to_disk(flip_a_weight_bit), **FILE),
    Defect("classes sorted", describe_with(lambda m: replace(m, classes=tuple(sorted(m.classes)))), **FILE),
    Defect("another temperature described", describe_with(lambda m: replace(m, temperature=1.0)), **FILE),
    Defect(
        "another preprocessing described",
        describe_with(lambda m: replace(m, preprocess=replace(m.preprocess, antialias=False))),
        **FILE,
    ),
    Defect("lineage of another checkpoint", stale_lineage, **FILE),
)


# -- through edgekit ----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def foreign(net: nn.Module, conftest_spec: ModelSpec, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same weights as a plain state dict, with the description that it needs beside it."""
    folder = tmp_path_factory.mktemp("foreign")
    torch.save(net.state_dict(), folder / "tiny.pt")
    (folder / "classes.txt").write_text("\n".join(conftest_spec.classes))
    (folder / "preprocess.toml").write_text("height = 48\nwidth = 64\nshorter_side = 72\n")
    return folder


@pytest.fixture
def export(
    cli: Any, checkpoint: Path, foreign: Path, pictures: Path, tmp_path: Path, good: Path, monkeypatch: Patch
) -> Callable[[Defect | None], tuple[Any, Path]]:
    """Exports into an empty folder with a defect; gives the outcome and the folder."""

    def call(defect: Defect | None) -> tuple[Any, Path]:
        source = [checkpoint]
        if defect is not None:
            if defect.foreign:
                source = [foreign / "tiny.pt", "--classes", foreign / "classes.txt"]
                source += ["--preprocess", foreign / "preprocess.toml"]
            if defect.reuses:
                monkeypatch.setattr(to_onnx, "_export", lambda *a, **k: exported(a, k))
            defect.seed(monkeypatch)
        out = tmp_path / "out"
        arguments = defect.arguments if defect else ()
        return cli("export", *source, "--data", pictures, "--out", out, *arguments), out

    return call


_kept: list[bytes] = []
_honest_export = to_onnx._export


def exported(arguments: Any, options: Any) -> Graph:
    """torch's export of the intact module, made once: the defects that use it arise after it."""
    if not _kept:
        _kept.append(_honest_export(*arguments, **options).SerializeToString())
    return onnx.load_from_string(_kept[0])
