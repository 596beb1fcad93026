"""The data sets of ../shared/cases, where they are: what training reads of each, or why it refuses."""

from pathlib import Path

import numpy as np
import pytest

from edgekit.config.recipe import Data
from edgekit.data import load_dataset
from edgekit.errors import DataError
from edgekit.training.splits import load_splits

CASES = Path(__file__).parents[2].resolve().parent / "shared" / "cases" / "datasets"
pytestmark = pytest.mark.skipif(not CASES.is_dir(), reason=f"{CASES} is not there")

# training and validation pictures, objects of each class of both together (or None), a word of the notes
READ = {
    "c-ls": (5, 1, (3, 3), "kept together"),
    "lm-json": (5, 1, (6,), "kept together"),
    "v-devkit": (5, 1, (6,), "VOCdevkit/VOC2007/ was gone into"),
    "v-flat": (5, 1, (6,), "kept together"),
    "v-images-annotations": (5, 1, (6,), "kept together"),
    "v-rf": (4, 4, (8,), "training: 4 objects in 4 pictures"),
    "y-cvat11": (6, 2, (8, 0), "kept together"),
    "y-flat": (6, 2, (8, 0), "kept together"),
    "y-labelstudio": (6, 2, (8, 0), "kept together"),
    "c-seg-some": (6, 6, (6, 6), "the one around the mask taken"),
    "cf-case-twice": (15, 3, None, "WARNING: the classes 'Hornet' and 'hornet' differ in case"),
    "cf-conflict": (11, 2, None, "ant/ant0.jpg (ant) = bee/bee_same.jpg (bee)"),
    "cf-imbalance-split": (401, 40, None, "validation has no picture of hornet"),
    "cf-ipynb": (10, 2, None, "ignored, hidden or a system's own: .ipynb_checkpoints/"),
    "cf-macosx-real": (10, 2, None, "ant 5, bee 5"),
    "cf-nfc-nfd": (12, 6, None, "WARNING: class names in another Unicode form"),
    "cf-test-class": (8, 2, None, "test is read as a class beside positive; if it is a split"),
    "cf-trash": (10, 2, None, "ignored, hidden or a system's own: .Trash-1000/, @eaDir/"),
    "cf-upper-split": (12, 6, None, "validation: 6 pictures (ant 3, bee 3)"),
    "cf-wrapped": (10, 2, None, "dataset/ was gone into"),
    "v-doctype": (4, 2, (6,), ""),
    "v-list-ext": (2, 2, (4,), ""),
    "v-list-spaces": (3, 2, (5,), ""),
    "v-nameless-one": (4, 1, (5,), "1 left out, with an object that has no name: a3.xml line 1"),
    "v-poly-some": (5, 1, (6,), "the box around taken: JPEGImages/a1.jpg"),
    "v-swapped": (4, 2, (6, 6), "swapped: JPEGImages/a0.jpg line 1"),
    "y-4col": (3, 4, (7, 7), "train/images/train0.jpg line 1 (4 numbers"),
    "y-kpt": (4, 4, (8, 0), "4 rows with keypoints, which are not read"),
    "y-nan": (2, 4, (6, 6), "2 left out, with a box that cannot be used: train/images/train0.jpg line 1"),
    "y-over1": (3, 4, (7, 5), "train/images/train0.jpg line 1 (bee 208 48 240 72: its centre is outside"),
    "y-roboflow-prefix": (4, 4, (8, 8), "MyProj-2/train/images was not there"),
}
REFUSED = {
    "c-merged": "id 1: train0.jpg and b_train0.jpg",
    "c-dup-image-ids": "id 1: train0.jpg and train1.jpg",
}


@pytest.mark.parametrize("name", sorted(READ))
def test_what_is_read(name: str) -> None:
    train, val, objects, word = READ[name]
    splits = load_splits(CASES / name, Data.model_validate({}), 0)
    assert (len(splits.train), len(splits.val)) == (train, val)
    assert any(word in note for note in splits.notes), splits.notes
    if objects is not None:
        assert tuple(np.add(splits.train.box_counts, splits.val.box_counts)) == objects
        assert all(s.boxes is not None and len(s.boxes) for part in (splits.train, splits.val) for s in part)


def test_the_box_of_a_pose_is_its_own() -> None:
    (box,) = load_dataset(CASES / "y-kpt").samples[0].boxes.tolist()  # type: ignore[union-attr]
    assert box == [64, 48, 96, 72]


@pytest.mark.parametrize(
    ("name", "box"),
    [
        *((n, [10, 10, 50, 50]) for n in ("c-ls", "lm-json")),
        *((n, [9, 9, 50, 50]) for n in ("v-flat", "v-rf", "v-images-annotations", "v-devkit")),  # pixels from 1
        *((n, [64, 48, 96, 72]) for n in ("y-flat", "y-cvat11", "y-labelstudio")),
    ],
)
def test_the_boxes_are_those_of_the_files(name: str, box: list[float]) -> None:
    for sample in load_dataset(CASES / name, split="all"):
        assert sample.boxes is not None
        np.testing.assert_allclose(sample.boxes, [box], atol=1e-4)


@pytest.mark.parametrize("name", sorted(REFUSED))
def test_what_is_refused(name: str) -> None:
    with pytest.raises(DataError) as caught:
        load_splits(CASES / name, Data.model_validate({}), 0)
    assert REFUSED[name] in str(caught.value)
    if name == "c-merged":
        assert "instances_train.json" in caught.value.what
