"""Seeds defects into the pipeline, one at a time: the gate or the loader catches each and says where it arose.

Every defect is also put through the same steps without the gate, with a plain `torch.onnx.export`, on a smaller net:
there it raises nothing, the ONNX checker and onnxruntime accept the file, and the answers are wrong.
"""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Callable, Sequence
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
from edgekit import predictor
from edgekit.artifacts.metadata import Lineage, Metadata
from edgekit.artifacts.onnx_file import KEY, embed, graph_digest, read_onnx
from edgekit.checkpoints.checkpoint import Checkpoint, save_checkpoint
from edgekit.data import made_pictures
from edgekit.graph import to_onnx
from edgekit.nets import blocks
from edgekit.nets.blocks import BasicBlock
from edgekit.pipeline import folding, graph, writing
from edgekit.spec import ModelSpec, PreprocessSpec, digest
from tests.conftest import NARROW, lively
from tests.exports import keeping

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
        code: exit code of `edgekit export`; where it is not 3 there is no verdict but an error that says `says`.
        arguments: options of the export beside the usual ones.
        foreign: whether it shows only with a plain state dict, which is compared with torchvision's own net.
        shows: whether the answers of the plain file are wrong; its form or description is otherwise.
    """

    name: str
    seed: Callable[[Patch], None]
    stage: str
    tensor: str | None = None
    code: int = 3
    arguments: tuple[str, ...] = ()
    foreign: bool = False
    shows: bool = True
    says: str = ""


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
        patch.setattr(folding, "normalise", normalise)
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


def forget_255(deploy: Any) -> None:
    deploy.net.conv1.weight *= 255


def mean_in_rgb_order(deploy: Any) -> None:
    deploy.mean.copy_(deploy.mean.flip(1))


class Mixing(to_onnx.Deploy):
    def forward(self, image: Tensor) -> Tensor:
        out = super().forward(image)
        return out + 0.1 * (out.mean(0, keepdim=True) - out)


def head_with(change: Callable[[nn.Module, Sequence[str], float], nn.Module]) -> Callable[[Patch], None]:
    return lambda patch: patch.setattr(to_onnx, "divide_heads", change)


def temperature_twice(
    net: nn.Module, paths: Sequence[str], temperature: float, honest: Any = to_onnx.divide_heads
) -> nn.Module:
    return honest(honest(net, paths, temperature), paths, temperature)


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
    for node in model.graph.node:
        node.input[:] = ["image.turned" if name == "image" else name for name in node.input]
    turn = onnx.helper.make_node("Transpose", ["image"], ["image.turned"], "turn", perm=[0, 2, 3, 1])
    model.graph.node.insert(0, turn)


def batch_of_two(model: Graph) -> None:
    """What an exporter does that takes the example's batch for a constant."""
    for value in (*model.graph.input, *model.graph.output):
        value.type.tensor_type.shape.dim[0].dim_value = 2


def old_opset(model: Graph) -> None:
    next(o for o in model.opset_import if o.domain == "").version = 19


# -- the file and its metadata ------------------------------------------------------------------------------------


def write_to_disk(change: Callable[[bytes], bytes]) -> Callable[[Patch], None]:
    """What arrives on the disk is not what was written: a full disk, a bad cable, a flipped bit."""
    honest = writing.atomic

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

    return lambda patch: patch.setattr(writing, "atomic", Atomic)


