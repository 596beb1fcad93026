"""Zones drawn on the page are kept in the store, count in place of the configuration's, and survive bad files."""

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgekit.camera.config import Zone
from edgekit.camera.track.kept_zones import MOST, NAME, checked, read_drawn, with_drawn, write_drawn
from edgekit.errors import UsageError
from tests.camera.conftest import config_of

CORNERS = ((0.0, 0.0), (0.5, 0.0), (0.5, 1.0))
SLOT = Zone(name="slot", use="watch", points=CORNERS)


@settings(max_examples=50, deadline=None)
@given(
    camera=st.text(st.characters(codec="utf-8"), min_size=1, max_size=64),
    name=st.text(st.characters(codec="utf-8"), min_size=1, max_size=64).filter(str.isprintable),
    points=st.lists(st.tuples(*[st.integers(0, 10000).map(lambda n: n / 10000)] * 2), min_size=3, max_size=9),
)
def test_what_was_written_is_read_again(
    tmp_path_factory: pytest.TempPathFactory, camera: str, name: str, points: Any
) -> None:
    folder = tmp_path_factory.mktemp("drawn")
    zone = Zone(name=name, use="ignore", points=tuple(points))
    write_drawn(folder, "another", [SLOT])
    write_drawn(folder, camera, [zone])
    assert read_drawn(folder, camera) == (zone,)
    write_drawn(folder, camera, None)
    assert read_drawn(folder, camera) is None
    if camera != "another":
        assert read_drawn(folder, "another") == (SLOT,)


def test_they_count_instead_of_the_configurations_and_that_is_said(tmp_path: Path) -> None:
    config = config_of(f"store.folder={tmp_path}").model_copy(update={"zones": (SLOT,)})
    said: list[str] = []
    assert with_drawn(config, said.append) is config
    write_drawn(tmp_path, "hive", [])
    assert (tmp_path / NAME).stat().st_mode & 0o777 == 0o600
    assert with_drawn(config, said.append).zones == ()
    assert said == [f"zones of hive: the 0 drawn on the page ({tmp_path / NAME}), not the configuration's"]


@pytest.mark.parametrize("text", ["[", "[cameras.hive]\nzones = [{name = 'x'}]", "[kameras]", "\0", "a" * 2_000_000])
def test_a_file_that_is_none_costs_the_camera_nothing(tmp_path: Path, text: str) -> None:
    (tmp_path / NAME).write_text(text)
    config = config_of(f"store.folder={tmp_path}").model_copy(update={"zones": (SLOT,)})
    said: list[str] = []
    assert with_drawn(config, said.append).zones == (SLOT,)
    assert len(said) == 1
    assert "cannot be read" in said[0]
    with pytest.raises(UsageError):
        write_drawn(tmp_path, "hive", [SLOT])
    assert (tmp_path / NAME).read_text() == text, "nobody's work is overwritten"


@pytest.mark.parametrize(
    "given",
    [
        {}, {"zones": {}}, {"zones": [1]}, {"zones": [{"name": "x", "points": [[0, 0], [1, 1]]}]},
        {"zones": [{"name": "", "points": CORNERS}]}, {"zones": [{"name": "a\nb", "points": CORNERS}]},
        {"zones": [{"name": "x" * 65, "points": CORNERS}]}, {"zones": [{"name": "x", "use": "y", "points": CORNERS}]},
        {"zones": [{"name": "x", "points": [[0, 0], [1, 1], [2, 0]]}]},
        {"zones": [{"name": "x", "points": [[0, 0], [1, 1], [float("nan"), 0]]}]},
        {"zones": [{"name": "x", "points": [[0, 0]] * 101}]},
        {"zones": [{"name": "x", "points": CORNERS}] * (MOST + 1)},
        {"zones": [{"name": "x", "points": CORNERS, "more": 1}]}, {"zones": [{"name": "\ud800", "points": CORNERS}]},
    ],
)  # fmt: skip
def test_what_is_no_zone_is_refused(given: dict[str, Any]) -> None:
    with pytest.raises(UsageError):
        checked(given)
