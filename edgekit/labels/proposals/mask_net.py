"""A saliency or mask network on what lies in a dragged box: the thing's mask, and a box that fits it."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgekit.backends import Session, open_session
from edgekit.errors import ArtifactError, UsageError
from edgekit.graph.foreign.read import read_foreign
from edgekit.labels.proposals.base import Prompt, Segment, Segmenter, box_of
from edgekit.vision.image import Frame
from edgekit.vision.spec import TensorSpec

_MARGIN = 0.15  # of a box's sides, around it: such networks were trained on pictures with some room around the thing
_FREE_SIDE = 320  # pixels, of an input that takes any size
IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))


@dataclass(frozen=True)
class _Layout:
    image: TensorSpec
    height: int
    width: int
    mask: str


class MaskNet(Segmenter):
    """One network, a picture to a mask: float [N, 3, H, W] -> [N, 1, h, w] or [N, h, w], logits or 0 to 1.

    Only the crop around a box is shown to it, so it is asked by boxes. U-2-Net, IS-Net, BASNet and the like are such.

    Args:
        session: what runs it.
        mean, std: RGB of 0 to 1; ImageNet's where the network's card says nothing else (IS-Net: 0.5 and 1).

    Raises:
        ArtifactError: another layout.
    """

    clicks = False

    def __init__(
        self,
        session: Session,
        mean: tuple[float, float, float] = IMAGENET[0],
        std: tuple[float, float, float] = IMAGENET[1],
    ) -> None:
        super().__init__()
        self._session, self._mean, self._std = session, np.array(mean, np.float32), np.array(std, np.float32)
        self.layout = _layout(session)

    def close(self) -> None:
        """Frees the network."""
        self._session.close()

    def _embed(self, frame: Frame) -> Frame:
        return frame

    def _decode(self, embedding: Frame, prompt: Prompt) -> Segment:
        import cv2

        if prompt.box is None:
            raise UsageError("A mask network is asked by a box.", got="points alone", expected="a box around the thing")
        height, width = embedding.shape[:2]
        x1, y1, x2, y2 = prompt.box
        room = _MARGIN * (x2 - x1), _MARGIN * (y2 - y1)
        left, top = max(0, int(x1 - room[0])), max(0, int(y1 - room[1]))
        right, bottom = min(width, int(np.ceil(x2 + room[0]))), min(height, int(np.ceil(y2 + room[1])))
        if right <= left or bottom <= top:
            raise UsageError("The box lies outside the picture.", got=str(prompt.box), expected=f"{width} x {height}")
        share = self._run(embedding[top:bottom, left:right])
        crop = cv2.resize(share, (right - left, bottom - top), interpolation=cv2.INTER_LINEAR) > 0.5
        mask = np.zeros((height, width), np.bool_)
        mask[top:bottom, left:right] = crop
        inside = share[share > 0.5]
        return Segment(mask, box_of(mask), float(inside.mean()) if len(inside) else 0.0)

    def _run(self, crop: Frame) -> NDArray[np.float32]:
        """float32 [h, w], 0 to 1, of uint8 [h', w', 3] BGR."""
        import cv2

        size = (self.layout.width, self.layout.height)
        rgb: NDArray[Any] = cv2.resize(crop, size, interpolation=cv2.INTER_LINEAR)[..., ::-1].astype(np.float32) / 255
        image = ((rgb - self._mean) / self._std).transpose(2, 0, 1)[None]
        given = self._session.run({self.layout.image.name: np.ascontiguousarray(image, self.layout.image.dtype)})
        mask = np.asarray(given[self.layout.mask], np.float32)
        mask = mask.reshape(mask.shape[-2:])
        if mask.min() < 0 or mask.max() > 1:
            mask = np.asarray(1 / (1 + np.exp(-np.clip(mask, -30, 30))), np.float32)
        return mask


def open_mask_net(
    path: str | os.PathLike[str],
    mean: tuple[float, float, float] = IMAGENET[0],
    std: tuple[float, float, float] = IMAGENET[1],
    threads: int = 0,
) -> MaskNet:
    """The file, checked as any ONNX from elsewhere is, in onnxruntime on the CPU; arguments as in `MaskNet`.

    Raises:
        ArtifactError: a file that is refused, or no such network.
        BackendError: onnxruntime is not installed.
    """
    return MaskNet(open_session(read_foreign(path).runnable(), "onnxruntime", threads=threads), mean, std)


def _layout(session: Session) -> _Layout:
    image = session.inputs[0] if len(session.inputs) == 1 else None
    if image is None or len(image.shape) != 4 or image.shape[1] != 3 or image.dtype not in ("float32", "float16"):
        raise _refused(session)
    masks = [spec for spec in session.outputs if _one_mask(spec)]
    if not masks:
        raise _refused(session)
    height, width = (side if isinstance(side, int) else _FREE_SIDE for side in image.shape[2:])
    return _Layout(image, height, width, masks[0].name)


def _one_mask(spec: TensorSpec) -> bool:
    """Whether an output is one number a pixel; of several the first is final (U-2-Net's side outputs follow)."""
    lead = spec.shape[:-2]
    return len(spec.shape) in (3, 4) and all(not isinstance(d, int) or d == 1 for d in lead)


def _refused(session: Session) -> ArtifactError:
    return ArtifactError(
        "This is no mask network that edgekit knows.",
        got=f"inputs {', '.join(map(str, session.inputs))}; outputs {', '.join(map(str, session.outputs))}",
        expected="one picture, float [N, 3, H, W], and a mask, [N, 1, h, w]",
        fix="two files make a promptable segmenter: --sam ENCODER.onnx DECODER.onnx",
    )
