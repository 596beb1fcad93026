"""Frame in, result out: a session, the preprocessing it was trained with, and the decoding of what it gives."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgekit.artifacts.onnx_file import Artifact, read_onnx
from edgekit.backends import Session, open_session
from edgekit.errors import ArtifactError, VerificationError
from edgekit.progress import track
from edgekit.spec import ModelSpec, TensorSpec
from edgekit.tasks import ANY, TASKS, Asked, Task, task_of
from edgekit.vision.labels import Labels
from edgekit.vision.preprocess import normalise, preprocess
from edgekit.vision.results import Classification, Detections

Frame = NDArray[np.uint8]  # [h, w, 3] BGR
Logits = NDArray[np.float32]  # [N, C]
Answers = dict[str, NDArray[Any]]  # the model's outputs by name


class Predictor:
    """What eval, bench, predict, verify and the camera all use, so that they cannot differ.

    Args:
        session: takes `image`, gives what `spec.outputs` says.
        spec: task, preprocessing and classes.
        name: for messages and reports.
        sha256: of the model's file.
        trained_on: as in `edgekit.artifacts.metadata.Metadata`.
        what: whose answers these are, for a verdict.

    Raises:
        ArtifactError: the session's input or output is not what `spec` says.
    """

    def __init__(
        self,
        session: Session,
        spec: ModelSpec,
        *,
        name: str = "model",
        sha256: str = "",
        trained_on: str = "",
        what: str = "",
    ) -> None:
        self.session = session
        self.spec = spec
        self.name = name
        self.sha256 = sha256
        self.trained_on = trained_on
        self.what = what or f"this {session.backend} session"
        image = self._bind()
        self._float = image.dtype == "float32"
        self._batch = image.shape[0] if isinstance(image.shape[0], int) else None

    @classmethod
    def open(cls, path: str | os.PathLike[str], backend: str = "onnxruntime", **options: Any) -> Predictor:
        """The predictor of an exported file, checked by `edgekit.artifacts.onnx_file.read_onnx`.

        Args:
            backend: a name of `edgekit.backends.BACKENDS`; `options` are its own (provider, threads, spinning).

        Raises:
            ArtifactError: the file must not run here.
            BackendError: the backend cannot.
        """
        return cls.from_artifact(read_onnx(path), backend, **options)

    @classmethod
    def from_artifact(cls, artifact: Artifact, backend: str = "onnxruntime", **options: Any) -> Predictor:
        """As `open`, of a file that was read already."""
        session = open_session(artifact.data, backend, **options)
        described, what = artifact.metadata, f"this ONNX, run by {backend}"
        return cls(
            session,
            described.model,
            name=artifact.path.name,
            sha256=artifact.sha256,
            trained_on=described.trained_on,
            what=what,
        )

    @property
    def task(self) -> Task:
        """What the model is for: how its answers are decoded, drawn, compared and measured."""
        return task_of(self.spec.task)

    def __call__(self, frames: Sequence[Frame], asked: Asked = ANY) -> list[Any]:
        """The task's results for uint8 [h, w, 3] BGR frames of any sizes: `Classification`, `Detections` and so on."""
        pixels = [preprocess(frame, self.spec.preprocess) for frame in frames]
        return list(self.task.decode(self.answers(pixels), [frame.shape for frame in frames], self.spec, asked))

    def results(self, frames: Iterable[Frame], asked: Asked = ANY, batch: int = 16) -> Iterator[Any]:
        """The task's result for each of many frames, with at most `batch` frames in memory."""
        for row, shape in self.rows(frames, batch):
            one = {name: values[None] for name, values in row.items()}
            yield from self.task.decode(one, [shape], self.spec, asked)

    def classify(self, frames: Sequence[Frame], top: int = 5) -> list[Classification]:
        """What uint8 [h, w, 3] BGR frames of any sizes show, with their `top` classes."""
        TASKS["classification"].only(self.spec.task, self.name)
        return self(frames, Asked(top=top))

    def labels(self, frames: Sequence[Frame], threshold: float | None = None) -> list[Labels]:
        """All labels of uint8 [h, w, 3] BGR frames of any sizes, of a multi-label classifier.

        Args:
            threshold: smallest score; None takes the model's own, one a class, or 0.5 where it has none.
        """
        TASKS["multilabel"].only(self.spec.task, self.name)
        return self(frames, Asked(threshold=threshold))

    def detect(self, frames: Iterable[Frame], threshold: float | None = None) -> list[Detections]:
        """What is where in uint8 [h, w, 3] BGR frames of any sizes, in each frame's own pixels.

        Args:
            threshold: smallest score; None takes the model's own, one a class, or 0.3 where it has none.
        """
        return list(self.stream_detections(frames, threshold))

    def stream_detections(
        self, frames: Iterable[Frame], threshold: float | None = None, batch: int = 16
    ) -> Iterator[Detections]:
        """`detect` of many frames, with at most `batch` of them in memory; `threshold` 0 gives all K places."""
        TASKS["detection"].only(self.spec.task, self.name)
        yield from self.results(frames, Asked(threshold=threshold), batch)

    def logits(self, frames: Iterable[Frame]) -> Logits:
        """float32 [N, C], one row per frame, in batches that the session takes."""
        return self.logits_of_pixels([preprocess(frame, self.spec.preprocess) for frame in frames])

    def stream(self, frames: Iterable[Frame], batch: int = 16) -> Iterator[Logits]:
        """`logits` of many frames, one [C] row at a time, with at most `batch` frames in memory."""
        for row, _ in self.rows(frames, batch):
            yield row["logits"]

    def logits_of_pixels(self, pixels: Sequence[Frame], batch: int = 16) -> Logits:
        """float32 [N, C] of frames that are resized already: uint8 [H, W, 3] BGR each."""
        TASKS["classification"].only(self.spec.task, self.name)
        return self.answers(pixels, batch)["logits"]

    def answers(self, pixels: Sequence[Frame], batch: int = 16) -> Answers:
        """The model's outputs by name, [N, ...] each, for frames that are resized already: uint8 [H, W, 3] BGR.

        Args:
            batch: frames per run where the session's batch is dynamic; a fixed one is filled up with zeros.
        """
        parts: dict[str, list[NDArray[Any]]] = {spec.name: [] for spec in self.spec.outputs}
        step = self._batch or min(batch, self.session.largest_batch or batch)
        starts = range(0, len(pixels), step)
        for start in starts if len(starts) < 2 else track(starts, "running the model"):
            some = pixels[start : start + step]
            block = some[0][None] if len(some) == 1 else np.stack(some)  # one picture is not copied
            count = len(block)
            if self._batch and count < self._batch:
                block = np.concatenate([block, np.zeros((self._batch - count, *block.shape[1:]), np.uint8)])
            feed = normalise(block, self.spec.preprocess) if self._float else block
            given = self.session.run({"image": feed})
            for name, rows in parts.items():
                rows.append(given[name][:count])
        return {
            spec.name: np.concatenate(parts[spec.name])
            if parts[spec.name]
            else np.empty((0, *(int(d) for d in spec.shape[1:])), spec.dtype)
            for spec in self.spec.outputs
        }

    def rows(self, frames: Iterable[Frame], batch: int = 16) -> Iterator[tuple[Answers, tuple[int, ...]]]:
        """The outputs of each frame by name, without the batch's axis, and the frame's shape; see `stream`."""
        held: list[Frame] = []
        shapes: list[tuple[int, ...]] = []

        def run() -> Iterator[tuple[Answers, tuple[int, ...]]]:
            given = self.answers(held, batch)
            for i, shape in enumerate(shapes):
                yield {name: values[i] for name, values in given.items()}, shape
            held.clear()
            shapes.clear()

        for frame in frames:
            held.append(preprocess(frame, self.spec.preprocess))
            shapes.append(frame.shape)
            if len(held) == batch:
                yield from run()
        if held:
            yield from run()

    @property
    def fixed_batch(self) -> int | None:
        """The session's batch size, or None where it is dynamic."""
        return self._batch

    def close(self) -> None:
        """Frees what the runtime holds."""
        self.session.close()

    def __enter__(self) -> Predictor:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _bind(self) -> TensorSpec:
        """The input, after inputs and outputs were compared with the spec. A detector may give its raw maps too."""
        inputs = {spec.name: spec for spec in self.session.inputs}
        outputs = {spec.name: spec for spec in self.session.outputs}
        image = inputs.get("image")
        size = (self.spec.preprocess.height, self.spec.preprocess.width)
        pixel_shapes = {"uint8": (*size, 3), "float32": (3, *size)}
        if image is None or len(inputs) != 1 or image.shape[1:] != pixel_shapes.get(image.dtype):
            raise ArtifactError(
                f"The input of {self.name} is not what its metadata says.",
                got=", ".join(map(str, self.session.inputs)),
                expected=f"image uint8[N, {size[0]}, {size[1]}, 3] or float32[N, 3, {size[0]}, {size[1]}]",
            )
        for wanted in self.spec.outputs:
            given = outputs.get(wanted.name)
            if given is None or given.dtype != wanted.dtype or given.shape[1:] != wanted.shape[1:]:
                raise ArtifactError(
                    f"The output of {self.name} is not what its metadata says.",
                    got=", ".join(map(str, self.session.outputs)),
                    expected=", ".join(map(str, self.spec.outputs)),
                )
        return image


def require_verified(artifact: Artifact) -> None:
    """Raises VerificationError for a file that did not pass the gate when it was exported."""
    if artifact.metadata.verification.get("passed") is not True:
        raise VerificationError(
            f"{artifact.path} did not pass the gate when it was exported.",
            got=f"verdict {artifact.metadata.verification.get('passed')!r}",
            expected="a verified file",
            fix="its .verify.json says what differed; export again after mending it",
        )
