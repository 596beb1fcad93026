"""Timings of whole answers, stage by stage, over rotating pictures, the subjects taking turns. No timing is dropped."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgekit.benchmark.machine.environment import busy_seconds
from edgekit.benchmark.machine.power import Energy, Meter
from edgekit.benchmark.machine.reference_workload import ReferenceWorkload
from edgekit.benchmark.subject import STAGES, TAKE_UP, Timed
from edgekit.cores import cpu_numbers
from edgekit.errors import UsageError
from edgekit.progress import track, working

END_TO_END = "end_to_end"
WINDOW = 10  # runs a warm-up window
AGREE = 0.03
ALONE = 0.25  # of a turn's time, for the session alone

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class MeasurementPlan:
    """How long to measure.

    Attributes:
        seconds: of each subject, over all turns.
        iterations: instead: runs of each subject, over all turns.
        turns: blocks a subject is measured in.
        warmup: seconds at most until it must be stable.
    """

    seconds: float = 10.0
    iterations: int | None = None
    turns: int = 5
    warmup: float = 10.0

    def __post_init__(self) -> None:
        few = self.iterations is not None and self.iterations < self.turns
        if self.turns < 1 or self.seconds <= 0 or self.warmup < 0 or few:
            raise UsageError(
                "This plan measures nothing.",
                got=f"{self.seconds:g} s, {self.iterations} iterations in {self.turns} turns",
                expected="a positive time, one turn at least, and an iteration a turn",
            )


@dataclass
class Turn:
    """What one block measured.

    Attributes:
        start: seconds since the first subject's first turn.
        seconds: how long it took.
        stages: [n] milliseconds a stage and end to end.
        pictures: answered in it.
        cpu_outside, cpu_session: processor milliseconds a picture, all threads; None with several streams, whose
            threads cannot be told apart.
        others: share of the CPUs' time that other processes or a hypervisor took; None where it cannot be read.
        session: [m] milliseconds of the session alone, back to back on ready pictures; None with several streams.
    """

    start: float
    seconds: float
    stages: dict[str, Floats]
    pictures: int
    cpu_outside: float | None
    cpu_session: float | None
    others: float | None = None
    session: Floats | None = None


@dataclass
class Run:
    """Everything measured of a subject; `paces` are the reference workload's milliseconds around each turn."""

    warmup_iterations: int = 0
    warmup_seconds: float = 0.0
    warm: bool = False
    turns: list[Turn] = field(default_factory=list)
    energies: list[Energy] = field(default_factory=list)
    paces: list[float] = field(default_factory=list)

    def samples(self, stage: str) -> Floats:
        """float64 [n]: the milliseconds of all turns, in the order measured."""
        return np.concatenate([turn.stages[stage] for turn in self.turns])

    def blocks(self, stage: str) -> list[Floats]:
        """float64 [n_i] milliseconds of each turn."""
        return [turn.stages[stage] for turn in self.turns]

    def session(self) -> list[Floats]:
        """Blocks of the session alone; none with several streams."""
        return [turn.session for turn in self.turns if turn.session is not None]

    @property
    def others(self) -> float | None:
        """What other processes took meanwhile, as a share of the CPUs' time."""
        known = [(t.others, t.seconds) for t in self.turns if t.others is not None]
        return sum(o * s for o, s in known) / sum(s for _, s in known) if known else None

    @property
    def throughput(self) -> float:
        """Pictures a second over the time measured."""
        return sum(t.pictures for t in self.turns) / sum(t.seconds for t in self.turns)

    def energy(self) -> dict[str, Any]:
        """`Energy.per` picture of all turns; without joules where one turn has none."""
        known = [e for e in self.energies if e.joules is not None]
        if not known or len(known) < len(self.energies):
            source = self.energies[0].source if self.energies else "not measured"
            return Energy(None, sum(e.seconds for e in self.energies), source).per(0)
        joules = sum(e.joules or 0.0 for e in known)
        total = Energy(joules, sum(e.seconds for e in known), known[0].source)
        return total.per(sum(t.pictures for t in self.turns))


def warm_up(subject: Timed, limit: float) -> tuple[int, float, bool]:
    """Runs until the medians of three neighbouring windows agree to 3 %, or `limit` seconds are over.

    Returns:
        Runs, seconds, and whether they agreed.
    """
    begin = time.perf_counter()
    medians: list[float] = []
    count = 0
    while True:
        window = []
        for _ in range(WINDOW):
            window.append(subject.run())
            count += 1
            if time.perf_counter() - begin > limit and count >= TAKE_UP:
                return count, time.perf_counter() - begin, False
        medians.append(float(np.median(window)))
        last = medians[-3:]
        if len(last) == 3 and max(last) / min(last) - 1 <= AGREE:
            return count, time.perf_counter() - begin, True


