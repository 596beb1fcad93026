"""Runs a torch module as a Session: the trained net itself, which every export is compared with."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import torch
from torch import Tensor, nn

from edgekit.backends.base import Arrays, Session
from edgekit.spec import ModelSpec, TensorSpec
from edgekit.tasks import task_of

# what follows a net's last layer, by `Task.closes_with`
CLOSINGS: dict[str, Callable[[Tensor], Tensor]] = {"": lambda x: x, "sigmoid": torch.sigmoid}


class TorchSession(Session):
    """A net on the CPU, in evaluation mode, float32.

    Takes `image` float32 [N, 3, H, W], normalized; gives `spec.outputs`: logits divided by the temperature, their
    sigmoid where a picture may have several labels.

    Args:
        net: gives a tensor, or a named tuple whose fields have the names of the outputs.
        spec: what it is.
    """

    backend = "torch"

    def __init__(self, net: nn.Module, spec: ModelSpec) -> None:
        self.net = net.eval().to(memory_format=torch.channels_last)  # 1.6 times faster
        self.temperature = spec.temperature
        self.closing = CLOSINGS[task_of(spec.task).closes_with]
        self.inputs = (TensorSpec("image", "float32", ("N", 3, spec.preprocess.height, spec.preprocess.width)),)
        self.outputs = spec.outputs

    def _run(self, feeds: Arrays) -> Arrays:
        with torch.inference_mode():
            image = torch.from_numpy(feeds["image"]).contiguous(memory_format=torch.channels_last)
            given = self.net(image)
            if isinstance(given, Tensor):
                return {self.outputs[0].name: self.closing(given / self.temperature).numpy()}
            return {spec.name: getattr(given, spec.name).numpy() for spec in self.outputs}

    def intermediates(self, feeds: Mapping[str, np.ndarray]) -> Arrays:
        """What every layer gave, by module path; the second call of one module is `path_1`, and so on.

        The names are those of the tensors in an exported ONNX, so the two can be compared one by one.
        """
        kept: Arrays = {}

        def keeper(path: str) -> object:
            def keep(module: nn.Module, args: object, output: object) -> None:
                if isinstance(output, Tensor):
                    name = next(n for n in _numbered(path) if n not in kept)
                    kept[name] = output.detach().clone().numpy()  # an in-place ReLU would change it later

            return keep

        hooks = [
            module.register_forward_hook(keeper(path))
            for path, module in self.net.named_modules()
            if path and not list(module.children())
        ]
        try:
            self.run(feeds)
        finally:
            for hook in hooks:
                hook.remove()
        return kept


def _numbered(path: str) -> list[str]:
    return [path, *(f"{path}_{i}" for i in range(1, 1000))]
