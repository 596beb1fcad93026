"""What an encoder and a decoder take and give, told from their inputs and outputs.

Names seen in exports: segment-anything's own script and MobileSAM (`image_embeddings`, `point_coords`), EfficientSAM
(`batched_images`, `batched_point_coords`), SAM 2 (`image_embed`, `high_res_feats_0`), Hugging Face (`input_points`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from edgekit.errors import ArtifactError
from edgekit.screen import count_of
from edgekit.vision.spec import TensorSpec

Pixels = Literal["inside", "imagenet", "unit"]
POINTS = ("point_coords", "batched_point_coords", "input_points")
LABELS = ("point_labels", "batched_point_labels", "input_labels")
MASKS = ("masks", "output_masks", "pred_masks", "low_res_masks")
SCORES = ("iou_predictions", "iou_scores", "iou_preds", "scores")
_KNOWN = "a decoder with points, their labels and the encoder's embeddings, in a usual Segment Anything layout"
_BY_HEAD = "an encoder with one picture of three channels"


@dataclass(frozen=True)
class Encoder:
    """How a picture goes in.

    Attributes:
        image: the input.
        channels_last: [H, W, 3] or [1, H, W, 3], else [1, 3, H, W].
        height, width: of the input where they are fixed, else None.
        pixels: `inside`, RGB 0 to 255 and the encoder does the rest; `imagenet`, less ImageNet's mean and by its
            deviation; `unit`, RGB 0 to 1.
        stretch: whether the picture is stretched to the input (SAM 2), else it keeps its shape, top left.
    """

    image: TensorSpec
    channels_last: bool
    height: int | None
    width: int | None
    pixels: Pixels
    stretch: bool

    def describe(self) -> str:
        """One line: what was found."""
        size = f"{self.height} x {self.width}" if self.height and self.width else "any size"
        fit = "stretched to it" if self.stretch else "in its own shape, top left"
        into = {"inside": "0 to 255, normalized inside", "imagenet": "less ImageNet's mean, by its deviation",
                "unit": "0 to 1"}[self.pixels]  # fmt: skip
        return f"encoder: {self.image.name}, {size}, the picture {fit}, RGB {into}"


@dataclass(frozen=True)
class Decoder:
    """How a question goes in, and where the answer stands.

    Attributes:
        embeddings: the decoder's input -> the encoder's output.
        points, labels: inputs.
        boxes: whether two points labelled 2 and 3 are a box's corners.
        mask, has_mask, size: inputs, where it has them.
        masks, scores: outputs; scores None where there are none.
    """

    embeddings: Mapping[str, str]
    points: TensorSpec
    labels: TensorSpec
    boxes: bool
    mask: TensorSpec | None
    has_mask: TensorSpec | None
    size: TensorSpec | None
    masks: str
    scores: str | None

    @property
    def most_points(self) -> int | None:
        """How many points it takes, where that is fixed."""
        count = self.points.shape[-2]
        return count if isinstance(count, int) else None

    def describe(self) -> str:
        """One line: what was found."""
        fixed = f"{count_of(self.most_points, 'point')}" if self.most_points else "any number of points"
        boxes = "boxes" if self.boxes else "no boxes (a box's middle is asked for instead)"
        return f"decoder: {', '.join(self.embeddings)}; {fixed}, {boxes}; {self.masks}, {self.scores or 'no scores'}"


def encoder_of(inputs: Sequence[TensorSpec], stretch: bool, told: Pixels | None = None) -> Encoder:
    """What an encoder takes. Raises ArtifactError where it is none."""
    pictures = [spec for spec in inputs if len(spec.shape) in (3, 4)]
    if len(inputs) != 1 or not pictures or pictures[0].dtype not in ("float32", "float16", "uint8"):
        raise _refused("encoder", inputs, _BY_HEAD)
    image = pictures[0]
    last = image.shape[-1] == 3
    if not last and image.shape[-3] != 3:
        raise _refused("encoder", inputs, _BY_HEAD)
    height, width = image.shape[-3:-1] if last else image.shape[-2:]
    both = isinstance(height, int) and isinstance(width, int)
    own: Pixels = "imagenet"
    if last or image.dtype == "uint8":
        own = "inside"
    elif image.name == "batched_images":
        own = "unit"
    h, w = (int(height), int(width)) if both else (None, None)
    return Encoder(image, last, h, w, told or own, stretch)


def decoder_of(inputs: Sequence[TensorSpec], outputs: Sequence[TensorSpec], given: Sequence[TensorSpec]) -> Decoder:
    """What a decoder takes and gives.

    Args:
        inputs, outputs: the decoder's.
        given: the encoder's outputs.

    Raises:
        ArtifactError: its layout is not one of those above, or it wants what the encoder does not give.
    """
    points, labels = _named(inputs, POINTS), _named(inputs, LABELS)
    masks = _named(outputs, MASKS)
    if points is None or labels is None or masks is None or len(points.shape) not in (3, 4):
        raise _refused("decoder", inputs, _KNOWN, outputs)
    mask, has_mask, size = (_named(inputs, (name,)) for name in ("mask_input", "has_mask_input", "orig_im_size"))
    rest = [spec for spec in inputs if spec not in (points, labels, mask, has_mask, size)]
    scores = _named(outputs, SCORES)
    return Decoder(
        _wired(rest, given), points, labels, points.name != "input_points", mask, has_mask, size, masks.name,
        scores.name if scores else None,
    )  # fmt: skip


def stretches(decoder: Sequence[TensorSpec]) -> bool:
    """Whether it is SAM 2's, which looks at pictures stretched to a square."""
    return any(spec.name.startswith("high_res_feat") for spec in decoder)


def _wired(wanted: Sequence[TensorSpec], given: Sequence[TensorSpec]) -> dict[str, str]:
    """Which output of the encoder goes into which input: by name, else the only one, else the only one that fits."""
    left = {spec.name: spec for spec in given}
    wired = {spec.name: spec.name for spec in wanted if left.pop(spec.name, None)}
    for spec in (spec for spec in wanted if spec.name not in wired):
        fits = [one.name for one in left.values() if _fit(one, spec)]
        if len(fits) != 1:
            raise ArtifactError(
                f"The decoder wants {spec.name}, which this encoder does not give.",
                got=", ".join(map(str, given)),
                expected=str(spec),
                fix="take the encoder and the decoder of one export",
            )
        wired[spec.name] = fits[0]
        del left[fits[0]]
    if not wired:
        raise _refused("decoder", wanted, _KNOWN)
    return wired


def _fit(output: TensorSpec, wanted: TensorSpec) -> bool:
    if output.dtype != wanted.dtype or len(output.shape) != len(wanted.shape):
        return False
    pairs = zip(output.shape, wanted.shape, strict=True)
    return all(isinstance(a, str) or isinstance(b, str) or a == b for a, b in pairs)


def _named(specs: Sequence[TensorSpec], names: Sequence[str]) -> TensorSpec | None:
    by_name = {spec.name: spec for spec in specs}
    return next((by_name[name] for name in names if name in by_name), None)


def _refused(
    which: str, inputs: Sequence[TensorSpec], expected: str, outputs: Sequence[TensorSpec] = ()
) -> ArtifactError:
    got = "inputs " + (", ".join(map(str, inputs)) or "none")
    return ArtifactError(
        f"This is no {which} of Segment Anything that edgekit knows.",
        got=got + ("; outputs " + ", ".join(map(str, outputs)) if outputs else ""),
        expected=expected,
        fix="the encoder comes first: --sam ENCODER.onnx DECODER.onnx; of SAM, MobileSAM, EfficientSAM or SAM 2",
    )
