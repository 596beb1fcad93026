"""A foreign graph made plain: one opset, one input, constants computed, norms folded, names, a dynamic batch."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import onnx
from numpy.typing import NDArray

from edgekit.errors import ArtifactError, EdgekitError
from edgekit.graph.foreign.batch.batch import batch, named
from edgekit.graph.foreign.opset.fits import fits
from edgekit.graph.foreign.opset.opset import opset
from edgekit.graph.foreign.read import Foreign
from edgekit.graph.foreign.run import difference, run
from edgekit.graph.foreign.steps.bounds import bounds
from edgekit.graph.foreign.steps.constants import constants
from edgekit.graph.foreign.steps.floats import floats
from edgekit.graph.foreign.steps.functions import functions
from edgekit.graph.foreign.steps.inputs import inputs
from edgekit.graph.foreign.steps.names import names
from edgekit.graph.foreign.steps.norms import norms, random_picture
from edgekit.graph.foreign.steps.rownorms import rownorms
from edgekit.graph.foreign.steps.sequences import sequences
from edgekit.graph.foreign.steps.tidy import tidy
from edgekit.graph.foreign.steps.work import FoldedNorm, Work, inferred

SAME = 1e-3  # of the largest value: what a step may move an output by on random numbers; float32 moves it by 1e-6
# what onnx and numpy raise where a node's numbers contradict one another
BROKEN = (
    onnx.checker.ValidationError, onnx.shape_inference.InferenceError, ValueError, TypeError, IndexError, KeyError,
    OverflowError,
)  # fmt: skip
LEAST = 1e-6  # difference of float32 sums around 0.1; runtimes' sigmoids are 1e-7 off, whatever they give

# until all shapes are known nothing of the graph is run but what gives constants of bearable size
FIRST: tuple[Callable[[Work], None], ...] = (functions, fits, inputs, bounds, constants, sequences, bounds)
# in this order; after each the outputs on random numbers are compared with those before it
STEPS: tuple[Callable[[Work], None], ...] = (
    *FIRST, floats, tidy, opset, constants, tidy, names, norms, rownorms, batch, names,
)  # fmt: skip


@dataclass(frozen=True)
class Cleaned:
    """A graph of one input `image` and the original's outputs.

    Attributes:
        model: weights inside and no inputs, standard operators of one opset, float32, no BatchNormalization that
            could be folded, names of their own for all nodes and tensors.
        steps: what was done, a sentence each.
        folded: every BatchNormalization of the original.
        batch: `N`, or 1 where the graph mixes or fixes it, or a dynamic one was not wanted.
        reason: why the batch is not `N`; empty where it is.
    """

    model: onnx.ModelProto
    steps: tuple[str, ...]
    folded: tuple[FoldedNorm, ...]
    batch: int | str
    reason: str


def clean(foreign: Foreign, *, opset: int, size: tuple[int, int] | None = None, dynamic: bool = True) -> Cleaned:
    """A foreign file's graph as the rest of edgekit knows graphs; the file's own model is not changed.

    Args:
        opset: that of the target, exactly.
        size: (height, width) in pixels, for a file that takes any; None for the file's own.
        dynamic: whether a batch of any size is wanted.

    Raises:
        ArtifactError: a graph that cannot be adopted, with what stands in the way.
        UsageError: a size that the file does not take, or none where it takes any.
    """
    work = _begun(foreign, opset, size, dynamic)
    check = _Check(work)
    with _told(work):
        for step in STEPS:
            step(work)
            check.after(step)
        _finish(work)
    return Cleaned(work.model, tuple(work.steps), tuple(work.folded), work.batch, work.reason)


def refuse_bombs(foreign: Foreign, size: tuple[int, int] | None = None) -> None:
    """Looks at all shapes before the file itself is run: a graph of 200 bytes can ask for a terabyte.

    Raises:
        ArtifactError, UsageError: as `clean`, which finds the same.
    """
    work = _begun(foreign, 0, size, False)
    with _told(work):
        for step in FIRST:
            step(work)


def _begun(foreign: Foreign, opset: int, size: tuple[int, int] | None, dynamic: bool) -> Work:
    model = onnx.ModelProto()
    model.CopyFrom(foreign.model)
    return Work(model, str(foreign.path), opset, size, dynamic)


@contextmanager
def _told(work: Work) -> Iterator[None]:
    """Whatever a node's wrong numbers raise is said as what is wrong with the file."""
    try:
        yield
    except BROKEN as error:
        raise ArtifactError(
            f"{work.where} is not right ONNX.",
            got=f"{type(error).__name__}: {' '.join(str(error).split())[:600]}",
            expected="a graph whose nodes, shapes and numbers fit one another",
            fix="see that onnx.checker.check_model(path, full_check=True) takes it; export it again",
        ) from error


class _Check:
    """Runs the graph after each step on one picture of random numbers, and compares with what it gave before."""

    def __init__(self, work: Work) -> None:
        self.work = work
        self.data = b""
        self.outputs: dict[str, NDArray[Any]] = {}

    def after(self, step: Callable[[Work], None]) -> None:
        """Raises EdgekitError where an output moved by more than rounding."""
        if step is bounds:
            if not self.data:
                self.data = self.work.model.SerializeToString()  # run once all shapes are known to be bearable
            elif not self.outputs:
                self.outputs = self._run(self.data)
        elif not self.outputs:
            return
        data = self.work.model.SerializeToString()
        if not self.outputs or data == self.data:
            return
        found = self._run(data)
        for name, expected in self.outputs.items():
            d, scale = difference(found[name], expected)
            # what float16 cost the original is no mistake: on real pictures the adoption holds both against each other
            if found[name].dtype.kind == "f" and step is not floats and d > max(SAME * scale, LEAST):
                raise EdgekitError(
                    f"Cleaning {self.work.where} changed what it computes, at the step {step.__name__}.",
                    got=f"{name} moved by {d:.3g}, of {scale:.3g}",
                    expected=f"at most {SAME:g} of its largest value",
                    fix="a defect of edgekit, please report it with the file",
                )
        self.data, self.outputs = data, found

    def _run(self, data: bytes) -> dict[str, NDArray[Any]]:
        return run(data, {self.work.image: random_picture(self.work.model)})


def _finish(work: Work) -> None:
    """Types of all tensors are written down, and the whole is checked by onnx."""
    graph = work.model.graph
    graph.name = graph.name or "net"
    for part in (work.model, graph, *graph.node, *graph.initializer, *graph.input, *graph.output):
        del part.metadata_props[:]
        part.doc_string = ""
    types = named(work.model) if work.batch != 1 else inferred(work.model)
    del graph.value_info[:]
    for value in graph.output:
        value.type.CopyFrom(types[value.name])
    known = {value.name for value in (*graph.input, *graph.output)}
    for node in graph.node:
        for name in node.output:
            if name and name not in known and name in types:
                graph.value_info.append(onnx.helper.make_value_info(name, types[name]))
    onnx.checker.check_model(work.model, full_check=True)
