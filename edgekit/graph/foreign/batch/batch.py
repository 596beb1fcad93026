"""A batch of any size where the graph allows it: numbers that hold a batch of 1 are found, rewritten, and tried.

The shapes are inferred node by node for a batch of 1 and for one of seven. Where a constant holds the 1 (the shape of a
Reshape, the sizes of a Resize, a state, a token beside the picture's), the node breaks or forgets the rows, and the
constant is rewritten. What comes out is run with batches of 1, 2 and 5 different rows against single ones.
"""

from __future__ import annotations

import numpy as np
import onnx
from onnx import helper

from edgekit.errors import ArtifactError
from edgekit.graph.foreign.batch.rewrites import REWRITES
from edgekit.graph.foreign.batch.rows import Rows, StuckError
from edgekit.graph.foreign.run import difference, runs
from edgekit.graph.foreign.steps.norms import random_picture
from edgekit.graph.foreign.steps.work import Work, inferred, shape_of
from edgekit.screen import count_of

NAME = "N"
TRIED = (1, 2, 5)
CLOSE = 1e-4  # of an output's largest value: rows of a batch against single ones


def batch(work: Work) -> None:
    """Makes the first dimension of the input and of all outputs `N`, in place, or says in `reason` why not."""
    if not work.dynamic:
        work.reason = "a batch of 1 was asked for"
        return
    trial = onnx.ModelProto()
    trial.CopyFrom(work.model)
    try:
        rewritten = Rows(trial, work.image, REWRITES).walk()
        _name(trial)
        reason = _mixed(work, trial)
    except (StuckError, ArtifactError) as error:
        reason = error.got or str(error) if isinstance(error, ArtifactError) else str(error)
    if reason:
        work.reason = reason
        work.tell(f"the batch stays 1: {reason}")
        return
    work.model = trial
    work.batch, work.reason = NAME, ""
    work.tell(f"the batch became {NAME}" + (f": {count_of(rewritten, 'node')} held a batch of 1" if rewritten else ""))


def _name(model: onnx.ModelProto) -> None:
    graph = model.graph
    graph.input[0].type.tensor_type.shape.dim[0].dim_param = NAME
    for value in graph.output:
        value.type.tensor_type.ClearField("shape")
    del graph.value_info[:]


def _mixed(work: Work, trial: onnx.ModelProto) -> str:
    """How rows of a batch differ from single ones; empty where they do not."""
    rows = [random_picture(work.model, seed=i) for i in range(max(TRIED))]
    alone = runs(work.model, [{work.image: row} for row in rows])
    together = runs(trial, [{work.image: np.concatenate(rows[:count])} for count in TRIED])
    for count, got in zip(TRIED, together, strict=True):
        for name, value in got.items():
            expected = np.concatenate([one[name] for one in alone[:count]])
            d, scale = difference(value, expected)
            if d > (CLOSE * scale if value.dtype.kind == "f" else 0):
                return f"{name} of a batch of {count} differs from single pictures by {d:.3g} of {scale:.3g}"
    return ""


def named(model: onnx.ModelProto) -> dict[str, onnx.TypeProto]:
    """Types of all tensors of a model with a dynamic batch, its dimension called `N` wherever it is."""
    one, seven = (_at(model, count) for count in (1, 7))
    found = {}
    for name, kind in one.items():
        alone, many = shape_of(kind), shape_of(seven.get(name))
        if alone is not None and many is not None and len(alone) == len(many):
            dims = [a if a == b else NAME if (a, b) == (1, 7) else None for a, b in zip(alone, many, strict=True)]
            found[name] = helper.make_tensor_type_proto(kind.tensor_type.elem_type, dims)
    return found


def _at(model: onnx.ModelProto, count: int) -> dict[str, onnx.TypeProto]:
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    copy.graph.input[0].type.tensor_type.shape.dim[0].dim_value = count
    return inferred(copy)
