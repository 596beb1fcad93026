"""What each layer costs in float on this machine, so that a search gives back the error that is cheap in time."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

import numpy as np

from edgekit.predictor import Frame, Predictor
from edgekit.quantize.plan import QuantizableLayer

TURNS = 30
LEAST = 0.01  # milliseconds: what no clock tells apart, and what a layer counts that is quicker in float


def layer_costs(
    open_graph: Callable[[frozenset[str]], Predictor],
    layers: Sequence[QuantizableLayer],
    picture: Frame,
    *,
    turns: int = TURNS,
    clock: Callable[[], float] = time.perf_counter,
) -> dict[str, float]:
    """Milliseconds that each layer alone adds when it goes back to float.

    The graph with that layer in float and the one with all layers in int8 take turns, and the median of the
    differences counts: what meets the whole machine meets both.

    Args:
        open_graph: the graph with these layers in float, in the runtime that is to be quick.
        layers: those to time.
        picture: resized, uint8 [H, W, 3] BGR.
    """
    found = {}
    with open_graph(frozenset()) as whole:
        for layer in layers:
            with open_graph(frozenset({layer.name})) as other:
                differences = []
                for _ in range(turns):
                    spent = []
                    for graph in (whole, other):
                        graph.answers([picture], batch=1)  # what the other one left in the caches is not counted
                        begin = clock()
                        graph.answers([picture], batch=1)
                        spent.append(clock() - begin)
                    differences.append((spent[1] - spent[0]) * 1e3)
            found[layer.name] = max(float(np.median(differences)), LEAST)
    return found
