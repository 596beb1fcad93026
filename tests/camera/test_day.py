"""Hours of a camera in seconds: it does not grow, leaves nothing open, and writes little; and a leak would be seen.

`python -m pytest -s -m slow tests/camera/test_day.py` prints the figures; a whole day is `python -m tests.camera.day`.
"""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("uvicorn")
pytestmark = pytest.mark.slow


def hours_of(tmp_path: Path, *words: str) -> dict[str, Any]:
    """What came of them."""
    out = tmp_path / "day.json"
    done = subprocess.run([sys.executable, "-m", "tests.camera.day", "--out", str(out), *words], timeout=600,
                          capture_output=True, text=True, cwd=Path(__file__).parents[2])  # fmt: skip
    assert done.returncode == 0, done.stderr
    print(done.stdout)
    found: dict[str, Any] = json.loads(out.read_text())
    return found


def test_busy_hours_leave_nothing_behind(tmp_path: Path) -> None:
    found = hours_of(tmp_path, "--hours", "2", "--visits", "14", "--fps", "0.5", "--clips")
    assert found["looks"] == pytest.approx(2 * 3600 * 0.5, rel=0.01)
    assert 10 <= found["rows"]["visits"] <= 14
    assert found["posted"] == found["events"] == found["rows"]["events"]
    assert found["rows"]["outbox"] == 0
    assert found["restarts"] == found["dropped"] == {}
    assert [line for line in found["said"] if not line.startswith("camera online")] == []
    assert found["uss_mb_per_hour"] <= 2
    assert max(found["threads"]) - min(found["threads"]) <= 1  # the page's own, of which it begins some when asked
    assert max(found["fds"]) - min(found["fds"]) <= 2  # a database that is being read
    assert 1 < found["written_mb"] < 60


def test_what_is_left_behind_is_seen(tmp_path: Path) -> None:
    plants = [word for what in ("memory", "thread", "file") for word in ("--plant", what)]
    found = hours_of(tmp_path, "--hours", "0.5", "--visits", "10", "--fps", "0.5", *plants)
    assert found["uss_mb_per_hour"] > 5
    assert max(found["threads"]) - min(found["threads"]) > 5
    assert max(found["fds"]) - min(found["fds"]) > 5
