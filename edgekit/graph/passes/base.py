"""What a pass is: one rewrite of a graph, with what it requires and ensures."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

import onnx

from edgekit.errors import EdgekitError


class Pass(ABC):
    """One rewrite, in place. Called with a model it gives whether that is another now.

    Every pass leaves the inputs and outputs with their names and in their order; one may add outputs at the end.

    Raises:
        EdgekitError: what it requires does not hold, and nothing was changed; or, by a defect of edgekit, what it
            ensures does not.
    """

    def __call__(self, model: onnx.ModelProto) -> bool:
        name = type(self).__name__
        if problem := self.requires(model):
            raise EdgekitError(f"{name} cannot be run on this graph.", got=problem)
        inputs, outputs = names_of(model.graph.input), names_of(model.graph.output)
        changed = self.rewrite(model)
        problem = self.ensures(model)
        if names_of(model.graph.input) != inputs or names_of(model.graph.output)[: len(outputs)] != outputs:
            problem = "inputs or outputs with other names"
        if problem:
            raise EdgekitError(f"{name} made a wrong graph; a defect of edgekit, please report it.", got=problem)
        return changed

    @abstractmethod
    def requires(self, model: onnx.ModelProto) -> str:
        """What it needs and is not there, or an empty string."""

    @abstractmethod
    def rewrite(self, model: onnx.ModelProto) -> bool:
        """Does it; whether anything changed."""

    @abstractmethod
    def ensures(self, model: onnx.ModelProto) -> str:
        """What it promises and is not so afterwards, or an empty string."""


def names_of(values: Any) -> list[str]:
    return [value.name for value in values]
