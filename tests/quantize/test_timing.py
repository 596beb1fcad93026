"""What a layer costs is the difference of two graphs that take turns."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from edgekit.quantize.plan import QuantizableLayer
from edgekit.quantize.timing import LEAST, layer_costs

LAYERS = tuple(QuantizableLayer(name, 0, 1) for name in "abc")
ADDED = {"a": 2e-3, "b": 0.0, "c": -1e-3}


class Clock:
    """Seconds that only graphs spend: 5 ms each, more by what their float layers add, while the machine slows down."""

    def __init__(self) -> None:
        self.now = 0.0
        self.open = 0

    def graph(self, floats: frozenset[str]) -> Any:
        clock = self

        class Graph:
            def __enter__(self) -> Graph:
                clock.open += 1
                return self

            def __exit__(self, *problem: object) -> None:
                clock.open -= 1

            def answers(self, pixels: list[Any], batch: int) -> None:
                assert clock.open == (2 if floats else clock.open)
                clock.now += 5e-3 + sum(ADDED[name] for name in floats) + 1e-7 * clock.now

        return Graph()


def test_the_added_time_of_each_layer_alone() -> None:
    clock = Clock()
    costs = layer_costs(clock.graph, LAYERS, np.zeros((2, 2, 3), np.uint8), turns=5, clock=lambda: clock.now)
    assert costs["a"] == pytest.approx(2.0, abs=0.01)
    assert costs["b"] == costs["c"] == LEAST  # a search divides by them
    assert clock.open == 0
