"""Moments of every layer's inputs, gathered while a float32 model is run on pictures."""

from __future__ import annotations

from collections import defaultdict

import numpy as np
import onnx
from numpy.typing import NDArray

from edgekit.data import Dataset
from edgekit.quantize.activation_tap import ActivationTap
from edgekit.quantize.calibrate import Progress, refuse_unfit
from edgekit.quantize.rounding.geometry import geometries
from edgekit.quantize.rounding.gptq import Rounder
from edgekit.quantize.rounding.moments import InputStatistics
from edgekit.spec import PreprocessSpec
from edgekit.vision.preprocess import preprocess


class Moments:
    """Gathers the moments of every layer's inputs while a float32 model is run on pictures.

    `see` takes tensors as they come by, such as the `watch` of `edgekit.quantize.calibrate.calibrate`.
    """

    def __init__(self, model: onnx.ModelProto) -> None:
        self.layers = geometries(model)
        self.of = {name: InputStatistics.empty(one.inputs, one.groups) for name, one in self.layers.items()}
        self.readers: dict[str, list[str]] = defaultdict(list)
        for name, geometry in self.layers.items():
            self.readers[geometry.tensor].append(name)

    def see(self, tensor: str, values: NDArray[np.float32]) -> None:
        """float32 [1, ...], the values of one picture."""
        for name in self.readers.get(tensor, ()):
            self.of[name].add(self.layers[name].patches(values if self.layers[name].linear else values[0]))

    @property
    def seen(self) -> bool:
        """Whether anything was."""
        return any(one.count for one in self.of.values())

    def rounder(self) -> Rounder:
        """What rounds by them."""
        for one in self.of.values():
            one.settle()
        return Rounder(self.of)


def rounder(
    model: onnx.ModelProto,
    dataset: Dataset,
    spec: PreprocessSpec,
    *,
    progress: Progress = lambda done, total: None,
    threads: int = 0,
) -> Rounder:
    """Measures the inputs of every layer of a float32 model on the pictures that it is calibrated on.

    Raises as `calibrate` does.
    """
    refuse_unfit(dataset)
    moments = Moments(model)
    with ActivationTap(model, threads, only=set(moments.readers)) as exposed:
        for done, sample in enumerate(dataset):
            for tensor, values, _ in exposed.run(preprocess(sample.read(), spec), spec):
                moments.see(tensor, values)
            progress(done + 1, len(dataset))
    return moments.rounder()
