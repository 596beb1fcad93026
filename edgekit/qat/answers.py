"""What a net that was trained quantized answers, computed by torch: what its int8 file is compared with."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from edgekit.backends.torch_ import TorchSession
from edgekit.checkpoints.checkpoint import Checkpoint
from edgekit.nets.detector import with_decoding
from edgekit.predictor import Answers
from edgekit.progress import track, working
from edgekit.qat.start import source_of
from edgekit.vision.preprocess import normalise

AT_ONCE = 2  # as the gate runs a checkpoint


def trained_answers(checkpoint: Checkpoint, pixels: Sequence[NDArray[np.uint8]]) -> Answers:
    """The answers of a checkpoint's net with the rounding that it was trained with.

    Args:
        checkpoint: one with a `quantization`.
        pixels: resized pictures, uint8 [H, W, 3] BGR each.

    Raises:
        ArtifactError: its graph is not the one that it was trained with any more.
    """
    held, spec = checkpoint.quantization, checkpoint.spec
    assert held is not None
    with working("the net with its rounding"):
        source = source_of(checkpoint)
        net = with_decoding(source.net(held.scheme, held.parameters), spec)
    rows: list[Answers] = []
    with TorchSession(net, spec) as session:
        for i in track(range(0, len(pixels), AT_ONCE), "running the net with its rounding"):
            rows.append(session.run({"image": normalise(np.stack(pixels[i : i + AT_ONCE]), spec.preprocess)}))
    return {name: np.concatenate([row[name] for row in rows]) for name in rows[0]}
