"""`edgekit doctor --selftest`: what it builds is worth comparing, and a wrong answer is told from a missing GPU."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import numpy as np
import onnx
import pytest

from edgekit.backends import tensorrt_
from edgekit.backends.onnxruntime_ import run_once
from edgekit.backends.trt import library as library_module
from edgekit.backends.trt.library import Library
from edgekit.engines import selftest
from edgekit.errors import BackendError
from edgekit.graph.lint import lint
from tests.backends.fake_tensorrt import FakeCuda, World, make


def logits(precision: str) -> np.ndarray:
    image = np.random.default_rng(3).integers(0, 256, (4, *selftest.SHAPE), np.uint8)
    return run_once(selftest.graph(precision).SerializeToString(), {"image": image})["logits"]


def test_the_graphs_are_good_ones_and_the_precisions_differ() -> None:
    answers = {precision: logits(precision) for precision in selftest.TOLERANCE}
    peak = np.abs(answers["fp32"]).max()
    assert answers["fp32"].std(0).min() > 1e-3 * peak  # not the same for every picture
    for precision, most in (("fp16", 0.01), ("int8", 0.1)):
        model = selftest.graph(precision)
        onnx.checker.check_model(model, full_check=True)
        assert [f for f in lint(model, runtimes=("tensorrt",)) if f.severity == "error"] == []
        assert 1e-6 < np.abs(answers[precision] - answers["fp32"]).max() / peak < most


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> World:
    """A board with TensorRT 10.3 and no RTX; it answers as onnxruntime does."""
    world = World()
    world.inputs, world.outputs = {"image": ("UINT8", (-1, *selftest.SHAPE))}, {"logits": ("FLOAT", (-1, 8))}
    world.compute = lambda feeds: run_once(world.model, feeds)
    module = make("10.3", world)
    library = Library("tensorrt", module, library_module._logger(module))

    def load(name: str) -> Library:
        if name != "tensorrt":
            raise BackendError("TensorRT-RTX is not installed.")
        return library

    for target in (selftest, tensorrt_):
        monkeypatch.setattr(target, "load_library", load)
        monkeypatch.setattr(target, "open_cuda", lambda *_: FakeCuda(world))
    return world


def test_all_right(machine: World, cli: Any) -> None:
    done = cli("doctor", "--selftest")
    assert done.code == 0, done.text
    lines = done.out.splitlines()
    assert [line.split()[2:4] for line in lines[:3]] == [["fp32", "ok"], ["fp16", "ok"], ["int8", "ok"]]
    assert lines[3].endswith("TensorRT-RTX is not installed.")
    assert machine.order().count("capture") == 3  # each precision with a CUDA graph too
    assert machine.device == {}
    content = json.loads(cli("doctor", "--selftest", "--format", "json").out)
    assert [c["difference"] for c in content[:3]] == [0.0, 0.0, 0.0]


@pytest.mark.parametrize("precision", ["fp32", "fp16", "int8"])
def test_a_wrong_answer_is_seen(machine: World, cli: Any, precision: str) -> None:
    """One output of one picture of a batch, and only in one precision."""
    wrong = selftest.graph(precision).SerializeToString()

    def compute(feeds: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        found = run_once(machine.model, feeds)["logits"]
        if machine.model == wrong and len(found) == 4:
            found[3, 0] += 1.5 * selftest.TOLERANCE[precision] * np.abs(found).max()
        return {"logits": found}

    machine.compute = compute
    done = cli("doctor", "--selftest", "--format", "json")
    assert done.code == 3
    assert {c["precision"]: c["passed"] for c in json.loads(done.out)[:3]} == {
        p: p != precision for p in selftest.TOLERANCE
    }


@pytest.mark.parametrize(
    ("fail", "verdict", "code"),
    [
        ({"deserialize_cuda_engine": "serialization error"}, "WRONG", 3),
        ({"build_serialized_network": "IBuilder::x: Error Code 1: Cuda Runtime (no CUDA)"}, "not run", 5),
        ({"parse": "no"}, "WRONG", 3),
    ],
)
def test_what_stops_it(machine: World, cli: Callable[..., Any], fail: dict[str, str], verdict: str, code: int) -> None:
    machine.fail = fail
    done = cli("doctor", "--selftest")
    assert done.code == code
    assert done.out.count(verdict) >= 3


def test_without_any_library(monkeypatch: pytest.MonkeyPatch, cli: Any) -> None:
    def nothing(name: str) -> Library:
        raise BackendError(f"{name} is not installed.")

    monkeypatch.setattr(selftest, "load_library", nothing)
    done = cli("doctor", "--selftest")
    assert done.code == 5
    assert done.out.count("is not installed") == 2
