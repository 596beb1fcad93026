"""`edgekit bench` and `edgekit tune` on a small exported net: what they print, write and return."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import onnx
import pytest

from edgekit import loading
from edgekit.artifacts.onnx_file import embed, read_onnx
from edgekit.benchmark import run as bench_run
from edgekit.benchmark.report_file import read_report
from edgekit.config.schemes import scheme_named
from edgekit.graph.passes.space_to_depth import SpaceToDepth
from edgekit.predictor import Predictor
from edgekit.quantize.place import quantize
from edgekit.quantize.plan import plan

QUICK = ("--iterations", 60, "--turns", 4, "--warmup", 0.3, "--no-cold")


@pytest.fixture(scope="module")
def labelled(tmp_path_factory: pytest.TempPathFactory, spec: Any) -> Path:
    """Pictures with labels of the model's classes."""
    from PIL import Image

    from edgekit.data import made_pictures

    folder = tmp_path_factory.mktemp("labelled")
    lines = ["file,class_index"]
    for i, sample in enumerate(made_pictures(14, seed=4)):
        Image.fromarray(sample.read()[::2, ::2, ::-1].copy()).save(folder / f"{i}.png")
        lines.append(f"{i}.png,{i % len(spec.classes)}")
    (folder / "labels.csv").write_text("\n".join(lines) + "\n")
    return folder


