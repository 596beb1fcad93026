"""A model to ask: pictures of any kind in, results out."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, overload

from edgekit.api.given import Picture, frame_from
from edgekit.artifacts.opening import CheckpointOptions, RunOptions
from edgekit.errors import EdgekitError, UsageError
from edgekit.loading import open_model
from edgekit.predictor import Predictor
from edgekit.screen import shown
from edgekit.spec import ModelSpec, PreprocessSpec
from edgekit.tasks import Asked
from edgekit.vision.image import Frame
from edgekit.vision.results import Result

BATCH = 16
_NAMED = 5  # classes in the text form


def load(
    path: str | os.PathLike[str],
    *,
    threshold: float | None = None,
    backend: str = "onnxruntime",
    provider: str = "cpu",
    threads: int = 0,
    classes: Sequence[str] | None = None,
    preprocess_spec: PreprocessSpec | None = None,
    norm: str | None = None,
    arch: str | None = None,
    weights_key: str | None = None,
    multi_label: bool | None = None,
    unverified: bool = False,
    say: Callable[[str], None] = lambda line: None,
) -> Model:
    """Opens a model, to be asked about pictures.

    Args:
        path: an .onnx that edgekit exported, an .engine, a checkpoint (.pt, .pth, .ckpt, .safetensors; needs torch), a
            deployment.json that `edgekit tune` wrote, or the name of a model that comes with edgekit.
        threshold: of a detector: the smallest score to give, 0..1; default is the model's own, 0.3 where it has none.
        backend: a name of `edgekit.backends.BACKENDS`, for an exported ONNX; a checkpoint runs in torch on the CPU, an
            engine on the GPU that it was built for, and a deployment.json says it itself.
        provider: of onnxruntime: `cpu`, `cuda` or `tensorrt`.
        threads: of the CPU; 0 is one per physical core.
        classes, preprocess_spec, norm, arch, weights_key, multi_label: what a foreign checkpoint does not say; see
            `edgekit.load_checkpoint`. A file that says it itself is not contradicted.
        unverified: take a file that did not pass its verification, to look into why.
        say: called with a line for whatever is to be told, such as what was guessed of a foreign checkpoint.

    Raises:
        UsageError: no kind of model file, or options that contradict it.
        VerificationError: an exported file that did not pass its verification.
        ArtifactError: a file that must not run here: broken, foreign or changed.
        CheckpointError: a checkpoint that cannot be read.
        BackendError: the backend is not installed, or has no such device.
    """
    _refuse_threshold(threshold)
    run = RunOptions(backend, provider, threads)
    told = CheckpointOptions(classes, preprocess_spec, norm, arch, weights_key, multi_label)
    return Model(open_model(path, run, told, unverified=unverified, say=say), threshold)


class Model:
    """An opened model. `load` makes one; `with` closes it, or `close()`.

    Args:
        predictor: what runs it.
        threshold: see `load`.

    Attributes:
        predictor: the Predictor, with frames, net pixels and outputs as arrays.
        threshold: of a detector, as it was given.
    """

    def __init__(self, predictor: Predictor, threshold: float | None = None) -> None:
        self.predictor = predictor
        self.threshold = threshold

    @overload
    def __call__(self, picture: Picture, *, threshold: float | None = None, top: int = 5) -> Result: ...

    @overload
    def __call__(
        self, picture: list[Any] | tuple[Any, ...], *, threshold: float | None = None, top: int = 5
    ) -> list[Result]: ...

    def __call__(
        self, picture: Picture | list[Any] | tuple[Any, ...], *, threshold: float | None = None, top: int = 5
    ) -> Result | list[Result]:
        """What is on a picture, or on each picture of a list.

        Args:
            picture: a path, a Pillow picture, or a frame: uint8 [h, w, 3] in OpenCV's BGR order, of any size. Or a list
                or tuple of them, which may be of different kinds; they go through the model in batches, and no more
                than those of one batch are in memory.
            threshold: of a detector: the smallest score to give, 0..1; default is what `load` was told, or the model's
                own.
            top: of a classifier: how many classes to give, 1 or more.

        Returns:
            For a picture an `edgekit.Classification` or an `edgekit.Detections`, in the picture's own pixels; for a
            list a list of them, in order.

        Raises:
            PictureError: a picture that cannot be read, or an array of another type or shape.
            UsageError: a folder, what is no picture, or a threshold or top out of range.
        """
        if isinstance(picture, (list, tuple)):
            return list(self.stream(picture, threshold=threshold, top=top))
        asked = self._asked(threshold, top)
        (result,) = self.predictor([frame_from(picture)], asked)
        assert isinstance(result, Result)
        return result

    def stream(
        self, pictures: Iterable[Picture], *, threshold: float | None = None, top: int = 5, batch: int = BATCH
    ) -> Iterator[Result]:
        """The results of any number of pictures, one after the other, also of a generator that never ends.

        Args:
            pictures, threshold, top: as when the model is called.
            batch: pictures that are run, and held in memory, at once; where the model has a batch of its own, or a
                largest one, it is run as often as that takes. A result comes when its batch is full, so a live camera
                wants 1.

        Raises:
            PictureError, UsageError: as when the model is called, at the picture's turn.
        """
        if batch < 1:
            raise UsageError("batch must be at least 1.", got=str(batch), expected="1 or more")
        return self.predictor.results(_frames(pictures), self._asked(threshold, top), batch)

    @property
    def spec(self) -> ModelSpec:
        """Task, classes, preprocessing and thresholds, as they were trained."""
        return self.predictor.spec

    @property
    def task(self) -> str:
        """What it is for: `classification` or `detection`."""
        return self.spec.task

    @property
    def classes(self) -> tuple[str, ...]:
        """Names in the order of the class indices."""
        return self.spec.classes

    @property
    def name(self) -> str:
        """Of the model's file."""
        return self.predictor.name

    def close(self) -> None:
        """Frees what the runtime holds. Asked again it raises BackendError."""
        self.predictor.close()

    def __enter__(self) -> Model:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        names = ", ".join(map(shown, self.classes[:_NAMED])) + (", ..." if len(self.classes) > _NAMED else "")
        size = f"{self.spec.preprocess.width} x {self.spec.preprocess.height}"
        backend = self.predictor.session.backend
        return f"<Model {shown(self.name)}: {self.task} of {len(self.classes)} classes ({names}), {size}, {backend}>"

    def _asked(self, threshold: float | None, top: int) -> Asked:
        _refuse_threshold(threshold)
        if top < 1:
            raise UsageError("top must be at least 1.", got=str(top), expected="1 or more")
        return Asked(top, self.threshold if threshold is None else threshold)


def _refuse_threshold(threshold: float | None) -> None:
    if threshold is not None and not 0 <= threshold <= 1:
        raise UsageError("A threshold is a score.", got=str(threshold), expected="0 to 1, or None for the model's own")


def _frames(pictures: Iterable[Picture]) -> Iterator[Frame]:
    for number, picture in enumerate(pictures):
        try:
            yield frame_from(picture)
        except EdgekitError as error:
            if isinstance(picture, (str, os.PathLike)):
                raise  # it names itself
            told = f"Picture {number} of those given: {error.what}"
            raise type(error)(told, got=error.got, expected=error.expected, fix=error.fix) from None
