"""Reports of several machines: matched by the files' bytes, side by side, and what cannot be compared is said."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from edgekit.benchmark.machine.environment import environment
from edgekit.benchmark.report.merging.match import merge
from edgekit.benchmark.report.merging.page import as_html, as_markdown
from edgekit.benchmark.report_file import write_report
from edgekit.benchmark.schema import Data, Failure, Report, Row
from edgekit.errors import InputError, UsageError
from tests.benchmark.conftest import made_report, made_row, noisy
from tests.conftest import Cli


def rows(middle: float) -> list[Row]:
    made = [made_row("net", noisy(0, middle)), made_row("net.int8", noisy(1, middle / 3), precision="int8")]
    for row, digit in zip(made, "ab", strict=True):
        row.sha256 = digit * 64
    return made


def on(cpu: str, middle: float, **more: Any) -> Report:
    env = {**environment(), "cpu": cpu, "gpu": None, "usable_cpus": 2, **more}
    return made_report(*rows(middle), environment=env)


@pytest.fixture
def two(tmp_path: Path) -> list[Path]:
    return written(tmp_path, on("A board", 40.0, versions={"onnxruntime": "1.20"}), on("A PC", 10.0))


def written(folder: Path, *reports: Report) -> list[Path]:
    paths = [folder / f"{i}.json" for i in range(len(reports))]
    for path, report in zip(paths, reports, strict=True):
        write_report(path, report)
    return paths


def test_machines_stand_side_by_side(two: list[Path]) -> None:
    merged = merge(two)
    (cases,) = merged.cases.values()
    assert [case.name for case in cases] == ["fp32", "int8"]
    ratio = cases[0].times_as_fast(1)
    assert ratio is not None
    assert ratio.low < 43.1 / 13.1 < ratio.high  # 3.1 ms of other stages, on both
    assert cases[0].times_as_fast(0) is not None
    (told,) = merged.summary()
    assert told.startswith("resnet18: int8 answers 2.")
    assert "times as fast on A PC (2 CPUs) as on A board (2 CPUs) [" in told
    assert "neither" not in told
    page = as_html(merged)
    for text in ("A board (2 CPUs): p50 ms", "A PC (2 CPUs): p50 ms", "Deploy int8", "Side by side", "0.json, sha256"):
        assert text in page, text
    assert "| fp32 | 43." in as_markdown(merged)


def test_what_cannot_be_compared_is_said(tmp_path: Path) -> None:
    first, other = (
        on("A board", 40.0, versions={"onnxruntime": "1.20"}),
        on("A PC", 10.0, versions={"onnxruntime": "1.32"}),
    )
    other.rows[1].status, other.rows[1].timing = "failed", None
    other.rows[1].failure = Failure(kind="X", what="It did not open.")
    other.settings = {"timed": 16}
    other.data = {"classification": Data(name="wasps", pictures=9, digest="e", made=False, timed=9)}
    other.complete = False
    told = "\n".join(merge(written(tmp_path, first, other)).apart)
    for text in (
        "net.int8 · onnxruntime: not of A PC (2 CPUs) (failed: It did not open.)",
        "other versions than A board (2 CPUs): onnxruntime 1.20 and 1.32",
        "other settings than A board (2 CPUs): timed",
        "accuracy of classification is of other pictures",
        "A PC (2 CPUs): the run was interrupted",
    ):
        assert text in told, told


def test_another_file_of_the_same_name_is_not_compared(tmp_path: Path) -> None:
    first, other = on("A board", 40.0), on("A PC", 10.0)
    other.rows[0].sha256 = "c" * 64
    merged = merge(written(tmp_path, first, other))
    assert [case.rows[0].name for cases in merged.cases.values() for case in cases if case.rows[0]] == [
        "net.int8 · onnxruntime"
    ]
    assert "another file of that name, cccccccccccc and not aaaaaaaaaaaa" in "\n".join(merged.apart)


def test_a_rejected_file_has_no_speed_here_either(two: list[Path], tmp_path: Path) -> None:
    report = on("A third", 5.0)
    for row in report.rows:
        row.verified = False
    (tmp_path / "more").mkdir()
    merged = merge([two[0], *written(tmp_path / "more", report)])
    assert all(case.times_as_fast(1) is None for cases in merged.cases.values() for case in cases)
    assert merged.summary() == []


def test_the_same_machine_twice_is_told_apart_by_file(tmp_path: Path) -> None:
    merged = merge(written(tmp_path, on("A board", 40.0), on("A board", 40.1)))
    assert len({machine.name for machine in merged.machines}) == 2
    assert "--compare tells more" in merged.apart[0]
    assert merged.summary()[0].endswith("which shows neither to be faster.")


def test_bad_input_is_refused(two: list[Path], tmp_path: Path, cli: Cli) -> None:
    with pytest.raises(UsageError, match="nothing to merge"):
        merge(two[:1])
    with pytest.raises(UsageError, match="twice"):
        merge([two[0], two[0]])
    apart = on("A PC", 10.0)
    for row in apart.rows:
        row.sha256 = row.sha256.replace("a", "d").replace("b", "e")
    (tmp_path / "more").mkdir()
    with pytest.raises(InputError, match="no case in common"):
        merge([two[0], *written(tmp_path / "more", apart)])
    (tmp_path / "broken.json").write_text("{")
    done = cli("bench", "--merge", two[0], tmp_path / "broken.json", "--out", tmp_path / "out")
    assert done.code != 0
    assert "broken.json cannot be read as a report" in done.err
    assert not (tmp_path / "out").exists()
    assert cli("bench", "--merge", *two, "--seconds", "3").code == 2


def test_the_command(two: list[Path], tmp_path: Path, cli: Cli) -> None:
    out = tmp_path / "out"
    done = cli("bench", "--merge", *two, "--out", out)
    assert done.code == 0, done.err
    assert done.out.startswith("# Several machines\n\nresnet18: int8 answers")
    assert sorted(path.name for path in out.iterdir()) == ["merged.html", "merged.md"]
    assert done.err.splitlines()[-1].startswith("next: ")
    assert "--force replaces it" in cli("bench", "--merge", *two, "--out", out).err
    plain = json.loads(cli("bench", "--merge", *two, "--out", out, "--force", "--format", "json").out)
    assert [len(case["p50_ms"]) for case in plain["cases"]] == [2, 2]
