"""From a folded torch net to one self-contained ONNX, with its preprocessing, temperature or decoding inside."""

from __future__ import annotations

import copy
import logging
import warnings
from collections.abc import Sequence
from typing import Any

import onnx
import torch
from torch import Tensor, nn

from edgekit.errors import EdgekitError
from edgekit.graph import passes
from edgekit.graph.fold.kinds import FOLDABLE, is_layer
from edgekit.graph.fold.record import record, uses
from edgekit.graph.lint.graph import Graph
from edgekit.graph.lint.operators import batchnorm_after_conv
from edgekit.graph.translate import translations
from edgekit.spec import ModelSpec, PreprocessSpec
from edgekit.tasks import task_of


class Deploy(nn.Module):
    """uint8 [N, H, W, 3] BGR, as resized, -> the net's output.

    Channel order and 1/(255 std) are folded into the first convolution, which is exact: both are linear and keep zero
    at zero, so they commute with its zero padding. The mean does not, so it stays one subtraction.
    """

    mean: Tensor
    scale: Tensor | None
    order: Tensor

    def __init__(self, net: nn.Module, spec: PreprocessSpec) -> None:
        super().__init__()
        self.net = copy.deepcopy(net)
        order, std = _order(spec), _deviation(spec)
        mean = torch.tensor(spec.mean, dtype=torch.float64) * 255
        # one number where all channels have it, else a row of pixels before the transpose: onnxruntime runs int8 nets
        # with channels last, where subtracting three numbers at a time took 0.3 of EfficientNet-Lite0's 3.2 ms
        row = mean[order].float().repeat(spec.width, 1)
        self.register_buffer("mean", row[:1, :1].reshape(()) if len(set(spec.mean)) == 1 else row)
        first = first_convolution(self.net, torch.zeros(1, 3, spec.height, spec.width))
        if first is not None:
            first.weight = nn.Parameter(_of_bytes(first.weight.detach(), spec))
        scale = None if first is not None else (1 / std[order]).float().reshape(1, 3, 1, 1)
        self.register_buffer("scale", scale)
        self.register_buffer("order", torch.tensor(order))

    def forward(self, image: Tensor) -> Any:
        x = (image.to(torch.float32) - self.mean).permute(0, 3, 1, 2).contiguous()
        if self.scale is not None:
            x = (x * self.scale).index_select(1, self.order)
        return self.net(x)


def _order(spec: PreprocessSpec) -> list[int]:
    """Where the net's channels are in BGR, and back."""
    return [2, 1, 0] if spec.color == "rgb" else [0, 1, 2]


def _deviation(spec: PreprocessSpec) -> Tensor:
    """float64 [3]: the deviation of bytes, in the order of the net's channels."""
    return torch.tensor(spec.std, dtype=torch.float64) * 255


def _of_bytes(weight: Tensor, spec: PreprocessSpec) -> Tensor:
    """A first convolution's weights as `Deploy` has them, of those that take normalized pictures."""
    return (weight.double() / _deviation(spec).reshape(1, 3, 1, 1))[:, _order(spec)].float()


def of_normalized(weight: Tensor, spec: PreprocessSpec) -> Tensor:
    """A first convolution's weights as the net has them, of those in a graph that `Deploy` made."""
    return (weight.double()[:, _order(spec)] * _deviation(spec).reshape(1, 3, 1, 1)).float()


def first_convolution(net: nn.Module, example: Tensor) -> nn.Conv2d | None:
    """The ungrouped Conv2d with three inputs, padded with zeros, that alone reads the net's input, if there is one.

    Args:
        example: an input of the net; one run on it shows who reads it.
    """
    run = record(net, example)
    readers = [call for call in run.calls if len(call.inputs) == 1 and call.inputs[0] is example]
    call = next((call for call in readers if isinstance(call.module, nn.Conv2d) and is_layer(call.module)), None)
    if call is None or not run.only_reader(example, call, since=0) or uses(run, call) > 1:
        return None
    module = call.module
    assert isinstance(module, nn.Conv2d)
    fits = module.groups == 1 and module.in_channels == 3 and module.padding_mode == "zeros"
    return module if fits else None


def divide_heads(net: nn.Module, paths: Sequence[str], temperature: float) -> nn.Module:
    """A copy whose last layers, at `paths`, give what they gave divided by the temperature.

    So are the logits, also where a ReLU and a mean follow, as behind a convolution, or the mean of several heads is
    taken, as in a distilled net: all take a factor above 0 along.

    Raises:
        EdgekitError: a layer that is neither linear nor a convolution.
    """
    net = copy.deepcopy(net)
    for path in paths:
        head = net.get_submodule(path)
        if not isinstance(head, FOLDABLE):
            raise EdgekitError(
                f"The temperature cannot be folded into {path}.",
                got=type(head).__name__,
                expected="a last layer that is linear or a convolution",
            )
        for name in ("weight", "bias"):
            values = getattr(head, name)
            if values is not None:
                setattr(head, name, nn.Parameter((values.detach().double() / temperature).float()))
    return net


def with_sigmoid(net: nn.Module) -> nn.Module:
    """A copy that gives the sigmoid of what it gave; its layers keep their paths."""
    net = copy.deepcopy(net)
    net.register_forward_hook(lambda module, arguments, output: torch.sigmoid(output))
    return net


