"""An export, stage by stage: checkpoint -> folded -> ONNX -> file, each compared with the checkpoint before the next.

Nothing gets its final name before the file itself, read back from the disk as a device would, gave the answers of
the checkpoint.
"""

from edgekit.pipeline.opened import expected_of
from edgekit.pipeline.options import CALIBRATE, PICTURES, ExportOptions
from edgekit.pipeline.pictures import pictures_for_gate
from edgekit.pipeline.run import export, run_export
from edgekit.pipeline.writing import ExportResult

__all__ = [
    "CALIBRATE",
    "PICTURES",
    "ExportOptions",
    "ExportResult",
    "expected_of",
    "export",
    "pictures_for_gate",
    "run_export",
]
