"""Several cameras look with one model in turn: none twice before another once, and none waits for one that hangs."""

import threading
from collections import Counter

import pytest

from edgekit.camera.looking.turns import Turns
from tests.camera.conftest import wait_for


def waiting(turns: Turns, count: int) -> None:
    wait_for(lambda: sum(turns._waiting.values()) == count, 5)


def test_whose_last_look_is_longest_ago_is_next() -> None:
    turns, order, hold = Turns(), [], threading.Event()

    def look(name: str) -> None:
        with turns.turn(name):
            order.append(name)

    def first() -> None:
        with turns.turn("a"):
            hold.wait(10)

    threads = [threading.Thread(target=first)]
    threads[0].start()
    wait_for(lambda: bool(turns._running), 5)
    for number, name in enumerate(("a", "a", "b", "b", "c"), 1):
        threads.append(threading.Thread(target=look, args=(name,)))
        threads[-1].start()
        waiting(turns, number)
    hold.set()
    for thread in threads:
        thread.join(10)
    assert order[:2] in (["b", "c"], ["c", "b"])  # neither has had a turn; a had one
    assert order[2] == "a"
    assert Counter(order) == {"a": 2, "b": 2, "c": 1}


def test_a_turn_that_hangs_is_not_waited_for() -> None:
    clock = [100.0]
    turns = Turns(now=lambda: clock[0])
    for _ in range(3):
        with turns.turn("a"):
            clock[0] += 0.1
    assert turns.patience == pytest.approx(0.5)
    hung, done, hang = threading.Event(), threading.Event(), threading.Event()

    def hangs() -> None:
        with turns.turn("a"):
            hung.set()
            hang.wait(10)

    def looks() -> None:
        with turns.turn("b"):
            done.set()

    threads = [threading.Thread(target=hangs), threading.Thread(target=looks)]
    threads[0].start()
    assert hung.wait(5)
    threads[1].start()
    waiting(turns, 1)
    assert not done.wait(0.05)
    clock[0] += 0.6
    assert done.wait(5)
    with turns.turn("b"):  # and from then on no time is lost with it
        pass
    assert turns.abandoned == 1
    hang.set()
    for thread in threads:
        thread.join(5)
    assert turns._running == {}
    assert turns.patience == pytest.approx(0.45, abs=0.05)  # a look that hung is no measure of how long looks take


def test_as_many_at_once_as_the_model_takes() -> None:
    turns = Turns(2)
    with turns.turn("a"), turns.turn("b"):
        assert len(turns._running) == 2
    free = Turns(None)
    with free.turn("a"), free.turn("a"), free.turn("a"):
        assert len(free._running) == 3


def test_what_a_look_raises_ends_its_turn() -> None:
    turns = Turns()
    with pytest.raises(ValueError, match="no"), turns.turn("a"):
        raise ValueError("no")
    with turns.turn("b"):
        assert len(turns._running) == 1
