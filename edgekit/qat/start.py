"""From a trained checkpoint to the net that learns with rounding, and from what that learnt back to a checkpoint."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import cast

import numpy as np
import onnx
import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from edgekit import nets
from edgekit.checkpoints.checkpoint import Checkpoint, state_digest
from edgekit.config.schemes import scheme_named
from edgekit.data import Dataset
from edgekit.errors import UsageError
from edgekit.graph.fold_bn import FoldReport, fold_bn
from edgekit.graph.to_onnx import onnx_from_torch
from edgekit.nets.centernet import LtrbMaps, OffsetSizeMaps
from edgekit.nets.detector import with_decoding
from edgekit.qat.net import QuantizedNet
from edgekit.quantize.calibrate import Progress, calibrate
from edgekit.quantize.place import Parameters, quantize
from edgekit.spec import ModelSpec, PreprocessSpec
from edgekit.tasks import task_of

OPSET = 20  # as the shipped targets have it


@dataclass(frozen=True)
class Source:
    """A checkpoint's net, folded, and its float32 graph.

    Attributes:
        state: the checkpoint's own weights.
        model: the graph, of uint8 pictures; a detector's gives its maps too.
        outputs: the tensors that the net is trained by: logits, or maps.
        norms: layer -> the BatchNorm that was folded into it, and that norm's eps.
        learning: initializers that are weights of the net.
    """

    spec: ModelSpec
    state: Mapping[str, Tensor]
    model: onnx.ModelProto
    outputs: tuple[str, ...]
    norms: Mapping[str, tuple[str, float]]
    learning: tuple[str, ...]

    def net(self, scheme: str, parameters: Parameters) -> QuantizedNet:
        """With the rounding of these scales and zero points. Raises UsageError, ArtifactError as what it is made of."""
        quantized = quantize(self.model, parameters, scheme)
        chosen = scheme_named(scheme)
        return QuantizedNet(self.model, quantized, chosen, self.spec.preprocess, self.learning, self.outputs).eval()

    def stored(self, net: nn.Module) -> dict[str, Tensor]:
        """The checkpoint's state dict with what `net` learnt.

        A BatchNorm that was folded becomes one that only adds the layer's bias: with variance 1 - eps its factor is 1.
        """
        state = {name: value.detach().clone() for name, value in self.state.items()}
        learnt = {name: value.detach().cpu() for name, value in net.named_parameters()}
        for name in self.learning:
            if name not in learnt:
                continue
            value = _of_net(learnt[name], name, self)
            layer, _, part = name.rpartition(".")
            if layer not in self.norms or part == "weight":
                state[name] = value
            if layer in self.norms:
                _only_adds(state, layer, *self.norms[layer], learnt.get(f"{layer}.bias"))
        return state

    def restore(self, net: nn.Module, stored: nn.Module) -> None:
        """Puts the weights of a net with a state that `stored` gave into `net`, in place."""
        folded, _ = fold_bn(with_decoding(stored, self.spec), _noise(self.spec.preprocess))
        state = folded.state_dict()
        learnt = dict(net.named_parameters())
        for name in self.learning:
            if name in learnt:
                learnt[name].copy_(_of_graph(state[name], name, self))

    def digest(self) -> str:
        """sha256 (hex) of the weights that it starts from."""
        return state_digest(self.state)


def source_of(checkpoint: Checkpoint) -> Source:
    """Folds a checkpoint's net and writes its graph.

    Raises:
        UsageError: a task or a net that cannot be trained so.
    """
    spec = replace(checkpoint.spec, temperature=1.0)
    task = task_of(spec.task)
    if task.closes_with or (task.decodes_in_graph and not task.raw_heads):
        raise UsageError(
            f"A net is not trained quantized that is {task.noun}.",
            got=spec.task,
            expected="one with logits, or a detector's maps, as outputs of its graph",
            fix="edgekit export --precision int8 quantizes it after training",
        )
    answering = with_decoding(checkpoint.net(), spec)
    folded, report = fold_bn(answering, _noise(spec.preprocess))
    _refuse_merged(report)
    raw = with_decoding(folded, spec, raw=True) if task.raw_heads else folded
    model = onnx_from_torch(raw, spec, opset=OPSET, heads=nets.find(spec.arch).heads)
    given = {output.name for output in spec.outputs}
    outputs = tuple(value.name for value in model.graph.output if not task.raw_heads or value.name not in given)
    assert not task.raw_heads or outputs in (OffsetSizeMaps._fields, LtrbMaps._fields)
    modules = dict(answering.named_modules())
    norms = {f.layer: (f.norm, float(cast(_BatchNorm, modules[f.norm]).eps)) for f in report.layers}
    source = Source(spec, checkpoint.state_dict, model, outputs, norms, ())
    return replace(source, learning=_learning(source, folded.state_dict()))


def measured_parameters(
    source: Source, scheme: str, pictures: Dataset, progress: Progress = lambda done, total: None
) -> Parameters:
    """The scales and zero points that an export would choose on these pictures. Raises DataError as `calibrate`."""
    seen = calibrate(source.model, pictures, source.spec.preprocess, progress=progress)
    return quantize(source.model, seen, scheme).parameters


def _learning(source: Source, folded: Mapping[str, Tensor]) -> tuple[str, ...]:
    """Initializers that are the folded net's weights, as they are or as the first convolution has them."""
    found = []
    for tensor in source.model.graph.initializer:
        own = folded.get(tensor.name)
        if own is None or not own.is_floating_point() or tensor.name not in _names(source):
            continue
        value = torch.from_numpy(np.array(onnx.numpy_helper.to_array(tensor)))
        if value.shape == own.shape and torch.allclose(_of_net(value, tensor.name, source), own, rtol=1e-6):
            found.append(tensor.name)
    return tuple(found)


