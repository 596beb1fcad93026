"""Detectors as the CenterNet authors' own code saves them (`ctdet`): a ResNet, three deconvolutions, heads hm, wh, reg.

Their net computes what ours does with the neck `deconv` and the head `offset_size`; only the names differ. Bound by
name: which of `wh` and `reg` stands first in the file says nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from edgekit import nets
from edgekit.checkpoints.foreign import Foreign
from edgekit.errors import CheckpointError, UsageError
from edgekit.nets.empty import without_memory
from edgekit.screen import count_of
from edgekit.spec import ModelSpec, PreprocessSpec

PARTS = {"deconv_layers": "neck.layers", "hm": "branches.heatmap", "wh": "branches.size", "reg": "branches.offset"}
MARKS = ("conv1.weight", "layer1.0.conv1.weight", "deconv_layers.0.weight")
ARGUMENTS = {"neck": "deconv", "head": "offset_size", "width": 1.0}
MOST = 100  # what their detector keeps of a picture
COCO_MEAN, COCO_STD = (0.408, 0.447, 0.470), (0.289, 0.274, 0.278)  # in OpenCV's order, as their code has pictures
VOC_MEAN, VOC_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # meant for RGB, and given to the same BGR pictures


def read_ctdet(
    content: Mapping[str, Any],
    path: Path,
    *,
    classes: Sequence[str] | None = None,
    preprocess: PreprocessSpec | None = None,
    arch: str | None = None,
    unnamed: bool = False,
) -> Foreign | None:
    """The weights of a `ctdet` file, or None for a file of another kind.

    Args:
        content: `{"epoch", "state_dict", "optimizer"}`, or the state dict itself; `module.` may stand before the names.
        path: for the messages.
        classes, preprocess, arch: as the user names them.
        unnamed: names of classes play no part.

    Raises:
        CheckpointError: of this layout, and not a net that can be had: deformable convolutions, no offsets, a size for
            each class, heads of other tasks or without a layer in between, or another trunk; or nobody names its
            classes.
        UsageError: `arch` or the number of `classes` contradicts the file.
    """
    held = content.get("state_dict", content)
    if not isinstance(held, Mapping):
        return None
    theirs = {str(k).removeprefix("module."): v for k, v in held.items() if isinstance(v, Tensor)}
    if not all(mark in theirs for mark in MARKS):
        return None
    _refuse_variants(theirs, path)
    count = len(theirs["hm.2.bias"])
    name, state = _net_of(theirs, count, path)
    if arch not in (None, name):
        raise UsageError("--arch contradicts the file.", got=str(arch), expected=name, fix="leave --arch out")
    usual = preprocess_of(count)
    notes = [
        f"the CenterNet authors' layout (ctdet) of {name}, {count_of(count, 'class')}; "
        f"the net is {'named by --arch' if arch else 'a guess from keys and shapes, which other nets share'}"
    ]
    guesses = []
    if preprocess is None:
        guesses.append("preprocessing")
        notes.append(
            f"preprocessing: a guess, the nearest to the authors' own ({usual.describe()}); theirs places the picture "
            "up to half a pixel beside it; --preprocess FILE names another"
        )
    names, more = _names(count, classes, path, unnamed)
    if more:
        guesses.append("class names")
        notes.append(more)
    spec = ModelSpec(name, names, preprocess or usual, dict(ARGUMENTS), task="detection", max_detections=MOST)
    return Foreign(spec, state, "ctdet checkpoint", tuple(notes), "--arch" if arch else "", tuple(guesses))


def preprocess_of(classes: int) -> PreprocessSpec:
    """The nearest that edgekit has to the authors' preparation of a picture, for COCO (80 classes) or VOC (20).

    Theirs: OpenCV's BGR order, one affine map that centres the whole picture on a black square, bilinear without
    antialiasing. Ours is the letterbox with the same order, numbers, margin and filter. It differs where theirs maps
    pixel corners and ours pixel middles: by (1 - s) / 2 of an input pixel for a picture shrunk by s, less than half
    of one; and in that ours gives the picture a whole number of pixels.
    """
    side, mean, std = (384, VOC_MEAN, VOC_STD) if classes == 20 else (512, COCO_MEAN, COCO_STD)
    return PreprocessSpec(side, side, "letterbox", None, "bilinear", False, pad=0, color="bgr", mean=mean, std=std)


def _net_of(theirs: Mapping[str, Tensor], classes: int, path: Path) -> tuple[str, dict[str, Tensor]]:
    """Our net with just these names and shapes, and the weights under its names."""
    state = {_ours(name): value for name, value in theirs.items()}
    for net in nets.NETS.values():
        if net.trunk and ARGUMENTS.keys() <= net.arguments.keys():  # a CenterNet
            own = without_memory(partial(net.build, classes, **ARGUMENTS)).state_dict()
            counters = {key for key in own if key.endswith("num_batches_tracked")}  # older torch has none
            shapes = {key: value.shape for key, value in state.items() if key not in counters}
            if shapes == {key: value.shape for key, value in own.items() if key not in counters}:
                return net.name, {**state, **{key: torch.zeros((), dtype=torch.int64) for key in counters - set(state)}}
    raise CheckpointError(
        f"{path} has the CenterNet authors' names and is none of their ResNets.",
        got=f"{count_of(len(theirs), 'tensor')}; the first layer of hm is "
        + "x".join(map(str, theirs["hm.0.weight"].shape)),
        expected="their res_18, res_34, res_50, res_101 or res_152 with head_conv 64",
    )


def _names(count: int, given: Sequence[str] | None, path: Path, unnamed: bool) -> tuple[tuple[str, ...], str]:
    """The class names, and what is to be said of them where they are a guess."""
    if given is not None:
        if len(given) != count:
            raise UsageError(
                "The number of class names is not the number of the heatmap's channels.",
                got=f"{count_of(len(given), 'name')}",
                expected=f"{count} (hm.2 of {path.name})",
                fix="give one name a channel, in their order",
            )
        return tuple(given), ""
    if unnamed:
        return tuple(f"class {i}" for i in range(count)), ""
    from torchvision.models.detection import FasterRCNN_ResNet50_FPN_Weights  # the lists ship with torchvision
    from torchvision.models.segmentation import DeepLabV3_ResNet50_Weights

    lists = {
        "COCO's": FasterRCNN_ResNet50_FPN_Weights.COCO_V1.meta["categories"],
        "Pascal VOC's": DeepLabV3_ResNet50_Weights.COCO_WITH_VOC_LABELS_V1.meta["categories"],
    }
    for whose, listed in lists.items():
        names = tuple(name for name in listed if name not in ("N/A", "__background__"))
        if len(names) == count:
            return names, f"class names: {whose}, a guess since there are {count}; --classes FILE names others"
    raise CheckpointError(
        f"{path} does not say what its classes are called.",
        got=f"a heatmap of {count_of(count, 'channel')}",
        expected="class names",
        fix="--classes FILE, one name per line in the order of the heatmap's channels",
    )


def _ours(name: str) -> str:
    part, _, rest = name.partition(".")
    return f"{PARTS[part]}.{rest}" if part in PARTS else f"trunk.{name}"


def _refuse_variants(theirs: Mapping[str, Tensor], path: Path) -> None:
    heads = {name.split(".")[0] for name in theirs} - {"conv1", "bn1", "layer1", "layer2", "layer3", "layer4"}
    heads -= {"deconv_layers"}
    got, expected, fix = "", "heads hm, wh and reg", ""
    if any("conv_offset" in name for name in theirs):
        got, expected = "deformable convolutions (conv_offset_mask)", "their res_18, without DCN"
        fix = "train their res_18: neither ONNX's int8 nor TensorRT has deformable convolutions without a plugin"
    elif heads - {"hm", "wh", "reg"}:
        got = "heads " + ", ".join(sorted(heads))
        fix = "edgekit takes ctdet alone: no poses, no boxes in space"
    elif "reg" not in heads:
        got = "no head reg: it was trained with --not_reg_offset, and its centres are whole feature pixels"
        fix = "train with offsets: without them a box lies up to 4 input pixels beside its object"
    elif missing := {"hm", "wh"} - heads:
        got = "no head " + " and ".join(sorted(missing))
    elif not all(f"{head}.{layer}.bias" in theirs for head in heads for layer in (0, 2)):
        got, expected = "heads of one layer (--head_conv 0)", "3x3 to 64 channels, ReLU, 1x1, which is their default"
    elif len(theirs["wh.2.bias"]) != 2:
        got, expected = f"{len(theirs['wh.2.bias'])} sizes: one for each class (--cat_spec_wh)", "2, width and height"
    if got:
        raise CheckpointError(f"{path} is a detector of the CenterNet authors' that edgekit cannot take.", got=got,
                              expected=expected, fix=fix)  # fmt: skip
