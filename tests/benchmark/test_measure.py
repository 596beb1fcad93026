from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable

import numpy as np
import pytest

from edgekit.benchmark.machine.power import Meter
from edgekit.benchmark.machine.reference_workload import NAME
from edgekit.benchmark.measure import MeasurementPlan, measure, warm_up
from edgekit.benchmark.report.compare import differences
from edgekit.benchmark.run import Settings
from edgekit.benchmark.subject import STAGES, Subject
from edgekit.benchmark.timing import timing
from edgekit.data import Sample, made_pictures
from edgekit.errors import UsageError
from edgekit.predictor import Predictor
from tests.benchmark.conftest import made_report, made_run, noisy

Make = Callable[..., Predictor]
PICTURES = [Sample(None, s.read()[:40, :40].copy(), s.label, s.name) for s in made_pictures(5).samples]


def test_a_known_time_is_found_again(sleeping: Make) -> None:
    runs = measure({"a": [Subject(sleeping(0.004), PICTURES)]}, MeasurementPlan(iterations=40, turns=4, warmup=0.1))
    run = runs["a"]
    assert run.samples("inference").min() >= 4.0
    assert run.samples("inference").min() < 5.0  # the others wait for the core on a busy machine
    whole = run.samples("end_to_end")
    assert np.allclose(whole, sum(run.samples(s) for s in STAGES), atol=0.05)
    assert run.throughput == pytest.approx(1e3 / whole.mean(), rel=0.2)


def test_every_run_is_in_the_figures(sleeping: Make) -> None:
    predictor = sleeping(0.0)
    runs = measure({"a": [Subject(predictor, PICTURES)]}, MeasurementPlan(iterations=23, turns=5, warmup=0.05))
    assert len(runs["a"].samples("end_to_end")) == 23
    assert [len(turn.stages["inference"]) for turn in runs["a"].turns] == [4, 5, 4, 5, 5]
    assert [len(block) for block in runs["a"].session()] == [4, 5, 4, 5, 5]
    counted = 2 * 23 + runs["a"].warmup_iterations + 5 * (3 + 3)  # and three at the start of each block
    assert predictor.session.runs == counted  # type: ignore[attr-defined]


def test_subjects_take_turns(sleeping: Make) -> None:
    order: list[str] = []

    class Noted(Subject):
        def answer(self, marks: list[float], cpu: list[float]) -> object:
            if not order or order[-1] != self.predictor.name:
                order.append(self.predictor.name)
            return super().answer(marks, cpu)

    subjects = {}
    for name in "abc":
        predictor = sleeping()
        predictor.name = name
        subjects[name] = [Noted(predictor, PICTURES)]
    measure(subjects, MeasurementPlan(iterations=6, turns=3, warmup=0.02))
    # a b c warm up, then a b c, b c a, c a b; neighbours of one name are one entry
    assert "".join(order) == "abcabcbcacab"


def test_the_stages_give_the_predictors_own_answers(sleeping: Make) -> None:
    predictor = sleeping()
    subject = Subject(predictor, PICTURES, batch=2)
    wanted = predictor.classify([p.read() for p in PICTURES])
    got = [answer for _ in range(5) for answer in subject.answer([], [])]
    assert got == [wanted[i % 5] for i in range(10)]


def test_batches_and_streams(sleeping: Make) -> None:
    plan = MeasurementPlan(seconds=0.5, turns=2, warmup=0.05)
    one = measure({"a": [Subject(sleeping(0.01), PICTURES)]}, plan)["a"]
    three = measure({"a": [Subject(sleeping(0.01), PICTURES) for _ in range(3)]}, plan)["a"]
    four = measure({"a": [Subject(sleeping(0.01), PICTURES, batch=4)]}, plan)["a"]
    assert three.throughput / one.throughput > 1.5  # sleeping overlaps; the machine may be busy
    assert four.throughput / one.throughput > 1.5
    assert len(three.samples("inference")) == sum(t.pictures for t in three.turns)
    assert 4 * len(four.samples("inference")) == sum(t.pictures for t in four.turns)
    assert three.turns[0].cpu_outside is None
    assert one.turns[0].cpu_outside is not None


def test_an_error_in_a_stream_is_raised(sleeping: Make) -> None:
    class Broken(Subject):
        def answer(self, marks: list[float], cpu: list[float]) -> object:
            if marks:
                raise RuntimeError("the second one fails")
            return super().answer(marks, cpu)

    with pytest.raises(RuntimeError, match="second one"):
        measure(
            {"a": [Broken(sleeping(), PICTURES), Broken(sleeping(), PICTURES)]},
            MeasurementPlan(iterations=6, turns=2, warmup=0),
        )


