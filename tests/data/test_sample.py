"""Samples, data sets, their digest and their even subsets."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from edgekit.data.sample import Dataset, Sample, class_index, sample_evenly
from edgekit.errors import DataError, PictureError, UsageError
from edgekit.screen import some

FRAME = np.arange(4 * 5 * 3, dtype=np.uint8).reshape(4, 5, 3)


def many(n: int) -> Dataset:
    return Dataset(tuple(Sample(None, FRAME, i, f"s{i}") for i in range(n)), None, "made")


def test_a_sample_reads_its_file_or_its_frame(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    Image.fromarray(FRAME[..., ::-1].copy()).save(path)
    for sample in (Sample(path, None, 1), Sample(None, FRAME, 1)):
        np.testing.assert_array_equal(sample.read(), FRAME)
    assert Sample(path, None, None).name == "a.png"


def test_what_is_read_may_be_written_into() -> None:
    sample = Sample(None, FRAME.copy(), None)
    sample.read()[:] = 0
    np.testing.assert_array_equal(sample.read(), FRAME)


def test_a_sample_is_one_thing(tmp_path: Path) -> None:
    for path, frame in ((None, None), (tmp_path, FRAME)):
        with pytest.raises(DataError):
            Sample(path, frame, None)
    with pytest.raises(PictureError):
        Sample(None, FRAME.astype(float), None)  # type: ignore[arg-type]


def test_digest_sees_everything_but_the_place(tmp_path: Path) -> None:
    sets = []
    for place in ("here", "there"):
        (tmp_path / place).mkdir()
        (tmp_path / place / "a.jpg").write_bytes(b"abc")
        sets.append(Dataset((Sample(tmp_path / place / "a.jpg", None, 0),), ("x",), "pictures"))
    here, there = sets
    assert here.digest == there.digest
    assert len(here.digest) == 64
    (sample,) = here.samples
    changed = [
        replace(here, samples=(replace(sample, label=1),)),
        replace(here, samples=(replace(sample, name="b.jpg"),)),
        replace(here, samples=(sample, sample)),
        replace(here, classes=("y",)),
        replace(here, classes=None),
    ]
    (tmp_path / "there" / "a.jpg").write_bytes(b"abd")
    changed.append(replace(there))
    assert len({d.digest for d in changed} | {here.digest}) == 7
    assert replace(here, notes=("seen",)).digest == here.digest


def test_digest_of_frames_sees_their_shape() -> None:
    turned = Dataset((Sample(None, FRAME.reshape(5, 4, 3), 0, "s0"),), None, "made")
    assert turned.digest != many(1).digest


def test_digest_names_a_lost_file(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"gone\.jpg"):
        _ = Dataset((Sample(tmp_path / "gone.jpg", None, 0),), None, "pictures").digest


@given(st.integers(1, 200), st.integers(1, 200))
def test_an_even_subset_is_spread(size: int, n: int) -> None:
    part = sample_evenly(many(size), n)
    labels = [s.label for s in part]
    assert len(labels) == len(set(labels)) == min(size, n)
    assert labels == sorted(labels)
    if n < size:
        assert part.notes[-1] == f"{n} of {size} pictures, spread evenly"
        gaps = np.diff([-0.5, *labels, size - 0.5])  # type: ignore[list-item]
        assert gaps[1:-1].max(initial=0) <= size / n + 1
        assert max(gaps[0], gaps[-1]) <= size / (2 * n) + 1
    else:
        assert part.notes == ()


def test_no_subset_of_nothing() -> None:
    with pytest.raises(UsageError):
        sample_evenly(many(3), 0)


def test_class_names_match_exactly_then_in_any_case() -> None:
    assert class_index("Bee", ["bee", "Bee"]) == 1
    assert class_index("BEE", ["ant", "bee"]) == 1
    assert class_index("wasp", ["ant", "bee"]) is None
    with pytest.raises(DataError, match="0, 2"):
        class_index("crane", ["crane", "ant", "crane"])


def test_some_counts_the_rest() -> None:
    assert some([1, 2]) == "1, 2"
    assert some(list(range(7))) == "0, 1, 2, 3, 4 and 2 more"
    assert many(2).labelled
    assert not Dataset((Sample(None, FRAME, None),), None, "made").labelled
