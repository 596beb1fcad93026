"""Which decoder reads what: one where the outputs leave no choice, all that fit where they do."""

import numpy as np
import onnx
import onnx.parser
import pytest

from edgekit.errors import ArtifactError, InputError, UsageError
from edgekit.graph import decoders
from edgekit.graph.decoders import Reading, named, readings, the_one
from edgekit.graph.decoders.recognise import cells, class_names
from edgekit.vision.spec import TensorSpec

COCO = str({i: f"class {i}" for i in range(80)})


def out(*shape: int, name: str = "output", dtype: str = "float32") -> TensorSpec:
    return TensorSpec(name, dtype, ("N", *shape))


def found(*outputs: TensorSpec, task: str = "detection", size: tuple[int, int] = (416, 416), **props: str) -> list[str]:
    return [reading.decoder for reading in readings(outputs, task, size, props)]


def test_one_reading_where_shapes_leave_no_choice() -> None:
    assert found(out(84, 8400), size=(640, 640)) == ["yolov8"]
    assert found(out(84, 8400), size=(640, 640), names=COCO) == ["yolov8"]
    assert found(out(116, 8400), out(32, 160, 160, name="output1"), size=(640, 640)) == ["yolov8"]
    assert found(out(85, 22, 22), size=(352, 352)) == ["fastestdet"]
    assert found(out(300, 6), size=(640, 640), names=COCO) == ["end-to-end"]
    assert found(out(300, 84), size=(640, 640)) == ["rt-detr-ultralytics"]
    assert found(out(25200, 85), size=(640, 640)) == ["yolov5"]
    assert found(out(25200, 117), out(32, 160, 160, name="output1"), size=(640, 640)) == ["yolov5"]
    maps = out(80, 128, 128, name="hm"), out(2, 128, 128, name="reg"), out(2, 128, 128, name="wh")
    assert found(*maps, size=(512, 512)) == ["centernet", "centernet-sigmoid"]
    assert found(maps[0], out(2, 128, 128, name="a"), out(2, 128, 128, name="b"), size=(512, 512)) == []
    assert found(out(197, 384), task="features") == ["features-first", "features-mean"]
    assert found(out(512), task="features") == found(out(512, 7, 7), task="features") == ["features"]
    labels = out(100, name="labels", dtype="int64")
    assert found(out(100, 4, name="boxes"), out(100, name="scores"), labels) == ["detections"]


def test_candidates_where_they_do() -> None:
    assert found(out(3549, 85)) == ["yolox", "yolox-decoded"]
    assert found(out(4420, 2, name="scores"), out(4420, 4, name="boxes"), size=(240, 320)) == [
        "boxes-and-scores", "boxes-and-scores-pixels",
    ]  # fmt: skip
    assert found(out(100, 92, name="logits"), out(100, 4, name="pred_boxes")) == ["detr", "rt-detr"]
    heads = [out(255, s, s, name=str(s)) for s in (80, 40, 20)]
    assert found(*heads, size=(640, 640)) == ["yolov5-heads", "yolov7-heads", "yolov3-heads"]
    aux = out(21, 416, 416, name="aux")
    assert found(out(21, 416, 416, name="out"), aux, task="segmentation") == ["mask-logits", "mask-probabilities"]
    assert found(out(52, 52, 21), task="segmentation") == ["mask-logits", "mask-probabilities"]
    assert found(out(21, 52, 104), task="segmentation") == [], "another ratio than the input's"
    assert found(out(10), task="classification") == ["logits", "probabilities"]


def test_what_ultralytics_says_of_its_head_tells_six_numbers_apart() -> None:
    """x1 y1 x2 y2 in pixels or centre and size of 0 to 1, or four numbers and two classes: shapes alone don't tell."""
    rows = out(300, 6)
    assert found(rows, names=COCO, head="RTDETRDecoder", end2end="False") == ["rt-detr-end-to-end"]
    assert found(rows, names=COCO, head="Detect", end2end="True") == ["end-to-end"]
    assert found(rows) == ["end-to-end", "rt-detr-end-to-end"]
    two = str({0: "bee", 1: "hornet"})
    assert found(rows, names=two, head="Detect", end2end="True") == ["end-to-end"]
    assert found(rows, names=two) == ["rt-detr-ultralytics", "end-to-end"], "an older exporter says no more"
    reading = named("rt-detr-end-to-end", [rows], "detection", (640, 640), {"names": COCO})
    assert (reading.settings["format"], reading.settings["unit"]) == ("cxcywh", "picture")


