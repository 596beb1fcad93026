"""An update that comes as a message is checked as any other, beside the camera."""

from __future__ import annotations

import threading
from pathlib import Path

from edgekit.camera.config import CameraConfig
from edgekit.updating.inbox import Inbox
from edgekit.updating.install import Taken, install
from edgekit.updating.record import last_outcome
from tests.updating.conftest import Hive, passes


def test_a_message_is_taken_once_and_leaves_nothing_lying_about(hive: Hive, package: Path) -> None:
    said: list[str] = []
    inbox = Inbox(lambda: hive.config, said.append, lambda path, config: install(path, config, passes))
    worker = inbox(package.read_bytes())
    assert worker is not None
    worker.join(60)
    assert said == ["update: better.onnx came as a message and passed its check: as asked"]
    assert hive.used() == "better.onnx"
    assert inbox(package.read_bytes()) is None, "retained, it comes again with each connection"
    assert not [path for path in hive.models.iterdir() if "update" in path.name and path.suffix != ".lock"]


def test_what_is_no_update_is_refused_in_a_line(hive: Hive) -> None:
    said: list[str] = []
    inbox = Inbox(lambda: hive.config, said.append)
    for payload in (b"", b"ON", b"x" * 100_000):
        worker = inbox(payload)
        assert worker is not None
        worker.join(60)
    assert len(said) == 3
    assert all(line.startswith("error: update: what came as a message was refused: ") for line in said)
    assert all("not a whole zip file" in line for line in said)
    assert last_outcome(hive.models)["outcome"] == "refused"


def test_while_one_is_checked_another_is_not_taken(hive: Hive) -> None:
    said: list[str] = []
    begun, go_on = threading.Event(), threading.Event()

    def slow(path: Path, config: CameraConfig) -> Taken:
        begun.set()
        assert go_on.wait(60)
        return install(path, config)

    inbox = Inbox(lambda: hive.config, said.append, slow)
    worker = inbox(b"one")
    assert worker is not None
    assert begun.wait(60)
    assert inbox(b"two") is None
    assert said == ["error: update: another one is being checked, and the message was not taken"]
    go_on.set()
    worker.join(60)
    assert inbox(b"two") is not None
