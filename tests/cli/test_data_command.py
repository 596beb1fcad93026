"""`edgekit data`: what it prints, in words and as JSON, its conversions, and what it refuses."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

import edgekit
from edgekit.data import load_dataset
from tests.conftest import Cli

HIVE = "synthetic://hive?n=4&val=2&height=96&width=128"


def test_a_set_in_words_and_as_json(cli: Cli) -> None:
    done = cli("data", HIVE)
    assert done.code == 0, done.text
    lines = done.out.splitlines()
    assert lines[0].startswith("hive?n=4&val=2&height=96&width=128: made, 6 pictures, ")
    assert lines[1].startswith("  train: 4 pictures, ")
    assert "  sizes: 128 x 96 (6)" in lines
    told = json.loads(cli("data", HIVE, "--format", "json").out)
    assert told["splits"]["val"]["pictures"] == 2
    assert told["classes"] == ["bee", "hornet"]
    assert {k: v for k, v in told.items() if k != "data"} == json.loads(json.dumps(edgekit.data_report(HIVE).to_dict()))


def test_a_conversion_says_what_it_wrote_and_the_boxes_are_the_same(cli: Cli, tmp_path: Path) -> None:
    done = cli("data", HIVE, "--to", "voc", "--out", tmp_path / "voc")
    assert done.code == 0, done.text
    assert "voc: voc, train 4 pictures and" in done.out
    done = cli("data", tmp_path / "voc", "--to", "coco", "--out", tmp_path / "coco", "--format", "json")
    told = json.loads(done.out)
    assert (told["layout"], told["pictures"], told["lost"]) == ("coco", {"train": 4, "val": 2}, [])
    for split in ("train", "val"):
        for one, other in zip(
            load_dataset(HIVE, split=split), load_dataset(tmp_path / "coco", split=split), strict=True
        ):
            assert one.boxes is not None
            assert other.boxes is not None
            assert np.abs(np.sort(one.boxes, axis=0) - np.sort(other.boxes, axis=0)).max(initial=0) <= 1e-6


def test_a_map_and_a_share_held_out(cli: Cli, tmp_path: Path) -> None:
    words = ("--split", "all", "--val-share", "0.4", "--map", "insect=bee,-=hornet", "--to", "yolo")
    done = cli("data", HIVE, *words, "--out", tmp_path / "out")
    assert done.code == 0, done.text
    assert "left out by the map" in done.err
    assert "held out by group" in done.err
    report = edgekit.data_report(tmp_path / "out")
    assert (report.classes, sorted(report.splits)) == (("insect",), ["train", "val"])
    assert sum(one.pictures for one in report.splits.values()) == 6


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("--to", "yolo"), 2, "--out DIR"),
        (("--out", "x"), 2, "--to yolo, coco or voc"),
        (("--link",), 2, "--to yolo"),
        (("--val-share", "0.2"), 2, "--to yolo"),
        (("--group", "a"), 2, "--val-share"),
        (("--to", "yolo", "--out", "x", "--sheet", "s.png"), 2, "--sheet"),
        (("--to", "yolo", "--out", "x", "--val-share", "0.2"), 2, "held out already"),
        (("--split", "night"), 1, "no such split"),
        (("--sheet", "s.bmp"), 2, ".png"),
    ],
)
def test_what_makes_no_sense_is_refused(
    cli: Cli, words: tuple[str, ...], code: int, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    done = cli("data", HIVE, *words)
    assert done.code == code, done.text
    assert said in done.err
    assert list(tmp_path.iterdir()) == []


def test_what_is_there_is_not_written_over(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    done = cli("data", HIVE, "--to", "coco", "--out", tmp_path)
    assert done.code == 1
    assert "exists already" in done.err
    assert [p.name for p in tmp_path.iterdir()] == ["mine.txt"]
