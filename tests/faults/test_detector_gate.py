"""A detector through the whole export: equal files pass for every neck and head, and planted defects do not."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from torch import Tensor, nn

import edgekit.graph.fold_bn as fold_module
import edgekit.nets.decoding.decode as decode_module
from edgekit import nets
from edgekit.artifacts.onnx_file import read_onnx
from edgekit.checkpoints.checkpoint import Checkpoint, save_checkpoint
from edgekit.data import hive_pictures
from edgekit.graph import to_onnx
from edgekit.loading import open_predictor
from edgekit.nets.centernet import OffsetSizeMaps
from edgekit.pipeline import graph
from edgekit.spec import ModelSpec, PreprocessSpec, Suppression
from edgekit.vision.preprocess import normalise, preprocess

Patch = pytest.MonkeyPatch
CLASSES = ("bee", "hornet")
KINDS = [("fpn", "ltrb"), ("deconv", "offset_size"), ("fpn", "offset_size"), ("deconv", "ltrb")]
SLOWLY = [*KINDS[:2], *(pytest.param(*kind, marks=pytest.mark.slow) for kind in KINDS[2:])]


def spec_of(neck: str, head: str) -> ModelSpec:
    arguments = {"neck": neck, "head": head, "width": 0.125}
    size = PreprocessSpec(64, 96, "letterbox", None)
    return ModelSpec(
        "centernet-resnet18", CLASSES, size, arguments, task="detection", max_detections=20, thresholds=(0.2, 0.4),
        suppression=Suppression(0.4),
    )  # fmt: skip


def lively(spec: ModelSpec) -> nn.Module:
    """Random weights that answer differently at every place, with the running statistics of real activations."""
    torch.manual_seed(0)
    net = nets.build(spec)
    rng = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for module in net.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.weight.copy_(0.5 + torch.rand(module.weight.shape, generator=rng))
                module.bias.copy_(0.3 * torch.randn(module.bias.shape, generator=rng))
                module.momentum = None
        for branch in net.branches.values():
            branch[2].weight.copy_(0.3 * torch.randn(branch[2].weight.shape, generator=rng))
        if "size" in net.branches:
            net.branches["size"][2].bias += 6  # boxes with an area
        pixels = [preprocess(s.read(), spec.preprocess) for s in hive_pictures(8, 5, 180, 320)]
        net.train()(torch.from_numpy(normalise(np.stack(pixels), spec.preprocess)))
    return net.eval()


@pytest.fixture(scope="module")
def checkpoints(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str, str], Path]:
    folder = tmp_path_factory.mktemp("detectors")

    def made(neck: str, head: str) -> Path:
        path = folder / f"{neck}-{head}.pt"
        if not path.exists():
            spec = spec_of(neck, head)
            save_checkpoint(path, Checkpoint(spec, lively(spec).state_dict()))
        return path

    return made


@pytest.fixture(scope="module")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from PIL import Image

    folder = tmp_path_factory.mktemp("scenes")
    for i, sample in enumerate(hive_pictures(6, 9, 180, 320)):
        Image.fromarray(np.ascontiguousarray(sample.read()[..., ::-1])).save(folder / f"{i}.png")
    return folder


@pytest.mark.parametrize(("neck", "head"), SLOWLY)
def test_every_neck_and_head_is_exported_and_proven(
    cli: Any, checkpoints: Any, scenes: Path, tmp_path: Path, neck: str, head: str
) -> None:
    checkpoint = checkpoints(neck, head)
    outcome = cli("export", checkpoint, "--data", scenes, "--out", tmp_path)
    assert outcome.code == 0, outcome.text
    report = json.loads((tmp_path / f"{neck}-{head}.verify.json").read_text())
    assert [s["name"] for s in report["stages"]] == ["fold", "onnx", "batch", "file"]
    for stage in report["stages"]:
        assert stage["found"]["matched"] == 1.0
        assert stage["ties"] == 0
        assert stage["found"]["boxes"] >= 6 * 10
        assert stage["max_abs"] <= 1e-3
        assert stage["top1_agreement"] is None
    model = tmp_path / f"{neck}-{head}.onnx"
    artifact = read_onnx(model)
    assert artifact.metadata.model == spec_of(neck, head)
    assert [o.name for o in artifact.model.graph.output] == ["boxes", "scores", "labels"]
    assert not [n.op_type for n in artifact.model.graph.node if n.op_type == "BatchNormalization"]
    names = {node.name for node in artifact.model.graph.node}
    assert {"trunk.conv1", "branches.heatmap.2"} <= names
    assert any(name.startswith("decode.") for name in names)
    equal = cli("verify", checkpoint, model, "--data", scenes)
    assert equal.code == 0, equal.text
    assert "boxes 100.00%" in equal.out


def test_raw_heads_gives_the_maps_too_and_answers_the_same(
    cli: Any, checkpoints: Any, scenes: Path, tmp_path: Path, checkpoint: Path
) -> None:
    assert (
        cli("export", checkpoints("fpn", "offset_size"), "--data", scenes, "--out", tmp_path, "--raw-heads").code == 0
    )
    artifact = read_onnx(tmp_path / "fpn-offset_size.onnx")
    assert [o.name for o in artifact.model.graph.output] == ["boxes", "scores", "labels", "heatmap", "offset", "size"]
    frames = [sample.read() for sample in hive_pictures(2, 9, 180, 320)]
    with (
        open_predictor(checkpoints("fpn", "offset_size")) as ours,
        open_predictor(tmp_path / "fpn-offset_size.onnx") as theirs,
    ):
        for a, b in zip(ours.detect(frames, 0.1), theirs.detect(frames, 0.1), strict=True):
            np.testing.assert_allclose(a.scores, b.scores, atol=1e-5)
            assert a.names == b.names
    refused = cli("export", checkpoint, "--out", tmp_path, "--raw-heads")
    assert refused.code == 2
    assert "a classifier" in refused.err


def test_a_fixed_batch_and_float_input_pass_too(cli: Any, checkpoints: Any, scenes: Path, tmp_path: Path) -> None:
    arguments = ("--data", scenes, "--out", tmp_path, "--batch", 2, "--input", "float")
    outcome = cli("export", checkpoints("fpn", "ltrb"), *arguments)
    assert outcome.code == 0, outcome.text
    image = read_onnx(tmp_path / "fpn-ltrb.onnx").model.graph.input[0].type.tensor_type.shape.dim
    assert [d.dim_value for d in image] == [2, 3, 64, 96]


def test_without_pictures_it_is_verified_on_a_made_hive(cli: Any, checkpoints: Any, tmp_path: Path) -> None:
    outcome = cli("export", checkpoints("fpn", "ltrb"), "--out", tmp_path, "--pictures", 3, "--format", "json")
    assert outcome.code == 0, outcome.text
    assert json.loads(outcome.out)["data"]["layout"] == "made"


def test_an_input_size_the_net_cannot_take_is_refused(cli: Any, checkpoints: Any, tmp_path: Path) -> None:
    content = torch.load(checkpoints("fpn", "ltrb"), weights_only=True)
    content["spec"]["preprocess"]["width"] = 100
    torch.save(content, tmp_path / "odd.pt")
    outcome = cli("export", tmp_path / "odd.pt")
    assert outcome.code == 2
    assert "multiples of 32" in outcome.err


# -- planted defects ----------------------------------------------------------------------------------------------


honest_decode = decode_module.decode


def in_the_graph_only(change: Callable[..., Any], what: str = "decode") -> Callable[[Patch], None]:
    """Decodes, or suppresses, wrongly while the graph is exported, as a deployment tool of its own would."""
    honest = to_onnx.onnx_from_torch

    def seed(patch: Patch) -> None:
        def onnx_from_torch(net: nn.Module, *rest: Any, **options: Any) -> onnx.ModelProto:
            with pytest.MonkeyPatch.context() as inner:
                inner.setattr(decode_module, what, change)
                return honest(net, *rest, **options)

        patch.setattr(to_onnx, "onnx_from_torch", onnx_from_torch)

    return seed


def size_for_offset(maps: Any, k: int) -> Any:
    return honest_decode(OffsetSizeMaps(maps.heatmap, maps.size, maps.offset), k)


def half_a_pixel(maps: Any, k: int) -> Any:
    return honest_decode(OffsetSizeMaps(maps.heatmap, maps.offset + 0.5, maps.size), k)


def no_peaks(maps: Any, k: int) -> Any:
    heat = maps.heatmap  # without the 3x3 maximum: neighbours of a peak count
    values, index = heat.flatten(1).topk(k)
    places = heat.shape[2] * heat.shape[3]
    index = index.int()
    found = honest_decode(maps, k)
    return found._replace(scores=values.sigmoid(), labels=(index // places).int())


def class_order(maps: Any, k: int) -> Any:
    return honest_decode(maps._replace(heatmap=maps.heatmap.flip(1)), k)


def yx(maps: Any, k: int) -> Any:
    found = honest_decode(maps, k)
    return found._replace(boxes=found.boxes[..., [1, 0, 3, 2]])


def stride_2(maps: Any, k: int) -> Any:
    found = honest_decode(maps, k)
    return found._replace(boxes=found.boxes * 0.5)


def logits_for_scores(maps: Any, k: int) -> Any:
    found = honest_decode(maps, k)
    return found._replace(scores=torch.logit(found.scores.clamp(1e-6, 1 - 1e-6)))


def nothing_suppressed(boxes: Tensor, scores: Tensor, labels: Tensor, how: Suppression) -> Any:
    return boxes, scores, labels


def unfolded(patch: Patch) -> None:
    """BatchNorm of the transposed convolutions is forgotten, as torch.fx's own fuse forgets it."""
    honest = fold_module.folded_layer

    def folded_layer(layer: nn.Module, norm: Any) -> nn.Module:
        if isinstance(layer, nn.ConvTranspose2d):
            new: nn.Module = type(layer)(layer.in_channels, layer.out_channels, 4, stride=2, padding=1, bias=True)
            new.weight = layer.weight
            nn.init.zeros_(new.bias)  # type: ignore[arg-type]
            return new
        return honest(layer, norm)

    patch.setattr(fold_module, "folded_layer", folded_layer)


