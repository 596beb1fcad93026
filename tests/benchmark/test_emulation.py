"""Where the processor is emulated, accuracy is measured and speed is not, and it is said."""

from __future__ import annotations

import json
from pathlib import Path

import onnx.parser
import pytest

from edgekit.benchmark.machine import emulation
from edgekit.benchmark.machine.emulation import emulator
from tests.conftest import Cli

QEMU = "/usr/bin/qemu-aarch64-static"


def links(root: Path, told: str, real: str) -> Path:
    for which, program in (("self", told), ("thread-self", real)):
        (root / "proc" / which).mkdir(parents=True)
        (root / "proc" / which / "exe").symlink_to(program)
    return root


@pytest.fixture
def emulated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The processes' own links, as qemu-user gives them."""
    links(tmp_path / "links", "/usr/bin/python3.11", QEMU)
    read = Path.readlink

    def readlink(path: Path) -> Path:
        return read(tmp_path / "links" / path.relative_to("/")) if path.parts[:2] == ("/", "proc") else read(path)

    monkeypatch.setattr(Path, "readlink", readlink)


def test_an_emulator_is_named_and_a_processor_is_none(tmp_path: Path) -> None:
    python = "/usr/bin/python3.11"
    assert emulator(links(tmp_path / "emulated", python, QEMU)) == "qemu-aarch64-static"
    assert emulator(links(tmp_path / "real", python, python)) is None
    assert emulator(tmp_path / "no links") is None
    assert emulator() is None


@pytest.mark.usefixtures("emulated")
def test_bench_gives_accuracy_and_no_speed(cli: Cli, tmp_path: Path) -> None:
    out = tmp_path / "bench"
    done = cli("bench", "centernet-tiny", "--data", "synthetic://hive?n=1&val=4", "--layers", "--out", out)
    assert done.code == 0, done.text
    report = json.loads((out / "bench.json").read_text())
    assert report["environment"]["emulated"] == "qemu-aarch64-static"
    assert report["peak"] is None
    (row,) = report["rows"]
    assert row["accuracy"]["n"] > 0
    assert [row[name] for name in ("timing", "cold", "layers")] == [None] * 3
    for text in (done.text, (out / "bench.html").read_text()):
        assert "emulated by qemu-aarch64-static" in text
        assert "no speed" in text


@pytest.mark.usefixtures("emulated")
def test_what_gives_nothing_but_speed_is_refused(cli: Cli, tmp_path: Path) -> None:
    model = onnx.parser.parse_model(
        '<ir_version: 10, opset_import: ["" : 20]> g (float[1, 3, 8, 8] x) => (float[1, 3, 8, 8] y) { y = Abs(x) }'
    )
    onnx.save(model, foreign := tmp_path / "foreign.onnx")
    for words in (("tune", "centernet-tiny", "--out", tmp_path / "tuned"), ("bench", foreign)):
        done = cli(*words)
        assert done.code == 5, done.text
        assert "emulated by qemu-aarch64-static" in done.err
    assert not (tmp_path / "tuned").exists()


@pytest.mark.usefixtures("emulated")
def test_doctor_says_so(cli: Cli) -> None:
    assert "emulated      by qemu-aarch64-static" in cli("doctor").out
    assert json.loads(cli("doctor", "--format", "json").out)["machine"]["emulated"] == "qemu-aarch64-static"


def test_doctor_is_silent_about_a_real_one(cli: Cli) -> None:
    assert "emulated" not in cli("doctor").out
    emulation.require_real_processor()
