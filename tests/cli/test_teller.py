"""What takes longer than 2 s says how far it is and how long it will take; the clock here is a number."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator

import pytest

from edgekit.cli.shared.teller import Teller, told
from edgekit.progress import clear, listening, track, working
from edgekit.screen import Screen, screened


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def spoken(clock: Clock, terminal: bool = False) -> tuple[io.StringIO, Teller]:
    stream = io.StringIO()
    return stream, Teller(lambda: stream, terminal, clock)


def test_what_is_quick_says_nothing(clock: Clock) -> None:
    stream, teller = spoken(clock)
    with listening(teller):
        for _ in track(range(19), "counting"):
            clock.now += 0.1
    assert stream.getvalue() == ""


def test_a_line_after_two_seconds_and_one_every_ten(clock: Clock) -> None:
    stream, teller = spoken(clock)
    with listening(teller):
        for _ in track(range(40), "looking at pictures"):
            clock.now += 1
    assert stream.getvalue().splitlines() == [
        "looking at pictures 2 of 40, about 0:38 left",
        "looking at pictures 12 of 40, about 0:28 left",
        "looking at pictures 22 of 40, about 0:18 left",
        "looking at pictures 32 of 40, about 0:08 left",
    ]


def test_inner_work_counts_for_the_estimate_of_the_outer(clock: Clock) -> None:
    stream, teller = spoken(clock)
    with listening(teller), working("robustness", 4) as outer:
        for kind in ("fog", "noise"):
            for _ in track(range(10), "looking at pictures"):
                clock.now += 1
            outer.step(detail=kind)
    assert stream.getvalue().splitlines()[:2] == [
        "robustness 0 of 4: looking at pictures 2 of 10, about 0:38 left",
        "robustness 1 of 4 (fog): looking at pictures 2 of 10, about 0:28 left",
    ]


def test_what_cannot_be_counted_says_how_long_it_goes_on(clock: Clock) -> None:
    stream, teller = spoken(clock)
    with listening(teller), working("building the engine"):
        for _ in range(150):  # as the ticker does
            clock.now += 0.5
            teller.tell()
    lines = stream.getvalue().splitlines()
    assert lines[0] == "building the engine, 0:02 so far"
    assert lines[1] == "building the engine, 0:12 so far"
    assert len(lines) == 8


def test_silence_is_told_too(clock: Clock) -> None:
    """Importing torch, say: nothing counts it, and nobody should wonder."""
    stream, teller = spoken(clock)
    for moment in (2, 7.9, 0.1, 5, 4.9, 0.1):
        clock.now += moment
        teller.tell()
    assert stream.getvalue().splitlines() == ["still at it, 0:10 so far", "still at it, 0:20 so far"]
    teller.clear()  # somebody said something
    clock.now += 9.9
    teller.tell()
    assert len(stream.getvalue().splitlines()) == 2
    bar, teller = spoken(clock, terminal=True)
    clock.now += 2
    teller.tell()
    assert "still at it, 0:02 so far" in bar.getvalue()


def test_a_command_that_lasts_all_day_is_silent(clock: Clock) -> None:
    stream = io.StringIO()
    teller = Teller(lambda: stream, terminal=False, clock=clock, silence=False)
    clock.now += 3600
    teller.tell()
    assert stream.getvalue() == ""


def test_on_a_terminal_one_line_that_overwrites_itself_and_goes_away(clock: Clock) -> None:
    stream, teller = spoken(clock, terminal=True)
    with listening(teller):
        for _ in track(range(100), "counting"):
            clock.now += 0.1
    text = stream.getvalue()
    assert "\n" not in text
    assert text.endswith("\r\x1b[K")
    drawn = text.split("\r\x1b[K")[1:-1]
    assert 20 <= len(drawn) <= 41  # five times a second at most
    assert re.fullmatch(r"counting 2[01] of 100, about 0:08 left", drawn[0])


def test_other_lines_take_the_bar_away_first(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    stream, teller = spoken(clock, terminal=True)
    monkeypatch.setattr("sys.stdout", stream)
    monkeypatch.setattr("sys.stderr", stream)
    with screened(teller.clear), listening(teller), working("counting", 4) as work:
        clock.now += 3
        work.step()
        print("a result")
    assert stream.getvalue() == "\r\x1b[Kcounting 1 of 4, about 0:09 left\r\x1b[Ka result\n"


def test_names_do_not_write_to_the_terminal(clock: Clock) -> None:
    stream, teller = spoken(clock)
    with listening(teller), working("epoch \x1b[2J", 4) as work:
        clock.now += 3
        work.step()
    assert "\x1b" not in stream.getvalue()


def test_without_a_listener_nothing_is_told_and_items_pass(capsys: pytest.CaptureFixture[str]) -> None:
    def endless() -> Iterator[int]:
        yield from (1, 2, 3)

    with working("something") as work:
        assert list(track(endless(), "counting")) == [1, 2, 3]
        work.step()
    clear()
    assert capsys.readouterr() == ("", "")


def test_it_ends_where_the_loop_breaks_off(clock: Clock) -> None:
    stream, teller = spoken(clock)
    with listening(teller):
        with pytest.raises(ZeroDivisionError):
            for _ in track(range(3), "counting"):
                raise ZeroDivisionError
        clock.now += 10
        teller.tell()
    assert stream.getvalue().splitlines() == ["still at it, 0:10 so far"]


def test_the_other_processes_of_a_training_are_not_told_of() -> None:
    with told(active=False) as before:
        before()
        assert list(track(range(2), "counting")) == [0, 1]
    with told() as before:
        assert before is not None
        assert isinstance(Screen(io.StringIO(), before), Screen)