def onnx_from_torch(
    net: nn.Module,
    spec: ModelSpec,
    *,
    opset: int,
    heads: Sequence[str] = (),
    batch: int | None = None,
    input_kind: str = "uint8",
) -> onnx.ModelProto:
    """Exports a folded net that answers as its spec says.

    Args:
        net: evaluation mode, BatchNorm folded where it follows a layer. A detector has its decoding inside
            (`edgekit.nets.detector`) and may give its raw maps behind the three outputs.
        spec: what the net is.
        heads: paths of a classifier's last layers (`edgekit.nets.registry.Net`), which take the temperature in; may
            be left out where that is 1.
        opset: the opset that the result must have.
        batch: fixed batch size; None for a dynamic one, called N.
        input_kind: `uint8` takes `image` uint8 [N, H, W, 3] BGR with the preprocessing in the graph; `float` takes
            `image` float32 [N, 3, H, W], normalized.

    Returns:
        A checked model with the outputs of `spec.outputs`, nodes and tensors named after the torch modules.

    Raises:
        EdgekitError: torch's exporter failed or gave another opset, a BatchNormalization is left that could have been
            folded, or the graph is invalid.
    """
    net = net.eval()
    if spec.temperature != 1:
        if not heads:
            raise EdgekitError(
                "Nobody said which layer takes the temperature in.", expected="heads, the last one's path"
            )
        net = divide_heads(net, heads, spec.temperature)
    if task_of(spec.task).closes_with == "sigmoid":
        net = with_sigmoid(net)
    size = (spec.preprocess.height, spec.preprocess.width)
    n = batch or 2  # a dynamic batch needs an example of two: one would be taken for a constant
    if input_kind == "uint8":
        deploy: nn.Module = Deploy(net, spec.preprocess).eval()
        example = torch.zeros(n, *size, 3, dtype=torch.uint8)
    else:
        deploy = _Named(net).eval()
        example = torch.zeros(n, 3, *size)
    # else torch writes into the graph how pooled maps lie in its own memory
    deploy = deploy.to(memory_format=torch.contiguous_format)
    model = _export(deploy, example, opset, _output_names(net, spec), dynamic=batch is None)
    passes.after_export(model)
    model.producer_name = "edgekit"
    model.graph.name = spec.arch
    model = onnx.shape_inference.infer_shapes(model, check_type=True, strict_mode=True, data_prop=True)
    _ensure(model, opset, batch)
    return model


class _Named(nn.Module):
    """Puts a net under the path `net`, as Deploy does, so that both exports give the same names."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net

    def forward(self, image: Tensor) -> Any:
        return self.net(image)


def _output_names(net: nn.Module, spec: ModelSpec) -> list[str]:
    """Where decoding is inside, the fields of what the net gives: its outputs and, if asked for, its maps."""
    if not task_of(spec.task).decodes_in_graph:
        return [output.name for output in spec.outputs]
    with torch.no_grad():
        given = net(torch.zeros(1, 3, spec.preprocess.height, spec.preprocess.width))
    return list(given._fields)


def _export(
    module: nn.Module, example: Tensor, opset: int, output_names: list[str], *, dynamic: bool
) -> onnx.ModelProto:
    loud = [logging.getLogger(name) for name in ("torch.onnx", "onnxscript", "onnx_ir")]
    levels = [logger.level for logger in loud]
    for logger in loud:
        logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings(), torch.no_grad():
            warnings.simplefilter("ignore")  # deprecations inside the exporter; the result is checked instead
            program = torch.onnx.export(
                module,
                (example,),
                dynamo=True,
                opset_version=opset,
                input_names=["image"],
                output_names=output_names,
                dynamic_shapes={"image": {0: torch.export.Dim.DYNAMIC}} if dynamic else None,
                custom_translation_table=translations(),
                external_data=False,
                verbose=False,
            )
    except torch.onnx.OnnxExporterError as error:
        raise EdgekitError(
            "torch cannot write the net as ONNX.",
            got=_reason(error),
            expected="operations that ONNX has, and a forward() that does the same for every batch and every picture",
            fix="--batch 1, if it is the size of the batch that it minds; else write the operation another way",
        ) from error
    finally:
        for logger, level in zip(loud, levels, strict=True):
            logger.setLevel(level)
    assert program is not None
    model = program.model_proto
    assert isinstance(model, onnx.ModelProto)
    return model


def _reason(error: BaseException) -> str:
    """The first line of what was raised first."""
    while error.__cause__ is not None:
        error = error.__cause__
    return f"{type(error).__name__}: {next(iter(str(error).strip().splitlines()), '')}"


def _ensure(model: onnx.ModelProto, opset: int, batch: int | None) -> None:
    found = {o.domain: o.version for o in model.opset_import}
    if found.get("") != opset:
        raise EdgekitError(
            "The exporter did not give the opset that the target needs.",
            got=str(found),
            expected=str(opset),
            fix="set the target's opset to one that this torch can write (18 or newer)",
        )
    for value in (*model.graph.input, *model.graph.output):
        first = value.type.tensor_type.shape.dim[0]
        if (first.dim_value or None) != batch:
            raise EdgekitError(
                f"The exporter did not give {value.name} the batch that was asked for.",
                got=f"batch {first.dim_value or first.dim_param}",
                expected=f"batch {batch or 'dynamic'}",
                fix="--batch N asks for a fixed one; a dynamic one needs a net that does not depend on it",
            )
    left = [hit.where for hit in batchnorm_after_conv(Graph(model))]
    if left:
        raise EdgekitError(
            "BatchNormalization is left in the graph behind a layer that it could be folded into.",
            got=", ".join(left),
            expected="a net that `edgekit.graph.fold_bn` has folded",
        )
    onnx.checker.check_model(model, full_check=True)
