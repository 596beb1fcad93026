"""An ONNX from elsewhere becomes an edgekit file: read, cleaned, wrapped, and proven equal to itself as it came."""

from edgekit.pipeline.adopting.options import CANDIDATES, KEEP, AdoptOptions
from edgekit.pipeline.adopting.run import run_adopt
from edgekit.pipeline.adopting.session import is_adopted, open_original

__all__ = ["CANDIDATES", "KEEP", "AdoptOptions", "is_adopted", "open_original", "run_adopt"]
