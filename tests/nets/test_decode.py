"""Decoding finds exactly the peaks, gives the boxes that were encoded, and does so in the exported graph too."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from edgekit.errors import UsageError
from edgekit.graph.fold_bn import fold_bn
from edgekit.graph.lint import lint
from edgekit.nets.centernet import CenterNet, LtrbMaps, Maps, OffsetSizeMaps
from edgekit.nets.decoding.decode import Decode, DetectionTensors
from edgekit.training.targets import ENCODERS, OffsetSizeTargets, Targets
from tests.exports import once_registered

pytestmark = pytest.mark.usefixtures("one_thread")

HEADS = ("offset_size", "ltrb")


def random_maps(head: str, n: int = 2, classes: int = 3, h: int = 16, w: int = 24, seed: int = 0) -> Maps:
    g = torch.Generator().manual_seed(seed)

    def rand(c: int) -> Tensor:
        return torch.randn(n, c, h, w, generator=g)

    if head == "offset_size":
        return OffsetSizeMaps(rand(classes) * 2, rand(2), rand(2) * 5)
    return LtrbMaps(rand(classes) * 2, rand(4).abs() * 5)


def slowly(maps: Maps, k: int) -> list[list[tuple[float, int, list[float]]]]:
    """Per picture score, label and box, best first, of the peaks; loops and float64 from the paper's section 4."""
    found = []
    for n, heat in enumerate(maps.heatmap.double().numpy()):
        classes, h, w = heat.shape
        peaks = []
        for c in range(classes):
            for y in range(h):
                for x in range(w):
                    if heat[c, y, x] < heat[c, max(y - 1, 0) : y + 2, max(x - 1, 0) : x + 2].max():
                        continue
                    if isinstance(maps, OffsetSizeMaps):
                        ox, oy = maps.offset[n, :, y, x].double().tolist()
                        bw, bh = (max(v, 0) for v in maps.size[n, :, y, x].double().tolist())
                        box = [x + ox - bw / 2, y + oy - bh / 2, x + ox + bw / 2, y + oy + bh / 2]
                    else:
                        left, top, right, bottom = maps.distances[n, :, y, x].double().tolist()
                        box = [x + 0.5 - left, y + 0.5 - top, x + 0.5 + right, y + 0.5 + bottom]
                    peaks.append((float(1 / (1 + np.exp(-heat[c, y, x]))), c, [4 * v for v in box]))
        found.append(sorted(peaks, reverse=True)[:k])
    return found


@pytest.mark.parametrize("head", HEADS)
def test_it_equals_the_slow_reference(head: str) -> None:
    maps = random_maps(head)
    got = Decode(50)(maps)
    want = slowly(maps, 50)
    assert [t.dtype for t in got] == [torch.float32, torch.float32, torch.int32]
    assert [tuple(t.shape) for t in got] == [(2, 50, 4), (2, 50), (2, 50)]
    for n in range(2):
        assert len(want[n]) == 50
        np.testing.assert_allclose(got.scores[n], [s for s, _, _ in want[n]], atol=1e-6)
        assert got.labels[n].tolist() == [c for _, c, _ in want[n]]
        np.testing.assert_allclose(got.boxes[n], [b for _, _, b in want[n]], atol=1e-4)


@pytest.mark.parametrize("head", HEADS)
def test_batched_equals_single(head: str) -> None:
    maps = random_maps(head, n=4)
    together = Decode(20)(maps)
    for i in range(4):
        alone = Decode(20)(type(maps)(*(m[i : i + 1] for m in maps)))
        assert all(torch.equal(a[i : i + 1], b) for a, b in zip(together, alone, strict=True))


def test_only_peaks_count() -> None:
    """Two neighbours are one object of one class, and two of two classes."""
    heatmap = torch.full((1, 2, 8, 8), -9.0)
    heatmap[0, 0, 2, 3], heatmap[0, 0, 3, 4], heatmap[0, 1, 3, 4] = 2.0, 1.0, 1.5
    found = Decode(60)(LtrbMaps(heatmap, torch.ones(1, 4, 8, 8)))
    sure = found.scores[0] > 0.5
    assert found.labels[0][sure].tolist() == [0, 1]
    assert found.boxes[0][sure].tolist() == [[10.0, 6.0, 18.0, 14.0], [14.0, 10.0, 22.0, 18.0]]
    assert found.scores[0][sure].tolist() == pytest.approx(torch.tensor([2.0, 1.5]).sigmoid().tolist())