@pytest.fixture(scope="module")
def base(cli: Any, good: Path, labelled: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("base")
    done = cli("bench", good, "--data", labelled, "--out", out, *QUICK)
    assert done.code == 0, done.text
    return out


def test_a_report_in_four_forms(base: Path) -> None:
    report = read_report(base / "bench.json")
    (row,) = report.rows
    assert report.complete
    assert row.timing is not None
    assert row.timing.stages["end_to_end"].n == 60 == sum(len(b.end_to_end) for b in row.timing.blocks)
    assert row.accuracy is not None
    assert row.accuracy.n == 14
    assert row.verified is True
    assert row.timing.energy["source"]
    assert report.data["classification"].pictures == report.data["classification"].measured == 14
    for name in ("bench.html", "bench.md", "bench.csv"):
        assert (base / name).stat().st_size > 200
    assert sorted(p.name for p in base.iterdir()) == ["bench.csv", "bench.html", "bench.json", "bench.md"]


def test_json_says_what_to_deploy(cli: Any, good: Path, tmp_path: Path) -> None:
    printed = json.loads(cli("bench", good, "--out", tmp_path, *QUICK, "--format", "json").out)
    (told,) = printed["decisions"]
    assert told["text"].startswith("tiny.onnx · onnxruntime is the only case: ")
    assert told["text"] in (tmp_path / "bench.md").read_text().replace("**", "")
    content = json.loads((tmp_path / "bench.json").read_text())
    assert content["decisions"] == printed["decisions"]
    del content["decisions"]  # as reports were before
    (tmp_path / "older.json").write_text(json.dumps(content))
    assert read_report(tmp_path / "older.json").decisions == []


def test_a_cold_start_is_one_of_a_process(cli: Any, good: Path, tmp_path: Path) -> None:
    done = cli("bench", good, "--out", tmp_path, "--iterations", 8, "--turns", 2, "--warmup", 0.1)
    assert done.code == 0, done.text
    (row,) = read_report(tmp_path / "bench.json").rows
    assert row.cold is not None
    assert row.cold.error is None
    assert row.cold.first_result > row.cold.load + row.cold.import_ > row.cold.import_ > 0
    assert row.cold.first_result > 50  # an interpreter starts, and numpy and the runtime are imported
    assert 30 < row.cold.steady_mb <= row.cold.peak_mb < 2000


def test_the_next_line_names_a_made_set_as_it_was_typed(cli: Any, tmp_path: Path) -> None:
    made = "synthetic://hive?n=2&val=2"  # of which Path drops a slash
    done = cli("bench", "centernet-tiny", "--data", made, "--out", tmp_path, *QUICK)
    assert done.code == 0, done.text
    assert f"--data '{made}'" in done.err.splitlines()[-1]
    refused = cli("eval", "centernet-tiny", "--data", "synthetic://hive?bees=2")
    assert "synthetic://hive?bees=2 is not a data set that edgekit makes." in refused.err


def test_a_report_is_not_replaced_unasked(cli: Any, good: Path, base: Path) -> None:
    done = cli("bench", good, "--out", base, *QUICK)
    assert done.code == 1
    assert "--force" in done.err


def test_what_fails_keeps_its_reason_and_the_others_go_on(cli: Any, good: Path, tmp_path: Path) -> None:
    broken = tmp_path / "broken.onnx"
    broken.write_bytes(good.read_bytes()[:1000])
    done = cli(
        "bench", broken, good, "--backend", "onnxruntime", "--backend", "nonsense", "--out", tmp_path / "o", *QUICK
    )
    assert done.code == 1
    rows = {row.name: row for row in read_report(tmp_path / "o" / "bench.json").rows}
    assert {row.status for row in rows.values()} == {"ok", "failed"}
    assert rows["tiny.onnx · onnxruntime"].timing is not None
    failed = rows["tiny.onnx · nonsense"]
    assert failed.timing is None
    assert failed.failure is not None
    assert failed.failure.kind == "BackendError"
    assert "Unknown backend" in (tmp_path / "o" / "bench.html").read_text()


def test_a_slower_model_ends_with_4(cli: Any, good: Path, labelled: Path, base: Path, tmp_path: Path) -> None:
    """Slower than a report that has a thirtieth of its times: more than a busy machine does by itself."""
    content = json.loads((base / "bench.json").read_text())
    for block in content["rows"][0]["timing"]["blocks"]:
        block["end_to_end"] = [ms / 30 for ms in block["end_to_end"]]
    (tmp_path / "quick.json").write_text(json.dumps(content))
    words = ("bench", good, "--data", labelled, *QUICK, "--compare", tmp_path / "quick.json")
    done = cli(*words, "--fail-on", "p50>+15%,top1<-0.5", "--out", tmp_path / "o")
    assert done.code == 4, done.text
    assert "regression" in done.err


def test_a_worse_model_ends_with_4_and_other_settings_are_refused(
    cli: Any, good: Path, labelled: Path, base: Path, tmp_path: Path
) -> None:
    content = json.loads((base / "bench.json").read_text())
    content["rows"][0]["accuracy"]["metrics"]["top1"]["value"] += 0.01
    (tmp_path / "better.json").write_text(json.dumps(content))
    words = ("bench", good, "--data", labelled, *QUICK, "--fail-on", "top1<-0.5")
    assert cli(*words, "--compare", tmp_path / "better.json", "--out", tmp_path / "a").code == 4
    assert cli(*words, "--compare", base / "bench.json", "--out", tmp_path / "b").code == 0
    content["environment"]["cpu"] = "another processor"
    (tmp_path / "other.json").write_text(json.dumps(content))
    refused = cli(*words, "--compare", tmp_path / "other.json", "--out", tmp_path / "c")
    assert refused.code == 1
    assert "another processor" in refused.err
    assert (tmp_path / "c" / "bench.json").exists()  # what was measured is not lost


@pytest.mark.parametrize(
    "words",
    [(), ("x.onnx", "--suite", "s.toml"), ("x.onnx", "--fail-on", "p95>+5%"), ("x.onnx", "--iterations", "0")],
)
def test_usage(cli: Any, words: tuple[str, ...], tmp_path: Path) -> None:
    assert cli("bench", *words, "--out", tmp_path / "o").code == 2


def test_a_suite(cli: Any, good: Path, tmp_path: Path) -> None:
    suite = tmp_path / "s.toml"
    suite.write_text(
        'title = "two groups"\nseconds = 0.3\nturns = 2\nwarmup = 0.1\ntimed = 4\ncold = false\naccuracy = 0\n'
        f'[[matrix]]\nmodels = ["{good.name}"]\n[[matrix]]\nmodels = ["{good.name}", "missing.onnx"]\nbatch = [2]\n'
    )
    words = ("bench", "--suite", suite, "--models", good.parent, "--out", tmp_path / "o")
    assert cli(*words).code == 1
    report = read_report(tmp_path / "o" / "bench.json")
    assert [row.status for row in report.rows] == ["ok", "ok", "failed"]
    again = cli(*words, "--resume")
    assert again.err.count("measured before") == 2
    assert read_report(tmp_path / "o" / "bench.json").rows == report.rows


def test_tune_writes_what_to_run(
    cli: Any, good: Path, labelled: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bench_run, "blocks_for", lambda model, backend: f"made for another than {backend}")
    done = cli("tune", good, "--data", labelled, "--seconds", 0.4, "--backend", "onnxruntime", "--out", tmp_path / "o")
    assert done.code == 0, done.text
    found = json.loads((tmp_path / "o" / "deployment.json").read_text())
    assert (tmp_path / "o" / found["artifact"]).resolve() == good.resolve()
    assert not Path(found["artifact"]).is_absolute()  # the two can be moved together
    assert found["runtime"]["backend"] == "onnxruntime"
    assert found["drop"] == 0
    assert "best: tiny.onnx" in done.out
    assert "doubtful: tiny.onnx: made for another than onnxruntime" in done.out
    assert cli("tune", good, "--out", tmp_path / "o").code == 1  # not replaced unasked


@pytest.mark.slow
def test_what_tune_wrote_is_a_model_for_the_other_commands(
    cli: Any, good: Path, labelled: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "hive").mkdir()
    model = tmp_path / "hive" / "tiny.onnx"
    shutil.copyfile(good, model)
    words = ("--data", labelled, "--seconds", 0.2, "--backend", "openvino", "--out", tmp_path / "hive" / "tuned")
    assert cli("tune", model, *words).code == 0
    (tmp_path / "hive").rename(tmp_path / "moved")
    deployment = tmp_path / "moved" / "tuned" / "deployment.json"
    asked: list[Any] = []
    opened = loading.Predictor.from_artifact

    def noted(artifact: Any, backend: str, **options: Any) -> Any:
        asked.append(backend)
        return opened(artifact, backend, **options)

    monkeypatch.setattr(loading.Predictor, "from_artifact", noted)
    done = cli("eval", deployment, "--data", labelled)
    assert done.code == 0, done.text
    assert asked == ["openvino"]
    done = cli("eval", deployment, "--data", labelled, "--threads", 2)
    assert (done.code, "says itself" in done.err) == (2, True)
    (tmp_path / "moved" / "tiny.onnx").write_bytes(good.read_bytes() + b" ")
    done = cli("eval", deployment, "--data", labelled)
    assert (done.code, "not the file that was tuned" in done.err) == (5, True)
    assert cli("bench", deployment, "--data", labelled, *QUICK, "--out", tmp_path / "b").code == 5
    (tmp_path / "moved" / "tiny.onnx").write_bytes(good.read_bytes())
    done = cli("bench", deployment, "--data", labelled, *QUICK, "--out", tmp_path / "b")
    assert done.code == 0, done.text
    row = read_report(tmp_path / "b" / "bench.json").rows[0]
    assert (row.case.backend, Path(row.case.model).name, row.verified) == ("openvino", "tiny.onnx", True)


def test_streams_share_a_session(cli: Any, good: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[int] = []
    real = Predictor.from_artifact

    def noted(artifact: Any, backend: str, **options: Any) -> Any:
        opened.append(options["streams"])
        return real(artifact, backend, **options)

    monkeypatch.setattr(Predictor, "from_artifact", noted)
    done = cli("bench", good, "--streams", 1, "--streams", 2, "--pictures", 0, *QUICK, "--out", tmp_path / "b")
    assert done.code == 0, done.text
    assert opened == [1, 2]


def test_a_graph_laid_out_for_another_runtime_is_said_to_be(cli: Any, good: Path, tmp_path: Path) -> None:
    artifact = read_onnx(good)
    tensors = plan(artifact.model, scheme_named("int8-x86")).tensors
    rounded = quantize(artifact.model, dict.fromkeys(tensors, (0.5, 0)), "int8-x86")
    assert SpaceToDepth()(rounded.model)
    embed(rounded.model, replace(artifact.metadata, precision="int8-x86"))
    onnx.save(rounded.model, tmp_path / "small.onnx")
    shutil.copyfile(tmp_path / "small.onnx", tmp_path / "other.onnx")
    files = (tmp_path / "small.onnx", tmp_path / "other.onnx")
    done = cli("bench", *files, "-b", "openvino", "-b", "onnxruntime", "-o", tmp_path / "o", *QUICK)
    assert done.code == 0, done.text
    notes = [note for note in read_report(tmp_path / "o" / "bench.json").notes if "x86-openvino" in note]
    assert [note.partition(":")[0] for note in notes] == ["small.onnx", "other.onnx"]
