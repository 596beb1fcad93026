from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from edgekit.api.benching.parts import Parts, case
from edgekit.api.benching.suite import SuitePlaces, run_suite_file
from edgekit.benchmark.schema import Case, Report
from edgekit.benchmark.suite import group_cases, load_suite, run_suite
from edgekit.benchmark.tune import candidates, choose
from edgekit.data.classes.class_map import ClassMap
from edgekit.errors import UsageError, VerificationError
from tests.benchmark.conftest import made_report, made_row, noisy

SUITES = sorted((Path(__file__).parents[2] / "benchmarks" / "suites").glob("*.toml"))


@pytest.mark.parametrize("path", SUITES, ids=lambda p: p.stem)
def test_shipped_suites_can_be_read(path: Path) -> None:
    suite = load_suite(path)
    assert all(group_cases(matrix, Path("/models"), case) for matrix in suite.matrix)
    suite.settings()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('title = "x"\nsecnds = 3\n[[matrix]]\nmodels = ["a.onnx"]', ["secnds", "did you mean seconds?"]),
        (
            'title = "x"\n[[matrix]]\nmodels = ["a.onnx"]\nbackend = ["onnxruntime"]',
            ["backend", "did you mean backends?"],
        ),
        ('title = "x"', ["matrix"]),
        ('title = "x"\n[[matrix]]\nmodels = []', ["models"]),
        ("title = ", ["TOML"]),
    ],
)
def test_a_suite_with_a_wrong_key_says_which(text: str, words: list[str], tmp_path: Path) -> None:
    (tmp_path / "s.toml").write_text(text)
    with pytest.raises(UsageError) as caught:
        load_suite(tmp_path / "s.toml")
    assert all(word in str(caught.value) for word in words)


def test_a_matrix_is_every_combination_and_a_checkpoint_comes_once(tmp_path: Path) -> None:
    (tmp_path / "s.toml").write_text(
        'title = "x"\n[[matrix]]\nmodels = ["a.pth", "a.onnx"]\nbackends = ["onnxruntime", "openvino"]\nbatch = [1, 4]'
    )
    cases = group_cases(load_suite(tmp_path / "s.toml").matrix[0], Path("/m"), case)
    assert len(cases) == 2 + 4
    assert [c.backend for c in cases[:2]] == ["torch", "torch"]


def test_a_suite_names_classes_for_all_its_models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = 'title = "x"\n[map]\nbee = ["Bees", "drones"]\n"-" = "*"\n[[matrix]]\nmodels = ["a.onnx"]\n'
    (tmp_path / "s.toml").write_text(text)
    seen = []
    monkeypatch.setattr(Parts, "measure", lambda parts, *_: seen.append(parts.classes_map) or made_report())
    for places in (SuitePlaces(tmp_path), SuitePlaces(tmp_path, classes_map=ClassMap((("bee", "Biene"),)))):
        run_suite_file(tmp_path / "s.toml", places, tmp_path / "out", lambda report: None, False, False)
    assert [found.table() for found in seen] == [{"bee": ("Bees", "drones"), "-": ("*",)}, {"bee": ("Biene",)}]


def test_an_interrupted_suite_goes_on_where_it_was(tmp_path: Path) -> None:
    groups = [[Case(model=f"/none/{name}.onnx")] for name in "abc"]
    measured: list[str] = []
    written: list[Report] = []

    def bench(cases: Sequence[Case], done: Callable[[Report], None]) -> Report:
        name = Path(cases[0].model).stem
        measured.append(name)
        report = made_report(made_row(name, noisy(0)))
        done(report)
        if name == "b" and measured.count("b") == 1:
            raise KeyboardInterrupt
        return report

    with pytest.raises(KeyboardInterrupt):
        run_suite(groups, {}, tmp_path, bench, written.append)
    assert [row.name[0] for row in written[-1].rows] == ["a", "b"]  # what was measured is written down
    assert not written[-1].complete
    whole = run_suite(groups, {}, tmp_path, bench, written.append, resume=True)
    assert measured == ["a", "b", "b", "c"]
    assert [row.name[0] for row in whole.rows] == ["a", "b", "c"]
    assert whole.complete
    run_suite(groups, {"seconds": 3}, tmp_path, bench, written.append, resume=True)
    assert len(measured) == 7  # other settings: everything anew


def test_tune_takes_the_quickest_within_the_budget() -> None:
    rows = [
        made_row("net", noisy(0, 20.0), hits=180),
        made_row("net.int8", noisy(1, 5.0), hits=179, precision="int8"),
        made_row("net.int4", noisy(2, 2.0), hits=150, precision="int4"),
    ]
    report = made_report(*rows)
    found = choose(report, 0.5)
    assert found.case == rows[1].case
    assert found.drop == pytest.approx(0.5)
    assert [r.row for r in found.refused] == [rows[2].name]
    assert "points below" in found.refused[0].why
    assert choose(report, 0.4).case == rows[0].case
    assert choose(report, 30).case == rows[2].case
    assert found.to_dict()["artifact"] == "/models/net.int8.onnx"
    assert found.to_dict()["runtime"]["backend"] == "onnxruntime"


def test_tune_never_takes_an_unverified_file() -> None:
    quick = made_row("quick", noisy(1, 1.0))
    quick.verified = False
    report = made_report(made_row("net", noisy(0, 20.0)), quick)
    assert choose(report, 5).case == report.rows[0].case
    report.rows[0].timing = None
    with pytest.raises(VerificationError, match="budget"):
        choose(report, 5)


def test_tune_wants_to_know_what_is_right() -> None:
    row = made_row("net", noisy(0))
    row.accuracy = None
    with pytest.raises(VerificationError, match="accuracy of the reference"):
        choose(made_report(row), 0.5)


def test_candidates_are_worth_trying() -> None:
    backends = {"x": ["cpu"], "y": ["cpu"]}
    for_latency = candidates(["a.onnx"], backends, 4, "latency")
    assert {c.batch for c in for_latency} == {1}
    assert {c.threads for c in for_latency} == {0, 1}
    for_throughput = candidates(["a.onnx"], {"x": ["cpu"]}, 4, "throughput")
    assert {c.streams for c in for_throughput} == {1, 4}
    assert all(c.threads == 0 for c in for_throughput if c.streams > 1)  # a core each


def test_a_gpu_is_tried_once_and_an_engine_has_one_way_to_run() -> None:
    found = candidates(["a.onnx", "a.engine"], {"onnxruntime": ["cpu", "cuda"], "openvino": ["cpu"]}, 4, "latency")
    assert [(c.model, c.backend, c.provider, c.threads) for c in found] == [
        ("a.onnx", "onnxruntime", "cpu", 0),
        ("a.onnx", "onnxruntime", "cpu", 1),
        ("a.onnx", "onnxruntime", "cuda", 0),
        ("a.onnx", "openvino", "cpu", 0),
        ("a.onnx", "openvino", "cpu", 1),
        ("a.engine", "tensorrt", "cpu", 0),
    ]