def test_what_is_no_peak_has_score_0() -> None:
    heatmap = torch.arange(64.0).reshape(1, 1, 8, 8)  # one peak, in the last corner
    found = Decode(5)(LtrbMaps(heatmap, torch.ones(1, 4, 8, 8)))
    assert found.scores[0].tolist() == [1, 0, 0, 0, 0]


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_maps_do_not_move_boxes(dtype: torch.dtype) -> None:
    """Places beyond 2048 (float16) and 256 (bfloat16): 4 classes x 128 x 128."""
    heatmap = torch.full((1, 4, 128, 128), -9.0)
    heatmap[0, 3, 127, 125] = 5
    found = Decode(1)(LtrbMaps(heatmap.to(dtype), torch.ones(1, 4, 128, 128, dtype=dtype)))
    assert found.boxes.tolist() == [[[498.0, 506.0, 506.0, 514.0]]]
    assert found.labels.tolist() == [[3]]
    assert (found.boxes.dtype, found.scores.dtype) == (torch.float32, torch.float32)


def test_a_negative_size_is_none() -> None:
    maps = OffsetSizeMaps(torch.zeros(1, 1, 2, 2), torch.zeros(1, 2, 2, 2), torch.full((1, 2, 2, 2), -3.0))
    boxes = Decode(4)(maps).boxes
    assert torch.equal(boxes[..., :2], boxes[..., 2:])


@pytest.mark.parametrize("k", [0, -1, 3841, 2.0, "100"])
def test_a_k_that_does_not_build_is_refused(k: Any) -> None:
    with pytest.raises(UsageError, match="kept"):
        Decode(k)


def test_more_detections_than_places_are_refused() -> None:
    Decode(64)(random_maps("offset_size", classes=1, h=8, w=8))
    with pytest.raises(UsageError, match="fewer places"):
        Decode(65)(random_maps("offset_size", classes=1, h=8, w=8))


# --- it inverts the encoding


def as_maps(targets: Targets) -> Maps:
    """The answer of a perfect net to one picture."""
    logits = (targets.heatmap - 0.5) * 20
    if isinstance(targets, OffsetSizeTargets):
        return OffsetSizeMaps(logits[None], targets.offset[None], targets.size[None])
    return LtrbMaps(logits[None], targets.distances[None])