def test_warm_up_says_whether_it_settled(sleeping: Make) -> None:
    even = Subject(sleeping(), PICTURES)
    even.run = iter([1.0, 1.02] * 100).__next__  # type: ignore[method-assign]
    assert warm_up(even, 60.0)[::2] == (30, True)
    subject = Subject(sleeping(), PICTURES)
    subject.run = iter([1.0] * 10 + [2.0] * 10 + [4.0] * 10 + [8.0] * 10 + [9.0] * 100_000).__next__  # type: ignore[method-assign]
    count, _, settled = warm_up(subject, 60.0)
    assert settled
    assert count == 70  # three windows of nine seconds
    assert not warm_up(Subject(sleeping(0.01), PICTURES), 0.05)[2]


def test_a_fixed_batch_is_the_only_one(sleeping: Make) -> None:
    with pytest.raises(UsageError, match="one batch size"):
        Subject(sleeping(0.0, 2), PICTURES, batch=1)
    Subject(sleeping(0.0, 2), PICTURES, batch=2).run()


@pytest.mark.parametrize("bad", [{"seconds": 0}, {"turns": 0}, {"iterations": 3, "turns": 5}, {"warmup": -1}])
def test_plans_that_measure_nothing(bad: dict[str, float]) -> None:
    with pytest.raises(UsageError, match="measures nothing"):
        MeasurementPlan(**bad)  # type: ignore[arg-type]


@pytest.mark.alone
def test_a_disturbed_machine_is_called_unstable(sleeping: Make) -> None:
    """A process spins on every CPU, and the sleeping session leaves them all to it."""
    spin = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(len(os.sched_getaffinity(0)))]
    try:
        run = measure({"a": [Subject(sleeping(0.004), PICTURES)]}, MeasurementPlan(seconds=1.2, turns=3, warmup=0.2))[
            "a"
        ]
    finally:
        for process in spin:
            process.kill()
            process.wait()
    assert run.others is not None
    assert run.others > 0.5
    found = timing(run)
    assert not found.stability.stable
    assert any("other processes took" in finding for finding in found.stability.findings)


def test_a_quiet_machine_is_not_called_busy() -> None:
    run = made_run(noisy(0, noise=0.005))
    for turn in run.turns:
        turn.others = 0.03
    assert timing(run).stability.stable
    for turn in run.turns:
        turn.others = 0.3
    assert "30% of the CPUs" in timing(run).stability.findings[0]


def test_the_session_alone_is_timed_without_the_rest(sleeping: Make) -> None:
    class Slow(Sample):
        def read(self) -> np.ndarray:
            time.sleep(0.01)
            return super().read()

    pictures = [Slow(None, p.read(), p.label, p.name) for p in PICTURES]
    subject = Subject(sleeping(0.004), pictures, batch=2)
    times = subject.alone(0.0, 30)
    assert len(times) == 30
    assert 4.0 <= times.min() < 20.0  # the two pictures take 20 by themselves
    assert len(subject.alone(0.2)) > 3
    assert len(subject.alone(0.0)) == 3
    assert len(subject.alone(0.0, 7)) == 7


def test_timings_of_the_session_alone_are_in_the_report(sleeping: Make) -> None:
    subjects = {"one": [Subject(sleeping(0.002), PICTURES)], "two": [Subject(sleeping(0.002), PICTURES)] * 2}
    runs = measure(subjects, MeasurementPlan(iterations=10, turns=2, warmup=0.02))
    one, two = timing(runs["one"]), timing(runs["two"])
    assert one.session is not None
    assert one.session.n == 10
    assert one.session.min >= 2.0
    assert one.intervals["session.p50"].low <= one.session.p50 <= one.intervals["session.p50"].high
    assert two.session is None  # several streams at once have no session alone


def test_the_session_alone_is_not_in_the_energy_of_answers(sleeping: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    predictor = sleeping()
    metered: list[int] = []

    class Counting(Meter):
        def __enter__(self) -> Meter:
            self.begun = predictor.session.runs  # type: ignore[attr-defined]
            return super().__enter__()

        def __exit__(self, *given: object) -> None:
            super().__exit__(*given)
            metered.append(predictor.session.runs - self.begun)  # type: ignore[attr-defined]

    monkeypatch.setattr("edgekit.benchmark.measure.Meter", Counting)
    measure({"a": [Subject(predictor, PICTURES)]}, MeasurementPlan(iterations=20, turns=2, warmup=0.02))
    assert metered == [10 + 3, 10 + 3]  # three bring the caches back


def test_reports_with_another_yardstick_are_told_apart() -> None:
    base, now = made_report(), made_report()
    base.settings = Settings().to_dict() | {"yardstick": "another"}
    now.settings = Settings().to_dict()
    assert f"setting: yardstick another -> {NAME}" in differences(base, now)
