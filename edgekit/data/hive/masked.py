"""The made hive's pictures with the class of every pixel: what is a bee, what a hornet, what is around them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from edgekit.data.hive.made import HIVE_CLASSES, VISIBLE, check_made, picture_of
from edgekit.data.hive.render import Seen
from edgekit.data.mask_file import VOID
from edgekit.data.sample import Dataset, Sample
from edgekit.progress import track

MASK_CLASSES = ("background", *HIVE_CLASSES)


def masked_pictures(n: int, seed: int = 0, height: int = 360, width: int = 640) -> Dataset:
    """The pictures of `hive_pictures`, layout "made", with a mask each instead of boxes; classes `MASK_CLASSES`.

    A pixel is of the nearest insect that covers it to an eighth or more, motion blur and defocus included. Flies and
    leaves are background, also where they are in front. Pixels of a bee or hornet of which less than VISIBLE is seen
    are void: in the dark of the entrance nobody can say.

    Raises:
        UsageError: as `hive_pictures`.
    """
    check_made(n, seed, height, width)
    samples = []
    for i in track(range(n), "making pictures"):
        frame, seen = picture_of(i, seed, height, width)
        mask = class_mask(seen, height, width)
        samples.append(Sample(None, frame, None, f"hive-{seed}-{i:04d}", mask=mask))
    return Dataset(tuple(samples), MASK_CLASSES, "made")


def class_mask(seen: Sequence[Seen], height: int, width: int) -> NDArray[np.int16]:
    """int16 [height, width]: of each pixel the class of the nearest insect, -1 for void."""
    mask = np.zeros((height, width), np.int16)
    for one in sorted(seen, key=lambda one: -one.depth):
        x1, y1, x2, y2 = one.box
        index = MASK_CLASSES.index(one.insect.kind) if one.insect.kind in MASK_CLASSES else 0
        mask[y1:y2, x1:x2][one.mask] = index if not index or one.visible >= VISIBLE else VOID
    return mask
