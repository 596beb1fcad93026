"""A detector that the CenterNet authors' code has saved loads as ours and computes what theirs does."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional as f

from edgekit.checkpoints.checkpoint import Checkpoint, load_checkpoint
from edgekit.checkpoints.ctdet import COCO_MEAN, COCO_STD, preprocess_of, read_ctdet
from edgekit.errors import CheckpointError, EdgekitError, UsageError
from edgekit.nets.detector import with_decoding
from edgekit.spec import PreprocessSpec
from edgekit.vision.preprocess import preprocess

State = dict[str, Tensor]


def theirs_of(classes: int, depth: tuple[int, ...] = (2, 2, 2, 2)) -> State:
    """Random weights of a res_18 under the authors' names, written down from their published layout, not from ours."""
    torch.manual_seed(0)
    state: State = {}

    def conv(name: str, c_out: int, c_in: int, side: int, bias: bool = False) -> None:
        state[f"{name}.weight"] = torch.randn(c_out, c_in, side, side) * (1.5 / (c_in * side * side)) ** 0.5
        if bias:
            state[f"{name}.bias"] = torch.randn(c_out) * 0.1

    def norm(name: str, channels: int) -> None:
        shift, spread = torch.randn(channels) * 0.2, torch.rand(channels) + 0.5
        for part, value in (("running_mean", shift), ("running_var", spread), ("weight", spread), ("bias", shift)):
            state[f"{name}.{part}"] = value.clone()
        state[f"{name}.num_batches_tracked"] = torch.tensor(7)

    conv("conv1", 64, 3, 7)
    norm("bn1", 64)
    c_in = 64
    for layer, (blocks, width) in enumerate(zip(depth, (64, 128, 256, 512), strict=True), 1):
        for block in range(blocks):
            name = f"layer{layer}.{block}"
            conv(f"{name}.conv1", width, c_in, 3)
            norm(f"{name}.bn1", width)
            conv(f"{name}.conv2", width, width, 3)
            norm(f"{name}.bn2", width)
            if c_in != width:
                conv(f"{name}.downsample.0", width, c_in, 1)
                norm(f"{name}.downsample.1", width)
            c_in = width
    for index in (0, 3, 6):
        state[f"deconv_layers.{index}.weight"] = torch.randn(c_in, 256, 4, 4) * (0.5 / c_in) ** 0.5
        norm(f"deconv_layers.{index + 1}", 256)
        c_in = 256
    for head, outputs in (("hm", classes), ("reg", 2), ("wh", 2)):
        conv(f"{head}.0", 64, 256, 3, bias=True)
        conv(f"{head}.2", outputs, 64, 1, bias=True)
    return state


def theirs(state: State, x: Tensor) -> dict[str, Tensor]:
    """Their forward, in plain functions."""

    def bn(name: str, y: Tensor) -> Tensor:
        parts = [state[f"{name}.{part}"] for part in ("running_mean", "running_var", "weight", "bias")]
        return f.batch_norm(y, *parts, training=False)

    y = f.max_pool2d(bn("bn1", f.conv2d(x, state["conv1.weight"], stride=2, padding=3)).relu(), 3, 2, 1)
    for layer in (1, 2, 3, 4):
        block = 0
        while (name := f"layer{layer}.{block}") + ".conv1.weight" in state:
            stride = 2 if block == 0 and layer > 1 else 1
            z = bn(f"{name}.bn1", f.conv2d(y, state[f"{name}.conv1.weight"], stride=stride, padding=1)).relu()
            z = bn(f"{name}.bn2", f.conv2d(z, state[f"{name}.conv2.weight"], padding=1))
            if f"{name}.downsample.0.weight" in state:
                y = bn(f"{name}.downsample.1", f.conv2d(y, state[f"{name}.downsample.0.weight"], stride=stride))
            y = (y + z).relu()
            block += 1
    for i in (0, 3, 6):
        y = bn(f"deconv_layers.{i + 1}", f.conv_transpose2d(y, state[f"deconv_layers.{i}.weight"], stride=2, padding=1))
        y = y.relu()
    out = {}
    for head in ("hm", "wh", "reg"):
        z = f.conv2d(y, state[f"{head}.0.weight"], state[f"{head}.0.bias"], padding=1).relu()
        out[head] = f.conv2d(z, state[f"{head}.2.weight"], state[f"{head}.2.bias"])
    return out