def in_the_file(**changed: Any) -> Callable[[Patch], None]:
    def seed(patch: Patch) -> None:
        honest = graph.sealed

        def sealed(model: onnx.ModelProto, described: Any, path: Path) -> Any:
            return honest(model, replace(described, model=replace(described.model, **changed)), path)

        patch.setattr(graph, "sealed", sealed)

    return seed


DEFECTS: dict[str, tuple[Callable[[Patch], None], str]] = {
    "size and offset are swapped": (in_the_graph_only(size_for_offset), "onnx"),
    "half a feature pixel beside": (in_the_graph_only(half_a_pixel), "onnx"),
    "neighbours of peaks count": (in_the_graph_only(no_peaks), "onnx"),
    "classes in another order": (in_the_graph_only(class_order), "onnx"),
    "x and y are swapped": (in_the_graph_only(yx), "onnx"),
    "stride 2": (in_the_graph_only(stride_2), "onnx"),
    "logits for scores": (in_the_graph_only(logits_for_scores), "onnx"),
    "duplicates are not suppressed": (in_the_graph_only(nothing_suppressed, "suppressed"), "onnx"),
    "a norm behind a transposed convolution is lost": (unfolded, "fold"),
    "other thresholds in the file": (in_the_file(thresholds=(0.9, 0.9)), "file"),
    "other alarm thresholds in the file": (in_the_file(alarm_thresholds=(0.9, 0.9)), "file"),
}


