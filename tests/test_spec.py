"""Specs refuse what means nothing, survive JSON, and have a hash that sees every difference."""

import json
from dataclasses import fields, replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgekit.errors import InputError
from edgekit.spec import ModelSpec, PreprocessSpec, Suppression, TensorSpec, canonical_json, digest

PREPROCESS = PreprocessSpec()
MODEL = ModelSpec("resnet18", ("a", "b"), PREPROCESS, {"norm": "batch"})
FINITE = st.floats(-10, 10)


@st.composite
def preprocess_specs(draw: st.DrawFn) -> PreprocessSpec:
    resize = draw(st.sampled_from(["stretch", "letterbox", "crop"]))
    how = draw(st.sampled_from(["nearest", "bilinear", "bicubic", "area", "pyramid"]))
    height, width = draw(st.integers(1, 500)), draw(st.integers(1, 500))
    return PreprocessSpec(
        height,
        width,
        resize,
        max(height, width) + draw(st.integers(0, 99)) if resize == "crop" else None,
        how,
        {"nearest": False, "area": True, "pyramid": True}.get(how, draw(st.booleans())),
        draw(st.integers(0, 255)),
        draw(st.sampled_from(["rgb", "bgr"])),
        draw(st.tuples(FINITE, FINITE, FINITE)),
        draw(st.tuples(*[st.floats(1e-3, 10)] * 3)),
        draw(st.sampled_from(["centre", "corner"])) if resize == "letterbox" else "centre",
    )


@settings(max_examples=100, deadline=None)
@given(spec=preprocess_specs())
def test_a_preprocess_spec_survives_json_with_its_hash(spec: PreprocessSpec) -> None:
    back = PreprocessSpec.from_dict(json.loads(json.dumps(spec.to_dict())))
    assert back == spec
    assert back.digest == spec.digest


CHANGES = {
    "height": 223,
    "width": 223,
    "shorter_side": 257,
    "interpolation": "bicubic",
    "antialias": False,
    "pad": 113,
    "color": "bgr",
    "mean": (0.485, 0.456, 0.4060001),
    "std": (0.229, 0.224, 0.2250001),
}


@pytest.mark.parametrize("name", CHANGES)
def test_every_attribute_changes_the_hash(name: str) -> None:
    assert replace(PREPROCESS, **{name: CHANGES[name]}).digest != PREPROCESS.digest  # type: ignore[arg-type]


def test_every_attribute_is_tried() -> None:
    assert set(CHANGES) | {"resize", "align"} == {f.name for f in fields(PreprocessSpec)}
    assert PreprocessSpec(resize="stretch", shorter_side=None).digest != PREPROCESS.digest
    box = PreprocessSpec(resize="letterbox", shorter_side=None)
    assert replace(box, align="corner").digest != box.digest


def test_where_a_letterbox_lies_is_written_only_where_it_is_not_the_centre() -> None:
    """Files that were written before there was a choice keep their hash."""
    box = PreprocessSpec(resize="letterbox", shorter_side=None)
    assert "align" not in box.to_dict()
    assert replace(box, align="corner").to_dict()["align"] == "corner"
    with pytest.raises(InputError, match="align"):
        PreprocessSpec(align="corner")


def test_suppression_is_for_boxes_and_travels_where_there_is_one() -> None:
    boxes = ModelSpec(
        "centernet-r18", ("bee",), replace(PREPROCESS, resize="stretch", shorter_side=None), task="detection",
        max_detections=10,
    )  # fmt: skip
    assert "suppression" not in boxes.to_dict()
    with_one = replace(boxes, suppression=Suppression(0.5, across_classes=True))
    assert ModelSpec.from_dict(json.loads(json.dumps(with_one.to_dict()))) == with_one
    for iou in (0, 1, "much"):
        with pytest.raises(InputError, match=r"suppression\.iou"):
            Suppression(iou)  # type: ignore[arg-type]
    with pytest.raises(InputError, match="finds no boxes"):
        ModelSpec("resnet18", ("bee",), PREPROCESS, suppression=Suppression())


def test_alarm_thresholds_are_a_detectors_and_travel_where_there_are_some() -> None:
    boxes = ModelSpec(
        "centernet-r18", ("bee", "hornet"), replace(PREPROCESS, resize="stretch", shorter_side=None), task="detection",
        max_detections=10,
    )  # fmt: skip
    assert "alarm_thresholds" not in boxes.to_dict()
    alarmed = replace(boxes, alarm_thresholds=(0.2, 0.4))
    assert ModelSpec.from_dict(json.loads(json.dumps(alarmed.to_dict()))) == alarmed
    for wrong in ((0.2,), (0.2, 1.1), (0.2, "much")):
        with pytest.raises(InputError, match="alarm_thresholds"):
            replace(boxes, alarm_thresholds=wrong)
    with pytest.raises(InputError, match="alarm_thresholds"):
        ModelSpec("resnet18", ("bee",), PREPROCESS, alarm_thresholds=(0.5,))