def measure(
    subjects: Mapping[str, Sequence[Timed]],
    plan: MeasurementPlan,
    say: Callable[[str], None] = lambda _: None,
) -> dict[str, Run]:
    """Measures every subject in `plan.turns` blocks, the subjects taking turns, each turn in another order.

    So whatever the machine does meanwhile it does to all of them, and figures of one turn can be divided.

    Args:
        subjects: by name, one for each stream that runs at once.
        say: told what goes on.
    """
    runs = {name: Run() for name in subjects}
    for name, streams in track(subjects.items(), "warming up", len(subjects)):
        say(f"warming up {name}")
        count, seconds, warm = warm_up(streams[0], plan.warmup)
        for other in streams[1:]:
            for _ in range(TAKE_UP):
                other.run()
        runs[name] = Run(count, seconds, warm)
    begin = time.perf_counter()
    names = list(subjects)
    with ReferenceWorkload() as pace, working("measuring", plan.turns * len(names)) as work:
        for turn in range(plan.turns):
            say(f"turn {turn + 1} of {plan.turns}")
            shift = turn % len(names) if names else 0
            before = pace.turn()
            for name in names[shift:] + names[:shift]:
                streams = subjects[name]
                with Meter(gpu=streams[0].on_gpu) as meter:
                    block = _turn(streams, plan, turn, begin)
                if len(streams) == 1:  # not within the meter, whose joules are those of the whole answers
                    block.session = streams[0].alone(plan.seconds / plan.turns * ALONE, _count(plan, turn))
                runs[name].turns.append(block)
                runs[name].energies.append(meter.energy)
                after = pace.turn()
                runs[name].paces.append(float(np.median([*before, *after])))
                before = after
                work.step(detail=name)
    return runs


def _turn(streams: Sequence[Timed], plan: MeasurementPlan, turn: int, begin: float) -> Turn:
    """One block of one subject: by time, or its share of the iterations."""
    for subject in streams:
        for _ in range(TAKE_UP):
            subject.run()
    count = _count(plan, turn)
    busy, used = busy_seconds(), time.process_time()
    start = time.perf_counter()
    single = len(streams) == 1
    until = start + plan.seconds / plan.turns * (1 - ALONE if single else 1)
    if single:
        marks, cpu = _loop(streams[0], until, count)
        parts = [marks]
        spent = np.asarray(cpu).reshape(-1, 4)
        pictures = len(marks) * streams[0].batch
        outside = float((spent[:, 1] - spent[:, 0] + spent[:, 3] - spent[:, 2]).sum()) * 1e3 / pictures
        session = float((spent[:, 2] - spent[:, 1]).sum()) * 1e3 / pictures
    else:
        parts = _together(streams, until, count)
        pictures = sum(len(m) for m in parts) * streams[0].batch
        outside, session = None, None
    seconds = time.perf_counter() - start
    others = _others(busy, time.process_time() - used, seconds)
    times = np.concatenate(parts)
    stages = {name: (times[:, i + 1] - times[:, i]) * 1e3 for i, name in enumerate(STAGES)}
    stages[END_TO_END] = (times[:, -1] - times[:, 0]) * 1e3
    return Turn(start - begin, seconds, stages, pictures, outside, session, others)


def _count(plan: MeasurementPlan, turn: int) -> int | None:
    """The turn's share of the iterations, or None where time decides."""
    if plan.iterations is None:
        return None
    return plan.iterations * (turn + 1) // plan.turns - plan.iterations * turn // plan.turns


def _others(before: float | None, used: float, seconds: float) -> float | None:
    """Share of the usable CPUs' time that was neither idle nor this process's."""
    after = busy_seconds()
    if before is None or after is None or seconds <= 0:
        return None
    return min(1.0, max(0.0, (after - before - used) / (seconds * len(cpu_numbers()))))


def _loop(subject: Timed, until: float, count: int | None) -> tuple[Floats, list[float]]:
    """[n, 5] wall times, and four processor times a run."""
    marks: list[float] = []
    cpu: list[float] = []
    done = 0
    while (done < count) if count is not None else (time.perf_counter() < until or done < TAKE_UP):
        subject.answer(marks, cpu)
        done += 1
    return np.asarray(marks).reshape(-1, len(STAGES) + 1), cpu


def _together(streams: Sequence[Timed], until: float, count: int | None) -> list[Floats]:
    """One thread a stream. An error in one is raised here."""
    results: list[Floats] = []
    errors: list[BaseException] = []
    gate = threading.Barrier(len(streams))

    def work(subject: Timed) -> None:
        try:
            gate.wait()
            results.append(_loop(subject, until, count)[0])
        except BaseException as error:  # noqa: BLE001 - a thread has nobody to raise to
            errors.append(error)

    threads = [threading.Thread(target=work, args=(s,), daemon=True) for s in streams]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]
    return results
