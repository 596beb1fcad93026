"""How operations of torch become ONNX's where the exporter's own way is roundabout."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any


def translations() -> dict[Callable[..., Any], Callable[..., Any]]:
    """For `torch.onnx.export(custom_translation_table=...)`."""
    import torch

    return {torch.ops.aten.scaled_dot_product_attention.default: _attention}


def _attention(
    query: Any,
    key: Any,
    value: Any,
    attn_mask: Any = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> Any:
    """softmax(scale q k^T + mask) v (Vaswani et al. 2017, equation 1), with k transposed by one Transpose.

    The exporter reads k's shape and reshapes twice, which needs a Shape in every block, and scales both q and k.
    """
    import onnxscript
    from onnxscript import ir

    op: Any = onnxscript.opset20  # whose types are too narrow for a traced value
    if is_causal or enable_gqa:
        raise NotImplementedError("attention that is causal or has fewer heads for keys than for queries")
    rank = len(query.shape)
    factor = 1 / math.sqrt(query.shape[-1]) if scale is None else scale
    turned = op.Transpose(key, perm=[*range(rank - 2), rank - 1, rank - 2])
    scores = op.MatMul(op.Mul(query, op.CastLike(op.Constant(value_float=factor), query)), turned)
    if attn_mask is not None and attn_mask.dtype == ir.DataType.BOOL:
        zero, never = (op.CastLike(op.Constant(value_float=x), query) for x in (0.0, -math.inf))
        attn_mask = op.Where(attn_mask, zero, never)
    if attn_mask is not None:
        scores = op.Add(scores, attn_mask)
    return op.MatMul(op.Softmax(scores, axis=-1), value)