@pytest.fixture(scope="module")
def state() -> State:
    return theirs_of(80)


def saved(path: Path, content: Any) -> Path:
    torch.save(content, path)
    return path


def wrapped(state: State) -> dict[str, Any]:
    moments = {0: {"step": 3, "exp_avg": torch.ones(2)}}
    return {"epoch": 140, "state_dict": state, "optimizer": {"state": moments, "param_groups": [{"lr": 1.25e-4}]}}


def coco(tmp_path: Path, state: State) -> Checkpoint:
    return load_checkpoint(saved(tmp_path / "model_last.pth", wrapped(state)))


def test_the_maps_are_theirs(state: State, tmp_path: Path) -> None:
    found = coco(tmp_path, state)
    x = torch.randn(1, 3, 96, 64)
    with torch.no_grad():
        want, got = theirs(state, x), found.net()(x)
    assert float(want["hm"].std()) > 0.1  # of a net that says something
    for map_, name in ((got.heatmap, "hm"), (got.size, "wh"), (got.offset, "reg")):
        torch.testing.assert_close(map_, want[name], rtol=0, atol=1e-4)


def test_boxes_are_decoded_as_theirs(state: State, tmp_path: Path) -> None:
    """centre = place + reg, box = centre -+ wh / 2, times 4 input pixels (their ctdet_decode)."""
    found = coco(tmp_path, state)
    x = torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        maps, (boxes, scores, labels) = theirs(state, x), with_decoding(found.net(), _sized(found).spec)(x)
    heat = maps["hm"][0].sigmoid()
    place = int(heat.argmax())
    label, y, column = place // 256, place % 256 // 16, place % 16
    centre = torch.tensor([column, y]) + maps["reg"][0, :, y, column]
    half = maps["wh"][0, :, y, column].clamp(min=0) / 2
    assert int(labels[0, 0]) == label
    torch.testing.assert_close(scores[0, 0], heat.max(), rtol=0, atol=1e-5)
    torch.testing.assert_close(boxes[0, 0], torch.cat((centre - half, centre + half)) * 4, rtol=0, atol=1e-3)


def _sized(found: Checkpoint) -> Checkpoint:
    small = replace(found.spec.preprocess, height=64, width=64)
    return replace(found, spec=replace(found.spec, preprocess=small))


def test_what_it_is_taken_for_is_said(state: State, tmp_path: Path) -> None:
    found = coco(tmp_path, state)
    spec = found.spec
    assert (spec.arch, spec.task, spec.max_detections) == ("centernet-resnet18", "detection", 100)
    assert spec.arch_args == {"neck": "deconv", "head": "offset_size", "width": 1.0}
    assert (spec.classes[0], spec.classes[11], spec.classes[-1]) == ("person", "stop sign", "toothbrush")
    pre = spec.preprocess
    assert (pre.color, pre.mean, pre.std, pre.pad) == ("bgr", COCO_MEAN, COCO_STD, 0)
    assert (pre.height, pre.width, pre.resize, pre.antialias) == (512, 512, "letterbox", False)
    assert set(found.guesses) == {"preprocessing", "class names"}
    assert found.named_by == ""
    told = load_checkpoint(tmp_path / "model_last.pth", arch="centernet-resnet18", preprocess=PreprocessSpec(256, 256))
    assert (told.named_by, told.spec.preprocess.height) == ("--arch", 256)
    assert told.guesses == ("class names",)


def test_the_order_in_the_file_says_nothing(state: State, tmp_path: Path) -> None:
    mixed = dict(reversed({f"module.{key}": value for key, value in state.items()}.items()))
    found = load_checkpoint(saved(tmp_path / "net.pth", mixed))
    assert torch.equal(found.state_dict["branches.size.2.weight"], state["wh.2.weight"])
    assert torch.equal(found.state_dict["branches.offset.2.weight"], state["reg.2.weight"])


def test_a_file_of_an_older_torch_has_no_counters(state: State, tmp_path: Path) -> None:
    plain = {key: value for key, value in state.items() if not key.endswith("num_batches_tracked")}
    load_checkpoint(saved(tmp_path / "net.pth", plain)).net()