def flip_a_weight_bit(data: bytes) -> bytes:
    spoiled = bytearray(data)
    spoiled[len(spoiled) // 2] ^= 0x40
    return bytes(spoiled)


def describe_with(change: Callable[[ModelSpec], ModelSpec]) -> Callable[[Patch], None]:
    """Writes another model's description into the file."""
    honest = graph.Metadata

    def metadata(model: ModelSpec, *rest: Any, **named: Any) -> Metadata:
        return honest(change(model), *rest, **named)

    return lambda patch: patch.setattr(graph, "Metadata", metadata)


def stale_lineage(patch: Patch) -> None:
    patch.setattr(graph, "Lineage", lambda checkpoint, folded: Lineage("0" * 64, folded))


FILE: dict[str, Any] = {"stage": "file", "shows": False}
GRAPH: dict[str, Any] = {"stage": "onnx"}
FORM: dict[str, Any] = {**GRAPH, "shows": False}

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
    Defect("255 forgotten in the graph", spoil_deploy(forget_255), "onnx", "conv1"),
    Defect("mean in RGB order in the graph", spoil_deploy(mean_in_rgb_order), "onnx", "conv1"),
    Defect("temperature applied twice", head_with(temperature_twice), "onnx", "logits"),
    Defect("temperature forgotten", head_with(lambda net, path, temperature: net), "onnx", "logits"),
    Defect("rows of a batch mixed", lambda p: p.setattr(to_onnx, "Deploy", Mixing), "batch"),
    Defect(
        "rows of a fixed batch mixed",
        lambda p: p.setattr(to_onnx, "Deploy", Mixing),
        "onnx",
        "logits",
        arguments=("--batch", "4"),
    ),
    Defect("ReLU dropped", edit_graph(drop_relu), tensor="layer1.1.conv2", **GRAPH),
    Defect("weights rounded to fp16", edit_graph(through_fp16), tensor="conv1", **GRAPH),
    Defect("two logits swapped", edit_graph(swap_two_logits), tensor="logits", **GRAPH),
    Defect("probabilities instead of logits", edit_graph(append_softmax), tensor="logits", **GRAPH),
    Defect("padding moved", edit_graph(asymmetric_padding), tensor=LAYER, **GRAPH),
    Defect("channels first", edit_graph(channels_first_input), code=5, says="input of tiny.onnx", **FORM),
    Defect("batch taken for a constant", edit_graph(batch_of_two), code=1, says="batch", **FORM),
    Defect("another opset", edit_graph(old_opset), code=1, says="opset", **FORM),
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
def foreign(net: nn.Module, spec: ModelSpec, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A plain state dict, of torchvision's own width, with the names that it needs beside it."""
    folder = tmp_path_factory.mktemp("foreign")
    torch.save(net.state_dict(), folder / "tiny.pt")
    (folder / "classes.txt").write_text("\n".join(spec.classes))
    return folder


@pytest.fixture
def export(
    cli: Any, checkpoint: Path, foreign: Path, preprocess_toml: Path, pictures: Path, tmp_path: Path, monkeypatch: Patch
) -> Callable[[Defect], tuple[Any, Path]]:
    """Exports into an empty folder with a defect; gives the outcome and the folder."""

    def call(defect: Defect) -> tuple[Any, Path]:
        source: list[object] = [checkpoint]
        if defect.foreign:
            source = [foreign / "tiny.pt", "--classes", foreign / "classes.txt"]
            source += ["--preprocess", preprocess_toml]
        defect.seed(monkeypatch)
        out = tmp_path / "out"
        return cli("export", *source, "--data", pictures, "--out", out, *defect.arguments), out

    return call


def nothing(patch: Patch) -> None:
    """No defect."""


CONTROLS = (
    Defect("nothing, own checkpoint", nothing, ""),
    Defect("nothing, foreign checkpoint", nothing, "", foreign=True),
)


@pytest.mark.parametrize("defect", CONTROLS, ids=lambda d: d.name)
def test_without_a_defect_the_same_export_passes(defect: Defect, export: Any) -> None:
    outcome, out = export(defect)
    assert outcome.code == 0, outcome.text
    assert read_onnx(out / "tiny.onnx").metadata.verification["passed"] is True
    assert json.loads((out / "tiny.verify.json").read_text())["passed"] is True


@pytest.mark.parametrize("defect", DEFECTS, ids=lambda d: d.name)
def test_the_gate_catches(defect: Defect, export: Any) -> None:
    outcome, out = export(defect)
    assert outcome.code == defect.code, outcome.text
    assert "Traceback" not in outcome.text
    assert "Unexpected" not in outcome.text
    if defect.code != 3:
        assert defect.says in outcome.err
        assert not out.exists()
        return
    left = sorted(path.name for path in out.iterdir())
    assert f"verification failed at stage {defect.stage}: " in outcome.err
    named = re.findall(r"first tensor that differs: (\S+) ", outcome.err)
    assert named == ([defect.tensor] if defect.tensor else [])
    assert set(left) <= {"tiny.onnx.rejected", "tiny.rejected.verify.json"}
    report = json.loads((out / "tiny.rejected.verify.json").read_text())
    assert report["passed"] is False
    assert [s["name"] for s in report["stages"] if not s["passed"]] == [defect.stage]
    if "tiny.onnx.rejected" in left:
        assert read_onnx(out / "tiny.onnx.rejected").metadata.verification == {"passed": False}


def test_a_rejected_export_leaves_the_old_file_and_its_report_alone(
    cli: Any, checkpoint: Path, pictures: Path, tmp_path: Path, good: Path, monkeypatch: Patch
) -> None:
    for name in ("tiny.onnx", "tiny.verify.json"):
        (tmp_path / name).write_bytes(good.with_name(name).read_bytes())
    next(d for d in DEFECTS if d.stage == "fold").seed(monkeypatch)
    assert cli("export", checkpoint, "--data", pictures, "--out", tmp_path, "--force").code == 3
    for name in ("tiny.onnx", "tiny.verify.json"):
        assert (tmp_path / name).read_bytes() == good.with_name(name).read_bytes()


# -- a file that was changed after its export ---------------------------------------------------------------------


@pytest.fixture
def changed(good: Path, tmp_path: Path) -> Callable[[Callable[[Graph, dict[str, Any]], None], bool], Path]:
    """The good file with its graph or metadata changed; `seal` makes the metadata's own hash fit again."""

    def call(change: Callable[[Graph, dict[str, Any]], None], seal: bool) -> Path:
        model = onnx.load(good)
        content = json.loads(next(p.value for p in model.metadata_props if p.key == KEY))
        change(model, content)
        if seal:
            del content["digest"]
            content["digest"] = digest(content)
        del model.metadata_props[:]
        onnx.helper.set_model_props(model, {KEY: json.dumps(content)})
        path = tmp_path / "changed.onnx"
        onnx.save(model, path)
        return path

    return call


def classes_reversed(model: Graph, content: dict[str, Any]) -> None:
    content["model"]["classes"].reverse()


def verdict_forged(model: Graph, content: dict[str, Any]) -> None:
    content["verification"] = {"passed": True, "pictures": 1000}


def colour_edited(model: Graph, content: dict[str, Any]) -> None:
    content["model"]["preprocess"]["color"] = "bgr"


def weights_of_another_model(model: Graph, content: dict[str, Any]) -> None:
    tensor = weight(model, f"{LAYER}.weight")
    set_weight(tensor, onnx.numpy_helper.to_array(tensor) * np.float32(1.01))


def node_of_another_model(model: Graph, content: dict[str, Any]) -> None:
    asymmetric_padding(model)


LOADER = (
    (weights_of_another_model, True, "metadata of another model"),
    (node_of_another_model, True, "metadata of another model"),
    (classes_reversed, False, "metadata that was changed"),
    (verdict_forged, False, "metadata that was changed"),
    (colour_edited, False, "preprocessing in the metadata"),
    (colour_edited, True, "preprocessing in the metadata"),
)


@pytest.mark.parametrize(("change", "seal", "says"), LOADER, ids=lambda v: getattr(v, "__name__", str(v)))
def test_the_loader_refuses(change: Any, seal: bool, says: str, cli: Any, changed: Any, pictures: Path) -> None:
    path = changed(change, seal)
    ort.InferenceSession(path)  # nothing but edgekit minds
    outcome = cli("predict", path, pictures)
    assert outcome.code == 5, outcome.text
    assert says in outcome.err
    assert outcome.out == ""


def test_the_loader_takes_the_file_that_was_not_changed(cli: Any, changed: Any, pictures: Path) -> None:
    assert cli("predict", changed(lambda model, content: None, True), pictures).code == 0


def test_verify_sees_classes_in_another_order_under_a_good_hash(
    cli: Any, changed: Any, checkpoint: Path, pictures: Path
) -> None:
    path = changed(classes_reversed, True)
    outcome = cli("verify", checkpoint, path, "--data", pictures)
    assert outcome.code == 3, outcome.text
    assert "class names in another order" in outcome.err


def test_verify_refuses_the_lineage_of_another_checkpoint(cli: Any, good: Path, pictures: Path, tmp_path: Path) -> None:
    trained_on = lively(NARROW)
    with torch.no_grad():
        trained_on.get_submodule("fc").bias += 1e-4
    save_checkpoint(tmp_path / "tiny.pt", Checkpoint(NARROW, trained_on.state_dict()))
    outcome = cli("verify", tmp_path / "tiny.pt", good, "--data", pictures)
    assert outcome.code == 5, outcome.text
    assert "was not made from" in outcome.err
    assert "lineage" in outcome.err


def test_verify_sees_weights_that_differ(cli: Any, good: Path, changed: Any, pictures: Path) -> None:
    def both(model: Graph, content: dict[str, Any]) -> None:
        weights_of_another_model(model, content)
        content["lineage"]["graph"] = graph_digest(model)

    outcome = cli("verify", good, changed(both, True), "--data", pictures)
    assert outcome.code == 3, outcome.text
    assert "max|d logits|" in outcome.err


def test_predict_refuses_a_file_that_did_not_pass(cli: Any, good: Path, tmp_path: Path, pictures: Path) -> None:
    artifact = read_onnx(good)
    embed(artifact.model, replace(artifact.metadata, verification={"passed": False}))
    for name in ("tiny.onnx", "tiny.onnx.rejected"):
        onnx.save(artifact.model, tmp_path / name, format="protobuf")
        outcome = cli("predict", tmp_path / name, pictures)
        assert outcome.code == 3, outcome.text
        assert "did not pass the gate" in outcome.err


# -- without the gate ---------------------------------------------------------------------------------------------


class Small(nn.Module):
    """What the plain path exports: the layers that the defects name, with 8 channels."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 8, 3, stride=2, bias=False)
        self.bn1 = blocks.NORMS["batch"](8)
        self.relu = nn.ReLU()
        self.layer1 = nn.Sequential(nn.Identity(), BasicBlock(8, 8, 1, "batch"))
        self.fc = nn.Linear(8, 7)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(self.layer1(self.relu(self.bn1(self.conv1(x)))).mean((2, 3)))


@dataclass(frozen=True)
class Honest:
    """What the plain path should give: computed before any defect is planted."""

    frames: list[NDArray[np.uint8]]
    state: dict[str, Tensor]
    logits: NDArray[np.float32]
    example: Tensor


@pytest.fixture(scope="module")
def honest(spec: ModelSpec) -> Honest:
    frames = [sample.read() for sample in made_pictures(8, seed=4).samples]
    torch.manual_seed(2)
    net = Small()
    inputs = torch.from_numpy(
        vision.normalise(np.stack([vision.preprocess(f, spec.preprocess) for f in frames]), spec.preprocess)
    )
    with torch.no_grad():
        for module in net.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.weight.uniform_(0.5, 1.5)
                module.bias.normal_(0, 0.3)
                module.momentum = None
        net.train()(inputs)
        logits = net.eval()(inputs) / spec.temperature
    return Honest(frames, net.state_dict(), logits.numpy(), inputs[:2])


@keeping
def plain_export(module: nn.Module, example: Tensor, opset: int, dynamic: bool) -> Graph:
    program = torch.onnx.export(
        module,
        (example,),
        dynamo=True,
        opset_version=opset,
        input_names=["image"],
        output_names=["logits"],
        dynamic_shapes={"image": {0: torch.export.Dim.DYNAMIC}},
        verbose=False,
    )
    assert program is not None
    return program.model_proto


@pytest.fixture
def plain(honest: Honest, spec: ModelSpec, tmp_path: Path, monkeypatch: Patch) -> Callable[[Defect], Path]:
    """The steps of an export without the gate; gives the file."""

    def call(defect: Defect) -> Path:
        kind = "float" if defect.stage == "preprocess" or "float" in defect.arguments else "uint8"
        monkeypatch.setattr(to_onnx, "_export", plain_export)
        defect.seed(monkeypatch)
        net = Small().eval()
        net.load_state_dict(honest.state)
        folded, _ = fold_module.fold_bn(net, honest.example)
        net = to_onnx.divide_heads(folded, ("fc",), spec.temperature)
        size = (spec.preprocess.height, spec.preprocess.width)
        if kind == "uint8":
            net, example = to_onnx.Deploy(net, spec.preprocess), torch.zeros(2, *size, 3, dtype=torch.uint8)
        else:
            net, example = to_onnx._Named(net), torch.zeros(2, 3, *size)
        model = to_onnx._export(net.eval(), example, 20, dynamic=True)
        described = Metadata(spec, Lineage("1" * 64, "2" * 64), kind, "fp32", "x86-cpu")
        onnx.helper.set_model_props(model, {KEY: json.dumps(described.to_dict())})
        path = tmp_path / "plain.onnx"
        with writing.atomic(path) as stream:
            stream.write(model.SerializeToString())
        return path

    return call


def answers_of(path: Path, honest: Honest, spec: PreprocessSpec) -> NDArray[np.float32]:
    session = ort.InferenceSession(path)
    pixels = np.stack([vision.preprocess(f, spec) for f in honest.frames])
    feed = pixels if session.get_inputs()[0].type == "tensor(uint8)" else predictor.normalise(pixels, spec)
    return np.concatenate([session.run(["logits"], {"image": feed[i : i + 2]})[0] for i in range(0, len(feed), 2)])


@pytest.mark.parametrize("defect", [*CONTROLS[:1], *DEFECTS], ids=lambda d: d.name)
def test_a_plain_export_does_not_notice(defect: Defect, plain: Any, honest: Honest, spec: ModelSpec) -> None:
    path = plain(defect)  # and nothing is raised
    if defect.stage == "file":
        return  # wrong only beside the graph, where nothing reads it back
    onnx.checker.check_model(path)
    if defect.name == "channels first":
        ort.InferenceSession(path)
        return
    worst = np.abs(answers_of(path, honest, spec.preprocess) - honest.logits).max()
    if defect.stage and defect.shows:
        assert not worst < 1e-4
    else:
        assert worst < 1e-5
