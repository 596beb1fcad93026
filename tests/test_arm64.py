"""edgekit on an emulated ARM processor answers as here, and what compares the two finds what differs."""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx.parser
import pytest

from edgekit.config.target import Limits

FOLDER = Path(__file__).parents[1] / "benchmarks" / "arm64"
EXACT = Limits(max_abs=1e-3, top1_agreement=1.0)
BOX = [1.0, 0.8, 10.0, 10.0, 50.0, 40.0]  # label, score, x1, y1, x2, y2


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """`script(NAME)` imports a file beside `run.py`."""
    monkeypatch.syspath_prepend(str(FOLDER))
    before = set(sys.modules)
    yield importlib.import_module
    for name in {"answers", "root"} & (set(sys.modules) - before):
        del sys.modules[name]


@pytest.mark.parametrize(
    ("change", "within"),
    [
        ({}, True),
        ({1: 0.8005}, True),
        ({1: 0.79}, False),  # beyond score_shift
        ({0: 0.0}, False),  # of another class
        ({4: 70.0}, False),  # elsewhere
    ],
)
def test_a_box_that_differs_is_found(script: Any, change: dict[int, float], within: bool) -> None:
    other = [change.get(i, value) for i, value in enumerate(BOX)]
    row = script("answers").detections("boxes", [np.array([BOX])], [np.array([other])], (0.3, 0.3), EXACT)
    assert (row.equal, not row.problem) == (0 if change else 1, within)


def test_a_box_that_one_alone_shows_is_found(script: Any) -> None:
    detections, none, one = script("answers").detections, np.zeros((0, 6)), np.array([BOX])
    for ours, theirs in ((one, none), (none, one)):
        assert detections("boxes", [ours], [theirs], (0.3, 0.3), EXACT).problem
    assert not detections("boxes", [one], [none], (0.9, 0.9), EXACT).problem  # nobody shows it


def test_another_first_class_is_found(script: Any) -> None:
    top = [{"label": "bee", "score": 0.6}, {"label": "hornet", "score": 0.4}]
    labels = script("answers").labels
    assert not labels("classes", [{"top": top}], [{"top": top}], EXACT).problem
    assert labels("classes", [{"top": top}], [{"top": top[::-1]}], EXACT).problem


BEGIN, MORE = "start bee 12:00:00Z 12:00:00Z None 3 3", "update bee 12:00:00Z 12:00:02Z None 2 9"


@pytest.mark.parametrize(
    ("other", "within"),
    [
        ([BEGIN, MORE], True),
        ([BEGIN, MORE.replace("None 2 9", "None 3 9")], True),  # a score at the threshold
        ([BEGIN, MORE.replace("None 2 9", "None 4 9")], False),
        ([BEGIN, MORE.replace("12:00:02Z", "12:00:03Z")], False),
        ([BEGIN, MORE.replace("bee", "hornet")], False),
        ([MORE, BEGIN], False),
        ([BEGIN], False),
    ],
)
def test_another_visit_is_found(script: Any, other: list[str], within: bool) -> None:
    row = script("answers").events("events", [BEGIN, MORE], other)
    assert (row.n, row.problem == "") == (2, within)
    assert (row.equal == 2) == (other == [BEGIN, MORE])


def test_a_node_that_computes_something_else_is_named(script: Any, tmp_path: Path) -> None:
    text = '<ir_version: 10, opset_import: ["" : 20]> g (float[2] x) => (float[2] z) { y = Abs(x) z = Exp(y) }'
    onnx.save(onnx.parser.parse_model(text), tmp_path / "graph.onnx")
    given = {"tensor|m|0|y": np.ones(2, np.float32), "tensor|m|0|z": np.ones(2, np.float32)}
    found = {**given, "tensor|m|0|z": np.array([1, 1.5], np.float32)}
    rows = script("answers").nodes(tmp_path / "graph.onnx", "m", found, given)
    assert [(row.what, row.n, row.equal) for row in rows] == [("m: 1 kinds of nodes", 1, 1), ("m: Exp", 1, 0)]
    assert "0.5 at most" in rows[1].differs


@pytest.mark.slow
def test_an_emulated_arm_answers_as_this_machine_does(script: Any, tmp_path: Path) -> None:
    if why := script("root").missing():
        pytest.skip(f"no ARM processor can be emulated: {why}")
    line = [sys.executable, str(FOLDER / "run.py"), "--made", "--out", str(tmp_path)]
    done = subprocess.run(line, capture_output=True, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"})
    print(done.stdout)
    assert done.returncode == 0, done.stdout + done.stderr
    rows = {row["what"]: row for row in json.loads((tmp_path / "report.json").read_text())["rows"]}
    assert rows["predict centernet-tiny, fp32"]["n"] >= 50
    assert rows["camera, frame by frame"]["n"] >= 300
    for exact in ("JPEG decoded", "resize bilinear, antialiased", "resize letterbox, antialiased", "made patterns"):
        assert rows[exact]["n"] == rows[exact]["equal"] > 0
    assert not [name for name in rows if "QLinearConv" in name]  # int8 convolutions are whole numbers everywhere


def test_where_nothing_is_emulated_it_says_so(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, str(FOLDER / "run.py"), "--out", str(tmp_path / "out")],
        capture_output=True, text=True, env={**os.environ, "PATH": str(tmp_path)},
    )  # fmt: skip
    assert done.returncode == 5
    assert "nothing was run: no qemu-aarch64-static" in done.stderr
    assert not (tmp_path / "out").exists()
