"""Ways to prepare pictures by name, with single values changed; and what exporters write into a file."""

import pytest

from edgekit.errors import UsageError
from edgekit.pipeline.adopting.claims import ExporterClaims
from edgekit.pipeline.adopting.styles import MEANS, STYLES, of_style


def test_every_style_is_explained_and_makes_a_spec_for_every_task() -> None:
    assert set(MEANS) == set(STYLES)
    for name in STYLES:
        for task in ("classification", "detection"):
            assert (of_style(name, task, (64, 96)).height, of_style(name, task, (64, 96)).width) == (64, 96)


def test_values_may_be_changed() -> None:
    spec = of_style("imagenet,interpolation=bicubic, shorter_side=224,mean=[0.1,0.2,0.3]", "classification", (224, 224))
    assert (spec.interpolation, spec.shorter_side, spec.mean) == ("bicubic", 224, (0.1, 0.2, 0.3))
    assert of_style("imagenet", "classification", (224, 224)).shorter_side == 256
    assert of_style("raw,resize=letterbox,align=corner", "detection", (64, 64)) == of_style(
        "yolox", "detection", (64, 64)
    )


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("yolo", "did you mean"),
        ("unit,colour=bgr", "color"),
        ("unit,color=green", "rgb, bgr"),
        ("", "yolox"),
        ("unit,pad", "pad"),
    ],
)
def test_what_is_wrong_is_said(text: str, said: str) -> None:
    with pytest.raises(UsageError) as error:
        of_style(text, "detection", (64, 64))
    assert said in str(error.value)


ULTRALYTICS = {
    "author": "Ultralytics",
    "task": "detect",
    "stride": "32",
    "imgsz": "[480, 640]",
    "names": "{0: 'bee', 1: 'hornet'}",
}


def test_what_ultralytics_writes_is_used() -> None:
    claims = ExporterClaims(ULTRALYTICS)
    assert (claims.classes, claims.size, claims.task) == (("bee", "hornet"), (480, 640), "detection")
    assert claims.style((480, 640)) == "ultralytics"
    classifier = ExporterClaims({**ULTRALYTICS, "task": "classify"})
    assert (classifier.task, classifier.style((224, 224))) == ("classification", "unit,shorter_side=224")


def test_a_task_that_edgekit_has_not_is_said() -> None:
    with pytest.raises(UsageError, match="pose"):
        _ = ExporterClaims({**ULTRALYTICS, "task": "pose"}).task


@pytest.mark.parametrize(
    "names",
    ["{0: 'bee', 2: 'hornet'}", "__import__('os').system('true')", "[1, 2]", "(" * 10_000, "{'a': 'bee'}", "", "[]"],
)
def test_names_that_cannot_be_read_count_as_not_said(names: str) -> None:
    assert ExporterClaims({"names": names}).classes == ()
