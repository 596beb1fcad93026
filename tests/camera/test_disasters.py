"""Full disk, deleted folder, read-only remount, a lock of 12 s, a damaged database: detection and deliveries go on.

`python -m pytest -s -m slow tests/camera/test_disasters.py` prints what docs/faults.md has.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
UNSHARE = ["unshare", "-Urm"]


@pytest.mark.slow
@pytest.mark.parametrize("fault", ["full", "deleted", "read_only", "locked", "damaged"])
def test_what_happens_to_the_disk_stops_nothing(fault: str) -> None:
    if shutil.which("unshare") is None or subprocess.run([*UNSHARE, "true"], capture_output=True).returncode:
        pytest.skip("needs namespaces, in which a small disk can be mounted")
    command = [*UNSHARE, sys.executable, "-m", "tests.camera.disasters", fault]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=180)
    assert done.returncode == 0, done.stderr[-2000:]
    found = json.loads(done.stdout.splitlines()[-1])
    print({key: value for key, value in found.items() if key != "said"})
    assert found["meanwhile"]["looks"] > 20
    assert found["meanwhile"]["told"] > 5
    assert found["meanwhile"]["sent"] > 5
    assert found["ready_after"] <= 60
    assert found["integrity"] == "ok"
    assert found["in_order"]
    assert found["told"] == found["kept"] + found["lost"]
    assert found["lost"] == 0 or any("lost" in line or "gone" in line for line in found["said"])
    if fault not in ("deleted", "damaged"):
        assert found["lost"] == 0