def test_nothing_where_a_number_is_off() -> None:
    assert found(out(3548, 85)) == []
    assert found(out(3549, 85), size=(400, 416)) == []
    assert found(out(84, 8400), size=(416, 416)) == []
    assert found(out(85, 22, 22), size=(416, 416)) == []
    assert found(out(84, 8400), size=(640, 640), names=str({0: "bee"})) == [], "the file says one class"
    assert found() == []


def test_a_pose_is_not_taken_for_classes() -> None:
    assert readings((out(56, 8400),), "detection", (640, 640), {"task": "pose"}) == []


def test_classes_that_the_file_names_settle_it() -> None:
    (reading,) = readings(
        (out(100, 92, name="logits"), out(100, 4, name="boxes")), "detection", (800, 800),
        {"names": str({i: str(i) for i in range(91)})},
    )  # fmt: skip
    assert (reading.decoder, reading.classes) == ("detr", 91)


def graph(nodes: str, outputs: str, stored: str = "") -> onnx.ModelProto:
    text = f'<ir_version: 10, opset_import: ["" : 20]> g (float[N, 8, 126] image) => ({outputs}) {stored} {{ {nodes} }}'
    return onnx.shape_inference.infer_shapes(onnx.parser.parse_model(text))


YOLOX_RAW = (
    "x = Transpose <perm = [0, 2, 1]> (image) box = Slice (x, a, b, c) rest = Slice (x, b, d, c) s = Sigmoid (rest)"
)
STORED = "<int64[1] a = {0}, int64[1] b = {4}, int64[1] c = {2}, int64[1] d = {8}>"


def test_the_graph_tells_offsets_from_decoded_boxes_and_a_person_may_say_otherwise() -> None:
    raw = graph(f"{YOLOX_RAW} y = Concat <axis = 2> (box, s)", "float[N, 126, 8] y", STORED)
    exp = graph(f"{YOLOX_RAW} e = Exp (box) y = Concat <axis = 2> (e, s)", "float[N, 126, 8] y", STORED)
    for model, name in ((raw, "yolox"), (exp, "yolox-decoded")):
        outputs = (out(126, 8, name="y"),)
        assert [r.decoder for r in readings(outputs, "detection", (64, 96), {}, model)] == [name]
        assert named("yolox", outputs, "detection", (64, 96), {}, model).decoder == "yolox"


@pytest.mark.parametrize(
    ("nodes", "task", "name"),
    [
        ("y = ReduceMean <keepdims = 0> (image, a)", "classification", "logits"),
        ("m = ReduceMean <keepdims = 0> (image, a) y = Softmax (m)", "classification", "probabilities"),
        ("m = ReduceMean (image, a) s = Softmax <axis = 1> (m) y = Flatten (s)", "classification", "probabilities"),
        (
            "m = ReduceMean <keepdims = 0> (image, a) e = Exp (m) t = ReduceSum (e, b) y = Div (e, t)",
            "classification", "probabilities",
        ),
        ("m = ReduceMean <keepdims = 0> (image, a) y = Sigmoid (m)", "multilabel", "probabilities"),
        ("m = ReduceMean <keepdims = 0> (image, a) y = Sigmoid (m)", "classification", None),
        ("m = ReduceMean <keepdims = 0> (image, a) y = Softmax (m)", "multilabel", None),
    ],
)  # fmt: skip
def test_the_last_node_tells_probabilities_from_logits(nodes: str, task: str, name: str | None) -> None:
    model = graph(nodes, "float[N, 8] y", "<int64[1] a = {2}, int64[1] b = {1}>")
    assert [r.decoder for r in readings((out(8, name="y"),), task, (64, 64), {}, model)] == ([name] if name else [])


