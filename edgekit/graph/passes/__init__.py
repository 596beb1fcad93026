"""Rewrites of an ONNX graph, one file each: each checks what it requires and ensures, and says if it changed it."""

from __future__ import annotations

from importlib import import_module

import onnx

from edgekit.graph.passes.base import Pass
from edgekit.graph.passes.expose import Expose, exposed

__all__ = ["AFTER_EXPORT", "Expose", "Pass", "after_export", "exposed"]

AFTER_EXPORT = (  # what is done to the graph that torch's exporter made, in this order: file.class
    "shape_after_cast.ShapeAfterCast",
    "name_by_module.NameByModule",
    "drop_debug_info.DropDebugInfo",
    "name_batch.NameBatch",
)


def after_export(model: onnx.ModelProto) -> tuple[str, ...]:
    """Runs the passes of `AFTER_EXPORT` on `model`, in place.

    Returns:
        The names of those that changed it.

    Raises:
        EdgekitError: as `Pass`.
    """
    changed = []
    for line in AFTER_EXPORT:
        file, _, name = line.partition(".")
        one: Pass = getattr(import_module(f"edgekit.graph.passes.{file}"), name)()
        if one(model):
            changed.append(name)
    return tuple(changed)
