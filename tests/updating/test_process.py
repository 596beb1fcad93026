"""A model that kills the camera's process: as systemd starts it again after 5 s, it has the old model."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from edgekit.updating.install import install
from tests.camera.conftest import wait_for
from tests.updating.conftest import made_hive, passes

RESTART = 5.0  # seconds, RestartSec of the unit
# the check did not find it: a frame of the real camera kills the runtime
CRASHES = """
import os, signal
from dataclasses import replace
from edgekit.api import watching
from edgekit.cli.app import main
opened = watching.open_model
class Deadly:
    needs_motion = several = False
    def look(self, frame, motion):
        os.kill(os.getpid(), signal.SIGSEGV)
def open_model(config, say):
    found = opened(config, say)
    return replace(found, make=lambda *_: Deadly()) if found.info["name"] == "better.onnx" else found
watching.open_model = open_model
main()
"""


class Unit:
    """The camera's process with its log, started again as often as it dies."""

    def __init__(self, toml: Path, folder: Path) -> None:
        self._toml, self._folder, self._starts = toml, folder, 0
        self.start()

    def start(self) -> None:
        self._starts += 1
        self.events, self.log = (self._folder / f"{self._starts}.{kind}" for kind in ("events", "log"))
        words = [sys.executable, "-c", CRASHES, "camera", str(self._toml), "--json-lines"]
        with self.events.open("w") as out, self.log.open("w") as err:
            self.process = subprocess.Popen(words, stdout=out, stderr=err)

    def sees_with(self) -> str:
        """The name of the model of the last event."""
        lines = [line for line in self.events.read_text().splitlines() if line.endswith("}")]
        return str(json.loads(lines[-1])["model"]["name"]) if lines else ""

    def status(self) -> dict[str, Any]:
        """What its page answers."""
        (address,) = [line.split()[1] for line in self.log.read_text().splitlines() if line.startswith("page: ")]
        with urllib.request.urlopen(f"{address}api/status", timeout=60) as answer:
            found: dict[str, Any] = json.load(answer)
        return found

    def end(self) -> None:
        self.process.terminate()
        assert self.process.wait(30) == 0, self.log.read_text()


@pytest.mark.slow
def test_it_is_back_within_half_a_minute(good: Path, package: Path, key: Path, tmp_path: Path) -> None:
    hive = made_hive(good, key, tmp_path / "store")
    toml = tmp_path / "hive.toml"
    toml.write_text(
        f'[source]\nuri = "synthetic://hive?seed=1&fps=5"\nreal_time = true\n[model]\npath = "{good}"\n'
        f'[store]\nfolder = "{tmp_path / "store"}"\n[update]\nkeys = {json.dumps(list(hive.config.update.keys))}\n'
        "[web]\nenabled = true\nport = 0\n"
        "[visits]\nmin_score = 0\nthreshold = 0.01\ncooldown = 0\nend_after = 0.5\nupdate_every = 0.5\n"
    )
    unit = Unit(toml, tmp_path)
    try:
        wait_for(lambda: unit.sees_with() == "tiny.onnx")
        install(package, hive.config, passes)
        begun = time.monotonic()
        assert unit.process.wait(60) == -signal.SIGSEGV
        time.sleep(RESTART)
        unit.start()
        wait_for(lambda: unit.sees_with() == "tiny.onnx")
        took = time.monotonic() - begun
        assert "given back: the process ended without a word" in unit.log.read_text()
        told = unit.status()["update"]
        assert (told["outcome"], told["model"]) == ("returned", "better.onnx")
        assert "without a word" in told["why"]
        assert hive.used() == "tiny.onnx"
        print(f"back after {took:.1f} s")
        assert took < 30
        unit.end()
    finally:
        unit.process.kill()
        unit.process.wait()
