"""Names that look like frames of clips: the group that is proposed, and no proposal where they say nothing."""

import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from edgekit.config.recipe import Data
from edgekit.data import Dataset, Sample, by_pattern
from edgekit.data.clips import PATTERN, clip_of, clips, proposal, shared
from edgekit.training.splits import load_splits

FRAME = np.zeros((4, 4, 3), dtype=np.uint8)


def named(*names: str, classes: tuple[str, ...] | None = None, labels: list[int] | None = None) -> Dataset:
    samples = tuple(Sample(None, FRAME, labels[i] if labels else None, n) for i, n in enumerate(names))
    return Dataset(samples, classes, "pictures")


@pytest.mark.parametrize(
    ("name", "clip"),
    [
        ("hive1_000123.jpg", "hive1"),
        ("a/b/clip-a_frame_7.png", "clip-a"),
        ("GX010012-frame0034.jpg", "GX010012"),
        ("Seq05VD_f00330.png", "Seq05VD_f"),
        ("2024-05-01 12.00 hive frame 3.JPG", "2024-05-01 12.00 hive"),
        ("youtube-91_jpg.rf.0dba7a0e4bca5c8c4da0c0bff69b0cbc.jpg", "youtube"),
        ("IMG_1234.jpg", None),
        ("000000000009.jpg", None),
        ("n01440764_tench.JPEG", None),
        ("_17.png", None),
    ],
)
def test_the_clip_of_a_name(name: str, clip: str | None) -> None:
    assert clip_of(name) == clip
    if clip is not None:
        assert by_pattern(PATTERN)(named(name).samples[0]) == clip


def test_the_pattern_fits_every_name() -> None:
    group = by_pattern(PATTERN)
    names = ("a/README.v2.jpg", "x.jpg", "7.png", "a b.c-3.jpeg")
    assert [group(s) for s in named(*names)] == ["README.v", "x", "", "a b.c"]


def test_a_group_is_proposed_for_frames_of_clips() -> None:
    frames = named(*(f"images/hive{h}_{i:06}.jpg" for h in (1, 2, 3) for i in range(4)))
    assert clips(frames) == {"hive1": 4, "hive2": 4, "hive3": 4}
    (said,) = proposal(frames)
    assert said.startswith("WARNING: the names look like frames of 3 clips (hive1 4, hive2 4, hive3 4).")
    assert re.search(r"--set 'data\.group=(.+)'$", said).group(1) == PATTERN  # type: ignore[union-attr]


@pytest.mark.parametrize(
    "dataset",
    [
        named(*(f"IMG_{i}.jpg" for i in range(9))),
        named(*(f"{i}.jpg" for i in range(9))),
        named(*(f"only_{i}.jpg" for i in range(9))),  # one clip: nothing to keep apart
        named(*(f"big_{i}.jpg" for i in range(9)), *(f"b_{i}.jpg" for i in range(3))),  # nearly one
        named(*(f"x{i}y.jpg" for i in range(9)), *(f"{c}_{i}.jpg" for c in "ab" for i in range(3))),  # most have none
        named(*(f"{c}_{i}.jpg" for c in ("bee", "Hornet") for i in range(5)), classes=("bee", "hornet")),
        named(*(f"{c}/{c[0]}{i}.jpg" for c in ("bee", "fly") for i in range(5)), labels=[0] * 5 + [1] * 5),
    ],
)
def test_no_group_is_proposed_for_other_names(dataset: Dataset) -> None:
    assert proposal(dataset) == ()


def test_clips_on_both_sides_of_a_given_split() -> None:
    train = named(*(f"hive{h}_{i}.jpg" for h in (1, 2) for i in range(6)))
    val = named(*(f"hive{h}_{i + 50}.jpg" for h in (2, 3) for i in range(4)))
    (said,) = shared(train, val)
    assert said.startswith(
        "WARNING: by their names 4 of 8 validation pictures are frames of clips that training has too"
    )
    assert "(hive2)" in said
    assert shared(train, named(*(f"hive3_{i}.jpg" for i in range(4)))) == ()


@pytest.fixture
def frames(tmp_path: Path) -> Path:
    """Class folders of three clips, every frame of noise."""
    rng = np.random.default_rng(0)
    for name in ("bee", "none"):
        (tmp_path / name).mkdir()
        for clip in "abc":
            for i in range(5):
                pixels = rng.integers(0, 255, (24, 32, 3), dtype=np.uint8)
                Image.fromarray(pixels).save(tmp_path / name / f"clip-{clip}_frame_{i}.png")
    return tmp_path


def test_training_says_what_it_did_about_groups_and_the_proposal_works(frames: Path) -> None:
    without = load_splits(frames, Data.model_validate({}), 0)
    notes = "\n".join(without.notes)
    assert "kept together: 0 pictures nearly the same as another in 0 groups; frames of one clip or place" in notes
    assert "WARNING: the names look like frames of 3 clips (clip-a 10, clip-b 10, clip-c 10)" in notes
    assert "frames of clips that training has too (clip-a" in notes
    pattern = re.search(r"--set 'data\.group=(.+)'", notes).group(1)  # type: ignore[union-attr]
    splits = load_splits(frames, Data.model_validate({"group": pattern}), 0)
    sides = [{clip_of(s.name) for s in part} for part in (splits.train, splits.val)]
    assert sides[0].isdisjoint(sides[1])
    text = "\n".join(splits.notes)
    assert (
        "kept together: by the group in their names 3 groups, 0 pictures nearly the same as another in 0 groups" in text
    )
    assert "WARNING: the names" not in text
    assert "training has too" not in text
