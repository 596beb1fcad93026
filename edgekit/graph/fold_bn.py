"""Folds BatchNorm into the layer before it, and proves it layer by layer.

In evaluation a BatchNorm is y = gamma (x - mean) / sqrt(var + eps) + beta with constants (Ioffe & Szegedy 2015,
algorithm 2, steps 10-11), so with s = gamma / sqrt(var + eps) and x = W * u + b it vanishes into
W' = s W and b' = s (b - mean) + beta. The arithmetic is float64, what is stored is float32.
"""

from __future__ import annotations

import copy
from collections import Counter
from dataclasses import dataclass

import torch
from torch import Tensor, fx, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.conv import _ConvTransposeNd

from edgekit.errors import FoldError

CONVS: tuple[type[nn.Module], ...] = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
TRANSPOSED: tuple[type[nn.Module], ...] = (nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)
FOLDABLE = (*CONVS, *TRANSPOSED, nn.Linear)


@dataclass(frozen=True)
class FoldedLayer:
    """One fold and its proof.

    Attributes:
        layer, norm: module paths, e.g. `layer1.0.conv1` and `layer1.0.bn1`.
        channels: outputs of the layer.
        max_abs: max |norm(layer(u)) - folded(u)| over the example's real activations u.
        peak: max |norm(layer(u))|, to judge `max_abs` by.
    """

    layer: str
    norm: str
    channels: int
    max_abs: float
    peak: float


@dataclass(frozen=True)
class FoldReport:
    """What was folded, and the norms that were left: they follow no layer, or one that others read too."""

    layers: tuple[FoldedLayer, ...]
    left: tuple[str, ...]


def fold_bn(net: nn.Module, example: Tensor) -> tuple[nn.Module, FoldReport]:
    """A copy of `net` without the BatchNorms that follow a convolution or linear layer; `net` is not changed.

    Folds BatchNorm1d/2d/3d into Conv1d/2d/3d, ConvTranspose1d/2d/3d (any groups, dilation, stride, with or without
    bias) and Linear. Other norms, a BatchNorm after anything else, and one that is not the only reader of its layer
    stay as they are.

    Args:
        net: in evaluation mode, float32, traceable by torch.fx.
        example: an input of the net; the activations it makes are what each fold is measured on.

    Returns:
        The folded copy: same class, same module paths, each folded norm an `nn.Identity`; and the report.

    Raises:
        FoldError: training mode, batch statistics instead of running ones, weights that are not float32, a layer or
            norm used more than once, or a net that cannot be traced.
    """
    modules: dict[str, nn.Module] = dict(net.named_modules())
    _refuse_training(net, modules)
    try:
        graph = fx.Tracer().trace(net)
    except (fx.proxy.TraceError, TypeError, RuntimeError) as error:  # RuntimeError: len() of a traced tensor
        raise FoldError(
            "The net cannot be traced, so it is not known which layer feeds which norm.",
            got=str(error).splitlines()[0],
            expected="a forward() without branches on tensor values",
        ) from error

    activations = _activations(net, graph, example)
    calls = Counter(str(node.target) for node in graph.nodes if node.op == "call_module")
    # forward() that reads conv.weight itself would read the folded one
    calls.update(str(node.target).rpartition(".")[0] for node in graph.nodes if node.op == "get_attr")
    folded = copy.deepcopy(net)
    layers: list[FoldedLayer] = []
    left: list[str] = []
    for node in graph.nodes:
        if node.op != "call_module" or not isinstance(modules[str(node.target)], _BatchNorm):
            continue
        path = str(node.target)
        before = node.all_input_nodes[0]  # args[0] is missing in norm(input=x)
        layer_path = str(before.target) if before.op == "call_module" else None
        layer = modules[layer_path] if layer_path else None
        read_elsewhere = len(before.users) > 1  # who would see normalized values after folding
        if layer is None or layer_path is None or read_elsewhere or not _foldable(layer, activations[before.name]):
            left.append(path)
            continue
        for used, what in ((layer_path, "layer"), (path, "norm")):
            if calls[used] > 1:
                raise FoldError(
                    f"{used} is used {calls[used]} times: folding once would change the other uses.",
                    expected=f"each {what} used once",
                    fix="give each call its own module",
                )
        norm = modules[path]
        assert isinstance(norm, _BatchNorm)
        replacement = folded_layer(layer, norm)
        with torch.no_grad():
            after = replacement(activations[before.all_input_nodes[0].name])
        want = activations[node.name]
        layers.append(
            FoldedLayer(
                layer_path,
                path,
                norm.num_features,
                float((after.double() - want.double()).abs().max()),
                float(want.abs().max()),
            )
        )
        folded.set_submodule(layer_path, replacement)
        folded.set_submodule(path, nn.Identity())
    return folded, FoldReport(tuple(layers), tuple(left))


