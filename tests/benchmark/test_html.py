"""The page: whole, closed to the network, escaped; and in a browser, where there is one, drawn without overflow."""

from __future__ import annotations

import re
import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from edgekit.benchmark.report.page import as_html
from edgekit.benchmark.report.rows import short_names
from edgekit.benchmark.report.text import as_csv, as_markdown
from edgekit.benchmark.report.winners import judged
from edgekit.benchmark.schema import (
    Agreement,
    Bounded,
    Cold,
    Expected,
    Failure,
    LayerCost,
    Layers,
    Peak,
    Report,
    Robustness,
    Scenario,
    Span,
    Steadiness,
)
from tests.benchmark.conftest import made_report, made_row, noisy

VOID = {"meta", "img", "br"}
BROWSER = shutil.which("chromium") or shutil.which("google-chrome")


@pytest.fixture(scope="module")
def report() -> Report:
    rows = [
        made_row("net", noisy(0, 456.0), hits=180),
        made_row("net.int8", noisy(1, 4.0), hits=176, precision="int8"),
        made_row("net.int8", noisy(2, 2.0), hits=176, precision="int8", backend="openvino"),
    ]
    rows[1].agreement = Agreement(
        reference=rows[0].name, share=Span(value=0.957, low=0.9, high=0.99), p_value=0.69, verdict="no difference shown"
    )
    corruptions = {k: [0.8, 0.7, 0.6, 0.5, 0.3] for k in ("noise", "fog")}
    for row in rows:
        row.cold = Cold(first_result=3131, load=100, peak_mb=150, steady_mb=120)
        row.robustness = Robustness(
            metric="top1", n=20, clean=0.9, corruptions=corruptions, average=0.58, worst=0.3,
            attacks={"fgsm": {"0": 0.9, "4": 0.1}},
        )  # fmt: skip
        made = [LayerCost(name=f"conv{i}", kind="Conv", ms=0.5, macs=10**7, bytes=10**5) for i in range(4)]
        row.expected = Expected(by="another", n=16, identical=16, passed=True, figures="max|d| 0")
        row.layers = Layers(source="a profiler", layers=made, total_ms=2.0, gmacs_per_second=20, share_of_peak=0.2)
    assert rows[2].expected is not None
    rows[2].expected = rows[2].expected.model_copy(update={"identical": 3, "passed": False, "problems": ["wrong"]})
    short = ["2.0 s of 600 s"]
    rows[1].scenarios = [
        Scenario(name="SingleStream", queries=200, samples=200, seconds=2, percentile=90, latency_ms=7.5,
                 throughput=140.0, short=short),
        Scenario(name="Offline", queries=1, samples=300, seconds=2, throughput=150.0, short=["2.1 s of 600 s"]),
    ]  # fmt: skip
    asked: dict[str, Any] = {"bound_ms": 50, "percentile": 90}
    bounded = [
        Bounded(model="net.onnx", runtime="onnxruntime", row="a", throughput=99.5, latency_ms=9.25, **asked),
        Bounded(model="net.int8.onnx", runtime="openvino", row=None, **asked),
    ]
    broken = made_row("gone <b>", noisy(3))
    broken.status, broken.timing = "failed", None
    broken.failure = Failure(kind="ArtifactError", what="It cannot be read.", got="<script>")
    rejected = made_row("rejected", noisy(4, 1.0))
    rejected.verified = False
    peak = Peak(gmacs={"fp32": 100.0, "int8": 400.0}, copy_gb=20.0, how="Measured.")
    return made_report(*rows, broken, rejected, peak=peak, bounded=bounded)


