"""The other side of the comparison: other libraries' transforms and nets, sharing no code with what is exported."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor, nn
from torchvision.transforms import InterpolationMode
from torchvision.transforms import functional as transforms

from edgekit import nets
from edgekit.checkpoints.checkpoint import Checkpoint
from edgekit.nets.weights import load_weights
from edgekit.spec import PreprocessSpec


def reference_net(checkpoint: Checkpoint) -> nn.Module | None:
    """The same net with these weights as another library has it, or None where none has one like it."""
    spec = checkpoint.spec
    reference = nets.find(spec.arch).reference_of(spec.arch_args or {})
    if reference is None:
        return None
    arguments = (spec.arch_args or {}) if nets.of_library(spec.arch) else {}
    net = nets.LIBRARIES[reference.library](reference.name, len(spec.classes), **arguments)
    load_weights(net, checkpoint.state_dict)
    return net.float().eval()


def reference_transform(checkpoint: Checkpoint) -> tuple[str, Callable[[NDArray[np.uint8]], Tensor | None]]:
    """Whose transforms make the reference's input, and what does: uint8 [h, w, 3] BGR -> float32 [3, H, W].

    The net's own library's, where it publishes any and nobody says that the pictures are others; else torchvision's by
    the checkpoint's PreprocessSpec, with None for what those cannot do.
    """
    own = checkpoint.pictures
    if own is None:
        return "torchvision's transforms", lambda frame: reference_input(frame, checkpoint.spec.preprocess)
    transform = own.transform()
    return own.whose, lambda frame: transform(Image.fromarray(np.ascontiguousarray(frame[..., ::-1])))


def reference_input(frame: NDArray[np.uint8], spec: PreprocessSpec) -> Tensor | None:
    """float32 [3, H, W], normalized, from uint8 [h, w, 3] BGR through torchvision's transforms.

    None for what torchvision cannot do to a picture: letterboxing, and filters without antialiasing.
    """
    modes = {"bilinear": InterpolationMode.BILINEAR, "bicubic": InterpolationMode.BICUBIC}
    if spec.resize == "letterbox" or spec.interpolation not in modes or not spec.antialias:
        return None
    order = frame[..., ::-1] if spec.color == "rgb" else frame
    picture = Image.fromarray(np.ascontiguousarray(order))
    mode = modes[spec.interpolation]
    if spec.resize == "crop":
        assert spec.shorter_side is not None
        picture = transforms.resize(picture, [spec.shorter_side], mode)
        picture = transforms.center_crop(picture, [spec.height, spec.width])
    else:
        picture = transforms.resize(picture, [spec.height, spec.width], mode)
    tensor: Tensor = transforms.normalize(transforms.to_tensor(picture), list(spec.mean), list(spec.std))
    return tensor
