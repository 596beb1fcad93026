"""ONNX files from elsewhere: read without trusting them, and cleaned to the graph that the rest of edgekit knows."""

from edgekit.graph.foreign.clean import Cleaned, clean, refuse_bombs
from edgekit.graph.foreign.read import Foreign, read_foreign
from edgekit.graph.foreign.steps.work import FoldedNorm

__all__ = ["Cleaned", "FoldedNorm", "Foreign", "clean", "read_foreign", "refuse_bombs"]
