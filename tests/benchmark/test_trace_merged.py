"""Every number on the page of several machines is in one of their bench.json, or worked out from two of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgekit.artifacts.onnx_file import file_sha256
from edgekit.benchmark.machine.environment import environment
from edgekit.benchmark.report.merging.match import merge
from edgekit.benchmark.report.merging.page import as_html
from edgekit.benchmark.report_file import write_report
from edgekit.benchmark.schema import Agreement, Expected, Report, Span
from tests.benchmark.conftest import made_report, made_row, noisy
from tests.benchmark.traced import Page, apart, content_of, holds, numbers, pool

Machines = tuple[list[Path], list[dict[str, Any]]]


def measured(cpu: str, cores: int, middle: float, seed: int) -> Report:
    rows = [
        made_row("net", noisy(seed, middle), hits=181),
        made_row("net.int8", noisy(seed + 1, middle / 3.37), hits=177, precision="int8"),
    ]
    for row, digit in zip(rows, "ab", strict=True):
        row.sha256 = digit * 64
        row.expected = Expected(by="another runtime", n=17, identical=17, passed=True, figures="max|d| 0")
    rows[1].agreement = Agreement(
        reference=rows[0].name, share=Span(value=0.957, low=0.9, high=0.99), p_value=0.0627,
        difference=Span(value=-0.025, low=-0.0517, high=0.0113), verdict="no difference shown",
    )  # fmt: skip
    env = {**environment(), "cpu": cpu, "gpu": None, "usable_cpus": cores, "memory_mb": 1237 * cores}
    return made_report(*rows, environment=env)


@pytest.fixture(scope="module")
def machines(tmp_path_factory: pytest.TempPathFactory) -> Machines:
    folder = tmp_path_factory.mktemp("machines")
    reports = measured("A board", 4, 47.3, 0), measured("A PC", 11, 8.9, 2), measured("A server", 29, 2.3, 4)
    files = [folder / f"{name}.json" for name in ("board", "pc", "server")]
    for file, report in zip(files, reports, strict=True):
        write_report(file, report)
    return files, [content_of(file.read_text()) for file in files]


def known(contents: list[dict[str, Any]]) -> np.ndarray:
    """What each report's own page may show, and each row beside the first machine's."""
    figures = [pool(content) for content in contents]
    first = contents[0]["rows"]
    for content in contents[1:]:
        figures += [apart(row, other) for row, other in zip(content["rows"], first, strict=True)]
    return np.unique(np.abs(np.concatenate([*figures, [len(contents)]])))


def shown(machines: Machines) -> list[tuple[str, str]]:
    files, contents = machines
    words = [*(f"sha256 {file_sha256(file)[:12]}" for file in files), *map(str, files)]  # digits alone are no word
    everything = {"rows": [row for content in contents for row in content["rows"]], "all": contents, "files": words}
    return numbers(Page(as_html(merge(files))).texts, everything)


def test_every_number_of_the_page_is_in_a_json(machines: Machines) -> None:
    found, figures = shown(machines), known(machines[1])
    assert len(found) > 80
    assert not [(n, text) for n, text in found if not holds(n, figures)]


def test_each_cell_is_its_row_s_figure_on_its_machine(machines: Machines) -> None:
    files, contents = machines
    cells = Page(as_html(merge(files))).cells
    for machine, content in zip(merge(files).machines, contents, strict=True):
        told = [text for label, text in cells if label == f"{machine.name}: p50 ms"]
        for text, row in zip(told, content["rows"], strict=True):
            span = row["timing"]["intervals"]["end_to_end.p50"]
            values = [row["timing"]["stages"]["end_to_end"]["p50"], span["low"], span["high"]]
            assert text.replace(",", "").split() == [f"{v:.2f}" for v in values]
    ratios = [text for label, text in cells if label == "times as fast"]
    rows = [[apart(one, base) for one in (other["rows"][i] for other in contents[1:])]
            for i, base in enumerate(contents[0]["rows"])]  # fmt: skip
    for text, (low, value, high) in zip(ratios, [ratio for row in rows for ratio in row], strict=True):
        assert text.replace(",", "").split() == [f"{v:.2f}" for v in (value, low, high)]


def test_what_was_expected_is_told_of_each(machines: Machines) -> None:
    page = as_html(merge(machines[0]))
    for machine in merge(machines[0]).machines:
        assert f'<span class="chip good">{machine.name}: 2 of 2 cases as expected</span>' in page


def test_a_number_that_is_not_in_them_is_found(machines: Machines) -> None:
    """Three figures or more, moved by half of what they are: few of those happen to be another figure."""
    figures = known(machines[1])
    some = [n for n, _ in shown(machines) if len(n.strip("-").replace(".", "")) > 2]
    moved = [f"{float(n) * 1.5137:.{max(2, len(n.partition('.')[2]))}f}" for n in some]
    assert len([n for n in moved if not holds(n, figures)]) > 0.7 * len(moved)