def folded_layer(layer: nn.Module, norm: _BatchNorm) -> nn.Module:
    """A copy of `layer` that computes norm(layer(u)); see the module's text for the formula."""
    assert norm.running_mean is not None
    assert norm.running_var is not None
    weight, bias = layer.weight, layer.bias
    assert isinstance(weight, Tensor)
    std = torch.sqrt(norm.running_var.double() + norm.eps)  # eps is inside the root, so var = 0 is fine
    gamma = torch.ones_like(std) if norm.weight is None else norm.weight.detach().double()
    beta = torch.zeros_like(std) if norm.bias is None else norm.bias.detach().double()
    scale = gamma / std
    old = torch.zeros_like(std) if not isinstance(bias, Tensor) else bias.detach().double()
    new = copy.deepcopy(layer)
    new.weight = nn.Parameter((weight.detach().double() * _along_outputs(layer, weight, scale)).float())
    new.bias = nn.Parameter(((old - norm.running_mean.double()) * scale + beta).float())
    return new


def _along_outputs(layer: nn.Module, weight: Tensor, scale: Tensor) -> Tensor:
    """`scale` per output channel, shaped to multiply `weight`."""
    if not isinstance(layer, _ConvTransposeNd):  # [out, in / groups, ...]
        return scale.reshape(-1, *[1] * (weight.ndim - 1))
    # [in, out / groups, ...]: rows of group g make the outputs g * out/groups ...
    per_group = scale.reshape(layer.groups, 1, -1)
    rows = per_group.expand(-1, layer.in_channels // layer.groups, -1).reshape(layer.in_channels, -1)
    return rows.reshape(*rows.shape, *[1] * (weight.ndim - 2))


def _foldable(layer: nn.Module, output: Tensor) -> bool:
    """Whether it is a linear map whose outputs lie on axis 1, where BatchNorm has its channels.

    They do not where a Linear's input has more axes, or a convolution's lacks the batch.
    """
    return isinstance(layer, FOLDABLE) and output.ndim == layer.weight.ndim


def _refuse_training(net: nn.Module, modules: dict[str, nn.Module]) -> None:
    for path, module in modules.items():
        if module.training and (module is net or isinstance(module, _BatchNorm)):
            raise FoldError(
                f"{path or 'The net'} is in training mode: its BatchNorm uses each batch's statistics.",
                expected="evaluation mode",
                fix="call net.eval() first",
            )
        if isinstance(module, _BatchNorm) and module.running_var is None:
            raise FoldError(
                f"{path} has no running statistics, so it is not a constant.",
                expected="track_running_stats=True",
            )
    for name, tensor in net.state_dict().items():
        if tensor.is_floating_point() and tensor.dtype != torch.float32:
            raise FoldError(
                f"{name} is not float32.", got=str(tensor.dtype), expected="float32", fix="call net.float() first"
            )


class _Recorder(fx.Interpreter):
    """Runs a traced net and keeps what every node gave; in-place operations work on copies."""

    def __init__(self, net: nn.Module, graph: fx.Graph) -> None:
        super().__init__(net, garbage_collect_values=False, graph=graph)
        self.kept: dict[str, Tensor] = {}

    def run_node(self, n: fx.Node) -> object:
        value: object = super().run_node(n)
        if isinstance(value, Tensor):
            self.kept[n.name] = value.clone()
        return value


def _activations(net: nn.Module, graph: fx.Graph, example: Tensor) -> dict[str, Tensor]:
    recorder = _Recorder(net, graph)
    with torch.no_grad():
        recorder.run(example)
    return recorder.kept
