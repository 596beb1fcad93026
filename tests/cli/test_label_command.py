"""`edgekit label` from the command line: the page is there until it is stopped, and what was said is told."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import threading
import urllib.request
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import edgekit
from edgekit.errors import UsageError
from tests.conftest import Cli
from tests.labels.folders import BOX, pictures

pytest.importorskip("uvicorn")
pytest.importorskip("starlette")


def answered(line: str) -> None:
    """Says over the page of which `line` tells the address that the first picture shows one object."""
    found = re.search(r"http://\S+/", line)
    assert found is not None
    body = {"revision": 0, "labels": {"marks": [{"box": BOX, "label": 0}], "done": True}}
    request = urllib.request.Request(
        f"{found[0]}api/pictures/1", json.dumps(body).encode(), {"Content-Type": "application/json"}, method="PUT"
    )
    with urllib.request.urlopen(request) as answer:
        assert answer.status == 200


def test_from_python(tmp_path: Path) -> None:
    until, lines = threading.Event(), []

    def say(line: str) -> None:
        lines.append(line)
        if "has the page" in line:
            answered(line)
            until.set()

    done = edgekit.label(pictures(tmp_path), classes=["bee"], port=0, until=until, say=say)
    assert (done.pictures, done.done, done.boxes, done.out) == (3, 1, {"bee": 1}, tmp_path)
    assert edgekit.label(str(tmp_path), port=0, seconds=0).to_dict() == done.to_dict()


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
def test_it_ends_by_a_signal(tmp_path: Path, how: signal.Signals) -> None:
    words = ["label", str(pictures(tmp_path / "hive")), "--classes", "bee", "--port", "0", "--format", "json"]
    with subprocess.Popen(
        [sys.executable, "-m", "edgekit", *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        env={**os.environ, "EDGEKIT_DEBUG": ""},
    ) as process:  # fmt: skip
        assert process.stderr is not None
        answered(next(line for line in process.stderr if "has the page" in line))
        process.send_signal(how)
        out, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    told = {
        "out": str(tmp_path / "hive"),
        "pictures": 3,
        "done": 1,
        "boxes": {"bee": 1},
        "quality": None,
        "accepted": 0,
    }
    assert json.loads(out) == told
    assert err.splitlines()[-1].startswith("next: ")


def test_text(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "names.txt").write_text("bee\nhornet\n")
    words = (pictures(tmp_path / "hive"), "--classes", tmp_path / "names.txt", "--seconds", 0, "--port", 0)
    done = cli("label", *words)
    assert done.code == 0, done.text
    assert done.out.splitlines() == ["0 of 3 pictures are done: bee 0, hornet 0", str(tmp_path / "hive")]


def test_what_is_asked_wrongly(cli: Cli, tmp_path: Path) -> None:
    hive = pictures(tmp_path / "hive")
    for words, text in (
        (("--host", "0.0.0.0"), "needs a token"),
        (("--host", "0.0.0.0", "--token", "short"), "16 characters"),
        (("--classes", "bee,,hornet"), "list of names"),
        (("--classes", "bee,bee"), "list of names"),
    ):
        done = cli("label", hive, "--port", 0, "--seconds", 0, *words)
        assert done.code == 2, done.text
        assert text in done.err
    assert cli("label", tmp_path / "gone", "--port", 0).code == 1
    with pytest.raises(UsageError):
        edgekit.label(hive, host="::", port=0)


def test_present_and_absent_folders(cli: Cli, tmp_path: Path) -> None:
    """A red square is what only present pictures have; nobody drew a box."""
    rng = np.random.default_rng(0)
    for i in range(8):
        for side in ("hornet", "absent"):
            frame = rng.integers(90, 110, (60, 80, 3), np.uint8)
            if side == "hornet":
                frame[20:34, 10 + 4 * i : 24 + 4 * i] = (200, 30, 30)
            (tmp_path / side).mkdir(exist_ok=True)
            Image.fromarray(frame).save(tmp_path / side / f"{side}{i}.png")
    done = cli("label", tmp_path, "--folders", "--seconds", 0.1, "--port", 0, "--format", "json")
    assert done.code == 0, done.text
    assert json.loads(done.out)["done"] == 8
    assert json.loads(done.out)["boxes"] == {"hornet": 0}
    assert {p.name for p in tmp_path.rglob("*.txt")} == {"edgekit-labelled.txt", *(f"absent{i}.txt" for i in range(8))}
    done = cli("label", tmp_path, "--absent", "hornets", "--seconds", 0, "--port", 0)
    assert done.code == 2
    assert "not clear" in done.err
    words = ("--folders", "--model", "centernet-tiny", "--out", tmp_path / "other", "--format", "json")
    done = cli("label", tmp_path, "--seconds", 0.1, "--port", 0, *words)
    assert done.code == 0, done.text
    assert json.loads(done.out)["done"] == 8
    assert json.loads(done.out)["boxes"] == {"hornet": 0}  # a bee of the model's is none of this set