@st.composite
def scenes(draw: st.DrawFn, smallest: float) -> tuple[Tensor, Tensor, int, int]:
    """Boxes with sides of at least `smallest` pixels, each centre in a feature pixel of its own; labels; input size."""
    height, width = (32 * draw(st.integers(1, 16)) for _ in range(2))
    boxes = []
    for _ in range(draw(st.integers(1, 6))):
        x, y = (draw(st.floats(0, side - smallest)) for side in (width, height))
        w, h = (draw(st.floats(smallest, side - at)) for side, at in ((width, x), (height, y)))
        boxes.append([x, y, min(x + w, width), min(y + h, height)])
    rounded = torch.tensor(boxes, dtype=torch.float32)
    cells = {((x1 + x2) // 8, (y1 + y2) // 8) for x1, y1, x2, y2 in rounded.tolist()}
    assume(len(cells) == len(boxes))
    labels = [draw(st.integers(0, 2)) for _ in boxes]
    return rounded, torch.tensor(labels), height, width


def same_boxes(found: DetectionTensors, boxes: Tensor, labels: Tensor, tolerance: float) -> None:
    sure = found.scores[0] > 0.99
    got = torch.cat((found.labels[0][sure][:, None].double(), found.boxes[0][sure].double()), 1)
    want = torch.cat((labels[:, None].double(), boxes.double()), 1)
    assert len(got) == len(want)
    distance = (got[:, None] - want).abs().amax(2)
    nearest = distance.argmin(1)
    assert sorted(nearest.tolist()) == list(range(len(want)))
    assert distance.amin(1).max() <= tolerance


@settings(max_examples=150, deadline=None)
@given(scene=scenes(smallest=0.25))
@pytest.mark.parametrize("radius", ["fixed", "official"])
def test_decoding_inverts_encoding_offset_size(radius: Any, scene: tuple[Tensor, Tensor, int, int]) -> None:
    boxes, labels, height, width = scene
    targets = ENCODERS["offset_size"](boxes, labels, classes=3, height=height, width=width, radius=radius)
    same_boxes(Decode(64)(as_maps(targets)), boxes, labels, 1e-4)


@settings(max_examples=150, deadline=None)
@given(scene=scenes(smallest=4))  # the smallest box that surely has the middle of a feature pixel inside
def test_decoding_inverts_encoding_ltrb(scene: tuple[Tensor, Tensor, int, int]) -> None:
    boxes, labels, height, width = scene
    targets = ENCODERS["ltrb"](boxes, labels, classes=3, height=height, width=width)
    same_boxes(Decode(64)(as_maps(targets)), boxes, labels, 1e-4)


def test_ltrb_decodes_a_smaller_box_up_to_the_middle_of_its_pixel() -> None:
    box, label = torch.tensor([[16.5, 8.25, 17.5, 10.5]]), torch.tensor([0])
    targets = ENCODERS["ltrb"](box, label, classes=1, height=32, width=32)
    same_boxes(Decode(9)(as_maps(targets)), torch.tensor([[16.5, 8.25, 18.0, 10.5]]), label, 1e-4)


# --- in the exported graph


@once_registered
def exported(module: nn.Module, inputs: dict[str, Tensor], shapes: Any) -> onnx.ModelProto:
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")
        program = torch.onnx.export(
            module.eval(), tuple(inputs.values()), dynamo=True, opset_version=20, input_names=list(inputs),
            output_names=list(DetectionTensors._fields), dynamic_shapes=shapes, external_data=False, verbose=False,
        )  # fmt: skip
    assert program is not None
    model: onnx.ModelProto = program.model_proto
    return model


BATCH = {0: torch.export.Dim.DYNAMIC}


class Decoded(nn.Module):
    """Maps as inputs, so that torch and onnxruntime decode the same numbers."""

    def __init__(self, kind: type, k: int) -> None:
        super().__init__()
        self.kind, self.decode = kind, Decode(k)

    def forward(self, *maps: Tensor) -> DetectionTensors:
        result: DetectionTensors = self.decode(self.kind(*maps))
        return result


class Export:
    """A net with its decode, and the decode alone, as ONNX."""

    def __init__(self, head: str, neck: str) -> None:
        torch.manual_seed(0)
        net = CenterNet("centernet-resnet18", 3, neck, head, 0.125)  # type: ignore[arg-type]
        for branch in net.branches.values():
            nn.init.normal_(branch[2].weight, std=0.2)  # type: ignore[index]
        self.maps = random_maps(head)
        self.net, _ = fold_bn(nn.Sequential(net, Decode(40)).eval(), torch.randn(2, 3, 64, 64))
        self.whole = exported(self.net, {"image": torch.randn(2, 3, 64, 64)}, (BATCH,))
        self.decode = Decoded(type(self.maps), 40)
        self.alone = exported(self.decode, self.maps._asdict(), (tuple(BATCH for _ in self.maps),))


@pytest.fixture(scope="module", params=[("offset_size", "deconv"), ("ltrb", "fpn")], ids=lambda p: "-".join(p))
def export(request: pytest.FixtureRequest) -> Export:
    return Export(*request.param)


def run(model: onnx.ModelProto, feeds: dict[str, Tensor]) -> DetectionTensors:
    ort = pytest.importorskip("onnxruntime")
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    session = ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    outputs = session.run(list(DetectionTensors._fields), {k: v.numpy() for k, v in feeds.items()})
    return DetectionTensors(*map(torch.from_numpy, outputs))


def equal_as_sets(a: DetectionTensors, b: DetectionTensors, tolerance: float) -> None:
    """Each detection of one is in the other, but for those whose score ties with the last one that is kept."""
    for n in range(len(a.scores)):
        for one, other in ((a, b), (b, a)):
            clear = one.scores[n] > other.scores[n].min() + tolerance
            assert clear.any()
            cost = (one.boxes[n][clear][:, None] - other.boxes[n][None]).abs().amax(2)
            cost = torch.maximum(cost, (one.scores[n][clear][:, None] - other.scores[n]).abs())
            cost[one.labels[n][clear][:, None] != other.labels[n]] = torch.inf
            assert cost.amin(1).max() <= tolerance
            assert len(set(cost.argmin(1).tolist())) == int(clear.sum())


@pytest.mark.parametrize("batch", [1, 2, 3])
def test_onnxruntime_finds_the_same_objects(export: Export, batch: int) -> None:
    image = torch.randn(batch, 3, 64, 64)
    with torch.no_grad():
        want = export.net(image)
    got = run(export.whole, {"image": image})
    assert got.boxes.shape == (batch, 40, 4)
    assert want.scores.max() - want.scores.min() > 0.1
    equal_as_sets(got, want, 2e-3)


@pytest.mark.parametrize("batch", [1, 3])
def test_onnxruntime_decodes_the_same_maps_to_the_same_numbers(export: Export, batch: int) -> None:
    maps = random_maps("offset_size" if isinstance(export.maps, OffsetSizeMaps) else "ltrb", n=batch, seed=batch)
    want = export.decode(*maps)
    got = run(export.alone, maps._asdict())
    assert torch.equal(got.labels, want.labels)
    torch.testing.assert_close(got.scores, want.scores, rtol=0, atol=1e-6)
    torch.testing.assert_close(got.boxes, want.boxes, rtol=0, atol=1e-4)


def test_the_graph_is_right_and_lint_has_nothing_to_say(export: Export) -> None:
    for model in (export.whole, export.alone):
        onnx.checker.check_model(model, full_check=True)
        assert {o.domain: o.version for o in model.opset_import} == {"": 20}
        assert lint(model, opset=20) == []
        outputs = {o.name: o.type.tensor_type for o in model.graph.output}
        assert [(n, t.elem_type) for n, t in outputs.items()] == [
            ("boxes", onnx.TensorProto.FLOAT), ("scores", onnx.TensorProto.FLOAT), ("labels", onnx.TensorProto.INT32),
        ]  # fmt: skip
        dims = [[d.dim_value for d in t.shape.dim] for t in outputs.values()]
        assert dims == [[0, 40, 4], [0, 40], [0, 40]]  # 0: the batch is dynamic


def test_indices_are_int32_from_topk_to_the_gather(export: Export) -> None:
    model = onnx.shape_inference.infer_shapes(export.alone, data_prop=True)
    types = {v.name: v.type.tensor_type.elem_type for v in (*model.graph.value_info, *model.graph.output)}
    types |= {i.name: i.data_type for i in model.graph.initializer}
    integer = [n for n in model.graph.node if n.op_type in ("Div", "Mod") and types[n.output[0]] != 1]
    assert len(integer) == 4  # label and y are quotients, cell and x remainders
    assert {types[name] for node in integer for name in (*node.input, *node.output)} == {onnx.TensorProto.INT32}
    assert not [n for n in model.graph.node if n.op_type in ("Floor", "Shape", "If", "Loop", "NonMaxSuppression")]
    assert len([n for n in model.graph.node if n.op_type == "Sigmoid"]) == 1
    assert {tuple(d.dim_value for d in v.type.tensor_type.shape.dim[1:]) for n in model.graph.node
            if n.op_type == "Sigmoid" for v in model.graph.output if v.name in n.output} == {(40,)}  # fmt: skip


def test_tensorrt_parses_and_builds_it(export: Export) -> None:
    trt = pytest.importorskip("tensorrt_rtx", reason="TensorRT-RTX has wheels for x86-64 only")
    for model in (export.whole, export.alone):
        builder = trt.Builder(trt.Logger(trt.Logger.INTERNAL_ERROR))
        network = builder.create_network(0)
        parser = trt.OnnxParser(network, trt.Logger(trt.Logger.INTERNAL_ERROR))
        assert parser.parse(model.SerializeToString()), [str(parser.get_error(i)) for i in range(parser.num_errors)]
        types = {network.get_output(i).name: network.get_output(i).dtype for i in range(network.num_outputs)}
        assert types == {"boxes": trt.DataType.FLOAT, "scores": trt.DataType.FLOAT, "labels": trt.DataType.INT32}
        config = builder.create_builder_config()
        config.num_compute_capabilities = 1
        config.set_compute_capability(trt.ComputeCapability.SM86, 0)
        profile = builder.create_optimization_profile()
        for i in range(network.num_inputs):
            name, rest = network.get_input(i).name, tuple(network.get_input(i).shape)[1:]
            profile.set_shape(name, (1, *rest), (2, *rest), (4, *rest))
        config.add_optimization_profile(profile)
        assert builder.build_serialized_network(network, config) is not None