class Checker(HTMLParser):
    """Every tag that is opened is closed, and nothing is asked from elsewhere."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        for name, value in attrs:
            if name in ("src", "href"):
                assert value is not None
                assert value.startswith(("data:image/jpeg;base64,", "#"))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_the_page_is_whole_and_asks_nothing(report: Report) -> None:
    page = as_html(report)
    checker = Checker()
    checker.feed(page)
    assert checker.open == []
    assert "script" not in checker.tags
    assert "link" not in checker.tags
    assert not re.search(r"url\(|@import|https?://", page)
    assert "default-src 'none'" in page
    assert "A &lt;report&gt; &amp; its rows" in page
    assert "gone &lt;b&gt;" in page


def test_every_figure_is_there(report: Report) -> None:
    page = as_html(report)
    for title in (
        "top-1 against latency", "Latency distribution", "Over the time", "Where the time goes", "Per class",
        "What a camera meets", "What costs most", "By corruption", "Attack: FGSM", "Layer by layer: ",
        "Roofline", "Environment and method",
    ):  # fmt: skip
        assert f"<h3>{title}" in page or f">{title}</h2>" in page, title
    figures, left_out = page.count("<figure class="), page.count('<figure class="card screen"')
    assert page.count("<svg") == 3 * figures - left_out - page.count('<figure class="card full screen"')
    assert left_out == 1  # the table of corruptions has it
    assert "Not on paper: what costs most, over the time." in page
    assert page.index('class="decide"') < page.index('class="chips"')  # what to do comes first


def test_operations_are_of_several_nets() -> None:
    """One net in two precisions costs as many multiply-adds: there is nothing to see."""
    rows = [made_row("net", noisy(0)), made_row("net.int8", noisy(1), precision="int8")]
    assert "against operations" not in as_html(made_report(*rows))
    rows[1].model, rows[1].macs = "resnet34 3 classes 16x16", 3_600_000_000
    assert "<h3>top-1 against operations" in as_html(made_report(*rows))


def test_a_rejected_file_has_no_speed(report: Report) -> None:
    page = as_html(report)
    row = next(m for m in re.finditer(r"<tr>.*?</tr>", page) if "not verified" in m.group())
    assert "rejected" in row.group()
    assert "not verified: no speed shown" in row.group()
    assert row.group().count(">–</td>") == 13  # and no figure but accuracy
    names = short_names(report.rows)
    assert all(w.row.name != report.rows[-1].name for w in judged(report.rows, names).winners)
    markdown = next(line for line in as_markdown(report).splitlines() if "| rejected" in line)
    assert "not verified" in markdown
    cells = next(line for line in as_csv(report).splitlines() if line.startswith("rejected")).split(",")
    header = as_csv(report).splitlines()[0].split(",")
    assert cells[header.index("p50_ms")] == ""


def test_energy_is_not_zero(report: Report) -> None:
    assert "Energy: not measured" in as_html(report)
    assert "J/picture" not in as_html(report)
    assert "Energy: not measured" in as_markdown(report)
    timing = report.rows[0].timing
    assert timing is not None
    rows = [row.model_copy(deep=True) for row in report.rows]
    assert rows[0].timing is not None
    rows[0].timing.energy = {**timing.energy, "joules_per_inference": 0.5}
    assert '<td data-l="J/picture">0.5</td>' in as_html(report.model_copy(update={"rows": rows}))


def test_what_rows_were_held_against_stands_at_the_table(report: Report) -> None:
    page = as_html(report)
    assert '<span class="chip bad">2 of 3 cases as expected</span>' in page
    assert re.search(
        r"<li><b>net · \S+ · \w+, net\.int8 · [^<]*onnxruntime</b>: all 16 answers are those of another, bit for bit\.",
        page,
    )
    assert '<td data-l="SingleStream p90 ms">7.50<span class="iv">200 queries</span></td>' in page
    assert page.count('<td data-l="Offline samples/s">–</td>') == 3
    assert "SingleStream and Offline: by MLPerf Inference's rules, with less than they ask: 2.0 s of 600 s" in page
    assert "Most pictures a second: net.onnx · onnxruntime within 50 ms (p90 of a run): 99.5 pictures/s" in page
    assert "Not within 50 ms (p90 of a run), however measured: net.int8.onnx · openvino" in page
    bare = report.model_copy(update={"rows": [made_row("net", noisy(0))], "bounded": []})
    for words in ("as expected", "MLPerf", "a second: "):
        assert words not in as_html(bare)


def test_only_what_is_shown_to_be_best_has_a_card(report: Report) -> None:
    names = short_names(report.rows)
    found = judged(report.rows, names)
    cards = {w.goal: w for w in found.winners}
    assert cards["Quickest answer, p50"].row.case.backend == "openvino"
    assert re.fullmatch(
        r"1\.\d\d times as fast as .*onnxruntime \[1\.\d\d, 1\.\d\d\]", cards["Quickest answer, p50"].margin
    )
    assert "Most accurate" not in cards  # 180 and 176 of 200 are not told apart
    assert "most accurate (3 cases not told apart on 200 pictures)" in found.open
    assert "Smallest file" not in cards  # all are as large
    assert any(line.startswith("first result, memory") for line in found.open)  # measured once
    for average, shown in ((0.5, False), (0.1, True)):  # of 20 pictures
        rows = [row.model_copy() for row in report.rows[:2]]
        assert rows[1].robustness is not None
        rows[1].robustness = rows[1].robustness.model_copy(update={"average": average})
        assert ("Most robust" in {w.goal for w in judged(rows, short_names(rows)).winners}) == shown


def test_a_card_of_an_unsettled_machine_says_so() -> None:
    rows = [made_row("net", noisy(0, 20.0)), made_row("net.int8", noisy(1, 4.0), precision="int8")]
    assert rows[1].timing is not None
    assert 'class="tag warn">unstable' not in as_html(made_report(*rows)).split('class="table"')[0]
    rows[1].timing.stability = Steadiness(stable=False, findings=["it drifted"])
    card = re.search(r'<div class="win"><div class="goal">Quickest.*?</div>', as_html(made_report(*rows)))
    assert card is not None
    assert "unstable" in card.group()


def test_names_say_what_differs(report: Report) -> None:
    assert list(short_names(report.rows[:3]).values()) == [
        "fp32 · onnxruntime",
        "int8 · onnxruntime",
        "int8 · openvino",
    ]


@pytest.mark.skipif(BROWSER is None, reason="no Chromium here")
@pytest.mark.parametrize(("width", "shown"), [(1280, "wide"), (700, "narrow"), (390, "narrow")])
def test_in_a_browser_nothing_overflows(report: Report, width: int, shown: str, tmp_path: Path) -> None:
    """In a frame of that width, since a window of Chromium is never narrower than 500 pixels."""
    assert BROWSER is not None
    probe = """<script>addEventListener("load",()=>{const bad=[];let drawn=0;
    document.querySelectorAll("svg").forEach(s=>{const f=s.getBoundingClientRect();if(!f.width)return;drawn++;
      s.querySelectorAll("text").forEach(t=>{const b=t.getBoundingClientRect();
        if(b.left<f.left-3||b.right>f.right+3||b.top<f.top-3||b.bottom>f.bottom+3)bad.push(t.textContent)})});
    const wide=document.documentElement.scrollWidth>innerWidth||
      [...document.querySelectorAll(".wins,.grid,.table")].some(e=>e.scrollWidth>e.clientWidth);
    const asked=performance.getEntriesByType("resource").filter(r=>!r.name.startsWith("data:")).length;
    parent.postMessage(JSON.stringify({bad,drawn,wide,asked,width:innerWidth}),"*")})</script>"""
    frame = f"""<!doctype html><body style="margin:0"><script>addEventListener("message",m=>{{
    document.body.innerHTML="<pre>RESULT "+m.data+"</pre>"}})</script>
    <iframe src="page.html" style="border:0;width:{width}px;height:4000px"></iframe>"""
    page = (
        as_html(report)
        .replace("default-src 'none'", "script-src 'unsafe-inline'")
        .replace("</body>", probe + "</body>")
    )
    (tmp_path / "page.html").write_text(page)
    (tmp_path / "frame.html").write_text(frame)
    done = subprocess.run(
        [BROWSER, "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
         "--disable-background-networking", "--disable-component-update", "--disable-sync", "--hide-scrollbars",
         f"--user-data-dir={tmp_path / 'profile'}", "--window-size=1300,900", "--virtual-time-budget=3000",
         "--dump-dom", f"file://{tmp_path / 'frame.html'}"],
        capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    found = re.search(r"RESULT (\{.*?\})</pre>", done.stdout)
    assert found, done.stderr[-500:]
    assert f'"width":{width}' in found.group(1)
    assert '"bad":[]' in found.group(1), found.group(1)
    assert '"wide":false' in found.group(1)
    assert '"asked":0' in found.group(1)
    assert int(re.search(r'"drawn":(\d+)', found.group(1)).group(1)) == as_html(report).count(f'class="{shown}"')  # type: ignore[union-attr]
