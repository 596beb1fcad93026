"""Where a suite finds its pictures and the checkpoint for attacks."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgekit.api.benching.suite import SuitePlaces
from edgekit.benchmark.schema import Case, Peak
from edgekit.benchmark.timing import best_of
from edgekit.errors import UsageError


def test_given_data_goes_before_what_the_suite_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "bees").mkdir()
    monkeypatch.delenv("EDGEKIT_DATA", raising=False)
    assert SuitePlaces(tmp_path).pictures(["bees"]) == []  # made in code
    assert SuitePlaces(tmp_path, data_root=tmp_path).pictures(["bees"]) == [tmp_path / "bees"]
    monkeypatch.setenv("EDGEKIT_DATA", str(tmp_path))
    assert SuitePlaces(tmp_path).pictures(["bees"]) == [tmp_path / "bees"]
    made = Path("synthetic://hive?n=1&val=4")
    assert SuitePlaces(tmp_path, data=[made]).pictures(["gone"]) == [made]
    with pytest.raises(UsageError, match="not there"):
        SuitePlaces(tmp_path).pictures(["gone"])


def test_attacks_are_crafted_on_what_is_given_named_or_measured(tmp_path: Path) -> None:
    told: list[str] = []
    named, given = tmp_path / "net.pt", tmp_path / "other.pt"
    given.touch()
    case = Case(model=str(tmp_path / "case.pt"), backend="torch")
    places = SuitePlaces(tmp_path, say=told.append)
    assert places.crafted_on(None, [case]) == tmp_path / "case.pt"
    assert places.crafted_on(None, []) is None
    assert places.crafted_on("net.pt", []) is None
    assert told == [f"no attacks: {named} is not there"]
    named.touch()
    assert places.crafted_on("net.pt", [case]) == named
    assert SuitePlaces(tmp_path, attack=given).crafted_on("net.pt", [case]) == given
    with pytest.raises(UsageError, match="attacks is not there"):
        SuitePlaces(tmp_path, attack=tmp_path / "gone.pt").crafted_on("net.pt", [])


def test_the_higher_roof_of_two_counts() -> None:
    first, second = (Peak(gmacs=g, copy_gb=c, how="h") for g, c in (({"fp32": 9, "int8": 30}, 5), ({"fp32": 12}, 4)))
    assert best_of(first, second) == Peak(gmacs={"fp32": 12, "int8": 30}, copy_gb=5, how="h")
