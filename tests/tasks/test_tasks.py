"""A task is one object that every room asks: a new one works everywhere, and no room looks at a task's name."""

from __future__ import annotations

import ast
import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from PIL import Image

from edgekit.artifacts.metadata import Lineage, Metadata
from edgekit.artifacts.onnx_file import embed
from edgekit.benchmark.quality.accuracy import evaluate
from edgekit.benchmark.quality.robustness import robustness
from edgekit.config.target import Limits
from edgekit.data import load_dataset
from edgekit.errors import InputError, UsageError
from edgekit.gate.compare import verify
from edgekit.predictor import Predictor
from edgekit.spec import ModelSpec, PreprocessSpec
from edgekit.tasks import NAMES, TASKS, task_of
from tests.conftest import Cli
from tests.tasks.brightness import Brightness

ROOT = Path(__file__).parents[2] / "edgekit"
SPEC = {"arch": "mean", "classes": ("bright", "dark"), "preprocess": PreprocessSpec(32, 32, shorter_side=32)}
GREY = {"bright": 230, "dark": 20}


@pytest.fixture(autouse=True)
def toy(monkeypatch: pytest.MonkeyPatch) -> Brightness:
    task = Brightness()
    monkeypatch.setitem(TASKS, task.name, task)
    return task


def model(path: Path, scale: float = 1 / 255) -> Path:
    """An exported file of the toy task: image uint8 [N, 32, 32, 3] -> value float32 [N, 1], the mean grey."""
    nodes = [
        helper.make_node("Cast", ["image"], ["x"], to=TensorProto.FLOAT),
        helper.make_node("ReduceMean", ["x", "axes"], ["mean"], keepdims=0),
        helper.make_node("Mul", ["mean", "scale"], ["scaled"]),
        helper.make_node("Unsqueeze", ["scaled", "last"], ["value"]),
    ]
    graph = helper.make_graph(
        nodes,
        "mean",
        [helper.make_tensor_value_info("image", TensorProto.UINT8, ["N", 32, 32, 3])],
        [helper.make_tensor_value_info("value", TensorProto.FLOAT, ["N", 1])],
        [
            numpy_helper.from_array(np.array([1, 2, 3], np.int64), "axes"),
            numpy_helper.from_array(np.float32(scale), "scale"),
            numpy_helper.from_array(np.array([1], np.int64), "last"),
        ],
    )
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    onnx.checker.check_model(made, full_check=True)
    spec = ModelSpec(**SPEC, task="brightness")  # type: ignore[arg-type]
    embed(made, Metadata(spec, Lineage("0" * 64, "0" * 64), "uint8", "fp32", "x86-cpu", verification={"passed": True}))
    path.write_bytes(made.SerializeToString())
    return path


@pytest.fixture
def meter(tmp_path: Path) -> Path:
    return model(tmp_path / "meter.onnx")


@pytest.fixture
def greys(tmp_path: Path) -> Path:
    """Class folders with four pictures each; what is `bright` has class 0, so the meter is far off."""
    for name, grey in GREY.items():
        folder = tmp_path / "greys" / name
        folder.mkdir(parents=True)
        for i in range(4):
            Image.new("L", (40, 36), grey + i).convert("RGB").save(folder / f"{i}.png")
    return tmp_path / "greys"


def test_a_spec_of_it_asks_it_for_outputs_and_checks(toy: Brightness) -> None:
    spec = ModelSpec(**SPEC, task="brightness")  # type: ignore[arg-type]
    assert [str(output) for output in spec.outputs] == ["value float32[N, 1]"]
    assert ModelSpec.from_dict(json.loads(json.dumps(spec.to_dict()))) == spec
    with pytest.raises(InputError, match="max_detections"):
        ModelSpec(**SPEC, task="brightness", max_detections=3)  # type: ignore[arg-type]
    with pytest.raises(InputError, match="task has a value"):
        ModelSpec(**SPEC, task="darkness")  # type: ignore[arg-type]


def test_its_file_is_opened_answers_and_is_drawn(meter: Path, toy: Brightness) -> None:
    frames = [np.full((40, 60, 3), grey, np.uint8) for grey in (0, 51, 255)]
    with Predictor.open(meter) as predictor:
        assert predictor.task is toy
        values = predictor(frames)
        with pytest.raises(UsageError, match="is not a model for classification"):
            predictor.classify(frames)
    assert [one.value for one in values] == pytest.approx([0, 0.2, 1], abs=1e-6)
    assert (values[2].draw(frames[0]) != frames[0]).any()
    with pytest.raises(UsageError, match="supervision has no class"):
        values[0].to_supervision()


def test_it_is_measured(meter: Path, greys: Path) -> None:
    with Predictor.open(meter) as predictor:
        found = evaluate(predictor, load_dataset(greys, predictor.spec.classes))
        worse = robustness(predictor, load_dataset(greys, predictor.spec.classes), kinds=("brightness",))
    by_hand = [(230 + i) / 255 for i in range(4)] + [1 - (20 + i) / 255 for i in range(4)]
    assert found.main == pytest.approx(np.mean(by_hand), abs=1e-6)
    assert found.lines("meter.onnx")[0] == "meter.onnx on 8 pictures, 95 % intervals"
    assert worse.metric == "error"
    assert worse.worst == max(worse.corruptions["brightness"])  # the largest error


