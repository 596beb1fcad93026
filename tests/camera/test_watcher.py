"""What stands still is started again, then escalated; each change of state is said once. The clock is the test's."""

from __future__ import annotations

import pytest

from edgekit.camera.watch.part import Part
from edgekit.camera.watch.watcher import Watcher


class Made:
    """A part that stands still from `stops` on, and is well again where a restart `helps`."""

    def __init__(self, helps: bool = True, raises: bool = False, tries: int | None = 2, patience: float = 8) -> None:
        self.now, self.moved, self.stopped = 1000.0, 1000.0, False
        self.helps, self.raises, self.restarts = helps, raises, [0.0][:0]
        self.said: list[str] = []
        self.watcher = Watcher(self.said.append, lambda: self.now)
        self.watcher.set([Part("detector", self.standing, self.restart, patience, tries)])

    def standing(self) -> tuple[float, str]:
        return (self.now - self.moved, "a look has taken 8 s") if self.stopped else (0.0, "")

    def restart(self) -> None:
        self.restarts.append(self.now)
        if self.raises:
            raise OSError("no such device")
        self.moved = self.now
        self.stopped = not self.helps

    def stop(self) -> None:
        self.stopped, self.moved = True, self.now

    def run(self, seconds: int) -> None:
        for _ in range(seconds * 10):
            self.now += 0.1
            self.watcher.look()


def test_what_stands_still_is_noticed_within_ten_seconds_and_started_again() -> None:
    made = Made()
    made.run(100)
    assert made.restarts == []
    made.stop()
    began = made.now
    made.run(30)
    assert len(made.restarts) == 1
    assert 8 <= made.restarts[0] - began <= 10
    assert made.watcher.well
    assert [line.split(":")[0] for line in made.said] == ["error", "detector"]
    assert "all is well again" in made.said[1]
    assert made.watcher.status()[0]["state"] == "well"
    assert made.watcher.status()[0]["restarts"] == 1


def test_where_restarts_do_not_help_the_pings_stop_and_the_process_ends() -> None:
    made = Made(helps=False)
    made.stop()
    began = made.now
    pings = []
    while not made.watcher.ended:
        made.run(1)
        pings.append(made.watcher.well)
        assert made.now - began < 100
    assert len(made.restarts) == 2
    assert made.restarts[1] - began <= 20
    assert pings.index(False) <= 30
    assert made.now - began <= 60
    assert "after 2 restarts" in made.watcher.ended
    assert len(made.said) == 3  # twice started again, once given up
    status = made.watcher.status()[0]
    assert (status["state"], status["restarts"]) == ("failed", 2)
    assert status["for"] == pytest.approx(30, abs=1.5)


def test_a_restart_that_raises_has_failed_at_once() -> None:
    made = Made(raises=True)
    made.stop()
    made.run(10)
    assert not made.watcher.well
    assert "no such device" in made.watcher.status()[0]["why"]


def test_a_failed_part_that_comes_back_by_itself_is_well() -> None:
    made = Made(helps=False)
    made.stop()
    made.run(30)
    assert not made.watcher.well
    made.stopped = False
    made.run(2)
    assert made.watcher.well
    made.run(100)
    assert not made.watcher.ended
    made.stop()
    made.run(10)
    assert len(made.restarts) == 3  # and gets its tries again


def test_a_camera_that_is_away_never_ends_the_process() -> None:
    made = Made(helps=False, tries=None, patience=0)
    made.stop()
    made.run(600)
    assert made.watcher.well
    assert not made.watcher.ended


def test_who_cannot_say_how_it_is_is_not_well() -> None:
    made = Made()
    made.watcher.set([Part("page", lambda: 1 / 0, made.restart)])  # type: ignore[arg-type, return-value]
    made.run(2)
    assert len(made.restarts) == 1
    assert "ZeroDivisionError" in made.said[0]


def test_parts_that_are_set_anew_keep_their_state() -> None:
    made = Made(helps=False)
    made.stop()
    made.run(30)
    made.watcher.set([Part("detector", made.standing, made.restart), Part("page", lambda: (0.0, ""), made.restart)])
    assert [one["state"] for one in made.watcher.status()] == ["failed", "well"]
