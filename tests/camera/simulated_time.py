"""A process whose time goes by only while all its threads wait: a day of a camera in minutes, and none of it skipped.

A clock that merely runs faster makes a fast machine of a slow one's: at 200 seconds a second a write that takes 50 ms
has taken ten. Here a thread that works costs no time at all, and once every thread waits time jumps to the moment that
the first of them waits for. So each wait of the code happens, in its order, however busy the machine is.

`install` before edgekit's modules are imported, which keep `time.monotonic` as a default. It replaces what Python's own
waits are made of: `time`, `Condition.wait` (with it Event, Queue and Semaphore), `Thread.join` and the selector of
asyncio. A thread that waits in C for a socket or a file counts as one that works, so time stands still for it.
"""

from __future__ import annotations

import _thread
import contextlib
import heapq
import itertools
import math
import os
import queue
import selectors
import threading
import time
from collections.abc import Callable
from typing import Any

_GRID = 0.1  # seconds; waits end on it, so that many end together
_NEVER = float("inf")
_really_sleep = time.sleep
_LOOK = 0.002  # real seconds between two looks for what the waits themselves don't see: a thread that ended


class _Waiting:
    """One thread that waits, as the lock that `Condition` keeps of it.

    Attributes:
        over: whether it was woken; `late`: by the time.
        counted: whether the clock knows of it.
    """

    def __init__(self, clock: SimulatedTime, wake: Callable[[], Any] | None = None) -> None:
        self._clock, self._lock = clock, _thread.allocate_lock()
        self._lock.acquire()
        self.wake = wake or self._lock.release
        self.over = self.late = self.counted = False

    def release(self) -> None:
        """Ends the wait. Raises RuntimeError where it is over."""
        with self._clock.lock:
            if self.over:
                raise RuntimeError("the wait is over")
            self.end()
        self.wake()

    def end(self) -> None:
        """While the clock's lock is held."""
        self.over = True
        self._clock.waiting -= self.counted

    def block(self) -> None:
        self._lock.acquire()


class SimulatedTime:
    """The time of this process, from `install` on.

    Args:
        wall: seconds since 1970 at which it begins.

    Attributes:
        waiting: threads that wait.
    """

    def __init__(self, wall: float) -> None:
        self._ticks, self.waiting = round(1000 / _GRID), 0
        self.lock = _thread.allocate_lock()
        self._zero = wall - self.now
        self._due: list[tuple[int, int, _Waiting]] = []
        self._number = itertools.count()

    @property
    def now(self) -> float:
        """Seconds that have gone by, counted from 1000: code takes monotonic seconds near 0 for none."""
        return self._ticks * _GRID

    def monotonic(self) -> float:
        return self.now

    def wall(self) -> float:
        return self._zero + self.now

    def sleep(self, seconds: Any) -> None:
        self.wait(_Waiting(self), seconds)

    def wait(self, waiter: _Waiting, timeout: float | None) -> bool:
        """Whether it was woken before `timeout` seconds were over; None: however long that takes."""
        if timeout is not None and timeout <= 0:
            return waiter.over
        self.begin(waiter, timeout)
        waiter.block()
        return not waiter.late

    def begin(self, waiter: _Waiting, timeout: float | None) -> None:
        """Counts a thread as waiting; where it was the last that worked, time goes by."""
        with self.lock:
            if not waiter.over:  # else it was notified before it came here
                waiter.counted = True
                self.waiting += 1
                if timeout is not None:
                    due = self._ticks + max(1, math.ceil(timeout / _GRID - 1e-6))
                    heapq.heappush(self._due, (due, next(self._number), waiter))
        self.look()

    def look(self) -> None:
        """Lets time go by if all threads wait."""
        threads = threading.active_count() - 1  # but for the one that looks after it
        woken: list[_Waiting] = []
        with self.lock:
            if self.waiting < threads:
                return
            while self._due and (not woken or self._due[0][0] <= self._ticks):
                due, _, waiter = heapq.heappop(self._due)
                if waiter.over:
                    continue
                self._ticks = max(self._ticks, due)
                waiter.late = True
                waiter.end()
                woken.append(waiter)
        for waiter in woken:
            waiter.wake()

    def install(self) -> None:
        """Makes it the time of this process, for good."""
        clock = self

        def wait(self: Any, timeout: float | None = None) -> bool:
            if not self._is_owned():
                raise RuntimeError("cannot wait on un-acquired lock")
            waiter = _Waiting(clock)
            self._waiters.append(waiter)
            saved, woken = self._release_save(), False
            try:
                woken = clock.wait(waiter, timeout)
                return woken
            finally:
                self._acquire_restore(saved)
                if not woken and waiter in self._waiters:
                    self._waiters.remove(waiter)

        def join(self: Any, timeout: float | None = None) -> None:
            until = _NEVER if timeout is None else clock.now + max(0.0, timeout)
            while self.is_alive() and clock.now < until:
                clock.sleep(min(_GRID, until - clock.now))

        def select(self: Any, timeout: float | None = None) -> Any:
            if timeout is not None and timeout <= 0:
                return really_select(self, timeout)
            bell = getattr(self, "_bell", None)
            if bell is None:
                bell = self._bell = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
                self._selector.register(bell, 1)
            waiter = _Waiting(clock, lambda: os.eventfd_write(bell, 1))
            clock.begin(waiter, timeout)
            found = really_select(self, None)
            with clock.lock:
                if not waiter.over:
                    waiter.end()
            with contextlib.suppress(BlockingIOError):  # a socket woke it
                os.eventfd_read(bell)
            return found

        really_select = selectors.EpollSelector.select
        time.monotonic, time.time, time.sleep = self.monotonic, self.wall, self.sleep
        vars(threading)["_time"] = vars(queue)["time"] = self.monotonic
        threading.Condition.wait, threading.Thread.join = wait, join  # type: ignore[method-assign]
        queue.SimpleQueue = queue._PySimpleQueue  # type: ignore[attr-defined,misc]
        selectors.EpollSelector.select = select  # type: ignore[method-assign]
        threading.Thread(target=self._look_on, name="simulated-time", daemon=True).start()

    def _look_on(self) -> None:
        while True:
            _really_sleep(_LOOK)
            self.look()
