"""What is said of now stays for a minute, and since when it is so is right."""

import time
from typing import Any

import pytest

from edgekit.camera.clock import seconds_of
from edgekit.camera.deliver.live_view import LiveView
from edgekit.camera.events.counts import QuarterCounts
from edgekit.camera.events.lately import HELD, Lately
from edgekit.camera.track.shown import nothing
from tests.camera.conftest import numbered


class Hive:
    """Looks once a second at what is there."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 1000.0
        self.lately = Lately(lambda: self.now)
        monkeypatch.setattr("edgekit.camera.events.lately.wall", lambda at: at)

    def look(self, seconds: float, **counts: int) -> dict[str, Any]:
        until = self.now + seconds
        while self.now < until:
            self.lately.see(counts)
            self.now += 0.25
        told = self.lately.told()
        assert told is not None
        return told


@pytest.fixture
def hive(monkeypatch: pytest.MonkeyPatch) -> Hive:
    return Hive(monkeypatch)


def test_nothing_is_said_before_the_first_look(hive: Hive) -> None:
    assert hive.lately.told() is None
    hive.now = 1500
    told = hive.look(1, hornet=0)
    assert (told["level"], seconds_of(told["since"])) == ("none", 1500)


def test_the_most_at_once_holds_for_a_minute(hive: Hive) -> None:
    hive.look(100, hornet=0, bee=3)
    told = hive.look(5, hornet=7, bee=1)
    assert (told["level"], told["hornets"], told["counts"]) == ("risk", 7, {"hornet": 7, "bee": 3})
    assert seconds_of(told["since"]) == 1100
    told = hive.look(HELD - 6, hornet=1, bee=0)
    assert (told["level"], told["hornets"]) == ("risk", 7)
    assert seconds_of(told["since"]) == 1100, "it did not begin again"
    told = hive.look(10, hornet=1)
    assert (told["level"], told["hornets"]) == ("present", 1)


def test_none_is_since_the_last_one_was_seen(hive: Hive) -> None:
    hive.look(20, hornet=2)
    told = hive.look(HELD + 30, hornet=0)
    assert told["level"] == "none"
    assert 1019 <= seconds_of(told["since"]) <= 1020
    assert seconds_of(told["seen"]) == hive.now - 0.25


def test_hornets_of_two_kinds_add_up_in_one_frame_and_not_over_frames(hive: Hive) -> None:
    assert hive.look(3, **{"Vespa velutina": 3, "Vespa crabro": 2})["level"] == "risk"
    other = Lately(lambda: hive.now)
    for counts in ({"Vespa velutina": 3, "Vespa crabro": 0}, {"Vespa velutina": 0, "Vespa crabro": 2}):
        other.see(counts)
    told = other.told()
    assert told is not None
    assert (told["level"], told["hornets"]) == ("present", 3)


def test_it_holds_no_more_than_a_minute_of_seconds(hive: Hive) -> None:
    hive.look(500, hornet=1)
    assert len(hive.lately._seen) <= HELD + 2


def test_a_look_that_comes_after_a_long_while_says_what_it_saw(hive: Hive) -> None:
    hive.look(2, hornet=12)
    hive.now += 3600
    told = hive.look(1, hornet=0)
    assert (told["level"], told["hornets"]) == ("none", 0)
    assert seconds_of(told["since"]) < 1003


def test_counts_tell_it() -> None:
    counts = QuarterCounts()
    counts.see({"hornet": 1}, 0.0)
    told = counts.lately.told()
    assert told is not None
    assert told["level"] == "present"


def test_a_pictures_age_counts_from_its_capture() -> None:
    view = LiveView()
    assert view.age is None
    view.show(numbered(1), nothing(), time.monotonic() - 7)
    assert view.age is not None
    assert 7 <= view.age < 9
