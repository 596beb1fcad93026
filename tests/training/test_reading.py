"""Validation pictures that are broken are left out and told; none at all is an error."""

from pathlib import Path

import pytest
from PIL import Image

from edgekit.data.sample import Sample
from edgekit.errors import DataError
from edgekit.training.measured.reading import readable


def test_what_is_broken_is_left_out_and_told_once_all_are_read(tmp_path: Path) -> None:
    Image.new("RGB", (8, 6)).save(tmp_path / "whole.png")
    (tmp_path / "broken.png").write_bytes(b"no picture")
    broken, whole = (Sample(tmp_path / f"{name}.png", None, None) for name in ("broken", "whole"))
    said: list[str] = []
    (found,) = readable([broken, whole], lambda one: one.read().shape, said.append)
    assert found == (whole, (6, 8, 3))
    assert [line for line in said if line.startswith("1 unreadable in validation, left out: broken.png (")] == said
    with pytest.raises(DataError, match=r"None of the validation pictures can be read[\s\S]*broken\.png"):
        list(readable([broken], Sample.read))
