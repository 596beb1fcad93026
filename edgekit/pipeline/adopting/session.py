"""An original as a session, so that `edgekit verify ORIGINAL.onnx ADOPTED.onnx` can compare the two again."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from edgekit.artifacts.metadata import Metadata
from edgekit.backends.base import Arrays, Session
from edgekit.errors import ArtifactError
from edgekit.graph.decoders import Reading
from edgekit.graph.foreign import read_foreign
from edgekit.pipeline.adopting.asked import ARCH
from edgekit.pipeline.adopting.options import CANDIDATES
from edgekit.pipeline.adopting.original import Decoding, Original
from edgekit.predictor import Predictor
from edgekit.spec import ModelSpec, TensorSpec


class OriginalSession(Session):
    """Takes `image` float32 [N, 3, H, W], normalized; gives what the adopted file must give, decoded in numpy.

    Args:
        original: runs the file.
        spec: what the adopted file says of itself, its decoding included.
    """

    backend = "onnxruntime"

    def __init__(self, original: Original, spec: ModelSpec) -> None:
        self._original = original
        said = dict(spec.arch_args or {})
        candidates = int(said.get("candidates", CANDIDATES))
        self._decoding = Decoding(Reading.from_dict(said["decoder"]), spec.max_detections, candidates, spec.suppression)
        self.inputs = (TensorSpec("image", "float32", ("N", 3, spec.preprocess.height, spec.preprocess.width)),)
        self.outputs = spec.outputs

    def _run(self, feeds: Arrays) -> Arrays:
        return self._original.answers(list(np.asarray(feeds["image"])), self._decoding)


def is_adopted(made: Metadata) -> bool:
    """Whether a file was adopted rather than exported from a checkpoint."""
    return made.model.arch == ARCH


def open_original(path: Path, made: Metadata) -> Predictor:
    """The original of an adopted file, as what it must equal.

    Args:
        path: of the original.
        made: of the adopted file.

    Raises:
        ArtifactError: `path` is another file than the adopted one was made from.
    """
    foreign = read_foreign(path)
    if foreign.sha256 != made.lineage.checkpoint:
        raise ArtifactError(
            f"The file was adopted from another ONNX than {path}.",
            got=f"sha256 {foreign.sha256[:12]}",
            expected=f"sha256 {made.lineage.checkpoint[:12]}",
            fix=f"edgekit adopt {path} makes one from it",
        )
    spec = made.model
    original = Original(foreign, (spec.preprocess.height, spec.preprocess.width))
    session = OriginalSession(original, spec)
    return Predictor(session, spec, name=path.name, sha256=foreign.sha256, what="this ONNX, run by onnxruntime")