def _names(source: Source) -> set[str]:
    """Names that the checkpoint can hold: its own, and biases that a BatchNorm has for their layer."""
    return {*source.state, *(f"{layer}.bias" for layer in source.norms)}


def _of_net(value: Tensor, name: str, source: Source) -> Tensor:
    """An initializer as the torch net has it: the first convolution's without 1 / (255 std), its channels in order."""
    if value.ndim != 4 or value.shape[1] != 3 or not _reads_image(source, name):
        return value
    spec = source.spec.preprocess
    std = torch.tensor(spec.std, dtype=torch.float64).reshape(1, 3, 1, 1) * 255
    ordered = value.double().flip(1) if spec.color == "rgb" else value.double()
    return (ordered * std).float()


def _of_graph(value: Tensor, name: str, source: Source) -> Tensor:
    """The inverse of `_of_net`, as `edgekit.graph.to_onnx` does it."""
    if value.ndim != 4 or value.shape[1] != 3 or not _reads_image(source, name):
        return value
    spec = source.spec.preprocess
    std = torch.tensor(spec.std, dtype=torch.float64).reshape(1, 3, 1, 1) * 255
    scaled = value.double() / std
    return (scaled.flip(1) if spec.color == "rgb" else scaled).float()


def _reads_image(source: Source, name: str) -> bool:
    """Whether a weight is that of the first convolution, which takes the scaling in."""
    node = next((node for node in source.model.graph.node if name in node.input), None)
    return node is not None and node.input[0].startswith("preprocess.")


def _only_adds(state: dict[str, Tensor], layer: str, norm: str, eps: float, bias: Tensor | None) -> None:
    mean = state[f"{norm}.running_mean"]
    state[f"{norm}.running_var"] = torch.full_like(mean, 1 - eps)
    state[f"{norm}.running_mean"] = torch.zeros_like(mean) if bias is None else -bias
    for part, value in (("weight", 1.0), ("bias", 0.0)):
        if f"{norm}.{part}" in state:
            state[f"{norm}.{part}"] = torch.full_like(mean, value)
    if f"{layer}.bias" in state:
        state[f"{layer}.bias"] = torch.zeros_like(state[f"{layer}.bias"])


def _refuse_merged(report: FoldReport) -> None:
    merged = [one.block for one in report.fused] + [one.norm for one in report.layers if one.ahead]
    twice = [one.layer for one in report.layers]
    merged += sorted({layer for layer in twice if twice.count(layer) > 1})
    if merged:
        raise UsageError(
            "This net cannot be trained quantized: what an export merges could not be taken apart again.",
            got=", ".join(merged[:3]),
            expected="BatchNorms that stand behind their layers, one each, and no branches that become one",
        )


def _noise(spec: PreprocessSpec) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randn(2, 3, spec.height, spec.width, generator=generator)
