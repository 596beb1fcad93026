"""The runtimes that open an exported file: module and class of each session, imported when it is asked for.

The table is here, below the backends themselves, since a target's TOML names one too.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, TypeAlias

BACKENDS: dict[str, tuple[str, str]] = {
    "onnxruntime": ("edgekit.backends.onnxruntime_", "OnnxRuntimeSession"),
    "openvino": ("edgekit.backends.openvino_", "OpenVinoSession"),
}

if TYPE_CHECKING:
    Backend: TypeAlias = str  # a type checker can't read the table
else:
    Backend = Literal[tuple(BACKENDS)]
