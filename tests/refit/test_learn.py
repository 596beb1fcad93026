"""A fit is used only where the gate lets it pass; marks that would cost what is found are refused."""

import hashlib
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import edgekit.refit.learn as room
from edgekit.api.watching import learnt_model
from edgekit.artifacts.marks import Mark, read_marks, write_mark
from edgekit.artifacts.onnx_file import Artifact, read_onnx
from edgekit.camera.config import load_config
from edgekit.data import load_dataset
from edgekit.data.sample import Dataset
from edgekit.errors import DataError, UsageError
from edgekit.loading import model_path
from edgekit.predictor import Predictor
from edgekit.refit.gate import judge, measure
from edgekit.refit.learn import digest_of, learn
from edgekit.refit.record import current, recorded
from edgekit.refit.veto import Fit
from edgekit.vision.image import encode_picture, read_picture

CLASSES = ("bee", "hornet")
BEE = 0


@pytest.fixture(scope="module")
def tiny() -> Artifact:
    return read_onnx(model_path(Path("centernet-tiny")))


@pytest.fixture(scope="module")
def golden() -> Dataset:
    return load_dataset("synthetic://hive?n=8&val=8&seed=5", CLASSES, "all")


@pytest.fixture(scope="module")
def pictures() -> list[np.ndarray]:
    return [sample.read() for sample in load_dataset("synthetic://hive?n=4&val=4&seed=3", CLASSES, "all").samples[:4]]


def mark(
    store: Path, frame: np.ndarray, verdict: str, number: int, label: str = "bee", meant: str | None = None
) -> Mark:
    """A visit called so, whose plain picture is this frame."""
    ident, jpeg = f"0193b2a0-0000-7000-8000-{number:012d}", encode_picture(frame, ".jpg")
    path = store / "plain" / f"{ident}.jpg"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(jpeg)
    plain = {"path": f"plain/{ident}.jpg", "sha256": hashlib.sha256(jpeg).hexdigest(), "objects": []}
    return write_mark(store, {"id": ident, "label": label, "plain": plain}, verdict, meant, "now")


def test_insects_that_are_called_false_are_not_unlearnt(
    tmp_path: Path, tiny: Artifact, golden: Dataset, pictures: list[np.ndarray]
) -> None:
    marks = [mark(tmp_path, frame, "false", i) for i, frame in enumerate(pictures)]
    found = learn(tiny, marks, golden, tmp_path / "learnt")
    assert not found.passed
    assert found.file is None
    assert "looks as labelled insects" in found.why
    assert current(tmp_path / "learnt", tiny.sha256) is None
    assert not json.loads((tmp_path / "learnt" / "learnt.json").read_text())["passed"]