# each of them is a graph that torch exports for itself; the other ways to decode wrongly are caught at the same stage
SLOW = {
    "neighbours of peaks count",
    "half a feature pixel beside",
    "classes in another order",
    "x and y are swapped",
    "stride 2",
    "logits for scores",
}


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=pytest.mark.slow) if name in SLOW else name for name in DEFECTS]
)
def test_a_defect_is_caught_and_its_stage_named(
    cli: Any, checkpoints: Any, scenes: Path, tmp_path: Path, monkeypatch: Patch, name: str
) -> None:
    seed, stage = DEFECTS[name]
    seed(monkeypatch)
    outcome = cli("export", checkpoints("deconv", "offset_size"), "--data", scenes, "--out", tmp_path)
    assert outcome.code == 3, outcome.text
    assert f"verification failed at stage {stage}" in outcome.err
    assert not (tmp_path / "deconv-offset_size.onnx").exists()
    if stage == "fold":
        assert "neck.layers" in outcome.err


def test_a_shift_in_one_channel_names_its_tensor(
    cli: Any, checkpoints: Any, scenes: Path, tmp_path: Path, monkeypatch: Patch
) -> None:
    honest = fold_module.fold_bn

    def fold_bn(net: nn.Module, example: Tensor) -> tuple[nn.Module, Any]:
        folded, report = honest(net, example)
        with torch.no_grad():
            folded.get_submodule("trunk.layer3.0.conv2").weight[3] *= -1
        return folded, report

    monkeypatch.setattr(fold_module, "fold_bn", fold_bn)
    outcome = cli("export", checkpoints("fpn", "ltrb"), "--data", scenes, "--out", tmp_path)
    assert outcome.code == 3
    assert "trunk.layer3.0" in outcome.err
