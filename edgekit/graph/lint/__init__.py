"""What TensorRT and onnxruntime refuse in a graph, or silently get wrong, found without running either.

A new rule is one function that yields hits, one line in RULES, and one test (CONTRIBUTING.md).
"""

from __future__ import annotations

from collections.abc import Iterable

import onnx

from edgekit.config.schemes import SCHEMES
from edgekit.errors import UsageError
from edgekit.graph.lint.graph import Graph
from edgekit.graph.lint.rule import EVERY, ONNXRUNTIME, TENSORRT, Finding, Rule

__all__ = ["RULES", "Finding", "Graph", "Rule", "lint"]

X86 = frozenset({"int8-x86"})

RULES: tuple[Rule, ...] = (
    Rule("external-data", "error", EVERY, "interface.external_data"),
    Rule("unknown-domain", "error", EVERY, "interface.unknown_domain"),
    Rule("microsoft-domain", "error", TENSORRT, "interface.microsoft_domain"),
    Rule("opset-mismatch", "error", EVERY, "interface.opset_mismatch"),
    Rule("shape-inference", "warning", EVERY, "interface.shape_inference"),
    Rule("duplicate-names", "error", EVERY, "interface.duplicate_names"),
    Rule("unnamed-output", "error", EVERY, "interface.unnamed_output"),
    Rule("int64-io", "error", TENSORRT, "interface.int64_io"),
    Rule("uint8-before-cast", "error", TENSORRT, "interface.uint8_before_cast"),
    Rule("uint8-inside", "error", TENSORRT, "interface.uint8_inside"),
    Rule("dynamic-spatial", "warning", TENSORRT, "interface.dynamic_spatial"),
    Rule("double-precision", "error", TENSORRT, "interface.double_precision"),
    Rule("non-tensor-type", "error", EVERY, "interface.non_tensor_type"),
    Rule("unsupported-type", "error", TENSORRT, "interface.unsupported_type"),
    Rule("control-flow", "warning", TENSORRT, "interface.control_flow"),
    Rule("batchnorm-after-conv", "error", EVERY, "operators.batchnorm_after_conv"),
    Rule("batchnorm-left", "warning", EVERY, "operators.batchnorm_left"),
    Rule("topk-limit", "error", TENSORRT, "operators.topk_limit"),
    Rule("topk-dynamic-k", "warning", TENSORRT, "operators.topk_dynamic_k"),
    Rule("random-ops", "error", EVERY, "operators.random_ops"),
    Rule("training-mode", "error", EVERY, "operators.training_mode"),
    Rule("nonfinite-weights", "error", EVERY, "operators.nonfinite_weights"),
    Rule("fp16-index-arithmetic", "error", EVERY, "indices.fp16_index_arithmetic"),
    Rule("float-floor-division", "error", EVERY, "indices.float_floor_division"),
    Rule("int32-dequantize", "error", TENSORRT, "quantized.int32_dequantize"),
    Rule("nonzero-zero-point", "error", TENSORRT, "quantized.nonzero_zero_point"),
    Rule("uint8-zero-point-zero", "error", TENSORRT, "quantized.uint8_zero_point_zero"),
    Rule("qdq-between-conv-and-relu", "error", TENSORRT, "quantized.qdq_between_conv_and_relu"),
    Rule("int8-conv-transpose", "warning", ONNXRUNTIME, "quantized.int8_conv_transpose"),
    Rule("int8-conv-transpose-axis", "error", TENSORRT, "quantized.int8_conv_transpose_axis"),
    Rule("fp16-scale-opset", "error", EVERY, "quantized.fp16_scale_opset"),
    Rule("per-tensor-weights", "error", EVERY, "quantized.per_tensor_weights", schemes=frozenset(SCHEMES)),
    Rule("s8s8-on-x86", "warning", ONNXRUNTIME, "quantized.s8s8_on_x86", schemes=X86),
    Rule("u8u8-on-x86", "warning", ONNXRUNTIME, "quantized.u8u8_on_x86", schemes=X86),
)


def lint(
    model: onnx.ModelProto, *, runtimes: Iterable[str] = EVERY, opset: int | None = None, scheme: str | None = None
) -> list[Finding]:
    """Looks for what the runtimes of a target would refuse or get wrong.

    Args:
        model: is not changed; no other file is read.
        runtimes: where it will run: `onnxruntime`, `openvino`, `tensorrt`.
        opset: what the target names; not compared when None.
        scheme: a name of `edgekit.config.schemes` when the graph was quantized.

    Returns:
        The findings in the order of RULES; empty when there is nothing to say.

    Raises:
        UsageError: unknown or no runtime, or unknown scheme.
    """
    asked = frozenset(runtimes)
    if not asked or not asked <= EVERY:
        raise UsageError("Unknown runtimes to lint for.", got=str(sorted(asked)), expected=f"some of {sorted(EVERY)}")
    if scheme is not None and scheme not in SCHEMES:
        raise UsageError("Unknown quantization scheme.", got=scheme, expected=", ".join(sorted(SCHEMES)))
    graph = Graph(model, opset)
    return [
        Finding(rule.id, rule.severity, hit.message, hit.fix, hit.where)
        for rule in RULES
        if rule.runtimes & asked and (not rule.schemes or scheme in rule.schemes)
        for hit in rule.function(graph)
    ]
