"""A camera that runs takes an update, and has the old model back soon where the new one is no good."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from edgekit.api.watching import open_model
from edgekit.artifacts.onnx_file import file_sha256
from edgekit.camera.config import CameraConfig
from edgekit.camera.detect.detectors import Detector
from edgekit.camera.detect.motion import Motion
from edgekit.camera.rules import Model
from edgekit.updating.install import install
from edgekit.updating.record import last_outcome, read_record
from edgekit.updating.trial import seen_of
from edgekit.updating.watch import Watch
from edgekit.vision.image import Frame
from edgekit.vision.results import Detections
from tests.camera.conftest import wait_for
from tests.camera.test_runtime import Running, moving
from tests.conftest import Cli
from tests.updating.conftest import Hive, made_hive, passes

SOON = ("update.trial_minutes=0.02", "update.trial_looks=5", "source.frozen_after=60", "rate.fps=20")
SURE = ("visits.min_score=0", "visits.threshold=0.01", "visits.cooldown=0", "visits.end_after=0.5")


class Watched(Running):
    """A camera in this process whose updates are looked after."""

    def __init__(self, hive: Hive, opened: Callable[[CameraConfig], Model] | None = None) -> None:
        self.watch = Watch(hive.models, lambda: hive.config, lambda line: self.said.append(line))
        super().__init__(hive.config, opened or (lambda config: open_model(config, lambda line: None)), moving)

    def __enter__(self) -> Watched:
        super().__enter__()
        camera = self.camera
        self.watch.start(
            lambda: seen_of(camera.model_sha256, [camera.lookout.health], camera.config.motion),
            lambda: camera.reload(camera.config),
        )
        return self

    def __exit__(self, *error: object) -> None:
        super().__exit__(*error)
        self.watch.stop(orderly=True)

    def heard(self, text: str) -> bool:
        return any(text in line for line in self.said)


class Broken(Detector):
    """Raises, or hangs for a time that no trial lasts."""

    def __init__(self, hangs: float) -> None:
        self._hangs = hangs

    def look(self, frame: Frame, motion: Motion | None) -> Detections:
        time.sleep(self._hangs)
        raise RuntimeError("the new one cannot do it")


@pytest.fixture
def hive(good: Path, key: Path, tmp_path: Path) -> Hive:
    return made_hive(good, key, tmp_path / "store", *SOON, *SURE)


def test_it_takes_the_new_model_without_a_restart_and_keeps_it(hive: Hive, package: Path, newer: Path) -> None:
    with Watched(hive) as running:
        wait_for(lambda: running.camera.lookout.health.inferred > 3)
        install(package, hive.config, passes)
        wait_for(lambda: running.heard("better.onnx is kept"))
        assert running.camera.model_sha256 == file_sha256(newer)
        wait_for(lambda: running.events[-1]["model"]["name"] == "better.onnx")
    assert read_record(hive.models).trial is None


def test_a_model_that_fails_there_is_given_back_within_half_a_minute(hive: Hive, package: Path, good: Path) -> None:
    def opened(config: CameraConfig) -> Model:
        found = open_model(config, lambda line: None)
        broken = found.info["name"] == "better.onnx"
        return replace(found, make=lambda *_: Broken(0)) if broken else found

    with Watched(hive, opened) as running:
        wait_for(lambda: running.camera.lookout.health.inferred > 3)
        install(package, hive.config, passes)
        took = wait_for(lambda: running.heard("is given back: it failed on"))
        took += wait_for(lambda: running.camera.model_sha256 == file_sha256(good))
        looked = running.camera.lookout.health.inferred
        took += wait_for(lambda: running.camera.lookout.health.inferred > looked)
    assert took < 30
    assert hive.used() == "tiny.onnx"


@pytest.mark.parametrize("why", ["cannot be opened", "does not fit the rules"])
def test_a_model_that_cannot_be_opened_is_given_back_at_once(
    why: str, hive: Hive, package: Path, good: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It passed its check, and still: then the camera goes on with the one before, at a start too."""
    from edgekit import loading
    from edgekit.api import watching

    real, made = loading.open_model, watching.make_rules

    def refuses(path: Path, *rest: object) -> object:
        if Path(path).name == "better.onnx" and why == "cannot be opened":
            raise RuntimeError("no such kernel")
        return real(path, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(loading, "open_model", refuses)
    if why != "cannot be opened":

        def no_rules(*_: object) -> object:
            raise ValueError("no such label")

        monkeypatch.setattr(watching, "make_rules", no_rules)
    install(package, hive.config, passes)
    said: list[str] = []
    model = open_model(hive.config, said.append)
    assert model.info["sha256"] == file_sha256(good)
    assert said[0].startswith("error: update: better.onnx is given back: ")
    assert last_outcome(hive.models)["outcome"] == "returned"
    monkeypatch.setattr(watching, "make_rules", made)
    model.close()


def test_one_that_was_kept_and_cannot_be_opened_any_more_is_passed_over(
    hive: Hive, package: Path, good: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As an engine after the system's TensorRT was replaced."""
    from edgekit import loading
    from edgekit.updating.record import keep

    keep(hive.models, install(package, hive.config, passes).new.ident)
    real = loading.open_model

    def refuses(path: Path, *rest: object) -> object:
        if Path(path).name == "better.onnx":
            raise RuntimeError("another version")
        return real(path, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(loading, "open_model", refuses)
    said: list[str] = []
    assert open_model(hive.config, said.append).info["sha256"] == file_sha256(good)
    assert said == ["error: update: better.onnx is passed over: RuntimeError: another version"]


def test_signing_and_updating_as_they_are_typed(
    cli: Cli, good: Path, newer: Path, pictures: Path, key: Path, tmp_path: Path
) -> None:
    signed = cli("camera", "--sign", key, "--model", newer, "--source", pictures, "--out", tmp_path / "updates")
    assert signed.code == 0, signed.text
    assert "better.update (better.onnx, 8 golden pictures)" in signed.out
    keys = signed.out.splitlines()[1].partition("[update] ")[2]
    toml = tmp_path / "hive.toml"
    text = f'[source]\nuri = "synthetic://hive?seed=1&frames=12"\n[model]\npath = "{good}"\n'
    toml.write_text(f'{text}[store]\nfolder = "{tmp_path / "store"}"\n[update]\n{keys}\n')
    before = cli("camera", toml, "--json-lines", *("--set", "visits.min_score=0", "--set", "visits.threshold=0.01"))
    assert before.code == 0, before.text
    assert '"name": "tiny.onnx"' in before.out
    taken = cli("camera", toml, "--update", tmp_path / "updates" / "better.update")
    assert taken.code == 0, taken.text
    assert "checked: 8 golden pictures" in taken.out
    assert "on trial" in taken.out
    after = cli("camera", toml, "--json-lines", *("--set", "visits.min_score=0", "--set", "visits.threshold=0.01"))
    assert after.code == 0, after.text
    assert '"name": "better.onnx"' in after.out
    again = cli("camera", toml, "--update", tmp_path / "updates" / "better.update")
    assert again.code == 5, again.text
    assert "on trial" in again.err


@pytest.mark.parametrize("left", ["--model", "--source", "--out"])
def test_signing_says_what_is_missing(
    left: str, cli: Cli, good: Path, pictures: Path, key: Path, tmp_path: Path
) -> None:
    words = {"--model": good, "--source": pictures, "--out": tmp_path}
    given = [word for name, value in words.items() if name != left for word in (name, value)]
    outcome = cli("camera", "--sign", key, *given)
    assert outcome.code == 2, outcome.text
    assert f"no {left}" in outcome.err