def test_classes_of_ones_own_are_named(tmp_path: Path) -> None:
    path = saved(tmp_path / "net.pth", wrapped(theirs_of(3)))
    with pytest.raises(CheckpointError, match="does not say what its classes are called"):
        load_checkpoint(path)
    with pytest.raises(UsageError, match="2 names"):
        load_checkpoint(path, classes=("bee", "hornet"))
    assert load_checkpoint(path, classes=("bee", "hornet", "wasp")).spec.classes == ("bee", "hornet", "wasp")
    voc = load_checkpoint(saved(tmp_path / "voc.pth", theirs_of(20)))
    assert (voc.spec.classes[0], voc.spec.classes[-1]) == ("aeroplane", "tvmonitor")
    assert (voc.spec.preprocess.height, voc.spec.preprocess.mean[0]) == (384, 0.485)


def without(state: State, head: str) -> State:
    return {key: value for key, value in state.items() if not key.startswith(f"{head}.")}


def with_wh(state: State, channels: int) -> State:
    return {**state, "wh.2.weight": torch.zeros(channels, 64, 1, 1), "wh.2.bias": torch.zeros(channels)}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda s: without(s, "reg"), "--not_reg_offset"),
        (lambda s: without(s, "wh"), "no head wh"),
        (lambda s: {**s, "hps.0.weight": torch.zeros(64, 256, 3, 3)}, "heads hm, hps, reg, wh"),
        (lambda s: {**s, "deconv_layers.0.conv_offset_mask.weight": torch.zeros(27, 512, 3, 3)}, "deformable"),
        (lambda s: with_wh(s, 160), "--cat_spec_wh"),
        (lambda s: {**without(s, "hm"), "hm.weight": torch.zeros(80, 256, 1, 1)}, "head_conv 0"),
        (lambda s: {**s, "layer1.2.conv1.weight": torch.zeros(64, 64, 3, 3)}, "none of their ResNets"),
    ],
)  # fmt: skip
def test_variants_that_compute_otherwise_are_refused(change: Any, words: str, state: State) -> None:
    with pytest.raises(EdgekitError, match=words):
        read_ctdet(wrapped(change(state)), Path("model_last.pth"))


def test_another_arch_is_refused(state: State) -> None:
    with pytest.raises(UsageError, match="--arch contradicts"):
        read_ctdet(state, Path("net.pth"), arch="centernet-resnet34")


def test_other_files_are_none_of_theirs() -> None:
    assert read_ctdet({"conv1.weight": torch.zeros(1)}, Path("net.pth")) is None
    assert read_ctdet({"state_dict": 3}, Path("net.pth")) is None


@pytest.mark.parametrize(("height", "width"), [(768, 1024), (1024, 640)])
def test_the_picture_lies_half_a_pixel_beside_theirs(height: int, width: int) -> None:
    """A bright spot lands (1 - s) / 2 of an input pixel before where their affine map puts it."""
    y, x = np.mgrid[:height, :width].astype(np.float64)
    spot = 255 * np.exp(-((x - 0.4 * width) ** 2 + (y - 0.6 * height) ** 2) / (2 * 12.0**2))
    picture = np.repeat(spot.round().astype(np.uint8)[..., None], 3, axis=2)
    scale = 512 / max(height, width)
    to = np.array([[scale, 0, 256 - scale * width / 2], [0, scale, 256 - scale * height / 2]])
    want = _middle(cv2.warpAffine(picture, to, (512, 512), flags=cv2.INTER_LINEAR))
    got = _middle(preprocess(picture, preprocess_of(80)))
    np.testing.assert_allclose(want - got, (1 - scale) / 2, atol=0.02)


def _middle(picture: np.ndarray) -> np.ndarray:
    grey = picture[..., 0].astype(np.float64)
    y, x = np.mgrid[:512, :512]
    return np.array([(grey * x).sum(), (grey * y).sum()]) / grey.sum()


def test_a_detector_has_no_several_labels_a_picture(state: State, tmp_path: Path) -> None:
    path = saved(tmp_path / "model_last.pth", wrapped(state))
    with pytest.raises(UsageError, match="--multi-label contradicts") as caught:
        load_checkpoint(path, multi_label=True)
    assert "a detector" in str(caught.value.expected)
