"""File names that look like frames of clips: hive1_000123.jpg, clip-a_frame_7.png."""

from __future__ import annotations

import re
from pathlib import PurePosixPath

from edgekit.data.sample import Dataset
from edgekit.screen import some

# What a pattern for `data.group` must find: the name before its last number. Roboflow hangs a hash behind the name.
PATTERN = r"([^/]*?)(?:[ _.-]*(?:frame|frm)?[ _.-]*\d+)?(?:_(?:jpe?g|png)\.rf\.\w+)?\.\w+$"
_FRAMES = 3  # of a clip, so that it counts as one
_SHARE = 0.5  # of all pictures that must be frames of such clips
# what cameras and programs call every picture, one clip or not
_COMMON = frozenset({"img", "image", "dsc", "dscn", "dscf", "pic", "picture", "photo", "p", "frame", "screenshot"})
_LARGEST = 2 / 3  # of all pictures: with a larger one there is nothing to keep apart


def clip_of(name: str) -> str | None:
    """The clip that a picture is a frame of by its name, or None where the name has no number at its end."""
    match = re.search(PATTERN, PurePosixPath(name).name)
    if match is None or not re.search(r"\d(?:_(?:jpe?g|png)\.rf\.\w+)?\.\w+$", name):
        return None
    clip = match.group(1)
    return clip if re.search(r"[^\W_]", clip) and clip.casefold() not in _COMMON else None


def clips(dataset: Dataset) -> dict[str, int]:
    """How many pictures each clip has, where the names of most pictures look like frames of several clips; else none.

    Names that only say the class (bee1.jpg in bee/, or where bee is a class) are no clips.
    """
    names = {name.casefold() for name in dataset.classes or ()}
    counted: dict[str, int] = {}
    labels: dict[str, set[int | None]] = {}
    for sample in dataset:
        clip = clip_of(sample.name)
        if clip is not None and clip.casefold() not in names:
            counted[clip] = counted.get(clip, 0) + 1
            labels.setdefault(clip, set()).add(sample.label)
    counted = {clip: n for clip, n in counted.items() if n >= _FRAMES}
    classes = {label for clip in counted for label in labels[clip]}
    only_classes = classes != {None} and len(counted) <= len(classes) and all(len(labels[c]) == 1 for c in counted)
    few = sum(counted.values()) < _SHARE * len(dataset) or max(counted.values(), default=0) > _LARGEST * len(dataset)
    if len(counted) < 2 or only_classes or few:
        return {}
    return counted


def proposal(dataset: Dataset) -> tuple[str, ...]:
    """The note that proposes `data.group`, or none."""
    found = clips(dataset)
    if not found:
        return ()
    most = sorted(found, key=lambda clip: (-found[clip], clip))
    told = some([f"{clip} {found[clip]}" for clip in most])
    return (
        f"WARNING: the names look like frames of {len(found)} clips ({told}). Frames of one clip on both sides make "
        f"the estimate too good. To keep each clip on one side: --set 'data.group={PATTERN}'",
    )


def shared(train: Dataset, val: Dataset) -> tuple[str, ...]:
    """The warning about clips, by their names, that are in both splits, or none."""
    named = clips(Dataset((*train.samples, *val.samples), train.classes, train.layout))
    mine = [{c for s in part if (c := clip_of(s.name)) in named} for part in (train, val)]
    common = sorted(mine[0] & mine[1])
    if not common:
        return ()
    held = sum(clip_of(s.name) in common for s in val)
    return (
        f"WARNING: by their names {held} of {len(val)} validation pictures are frames of clips that training has too "
        f"({some(common)}): if so, the estimate is too good",
    )
