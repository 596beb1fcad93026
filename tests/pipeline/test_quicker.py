"""An export says of a smaller precision whether it is quicker than float32 here, and says nothing where it can't."""

from __future__ import annotations

import platform
from dataclasses import dataclass, field
from itertools import cycle
from typing import Any

import numpy as np
import pytest

from edgekit.config.target import load_target
from edgekit.pipeline import quicker
from edgekit.pipeline.quicker import FEWEST, PAIRS, SECONDS, foreign, speed

PICTURE = np.zeros((4, 4, 3), np.uint8)
TARGET = load_target("x86-cpu")


@dataclass
class Clock:
    now: float = 0.0

    def __call__(self) -> float:
        return self.now


@dataclass
class Graph:
    """Takes as long as the next of `times` says, and more where another graph ran before it."""

    clock: Clock
    times: Any
    ran: list[Graph] = field(default_factory=list)

    def answers(self, pictures: list[Any], batch: int) -> None:
        assert (len(pictures), batch) == (1, 1)
        self.clock.now += next(self.times) * (1 if self.ran[-1:] == [self] else 5)
        self.ran.append(self)


def timed(fp32: list[float], other: list[float]) -> quicker.Speed:
    clock, ran = Clock(), []  # type: ignore[var-annotated]
    graphs: Any = [Graph(clock, cycle(times), ran) for times in (fp32, other)]
    return speed(*graphs, PICTURE, TARGET, clock=clock)


def test_a_quicker_one() -> None:
    found = timed([2e-3], [1e-3])
    assert (found.times.value, found.fp32_ms, found.ms) == pytest.approx((2, 2, 1))
    assert found.quicker
    assert found.pairs == PAIRS
    assert found.line() == (
        "quicker than fp32 in onnxruntime on this machine: 2.00 times as fast [2.00, 2.00], 1.0 ms against 2.0 "
        "(40 pairs of runs)"
    )


def test_a_slower_one() -> None:
    found = timed([1e-3], [1.25e-3])
    assert found.times.value == pytest.approx(0.8)
    assert not found.quicker
    assert found.line().startswith("slower than fp32 in onnxruntime on this machine: 0.80 times as fast")


def test_one_that_is_not_told_apart() -> None:
    found = timed([1.0e-3, 1.0e-3, 1.2e-3, 1.2e-3], [1.1e-3])
    assert found.times.low < 1 < found.times.high
    assert not found.quicker
    assert found.line().startswith("not shown quicker than fp32")


def test_long_runs_are_few() -> None:
    assert timed([SECONDS], [1e-3]).pairs == FEWEST


@pytest.mark.parametrize(
    ("target", "machine", "why"),
    [
        ("jetson-orin-nano", "x86_64", "compiles the graph"),
        ("x86-cpu", "aarch64", "no x86-cpu"),
        ("arm-cpu", "x86_64", "no arm-cpu"),
        ("x86-cpu", "AMD64", None),
        ("x86-openvino", "x86_64", None),
        ("arm-cpu", "aarch64", None),
    ],
)
def test_times_of_another_machine_are_not_taken(
    monkeypatch: pytest.MonkeyPatch, target: str, machine: str, why: str | None
) -> None:
    monkeypatch.setattr(platform, "machine", lambda: machine)
    found = foreign(load_target(target))
    assert found is None if why is None else why in str(found)


def test_an_emulated_processor_says_nothing_of_speed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(platform, "machine", lambda: "aarch64")
    monkeypatch.setattr(quicker, "emulator", lambda: "qemu-aarch64-static")
    assert "emulated by qemu-aarch64-static" in str(foreign(load_target("arm-cpu")))
    untouched: Any = None
    told = quicker.told_speed(untouched, untouched, PICTURE, load_target("arm-cpu"))
    assert told == {
        "times": None,
        "text": "speed not measured: this processor is emulated by qemu-aarch64-static",
    }