def test_marks_that_would_cost_what_is_found_are_rejected(
    tmp_path: Path, tiny: Artifact, golden: Dataset, pictures: list[np.ndarray], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Should they be believed after all, and a veto reach as far as to the labelled insects."""
    monkeypatch.setattr(room, "strangeness", lambda *_: 1.0)
    monkeypatch.setattr(room, "STRENGTHS", ((4.0, 10.0), (2.0, 1.0)))
    marks = [mark(tmp_path, frame, "false", i) for i, frame in enumerate(pictures)]
    found = learn(tiny, marks, golden, tmp_path / "learnt")
    assert not found.passed
    assert found.file is not None
    assert found.file.name.endswith(".onnx.rejected")
    assert found.file.is_file()
    assert "of bee falls" in found.why
    assert len(found.judged) == len(room.STRENGTHS)


def test_a_fit_that_passes_is_the_one_in_use(
    tmp_path: Path, tiny: Artifact, golden: Dataset, pictures: list[np.ndarray], monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the golden pictures' limits wide open: what passes is written, described, and does as the marks say."""
    monkeypatch.setattr("edgekit.refit.gate.LOST", 1.0)
    monkeypatch.setattr("edgekit.refit.gate.WRONG", 1.0)
    monkeypatch.setattr(room, "strangeness", lambda *_: 1.0)
    marks = [mark(tmp_path, pictures[0], "false", 0), mark(tmp_path, pictures[1], "right", 1)]
    found = learn(tiny, marks, golden, tmp_path / "learnt")
    assert found.passed
    assert found.file is not None
    assert found.judged[-1].gone == (1, 1)
    assert found.judged[-1].stayed == (1, 1)
    assert current(tmp_path / "learnt", tiny.sha256) == found.file
    assert recorded(tmp_path / "learnt", digest_of(tiny, marks, golden)) is not None
    assert recorded(tmp_path / "learnt", digest_of(tiny, marks[:1], golden)) is None
    fitted = read_onnx(found.file)  # hashes hold
    assert fitted.metadata.verification["refit"] == {"of": tiny.sha256, "marks": 2}
    assert "score layer fitted to 2 marks" in fitted.metadata.verification["verdict"]["text"]
    with Predictor.from_artifact(tiny) as before, Predictor.from_artifact(fitted) as after:
        shown = [[one.detect([read_picture(m.picture)])[0].says("bee") for m in marks] for one in (before, after)]  # type: ignore[arg-type]
    assert shown == [[True, True], [False, True]]
    found.file.write_bytes(b"other bytes")
    assert current(tmp_path / "learnt", tiny.sha256) is None


def test_a_file_that_is_not_the_fit_is_refused(
    tmp_path: Path, tiny: Artifact, golden: Dataset, pictures: list[np.ndarray], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("edgekit.refit.gate.LOST", 1.0)
    monkeypatch.setattr("edgekit.refit.gate.WRONG", 1.0)
    monkeypatch.setattr(room, "strangeness", lambda *_: 1.0)
    honest = room.replaced
    monkeypatch.setattr(room, "replaced", lambda model, layer, weight, bias: honest(model, layer, weight, bias + 0.1))
    found = learn(tiny, [mark(tmp_path, pictures[0], "false", 0)], golden, tmp_path / "learnt")
    assert not found.passed
    assert "the fit gives" in found.why


def test_what_was_called_right_stays(
    tiny: Artifact, golden: Dataset, pictures: list[np.ndarray], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A detector that shows nothing any more, where golden pictures allow all."""
    monkeypatch.setattr("edgekit.refit.gate.LOST", 1.0)
    monkeypatch.setattr("edgekit.refit.gate.WRONG", 1.0)
    few, marks = golden.samples[:2], [(pictures[1], BEE, BEE)]
    with Predictor.from_artifact(tiny) as before, Predictor.from_artifact(tiny) as after:
        honest = after.results
        after.results = lambda *given: (found[found.scores > 2] for found in honest(*given))  # type: ignore[method-assign]
        monkeypatch.setattr("edgekit.refit.gate._inexact", lambda *_: "")
        nothing = ((), Fit(np.zeros((2, 1)), np.zeros(2)))
        standing = measure(before, few, marks, (0.3, 0.3))
        judged = judge(standing, after, few, marks, (0.3, 0.3), nothing, 1.0)
    assert judged.stayed == (0, 1)
    assert not judged.passed
    assert "called right" in judged.why


def test_marks_that_say_nothing_are_told(tmp_path: Path, tiny: Artifact, golden: Dataset) -> None:
    words = Mark("x", "false", "bee", None, "now", "", None)
    unknown = Mark("y", "other", "bee", "wasp", "now", "", None)
    said: list[str] = []
    with pytest.raises(DataError, match="nothing to learn"):
        learn(tiny, [words, unknown], golden, tmp_path, say=said.append)
    assert "picture was not kept" in said[0]
    assert "no class wasp" in said[1]


def test_golden_pictures_must_be_able_to_judge(
    tmp_path: Path, tiny: Artifact, golden: Dataset, pictures: list[np.ndarray]
) -> None:
    marks = [mark(tmp_path, pictures[0], "other", 0, meant="hornet")]
    with pytest.raises(DataError, match="cannot judge"):
        learn(tiny, marks, replace(golden, samples=golden.samples[:4]), tmp_path / "learnt")


def test_the_camera_goes_on_with_what_it_has(tmp_path: Path, pictures: list[np.ndarray]) -> None:
    said: list[str] = []
    settings = [
        "model.path=centernet-tiny", "learn.enabled=true", f"store.folder={tmp_path}",
        "learn.golden=synthetic://hive?n=16&val=16&seed=5",
    ]  # fmt: skip
    config = load_config(None, settings)
    assert learnt_model(config, said.append) == model_path(Path("centernet-tiny"))
    assert said == ["learning: no visit is marked yet"]
    for i, frame in enumerate(pictures):
        mark(tmp_path, frame, "false", i)
    assert learnt_model(config, said.append) == model_path(Path("centernet-tiny"))
    assert "rejected" in said[-1]
    assert "centernet-tiny.onnx goes on" in said[-1]
    lines = len(said)
    before = tmp_path / "learnt" / "learnt.json"
    written = before.stat().st_mtime_ns
    learnt_model(config, said.append)  # nothing is new: nothing is fitted again
    assert before.stat().st_mtime_ns == written
    assert len(said) == lines + 1
    assert len(read_marks(tmp_path)) == len(pictures)


@pytest.mark.parametrize("missing", ["store.folder", "learn.golden"])
def test_learning_needs_a_store_and_golden_pictures(tmp_path: Path, missing: str) -> None:
    settings = {"store.folder": str(tmp_path), "learn.golden": "synthetic://hive?n=4&val=4"}
    settings.pop(missing)
    config = load_config(None, ["model.path=centernet-tiny", *(f"{k}={v}" for k, v in settings.items())])
    with pytest.raises(UsageError, match="Learning needs"):
        learnt_model(config, lambda _: None)
