"""A configuration that is read again under way: what lies at the model's path by then is what looks, or it is said."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from edgekit.artifacts.onnx_file import file_sha256
from edgekit.camera.config import CameraConfig
from edgekit.camera.looking.changes import Change, Changes
from edgekit.camera.looking.held_model import HeldModel
from edgekit.camera.rules import Model
from edgekit.camera.runtime import Camera, OpenModel
from edgekit.cli.camera import _deployed, open_model
from edgekit.errors import ArtifactError, UsageError
from edgekit.loading import model_path
from tests.camera.conftest import SpotDetector, config_of, wait_for
from tests.camera.test_runtime import Running, live_config, moving

pytest.importorskip("onnxruntime")
SURE = ("visits.min_score=0", "visits.threshold=0.01", "visits.cooldown=0", "visits.end_after=0.5")


@pytest.fixture(scope="module")
def other() -> Path:
    """The shipped detector: other bytes than `good`, other classes but for bee and hornet."""
    return model_path(Path("centernet-tiny"))


class Watching(Running):
    """A camera with a model from its file."""

    def __init__(self, config: CameraConfig, opened: OpenModel = open_model) -> None:
        super().__init__(config, opened, moving)

    def reloaded(self, config: CameraConfig) -> str:
        """What is said of a reload, after which it still looks."""
        before = len(self.said)
        self.camera.reload(config)
        wait_for(lambda: any("configuration" in line for line in self.said[before:]), 20)
        looked = self.camera.lookout.health.inferred
        wait_for(lambda: self.camera.lookout.health.inferred > looked + 3, 20)
        assert self.camera.lookout.health.model_problem == ""
        return next(line for line in self.said[before:] if "configuration" in line)


def file_config(path: Path, *changes: str) -> CameraConfig:
    return _deployed(live_config(f"model.path={path}", *SURE, *changes))


def put(source: Path, place: Path) -> None:
    """As one replaces a file: whole at once."""
    shutil.copy(source, place.with_suffix(".new"))
    place.with_suffix(".new").replace(place)


def test_a_model_replaced_at_its_path_is_taken(good: Path, other: Path, tmp_path: Path) -> None:
    model = tmp_path / "hive.onnx"
    put(good, model)
    config = file_config(model)
    with Watching(config) as running:
        wait_for(lambda: bool(running.events), 20)
        assert running.reloaded(config) == "configuration taken"  # the same bytes
        put(other, model)
        said = running.reloaded(config)
        old, new = file_sha256(good), file_sha256(other)
        assert said == f"configuration taken; the model is hive.onnx ({new[:12]}), was hive.onnx ({old[:12]})"
        wait_for(lambda: running.events[-1]["model"]["sha256"] == new, 20)
    # a visit is told to its end with the model that saw it
    for ident in {event["id"] for event in running.events}:
        assert len({e["model"]["sha256"] for e in running.events if e["id"] == ident}) == 1


def test_a_broken_or_missing_file_leaves_the_model_at_work_and_says_so(good: Path, tmp_path: Path) -> None:
    model = tmp_path / "hive.onnx"
    put(good, model)
    config = file_config(model)
    with Watching(config) as running:
        wait_for(lambda: running.camera.lookout.health.inferred > 0, 20)
        for content in (good.read_bytes()[:-1000], b"", None):
            model.unlink()
            if content is not None:
                model.write_bytes(content)
            said = running.reloaded(file_config(model, "visits.update_every=7"))
            assert said.startswith("error: the configuration was not taken, and all goes on as it was: ")
            assert str(model) in said
            assert running.camera.config == config
        put(good, model)
        assert running.reloaded(config) == "configuration taken"


def test_a_model_of_other_classes_is_refused_where_rules_name_labels(good: Path, other: Path, tmp_path: Path) -> None:
    closed: list[str] = []

    def noted(config: CameraConfig) -> Model:
        opened = open_model(config)
        return Model(opened.make, opened.classes, opened.thresholds, opened.info,
                     lambda: closed.append(opened.info["sha256"]), opened.replaced)  # fmt: skip

    model = tmp_path / "hive.onnx"
    put(good, model)
    named = file_config(model, "visits.labels=['moth']")
    with Watching(named, noted) as running:
        wait_for(lambda: running.camera.lookout.health.inferred > 0, 20)
        put(other, model)
        said = running.reloaded(named)
        assert "labels that the model does not have" in said
        assert "moth" in said
        assert closed == [file_sha256(other)]  # not the one at work
        assert file_sha256(other)[:12] in running.reloaded(file_config(model, "visits.labels=['hornet']"))
        assert closed == [file_sha256(other), file_sha256(good)]


def test_a_deployment_written_anew_at_its_path_is_taken(good: Path, other: Path, tmp_path: Path) -> None:
    model, deployment = tmp_path / "hive.onnx", tmp_path / "deployment.json"

    def deploy(source: Path, threads: int) -> None:
        put(source, model)
        runtime = {"backend": "onnxruntime", "provider": "cpu", "threads": threads}
        content = {"format": 1, "artifact": model.name, "sha256": file_sha256(model), "runtime": runtime}
        deployment.write_text(json.dumps(content))

    deploy(good, 1)
    with Watching(file_config(deployment)) as running:
        wait_for(lambda: running.camera.lookout.health.inferred > 0, 20)
        deploy(other, 1)
        assert file_sha256(other)[:12] in running.reloaded(file_config(deployment))
        deploy(other, 2)
        assert "configuration taken" in running.reloaded(file_config(deployment))
        assert running.camera.config.model.threads == 2
        put(good, model)  # and its deployment.json is still the other's
        with pytest.raises(ArtifactError, match="not the file that was tuned"):
            file_config(deployment)


def test_an_engine_is_its_plan_and_what_its_sidecar_says(tmp_path: Path) -> None:
    from edgekit.updating.install import bytes_at

    plan, sidecar = tmp_path / "a.engine", tmp_path / "a.engine.json"
    plan.write_bytes(b"plan")
    sidecar.write_text("{}")
    first = bytes_at(plan)
    sidecar.write_text("{ }")
    assert bytes_at(plan) != first
    sidecar.unlink()
    with pytest.raises(ArtifactError, match="cannot be read as a model"):
        bytes_at(plan)


@pytest.mark.parametrize("error", [RuntimeError("session"), MemoryError(), UsageError("no")])
def test_whatever_opening_raises_the_loop_goes_on(error: Exception) -> None:
    answers = iter([None, error])

    def opened(config: CameraConfig) -> Model:
        if (answer := next(answers)) is not None:
            raise answer
        return _model()

    with Running(live_config(), opened, moving) as running:
        wait_for(lambda: running.camera.lookout.health.inferred > 3, 5)
        running.camera.reload(live_config())
        wait_for(lambda: any("was not taken" in line for line in running.said), 5)
        looked = running.camera.lookout.health.inferred
        wait_for(lambda: running.camera.lookout.health.inferred > looked + 3, 5)


def test_a_signal_while_a_file_is_half_there_ends_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    import signal

    from edgekit.cli import camera as command

    said: list[str] = []
    monkeypatch.setattr(command, "say", said.append)
    handlers: dict[int, Any] = {}
    monkeypatch.setattr(signal, "signal", lambda number, handler: handlers.update({number: handler}))

    def read() -> CameraConfig:
        raise OSError("stale file handle")

    camera = Camera(config_of("source.uri=rtsp://127.0.0.1:1/x"), lambda _: _model(), say=said.append)
    command._on_signals(camera, read)
    handlers[signal.SIGHUP]()
    assert "stale file handle" in said[-1]


def _model() -> Model:
    info = {"name": "a.onnx", "sha256": "0" * 64, "precision": "fp32"}
    return Model(lambda c, floor: SpotDetector(), ("bee", "hornet"), (), info, replaced=lambda: True)


def test_a_change_that_a_newer_one_replaces_lets_its_model_go() -> None:
    """A loop that hangs takes neither; the model of the first would else be open until the camera ends."""
    closed: list[str] = []
    first, second = (HeldModel(_closing(name, closed)) for name in ("first", "second"))
    changes = Changes()
    for model in (first, second):
        changes.put(Change(None, None, model))  # type: ignore[arg-type]
        model.release()  # of who opened it
    assert closed == ["first"]
    assert changes.pending
    with changes.taken() as change:
        assert change is not None
        assert change.model is second
        assert changes.pending
    assert not changes.pending
    assert closed == ["first"]


def _closing(name: str, closed: list[str]) -> Model:
    return Model(lambda config, floor: SpotDetector(), ("bee",), (), {}, close=lambda: closed.append(name))
