"""`edgekit.evaluate`, `verify`, `bench` and `train` give what the commands print."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import edgekit
from edgekit.benchmark.report.decision import decisions
from edgekit.data import made_pictures
from edgekit.errors import DataError, EdgekitError, UsageError
from tests.conftest import Cli

HIVE = "synthetic://hive?n=8&val=4"


def test_evaluate(cli: Cli) -> None:
    told: list[str] = []
    evaluation = edgekit.evaluate("centernet-tiny", HIVE, split="val", say=told.append)
    with edgekit.load("centernet-tiny") as model:
        assert edgekit.evaluate(model, HIVE, split="val").to_dict() == evaluation.to_dict()
        model(made_pictures(1).samples[0].read())  # still open
    printed = json.loads(cli("eval", "centernet-tiny", "--data", HIVE, "--split", "val", "--format", "json").out)
    facts = {"model": "centernet-tiny", "backend": "onnxruntime"}
    assert {k: printed.pop(k) for k in facts} == facts
    printed.pop("data")
    assert printed == json.loads(json.dumps(evaluation.to_dict()))
    assert evaluation.main is not None
    with pytest.raises(DataError):
        edgekit.evaluate("centernet-tiny", "nowhere")


def test_verify(cli: Cli, good: Path, checkpoint: Path, pictures: Path) -> None:
    found = edgekit.verify(str(checkpoint), str(good), str(pictures), pictures=4)
    assert found.passed
    assert found.problems == ()
    outcome = cli("verify", checkpoint, good, "--data", pictures, "--pictures", 4)
    assert outcome.out.splitlines() == found.lines()
    printed = cli("verify", checkpoint, good, "--data", pictures, "--pictures", 4, "--format", "json").out
    assert json.loads(printed) == json.loads(json.dumps(found.to_dict()))
    wrong = edgekit.verify(checkpoint, good, pictures, pictures=4, max_abs=0.0)
    assert not wrong.passed
    assert wrong.lines()[0].startswith("NOT equal to")
    assert wrong.problems
    with pytest.raises(UsageError, match="nothing to compare"):
        edgekit.verify(good)


def test_bench(good: Path, tmp_path: Path) -> None:
    options = edgekit.BenchOptions(turns=1, warmup=0.0, iterations=2, cold=False)
    report = edgekit.bench(str(good), out=str(tmp_path / "bench"), pictures=0, batch=(1, 2), options=options)
    assert [(row.case.batch, row.failure) for row in report.rows] == [(1, None), (2, None)]
    content = json.loads((tmp_path / "bench" / "bench.json").read_text())
    assert content["complete"]
    assert [one["text"] for one in content["decisions"]] == [one.text for one in decisions(report)]
    assert content["decisions"] == [one.model_dump() for one in report.decisions] != []
    with pytest.raises(EdgekitError, match="holds a report"):
        edgekit.bench(good, out=tmp_path / "bench")


def test_train_refuses_before_it_begins(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="recipe"):
        edgekit.train("no-such-recipe", tmp_path)
    with pytest.raises(UsageError, match="did you mean epochs"):
        edgekit.train("demo", changes=["schedule.epoch=3"])
    with pytest.raises(DataError):
        edgekit.train("demo", str(tmp_path / "nowhere"), tmp_path / "run")