def test_priors_in_the_graph_tell_pixels_from_shares() -> None:
    priors = np.random.default_rng(0).uniform(0, 1, (1, 1100, 4)).astype(np.float32)
    for scale, name in ((1, "boxes-and-scores"), (320, "boxes-and-scores-pixels")):
        model = graph(
            "x = Reshape (image, r) b = Add (x, p) s = Reshape (image, q) z = Softmax <axis = 2> (s)",
            "float[N, 1100, 4] b, float[N, 1100, 2] z",
            "<int64[3] r = {0, 1100, 4}, int64[3] q = {0, 1100, 2}>",
        )
        model.graph.initializer.append(onnx.numpy_helper.from_array(priors * scale, "p"))
        outputs = (out(1100, 4, name="b"), out(1100, 2, name="z"))
        (reading,) = readings(outputs, "detection", (320, 320), {}, model)
        assert reading.decoder == name
        assert (reading.settings["activation"], reading.settings["background"]) == ("none", "first")
        assert "background" in reading.notes[0]


def test_errors_name_the_candidates_and_the_way_out() -> None:
    outputs = (out(3549, 85),)
    with pytest.raises(UsageError, match="can be read in 2 ways") as error:
        the_one(readings(outputs, "detection", (416, 416), {}), outputs, "detection")
    assert "yolox-decoded: boxes = output, 80 classes" in str(error.value)
    assert "--decoder yolox" in str(error.value)
    with pytest.raises(UsageError, match="No decoder for detection") as error:
        the_one([], (out(7, 3),), "detection")
    assert "output float32[N, 7, 3]" in str(error.value)
    assert "[N, 4 + C, P]" in str(error.value)
    assert "--decoder FILE.toml" in str(error.value)
    with pytest.raises(UsageError, match="Unknown decoder") as error:
        named("yolo8", outputs, "detection", (416, 416), {})
    assert error.value.fix == "did you mean yolov8?"
    with pytest.raises(UsageError, match="not what yolov8 reads") as error:
        named("yolov8", outputs, "detection", (416, 416), {})
    assert "416 x 416" in str(error.value)
    with pytest.raises(UsageError, match="no decoder for classification"):
        named("yolox", outputs, "classification", (416, 416), {})


def test_of_several_outputs_one_is_named() -> None:
    outputs = (out(197, 384, name="last_hidden_state"), out(384, name="pooler_output"), out(7, name="other"))
    with pytest.raises(UsageError, match="can be read in 4 ways") as error:
        the_one(readings(outputs, "features", (224, 224), {}), outputs, "features")
    assert "--decoder NAME:OUTPUT, such as --decoder features:pooler_output" in str(error.value)
    assert named("features:pooler_output", outputs, "features", (224, 224), {}).settings == {"dimensions": 384}
    with pytest.raises(UsageError, match="not what features reads"):
        named("features:pooled", outputs, "features", (224, 224), {})


def test_a_reading_is_plain_data() -> None:
    reading = named("yolox", (out(3549, 85),), "detection", (416, 416), {})
    assert Reading.from_dict(reading.to_dict()) == reading
    assert decoders.decoder_named(reading.decoder).name == reading.decoder
    with pytest.raises(InputError, match="unknown keys"):
        Reading.from_dict({**reading.to_dict(), "roled": {}})
    with pytest.raises(InputError, match="roles"):
        Reading.from_dict({"decoder": "yolox", "task": "detection"})


def test_an_output_that_is_not_there_and_an_old_opset_are_refused() -> None:
    model = graph("y = Identity (image)", "float[N, 8, 126] y")
    with pytest.raises(ArtifactError, match="not the outputs"):
        decoders.append(model, Reading("yolov8", "detection", {"boxes": "x"}, 4), (64, 96))
    model.opset_import[0].version = 17
    with pytest.raises(ArtifactError, match="too old"):
        decoders.append(model, Reading("yolov8", "detection", {"boxes": "y"}, 4), (64, 96))


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("{0: 'bee', 1: 'hornet'}", ("bee", "hornet")),
        ('{"1": "b", "0": "a"}', ("a", "b")),
        ("['a', 'b']", ("a", "b")),
        ("{0: 'a', 2: 'b'}", ()),
        ("{0: 1}", ()),
        ("{'a': 'b'}", ()),
        ("__import__('os')", ()),
        ("(" * 5000, ()),
        ("", ()),
    ],
)
def test_names_are_read_as_data(text: str, names: tuple[str, ...]) -> None:
    assert class_names({"names": text}) == names


def test_cells_of_grids() -> None:
    assert (cells((416, 416)), cells((640, 640)), cells((64, 96)), cells((100, 64))) == (3549, 8400, 126, 0)