@pytest.mark.parametrize(("scale", "passed"), [(1 / 255, True), (1.001 / 255, True), (1.1 / 255, False)])
def test_the_gate_compares_it(meter: Path, greys: Path, tmp_path: Path, scale: float, passed: bool) -> None:
    other = model(tmp_path / "other.onnx", scale)
    with Predictor.open(meter) as right, Predictor.open(other) as candidate:
        stage = verify(right, candidate, load_dataset(greys), Limits(max_abs=0.002, top1_agreement=1.0))
    assert stage.passed is passed
    assert stage.max_abs == pytest.approx(abs(scale * 255 - 1) * 233 / 255, rel=0.01, abs=1e-6)
    assert stage.problems == (() if passed else (f"max|d| {stage.max_abs:.3g} > 0.002",))


def test_numbers_that_are_none_fail(toy: Brightness) -> None:
    spec, limits = ModelSpec(**SPEC, task="brightness"), Limits(max_abs=10, top1_agreement=1.0)  # type: ignore[arg-type]
    good, bad = ({"value": np.array([[v]], np.float32)} for v in (0.5, np.nan))
    assert toy.compare("x", good, good, limits, spec).passed
    assert toy.compare("x", good, bad, limits, spec).problems == ("outputs that are NaN or infinite",)
    assert not toy.compare("x", good, {"value": np.zeros((1, 2), np.float32)}, limits, spec).passed


def test_the_commands_work_with_it(cli: Cli, meter: Path, greys: Path, tmp_path: Path) -> None:
    seen = cli("predict", meter, greys / "dark" / "0.png", "--out", tmp_path / "marked")
    assert seen.code == 0, seen.text
    assert "brightness 0.078" in seen.out
    assert (tmp_path / "marked" / "0.jpg").exists()
    seen = cli("predict", meter, greys / "dark" / "0.png", "--format", "json")
    assert json.loads(seen.out)["brightness"] == pytest.approx(20 / 255, abs=1e-6)
    measured = cli("eval", meter, "--data", greys, "--format", "json")
    assert measured.code == 0, measured.text
    assert json.loads(measured.out)["error"] == pytest.approx(0.91, abs=0.01)
    assert "error" in cli("eval", meter, "--data", greys).out
    other = model(tmp_path / "other.onnx", 1.1 / 255)
    assert cli("verify", meter, meter, "--pictures", 2).out.startswith("equal to meter.onnx")
    assert cli("verify", meter, other, "--pictures", 2).code == 3
    times = ("--iterations", 3, "--turns", 2, "--warmup", 0, "--no-cold")
    done = cli("bench", meter, other, "--data", greys, "--out", tmp_path / "bench", *times)
    assert done.code == 0, done.text
    row = json.loads((tmp_path / "bench" / "bench.json").read_text())["rows"][0]
    assert row["accuracy"]["task"] == "brightness"
    assert row["accuracy"]["metrics"]["error"]["value"] == pytest.approx(0.91, abs=0.01)
    assert "error against latency" in (tmp_path / "bench" / "bench.html").read_text()


def test_the_table_has_what_the_files_define() -> None:
    assert [TASKS[name].name for name in NAMES] == list(NAMES)
    for name in NAMES:
        task = task_of(name)
        assert task.main in [metric.name for metric in task.metrics]


# --- no room looks at a task's name, or at the type of a result

RESULTS = {"Classification", "Detections", "Evaluation", "ClassificationEvaluation", "DetectionEvaluation"}
RESULTS |= {"ClassificationReport", "DetectionReport", "ClassificationTask", "DetectionTask"}


def names_in(node: ast.AST) -> set[str]:
    return {n.id for n in ast.walk(node) if isinstance(n, ast.Name)} | {
        n.attr for n in ast.walk(node) if isinstance(n, ast.Attribute)
    }


def branches(source: str) -> Iterator[tuple[int, str]]:
    """Comparisons with a task's name, and `isinstance` on what a task gives."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Compare):
            sides = [node.left, *node.comparators]
            constants = {n.value for side in sides for n in ast.walk(side) if isinstance(n, ast.Constant)}
            of_task = any(isinstance(side, ast.Attribute) and side.attr == "task" for side in sides)
            of_task |= any(isinstance(side, ast.Name) and side.id == "task" for side in sides)
            equal = any(isinstance(op, (ast.Eq, ast.NotEq)) for op in node.ops)
            if constants & set(NAMES) or (of_task and equal) or names_in(node) & RESULTS:
                yield node.lineno, ast.unparse(node)
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in ("isinstance", "type"):
            if any(names_in(argument) & RESULTS for argument in node.args):
                yield node.lineno, ast.unparse(node)
        elif isinstance(node, ast.match_case) and (names_in(node.pattern) & RESULTS):
            yield node.pattern.lineno, ast.unparse(node.pattern)


def test_no_room_branches_on_the_task() -> None:
    outside = [file for file in sorted(ROOT.rglob("*.py")) if "tasks" not in file.relative_to(ROOT).parts[:-1]]
    assert len(outside) > 200
    found = [f"{file.relative_to(ROOT)}:{at}: {what}" for file in outside for at, what in branches(file.read_text())]
    assert found == []


@pytest.mark.parametrize(
    "source",
    [
        'if spec.task == "detection": pass',
        'x = 1 if "classification" != name else 2',
        'task in ("detection", "other")',
        "a.spec.task != b.spec.task",
        "isinstance(answer, Classification)",
        "isinstance(answer, (decode.Detections, int))",
        "type(evaluation) is DetectionEvaluation",
        "match answer:\n    case Classification():\n        pass",
    ],
)
def test_such_a_branch_would_be_found(source: str) -> None:
    assert len(list(branches(source))) == 1


def test_what_is_no_branch_is_left_alone() -> None:
    assert not list(branches('spec = ModelSpec(task="detection")\nx = {"detection": 1}[spec.task]\nisinstance(x, int)'))
