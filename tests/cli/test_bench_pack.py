"""`edgekit bench --pack`, and the pack measured: accuracy as from its sources, and answers as they were there."""

from __future__ import annotations

import hashlib
import io
import shutil
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgekit.benchmark.report_file import read_report
from tests.benchmark.pack.test_pack import rewritten
from tests.cli.test_bench_command import QUICK, labelled

__all__ = ["labelled"]


@pytest.fixture(scope="module")
def pack(cli: Any, good: Path, labelled: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("pack") / "p.zip"
    done = cli("bench", good, "--data", labelled, "--pack", out, *QUICK)
    assert done.code == 0, done.text
    assert "1 model, 14 pictures" in done.out
    assert f"bench {out}" in done.text, "the next command measures it"
    return out


def test_a_pack_is_measured_where_nothing_else_is(
    cli: Any, good: Path, labelled: Path, pack: Path, tmp_path: Path
) -> None:
    moved = tmp_path / "board" / "moved.zip"
    moved.parent.mkdir()
    shutil.copyfile(pack, moved)
    done = cli("bench", moved, "--out", tmp_path / "o", "-b", "onnxruntime", "-b", "openvino")
    assert done.code == 0, done.text
    report = read_report(tmp_path / "o" / "bench.json")
    same, other = report.rows
    assert same.case.model == "models/tiny.onnx"
    assert same.expected is not None
    assert other.expected is not None
    assert (same.expected.n, same.expected.identical, same.expected.passed) == (14, 14, True)
    assert other.expected.passed
    assert report.pack is not None
    assert report.pack.name == "moved.zip"
    assert sorted(p.name for p in (tmp_path / "o").iterdir())[:-1] == [
        f"bench.{kind}" for kind in ("csv", "html", "json", "md")
    ], "it is unpacked only while it is measured"
    assert "all 14 answers are those of onnxruntime" in done.out
    usual = cli("bench", good, "--data", labelled, "--out", tmp_path / "u", *QUICK)
    assert usual.code == 0
    source = read_report(tmp_path / "u" / "bench.json")
    assert source.rows[0].accuracy == same.accuracy
    assert source.data["classification"].digest == report.data["classification"].digest


def test_a_packs_report_is_of_the_pictures_that_its_source_measured(
    cli: Any, good: Path, labelled: Path, tmp_path: Path
) -> None:
    """A pack holds those that are measured and no more, so that its whole is a part of the source."""
    rows = (labelled / "labels.csv").read_text().splitlines()
    (tmp_path / "many").mkdir()
    for turn in range(3):
        for i in range(14):
            shutil.copyfile(labelled / f"{i}.png", tmp_path / "many" / f"{turn}-{i}.png")
    named = [f"{turn}-{row}" for turn in range(3) for row in rows[1:]]
    (tmp_path / "many" / "labels.csv").write_text("\n".join([rows[0], *named]) + "\n")
    words = ("bench", good, "--data", tmp_path / "many", "--pictures", 33, *QUICK)
    assert cli(*words, "--pack", tmp_path / "p.zip").code == 0
    assert cli(*words, "--out", tmp_path / "here").code == 0
    assert cli("bench", tmp_path / "p.zip", "--out", tmp_path / "board").code == 0
    reports = [read_report(tmp_path / name / "bench.json") for name in ("here", "board")]
    here, board = (report.data["classification"] for report in reports)
    assert (here.pictures, board.pictures, here.measured, board.measured) == (42, 33, 33, 33)
    assert here.same_pictures(board)
    assert board.same_pictures(here)
    places = [tmp_path / name / "bench.json" for name in ("here", "board")]
    merged = cli("bench", "--merge", *places, "--out", tmp_path / "merged")
    assert merged.code == 0, merged.text
    assert "other pictures" not in merged.text
    old = here.model_copy(update={"measured_digest": None})  # as a report was written before
    assert old.same_pictures(here)
    assert not old.same_pictures(board)
    assert not here.same_pictures(board.model_copy(update={"measured": 32}))


def test_other_answers_end_with_3_and_without_a_speed(cli: Any, pack: Path, tmp_path: Path) -> None:
    changed = tmp_path / "c.zip"
    shutil.copyfile(pack, changed)
    with zipfile.ZipFile(changed) as archive:
        held = dict(np.load(io.BytesIO(archive.read("expected/tiny.npz"))))
    held["logits"][3] = held["logits"][3][::-1]
    stream = io.BytesIO()
    np.savez(stream, **held)
    data = stream.getvalue()

    def change(manifest: dict[str, Any]) -> None:
        manifest["files"]["expected/tiny.npz"] = {"sha256": hashlib.sha256(data).hexdigest(), "bytes": len(data)}

    rewritten(changed, change, **{"expected/tiny.npz": data})
    done = cli("bench", changed, "--out", tmp_path / "o")
    assert done.code == 3, done.text
    (row,) = read_report(tmp_path / "o" / "bench.json").rows
    assert row.timing is None
    assert row.failure is not None
    assert row.failure.kind == "VerificationError"
    assert row.expected is not None
    assert row.expected.identical == 13
    assert "13 of 14 answers" in done.text


def test_resume_takes_what_was_measured(cli: Any, pack: Path, tmp_path: Path) -> None:
    assert cli("bench", pack, "--out", tmp_path / "o").code == 0
    again = cli("bench", pack, "--out", tmp_path / "o", "--resume")
    assert again.code == 0, again.text
    assert "measured before" in again.err
    assert cli("bench", pack, "--out", tmp_path / "o").code == 1, "not replaced unasked"


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (("--data", "x"), "--data"),
        (("--split", "val"), "--split"),
        (("other.onnx",), "alone"),
        (("--suite", "s.toml"), "either models or a suite"),
    ],
)
def test_what_a_pack_has_itself_is_not_asked(
    cli: Any, pack: Path, tmp_path: Path, words: tuple[str, ...], why: str
) -> None:
    done = cli("bench", pack, *words, "--out", tmp_path / "o")
    assert (done.code, why in done.err) == (2, True), done.text


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (("--resume",), "--resume"),
        (("--compare", "b.json"), "--compare"),
        (("--out", "o"), "--out"),
    ],
)
def test_what_is_measured_is_not_asked_of_packing(
    cli: Any, good: Path, tmp_path: Path, words: tuple[str, ...], why: str
) -> None:
    done = cli("bench", good, "--pack", tmp_path / "p.zip", *words)
    assert (done.code, why in done.err) == (2, True), done.text
    assert not (tmp_path / "p.zip").exists()


def test_a_checkpoint_is_not_packed(cli: Any, checkpoint: Path, tmp_path: Path) -> None:
    done = cli("bench", checkpoint, "--pack", tmp_path / "p.zip")
    assert (done.code, "edgekit export" in done.err) == (2, True), done.text
    assert cli("bench", tmp_path / "missing.onnx", "--pack", tmp_path / "p.zip").code == 2
    assert cli("bench", checkpoint, "--pack", tmp_path / "p.tar").code == 2


def test_another_model_in_the_pack_is_refused(cli: Any, pack: Path, tmp_path: Path) -> None:
    changed = tmp_path / "c.zip"
    shutil.copyfile(pack, changed)
    rewritten(changed, **{"models/tiny.onnx": b"x"})
    done = cli("bench", changed, "--out", tmp_path / "o")
    assert (done.code, "tiny.onnx has 1 bytes" in done.err) == (5, True), done.text