def test_the_order_of_the_means_is_part_of_the_hash() -> None:
    assert replace(PREPROCESS, mean=PREPROCESS.mean[::-1]).digest != PREPROCESS.digest


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("height", [0, -1, 16385, 224.0, "224"]),
        ("width", [0, 16385, None]),
        ("shorter_side", [223, None, 256.0]),
        ("resize", ["fit", ""]),
        ("interpolation", ["linear", None]),
        ("antialias", ["no", 1, None]),
        ("pad", [-1, 256, 1.5]),
        ("color", ["gray", "RGB"]),
        ("mean", [(0.5, 0.5), (0.5, 0.5, float("nan")), (0.1, 0.2, float("inf")), "abc", None, 0.5, ("a", "b", "c")]),
        ("std", [(0.5, 0.5), (1, 1, 0), (1, 1, -1), (1, 1, float("inf")), ("a", 1, 1)]),
    ],
)
def test_a_bad_value_is_refused_by_name(name: str, values: list[Any]) -> None:
    for value in values:
        with pytest.raises(InputError, match=f"^{name} "):
            replace(PREPROCESS, **{name: value})


@pytest.mark.parametrize(
    ("bad", "name"),
    [
        ({"resize": "stretch"}, "shorter_side"),
        ({"resize": "letterbox"}, "shorter_side"),
        ({"interpolation": "area", "antialias": False}, "antialias"),
        ({"interpolation": "pyramid", "antialias": False}, "antialias"),
        ({"interpolation": "nearest", "antialias": True}, "antialias"),
        ({"width": 257}, "shorter_side"),
    ],
)
def test_a_combination_that_means_nothing_is_refused(bad: dict[str, Any], name: str) -> None:
    with pytest.raises(InputError, match=f"^{name} "):
        replace(PREPROCESS, **bad)


def test_unknown_keys_are_refused_and_missing_ones_take_their_default() -> None:
    with pytest.raises(InputError, match="unknown keys") as caught:
        PreprocessSpec.from_dict({"hieght": 3})
    assert caught.value.got == "hieght"
    assert PreprocessSpec.from_dict({}) == PREPROCESS


def test_describe_says_what_matters() -> None:
    assert PREPROCESS.describe() == "shorter side 256, centre crop 224x224, bilinear antialiased, rgb"
    other = PreprocessSpec(32, 64, "letterbox", None, "area", True, color="bgr")
    assert other.describe() == "letterbox 32x64, area, bgr"


def test_a_model_spec_survives_json() -> None:
    spec = ModelSpec("resnet18", ("Biene", "Hornisse ä"), PREPROCESS, {"norm": "group"}, temperature=1.3)
    assert ModelSpec.from_dict(json.loads(json.dumps(spec.to_dict()))) == spec


@pytest.mark.parametrize(
    ("bad", "name"),
    [
        ({"classes": ()}, "classes"),
        ({"classes": ("a", "")}, "classes"),
        ({"classes": ("a", 3)}, "classes"),
        ({"temperature": 0}, "temperature"),
        ({"temperature": -1.0}, "temperature"),
        ({"temperature": float("nan")}, "temperature"),
        ({"temperature": "2"}, "temperature"),
        ({"task": "captions"}, "task"),
    ],
)
def test_a_bad_model_spec_is_refused(bad: dict[str, Any], name: str) -> None:
    with pytest.raises(InputError, match=f"^{name} "):
        replace(MODEL, **bad)


def test_a_model_spec_needs_its_keys_and_no_others() -> None:
    with pytest.raises(InputError, match="unknown keys"):
        ModelSpec.from_dict({**MODEL.to_dict(), "labels": []})
    for name in ("arch", "classes", "preprocess"):
        content = MODEL.to_dict()
        del content[name]
        with pytest.raises(InputError, match=f"^{name} "):
            ModelSpec.from_dict(content)


def test_two_models_do_not_share_their_arguments() -> None:
    arguments = {"norm": "batch"}
    spec = ModelSpec("resnet18", ("a",), PREPROCESS, arguments)
    arguments["norm"] = "none"
    assert spec.arch_args == {"norm": "batch"}


def test_canonical_json_has_one_text_and_no_nan() -> None:
    assert canonical_json({"b": 1, "a": [1.5, "ü"]}) == '{"a":[1.5,"\\u00fc"],"b":1}'
    assert digest({"b": 1, "a": 2}) == digest({"a": 2, "b": 1}) != digest({"a": 1, "b": 2})
    with pytest.raises(ValueError, match="NaN|nan|compliant"):
        canonical_json(float("nan"))


@pytest.mark.parametrize(
    ("dtype", "shape", "fits"),
    [
        ("uint8", (1, 4, 3), True),
        ("uint8", (9, 4, 3), True),
        ("uint8", (0, 4, 3), False),
        ("uint8", (1, 5, 3), False),
        ("uint8", (1, 4), False),
        ("uint8", (1, 4, 3, 1), False),
        ("int8", (1, 4, 3), False),
    ],
)
def test_a_tensor_spec_accepts_its_own(dtype: str, shape: tuple[int, ...], fits: bool) -> None:
    spec = TensorSpec("image", "uint8", ("N", 4, 3))
    assert spec.accepts(dtype, shape) is fits
    assert str(spec) == "image uint8[N, 4, 3]"
