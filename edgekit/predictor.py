"""Frame in, result out: a session, the preprocessing it was trained with, and the decoding of what it gives."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgekit.artifact import Artifact, read_onnx
from edgekit.backends import Session, open_session
from edgekit.errors import ArtifactError, VerificationError
from edgekit.spec import ModelSpec
from edgekit.vision.decode import Classification, classify
from edgekit.vision.preprocess import normalise, preprocess

Frame = NDArray[np.uint8]  # [h, w, 3] BGR
Logits = NDArray[np.float32]  # [N, C]


class Predictor:
    """What eval, bench, predict, verify and the camera all use, so that they cannot differ.

    Args:
        session: takes `image`, gives `logits`.
        spec: preprocessing and classes.
        name: for messages and reports.
        sha256: of the model's file.

    Raises:
        ArtifactError: the session's input or output is not what `spec` says.
    """

    def __init__(self, session: Session, spec: ModelSpec, *, name: str = "model", sha256: str = "") -> None:
        self.session = session
        self.spec = spec
        self.name = name
        self.sha256 = sha256
        image, logits = self._bind()
        self._float = image.dtype == "float32"
        self._batch = image.shape[0] if isinstance(image.shape[0], int) else None
        self._output = logits.name

    @classmethod
    def open(cls, path: Path, backend: str = "onnxruntime", **options: Any) -> Predictor:
        """The predictor of an exported file, checked by `edgekit.artifact.read_onnx`.

        Args:
            backend: a name of `edgekit.backends.BACKENDS`; `options` are its own (provider, threads, spinning).

        Raises:
            ArtifactError: the file must not run here.
            BackendError: the backend cannot.
        """
        return cls.from_artifact(read_onnx(path), backend, **options)

    @classmethod
    def from_artifact(cls, artifact: Artifact, backend: str = "onnxruntime", **options: Any) -> Predictor:
        session = open_session(artifact.data, backend, **options)
        return cls(session, artifact.metadata.model, name=artifact.path.name, sha256=artifact.sha256)

    def __call__(self, frames: Sequence[Frame], top: int = 5) -> list[Classification]:
        """Results for uint8 [h, w, 3] BGR frames of any sizes, with their `top` classes."""
        return classify(self.logits(frames), self.spec.classes, top)

    def logits(self, frames: Iterable[Frame]) -> Logits:
        """float32 [N, C], one row per frame, in batches that the session takes."""
        return self.logits_of_pixels([preprocess(frame, self.spec.preprocess) for frame in frames])

    def stream(self, frames: Iterable[Frame], batch: int = 16) -> Iterator[Logits]:
        """`logits` of many frames, one [C] row at a time, with at most `batch` frames in memory."""
        held: list[Frame] = []
        for frame in frames:
            held.append(preprocess(frame, self.spec.preprocess))
            if len(held) == batch:
                yield from self.logits_of_pixels(held)
                held = []
        if held:
            yield from self.logits_of_pixels(held)

    def logits_of_pixels(self, pixels: Sequence[Frame], batch: int = 16) -> Logits:
        """float32 [N, C] of frames that are resized already: uint8 [H, W, 3] BGR each.

        Args:
            batch: frames per run where the session's batch is dynamic; a fixed one is filled up with zeros.
        """
        rows: list[Logits] = []
        step = self._batch or batch
        for start in range(0, len(pixels), step):
            block = np.stack(pixels[start : start + step])
            count = len(block)
            if self._batch and count < self._batch:
                block = np.concatenate([block, np.zeros((self._batch - count, *block.shape[1:]), np.uint8)])
            feed = normalise(block, self.spec.preprocess) if self._float else block
            rows.append(self.session.run({"image": feed})[self._output][:count])
        return np.concatenate(rows) if rows else np.empty((0, len(self.spec.classes)), np.float32)

    @property
    def fixed_batch(self) -> int | None:
        """The session's batch size, or None where it is dynamic."""
        return self._batch

    def close(self) -> None:
        self.session.close()

    def __enter__(self) -> Predictor:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _bind(self) -> tuple[Any, Any]:
        inputs = {spec.name: spec for spec in self.session.inputs}
        outputs = {spec.name: spec for spec in self.session.outputs}
        image, logits = inputs.get("image"), outputs.get("logits")
        size = (self.spec.preprocess.height, self.spec.preprocess.width)
        pixel_shapes = {"uint8": (*size, 3), "float32": (3, *size)}
        if image is None or len(inputs) != 1 or image.shape[1:] != pixel_shapes.get(image.dtype):
            raise ArtifactError(
                f"The input of {self.name} is not what its metadata says.",
                got=", ".join(map(str, self.session.inputs)),
                expected=f"image uint8[N, {size[0]}, {size[1]}, 3] or float32[N, 3, {size[0]}, {size[1]}]",
            )
        if logits is None or logits.dtype != "float32" or logits.shape[1:] != (len(self.spec.classes),):
            raise ArtifactError(
                f"The output of {self.name} is not what its metadata says.",
                got=", ".join(map(str, self.session.outputs)),
                expected=f"logits float32[N, {len(self.spec.classes)}], one per class",
            )
        return image, logits


def require_verified(artifact: Artifact) -> None:
    """Raises VerificationError for a file that did not pass the gate when it was exported."""
    if artifact.metadata.verification.get("passed") is not True:
        raise VerificationError(
            f"{artifact.path} did not pass the gate when it was exported.",
            got=f"verdict {artifact.metadata.verification.get('passed')!r}",
            expected="a verified file",
            fix="its .verify.json says what differed; export again after mending it",
        )
