"""The page on paper: three models with everything that is measured are five full pages of A4 at most."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from edgekit.benchmark.report.layers import PRINTED
from edgekit.benchmark.report.page import as_html
from edgekit.benchmark.schema import (
    Agreement,
    Disagreement,
    LayerCost,
    Layers,
    Operating,
    Peak,
    Report,
    Robustness,
    Row,
    Span,
)
from tests.benchmark.conftest import made_report, made_row, noisy

BROWSER = shutil.which("chromium") or shutil.which("google-chrome")
KINDS = ("noise", "defocus", "motion_blur", "brightness", "contrast", "fog", "jpeg", "pixelate")
PICTURE = "R0lGODlhAQABAIAAAP///wAAACwAAAAAAQABAAACAkQBADs="  # one white pixel


def four(model: str, seed: int, attacks: bool) -> list[Row]:
    """Two precisions on two runtimes."""
    cases = [(precision, backend) for precision in ("fp32", "int8-x86") for backend in ("onnxruntime", "openvino")]
    rows = []
    for i, (precision, backend) in enumerate(cases):
        file = model if precision == "fp32" else f"{model}.int8-x86"
        row = made_row(file, noisy(seed + i, 40.0 / (i + 1)), precision=precision, backend=backend)
        at = [Operating(threshold=0.1 * k, recall=1 - 0.1 * k, precision=0.1 + 0.09 * k) for k in range(10)]
        assert row.accuracy is not None
        row.accuracy.curves = {} if attacks else {"bee": at, "hornet": at}
        row.model, row.sha256 = f"{model} 3 classes 224x224", file
        curve = {"0": 0.9, "1": 0.6, "4": 0.2, "8": 0.1}
        kinds = ("fgsm", "pgd", "patch") if attacks else ()
        row.robustness = Robustness(
            metric="top1", n=20, clean=0.9, corruptions={kind: [0.8, 0.7, 0.6, 0.5, 0.3] for kind in KINDS},
            average=0.58, worst=0.3, attacks=dict.fromkeys(kinds, curve), attacked=dict.fromkeys(kinds, 20),
        )  # fmt: skip
        layers = [LayerCost(name=f"stage{k}.conv", kind="Conv", ms=1 + k / 10, macs=10**7, bytes=10**5,
                            node=f"stage{k}.conv", error=0.01) for k in range(40)]  # fmt: skip
        row.layers = Layers(source=backend, layers=layers, total_ms=120.0, gmacs_per_second=20, share_of_peak=0.2)
        if i:
            worst = [Disagreement(picture=f"{k}.jpg", truth="a bee", reference="a bee", candidate="hornet", weight=0.5,
                                  jpeg=PICTURE) for k in range(6)]  # fmt: skip
            share = Span(value=0.96, low=0.9, high=0.99)
            verdict = "no difference shown"
            row.agreement = Agreement(reference=rows[0].name, share=share, p_value=0.7, verdict=verdict, worst=worst)
        rows.append(row)
    return rows


@pytest.fixture(scope="module")
def report() -> Report:
    peak = Peak(gmacs={"fp32": 100.0, "int8": 400.0}, copy_gb=20.0, how="Measured.")
    models = ("resnet18", "centernet", "mobile")
    return made_report(*(row for i, m in enumerate(models) for row in four(m, 4 * i, attacks=not i)), peak=peak)


@pytest.mark.skipif(BROWSER is None, reason="no Chromium here")
def test_three_models_are_five_pages(report: Report, tmp_path: Path) -> None:
    assert BROWSER is not None
    (tmp_path / "page.html").write_text(as_html(report))
    subprocess.run(
        [BROWSER, "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking",
         f"--user-data-dir={tmp_path / 'profile'}", "--no-pdf-header-footer", f"--print-to-pdf={tmp_path / 'page.pdf'}",
         f"file://{tmp_path / 'page.html'}"],
        check=True, capture_output=True, timeout=120,
    )  # fmt: skip
    pages = len(re.findall(rb"/Type /Page\b(?!s)", (tmp_path / "page.pdf").read_bytes()))
    assert 4 <= pages <= 5


def test_what_paper_leaves_out_is_said(report: Report) -> None:
    page = as_html(report)
    left = 12 - PRINTED
    assert page.count(f"the next {left} are on the page and in bench.json") == 6  # two tables a model
    assert page.count('<tr class="screen"><td>') == 6 * left
    assert page.count('<p class="note onpaper">3 more on the page.</p>') == 9
    assert page.count("Not on paper: precision and recall, what costs most, over the time.") == 2
