"""An ONNX from elsewhere goes in, an edgekit file proven equal to it comes out; what is not said is asked for."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper
from PIL import Image

import edgekit
from edgekit.artifacts.onnx_file import read_onnx
from edgekit.data import made_pictures
from edgekit.data.classes.class_map import class_map
from edgekit.errors import ArtifactError, UsageError
from edgekit.pipeline.adopting import AdoptOptions, run_adopt
from tests.pipeline.adopting.small import SIDE, classifier, constant, detector, saved

PICTURES = 6


def adopted(file: Path, out: Path, **options: object) -> tuple[object, list[str]]:
    said: list[str] = []
    given = {"pictures": PICTURES, "preprocess": "unit", **options}
    if options.get("task") == "detection":
        given.setdefault("decoder", "yolov8")  # so few boxes could be a set of them too
    result = run_adopt(file, out, AdoptOptions(**given), said.append)  # type: ignore[arg-type]
    return result, said


def test_a_detector_is_cleaned_wrapped_and_proven(tmp_path: Path) -> None:
    file = detector(tmp_path / "bees.onnx")
    before = file.read_bytes()
    result, said = adopted(file, tmp_path / "out", task="detection")
    assert result.passed, said
    assert [stage.name for stage in result.stages] == ["preprocess", "clean", "onnx", "batch", "file"]
    artifact = read_onnx(tmp_path / "out" / "bees.onnx")
    spec = artifact.metadata.model
    assert (spec.task, spec.arch, spec.classes) == ("detection", "onnx", ("0", "1"))
    assert spec.suppression == edgekit.Suppression(0.6)
    assert not {"BatchNormalization", "NonMaxSuppression", "Loop"} & {
        node.op_type for node in artifact.model.graph.node
    }
    assert artifact.model.graph.input[0].type.tensor_type.shape.dim[0].dim_param == "N"
    assert artifact.model.opset_import[0].version == 20
    verdict = result.content["verdict"]
    assert "this ONNX (bees.onnx" in verdict["text"]
    assert "with preprocessing and decoding as stated" in verdict["text"]
    assert verdict["stated"]["preprocessing"].endswith("(--preprocess unit)")
    assert any("class names" in guess for guess in verdict["guessed"])
    norms = result.content["clean"]["norms"]
    assert len(norms) == 3
    assert all(norm["into"] and norm["difference"] < 1e-4 for norm in norms)
    assert file.read_bytes() == before


def test_an_adopted_file_is_one_like_any_other(tmp_path: Path) -> None:
    adopted(detector(tmp_path / "bees.onnx"), tmp_path / "out", task="detection", classes=["bee", "hornet"])
    with edgekit.load(tmp_path / "out" / "bees.onnx") as model:
        found = model(np.random.default_rng(0).integers(0, 256, (90, 120, 3), dtype=np.uint8))
        assert set(found.names) <= {"bee", "hornet"}
    checked = edgekit.verify(tmp_path / "bees.onnx", tmp_path / "out" / "bees.onnx", pictures=4)
    assert checked.passed
    assert "this ONNX, run by onnxruntime" in checked.lines()[0]


@pytest.mark.parametrize("softmax", [False, True])
def test_a_classifier_gives_logits_also_where_it_gave_probabilities(tmp_path: Path, softmax: bool) -> None:
    file = classifier(tmp_path / "net.onnx", softmax=softmax)
    result, said = adopted(file, tmp_path / "out", task="classification", preprocess=f"imagenet,shorter_side={SIDE}")
    assert result.passed, said
    assert read_onnx(tmp_path / "out" / "net.onnx").metadata.model.outputs[0].name == "logits"


@pytest.mark.parametrize(("softmax", "doubted"), [(True, True), (False, False)])
def test_a_wrong_reading_is_proven_and_doubted(tmp_path: Path, softmax: bool, doubted: bool) -> None:
    file = classifier(tmp_path / "net.onnx", softmax=softmax)
    asked = {"task": "classification", "preprocess": f"imagenet,shorter_side={SIDE}", "decoder": "logits"}
    result, said = adopted(file, tmp_path / "out", **asked)
    assert result.passed, said
    assert any("are they probabilities already?" in line for line in said) is doubted
    assert len(result.content["doubts"]) == doubted


@pytest.mark.slow
def test_int8_of_an_adopted_file_is_judged_by_the_original(tmp_path: Path) -> None:
    folder = tmp_path / "pictures"
    folder.mkdir()
    for i, sample in enumerate(made_pictures(44, seed=5)):
        Image.fromarray(np.ascontiguousarray(sample.read()[..., ::-1])).save(folder / f"{i}.png")
    file = classifier(tmp_path / "net.onnx")
    result, said = adopted(
        file, tmp_path / "out", task="classification", precision="int8", data=folder, calibrate=32, pictures=8
    )
    assert result.base is not None
    assert result.base.passed
    assert result.content["verdict"]["relation"] == "within limits", said
    assert "this ONNX (net.onnx" in result.content["verdict"]["text"]


def test_the_file_says_what_it_is_and_is_not_contradicted(tmp_path: Path) -> None:
    props = {"author": "Ultralytics", "task": "detect", "names": "{0: 'bee', 1: 'hornet'}", "stride": "32"}
    file = detector(tmp_path / "bees.onnx", props=props)
    result, _ = adopted(file, tmp_path / "out", preprocess=None)
    assert result.passed
    spec = read_onnx(tmp_path / "out" / "bees.onnx").metadata.model
    assert spec.classes == ("bee", "hornet")
    assert (spec.preprocess.resize, spec.preprocess.align, spec.preprocess.color) == ("letterbox", "centre", "rgb")
    assert not [guess for guess in result.content["verdict"]["guessed"] if "class" in guess]
    with pytest.raises(UsageError, match="another task"):
        adopted(file, tmp_path / "two", task="classification")
    with pytest.raises(UsageError, match="do not fit"):
        adopted(file, tmp_path / "two", classes=["bee"])
    assert not (tmp_path / "two").exists()


def test_what_nobody_says_is_asked_for(tmp_path: Path) -> None:
    file = detector(tmp_path / "bees.onnx")
    with pytest.raises(UsageError, match="what it is for"):
        adopted(file, tmp_path / "out")
    with pytest.raises(UsageError, match="how pictures are prepared") as error:
        adopted(file, tmp_path / "out", task="detection", preprocess=None)
    assert "yolox" in str(error.value)
    with pytest.raises(UsageError, match="another size"):
        adopted(file, tmp_path / "out", task="detection", preprocess=edgekit.PreprocessSpec(32, 32, "stretch", None))
    with pytest.raises(UsageError, match="one size only"):
        adopted(file, tmp_path / "out", task="detection", size=(96, 96))
    assert not (tmp_path / "out").exists()


def test_a_damaged_cleaning_is_caught_and_the_file_gets_no_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from edgekit.pipeline.adopting import run

    true = run.clean

    def damaged(*arguments: object, **options: object) -> object:
        cleaned = true(*arguments, **options)  # type: ignore[arg-type]
        weight = next(tensor for tensor in cleaned.model.graph.initializer if len(tensor.dims) == 4)
        weight.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(weight) * np.float32(1.001), weight.name))
        return cleaned

    monkeypatch.setattr(run, "clean", damaged)
    result, _ = adopted(detector(tmp_path / "bees.onnx"), tmp_path / "out", task="detection")
    assert not result.passed
    assert result.stages[-1].name == "clean"
    assert not (tmp_path / "out" / "bees.onnx").exists()
    report = json.loads((tmp_path / "out" / "bees.rejected.verify.json").read_text())
    assert report["passed"] is False


def test_verify_refuses_another_original(tmp_path: Path) -> None:
    adopted(detector(tmp_path / "bees.onnx"), tmp_path / "out", task="detection")
    other = detector(tmp_path / "other.onnx", seed=1)
    with pytest.raises(ArtifactError, match="another ONNX"):
        edgekit.verify(other, tmp_path / "out" / "bees.onnx", pictures=2)


def test_an_edgekit_file_is_not_adopted_again(tmp_path: Path) -> None:
    adopted(detector(tmp_path / "bees.onnx"), tmp_path / "out", task="detection")
    with pytest.raises(ArtifactError, match="edgekit"):
        adopted(tmp_path / "out" / "bees.onnx", tmp_path / "again", task="detection")


def test_labelled_pictures_tell_the_preprocessing_and_nothing_is_taken(tmp_path: Path) -> None:
    """A net that tells colours apart: with the channels swapped it is wrong everywhere."""
    nodes = [
        helper.make_node("GlobalAveragePool", ["images"], ["p"], "pool"),
        helper.make_node("Flatten", ["p"], ["f"], "flat", axis=1),
        helper.make_node("MatMul", ["f", "head"], ["y"], "fc"),
    ]
    file = saved(tmp_path / "colour.onnx", nodes, [constant("head", np.eye(3) * 9)], {"y": [1, 3]})
    for name, value in (("a-red", (250, 40, 30)), ("b-green", (20, 240, 30)), ("c-blue", (10, 20, 230))):
        (tmp_path / "pictures" / name).mkdir(parents=True)
        for i in range(4):
            Image.new("RGB", (80, 70 + i), value).save(tmp_path / "pictures" / name / f"{i}.png")
    with pytest.raises(UsageError) as error:
        adopted(file, tmp_path / "out", task="classification", preprocess=None, data=tmp_path / "pictures")
    lines = str(error.value).splitlines()
    table = {line.split()[-3]: line.split()[-1] for line in lines if "top-1" in line or "Top-1" in line}
    assert table["raw,color=rgb"] == "100.0%"
    assert table["unit"] == "100.0%"
    assert table["raw"] == "33.3%"
    assert not (tmp_path / "out").exists()


def test_external_weights_are_part_of_the_hash(tmp_path: Path) -> None:
    file = detector(tmp_path / "in.onnx")
    model = onnx.load(file)
    onnx.save_model(model, tmp_path / "ext.onnx", save_as_external_data=True, location="ext.bin", size_threshold=0)
    result, said = adopted(tmp_path / "ext.onnx", tmp_path / "out", task="detection")
    assert result.passed, said
    assert not (tmp_path / "out" / "ext.bin").exists()


def test_labels_of_other_names_tell_what_fits_by_a_map(tmp_path: Path) -> None:
    file = classifier(tmp_path / "net.onnx", softmax=False)
    classes = ["bee", "hornet", "wasp", "fly", "moth"]
    for folder, seed in (("Bees", 1), ("Hornets", 2)):
        (tmp_path / "data" / folder).mkdir(parents=True)
        for i, sample in enumerate(made_pictures(2, seed=seed)):
            Image.fromarray(sample.read()[::4, ::4].copy()).save(tmp_path / "data" / folder / f"{i}.png")
    asked = {"task": "classification", "preprocess": None, "data": tmp_path / "data", "classes": classes}
    said: list[str] = []
    with pytest.raises(UsageError) as caught:
        run_adopt(file, tmp_path / "out", AdoptOptions(**asked), said.append)  # type: ignore[arg-type]
    assert "top-1" not in str(caught.value)
    assert any("labels of" in line and "--map bee=Bees,hornet=Hornets" in line for line in said), said
    with_map = AdoptOptions(**asked, classes_map=class_map("bee=Bees,hornet=Hornets"))  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="how well each way fits") as caught:
        run_adopt(file, tmp_path / "out", with_map)
    assert "top-1" in str(caught.value.expected)
    wrong = AdoptOptions(**asked, classes_map=class_map("bee=Beees,hornet=Hornets"))  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="names a class that is not there"):
        run_adopt(file, tmp_path / "out", wrong)
