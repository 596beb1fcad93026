"""Several reports side by side: what they have in common by the files' hashes, and what cannot be compared."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from edgekit.benchmark.machine.environment import IDENTITY
from edgekit.benchmark.report.compare import welch
from edgekit.benchmark.report.decision import decisions
from edgekit.benchmark.report.rows import main_metric, short_names, speed_of, spoken
from edgekit.benchmark.report_file import read_report
from edgekit.benchmark.schema import Report, Row
from edgekit.errors import InputError, UsageError
from edgekit.metrics.percentiles import percentile
from edgekit.metrics.statistics import Interval
from edgekit.screen import some
from edgekit.tasks import metric_named

Key = tuple[str, str, str, int, int, int]


@dataclass(frozen=True)
class Machine:
    """One report: what its machine is called here, and the file that it was read from."""

    name: str
    file: Path
    report: Report


@dataclass(frozen=True)
class Shared:
    """One case that two machines measured at least: the same bytes on the same runtime, with the same settings.

    Attributes:
        name: what sets it apart from the model's other cases.
        rows: of each machine, in their order; None where it has none.
    """

    name: str
    rows: tuple[Row | None, ...]

    def times_as_fast(self, at: int) -> Interval | None:
        """How many times as fast it answers on machine `at` as on the first, with its 95 % interval; None where one of
        the two has no speed. The two were not measured side by side: the turns of both vary on their own."""
        first, other = (speed_of(row) if row else None for row in (self.rows[0], self.rows[at]))
        if first is None or other is None:
            return None
        logs = ([math.log(percentile(b.end_to_end, 50)) for b in t.blocks] for t in (other, first))
        found = welch(*map(np.asarray, logs))
        if not math.isfinite(found.low):
            return None
        return Interval(*(math.exp(v) for v in (found.value, found.low, found.high)))


@dataclass(frozen=True)
class Merged:
    """What one page shows of several reports.

    Attributes:
        cases: by model, those that were measured on two machines at least.
        apart: what cannot be compared, a sentence each.
    """

    machines: tuple[Machine, ...]
    cases: dict[str, tuple[Shared, ...]]
    apart: tuple[str, ...]

    def summary(self) -> list[str]:
        """A sentence a model: how many times as fast another machine answers with what is quickest on the first."""
        return [told for model, cases in self.cases.items() if (told := self._told(model, cases))]

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON; times are milliseconds."""
        return {
            "machines": [
                {"name": m.name, "file": str(m.file), "decisions": [d.text for d in decisions(m.report)]}
                for m in self.machines
            ],
            "summary": self.summary(),
            "cases": [
                {"model": model, "case": case.name, "p50_ms": [_p50(row) for row in case.rows],
                 "times_as_fast": [None if (r := case.times_as_fast(i)) is None else r.to_dict()
                                   for i in range(len(case.rows))]}
                for model, cases in self.cases.items() for case in cases
            ],
            "apart": list(self.apart),
        }  # fmt: skip

    def _told(self, model: str, cases: Sequence[Shared]) -> str:
        timed = [case for case in cases if sum(_p50(row) is not None for row in case.rows) > 1 and _p50(case.rows[0])]
        if not timed:
            return ""
        case = min(timed, key=lambda c: _p50(c.rows[0]) or math.inf)
        parts = []
        for at, machine in enumerate(self.machines):
            if at and (ratio := case.times_as_fast(at)) is not None:
                unsure = ", which shows neither to be faster" if ratio.low <= 1 <= ratio.high else ""
                span = f"[{ratio.low:.2f}, {ratio.high:.2f}]{unsure}"
                parts.append(f"{ratio.value:.2f} times as fast on {machine.name} as on {self.machines[0].name} {span}")
        row = case.rows[0]
        if not parts or row is None:
            return ""
        return f"{model.split(maxsplit=1)[0]}: {spoken(case.name, row)} answers {', and '.join(parts)}."


def merge(files: Sequence[Path]) -> Merged:
    """The reports of these files, matched.

    Raises:
        UsageError: fewer than two files, or one of them twice.
        InputError: a file that is no report, or no case in common.
    """
    if len(files) < 2:
        raise UsageError(
            "There is nothing to merge.", got=some(files) or "no report", expected="two bench.json or more"
        )
    reports = [read_report(path) for path in files]
    for i, report in enumerate(reports):
        for j in range(i):
            if report == reports[j]:
                raise UsageError("The same report is there twice.", got=f"{files[j]} and {files[i]}", expected="others")
    machines = tuple(Machine(n, f, r) for n, f, r in zip(_names(files, reports), files, reports, strict=True))
    tables = [{key: row for row in reversed(r.rows) if (key := _key(row)) is not None} for r in reports]
    cases: dict[str, tuple[Shared, ...]] = {}
    apart = _same_machine(machines)
    keys = list(dict.fromkeys(key for report in reports for row in report.rows if (key := _key(row)) is not None))
    common = [key for key in keys if sum(key in table for table in tables) > 1]
    if not common:
        raise InputError(
            "The reports have no case in common.",
            got="; ".join(f"{m.file}: {some([r.name for r in m.report.rows], 3) or 'no case'}" for m in machines),
            expected="one file at least, the same bytes, on the same runtime with the same threads, batch and streams",
        )
    whole = {key: next(table[key] for table in tables if key in table) for key in keys}
    for model, rows in _by_model([whole[key] for key in common]).items():
        names = short_names(rows)
        shared = [(names[row.name], _key(row)) for row in rows]
        cases[model] = tuple(Shared(n, tuple(t.get(k) if k else None for t in tables)) for n, k in shared)
    apart += _missing(machines, tables, whole)
    apart += _conditions(machines)
    return Merged(machines, cases, tuple(apart))


def _key(row: Row) -> Key | None:
    if row.status != "ok" or not row.sha256:
        return None
    c = row.case
    return row.sha256, c.backend, c.provider, c.threads, c.batch, c.streams


def _by_model(rows: Sequence[Row]) -> dict[str, list[Row]]:
    found: dict[str, list[Row]] = {}
    for row in rows:
        found.setdefault(row.model, []).append(row)
    return found


def _names(files: Sequence[Path], reports: Sequence[Report]) -> list[str]:
    """Board, GPU or processor; where two are alike, with the file that each came from."""
    found = []
    for report in reports:
        env = report.environment
        name = str(env.get("gpu") or env.get("cpu") or env.get("machine") or "a machine").splitlines()[0]
        found.append(f"{name} ({env['usable_cpus']} CPUs)" if env.get("usable_cpus") and not env.get("gpu") else name)
    if len(set(found)) == len(found):
        return found
    stems = [path.parent.name + "/" + path.name if path.parent.name else path.name for path in files]
    return [f"{name}, {stem}" if found.count(name) > 1 else name for name, stem in zip(found, stems, strict=True)]


def _same_machine(machines: Sequence[Machine]) -> list[str]:
    found = []
    for i, machine in enumerate(machines):
        for other in machines[:i]:
            if all(machine.report.environment.get(k) == other.report.environment.get(k) for k in IDENTITY):
                found.append(
                    f"{other.name} and {machine.name} say that they are alike: of one machine --compare tells more"
                )
    return found


def _missing(machines: Sequence[Machine], tables: Sequence[dict[Key, Row]], whole: dict[Key, Row]) -> list[str]:
    """Cases of one machine alone, with the reason where another's report has one."""
    found = []
    for key, row in whole.items():
        have = [m for m, table in zip(machines, tables, strict=True) if key in table]
        if len(have) > 1 and len(have) == len(machines):
            continue
        lacking = [m for m in machines if m not in have]
        why = [_why(m, row) for m in lacking]
        found.append(f"{row.name}: not of {', '.join(f'{m.name}{w}' for m, w in zip(lacking, why, strict=True))}")
    return found


def _why(machine: Machine, row: Row) -> str:
    for other in machine.report.rows:
        if other.name == row.name:
            if other.failure is not None:
                return f" (failed: {other.failure.what})"
            if other.sha256 != row.sha256:
                return f" (another file of that name, {other.sha256[:12]} and not {row.sha256[:12]})"
    return ""


def _conditions(machines: Sequence[Machine]) -> list[str]:
    """Versions, settings and pictures that differ from the first report's."""
    found = []
    first = machines[0]
    for machine in machines[1:]:
        a, b = first.report, machine.report
        versions = [(a.environment.get("versions") or {}), (b.environment.get("versions") or {})]
        both = [("edgekit", a.environment.get("edgekit"), b.environment.get("edgekit"))]
        both += [(n, versions[0][n], versions[1][n]) for n in versions[0] if n in versions[1]]
        other = [f"{name} {x} and {y}" for name, x, y in both if x != y]
        if other:
            found.append(f"{machine.name} ran other versions than {first.name}: {', '.join(other)}")
        keys = sorted((set(a.settings) | set(b.settings)) - {"took_seconds"})
        settings = [k for k in keys if a.settings.get(k) != b.settings.get(k)]
        if settings:
            found.append(f"{machine.name} was measured with other settings than {first.name}: {', '.join(settings)}")
        for task in sorted(set(a.data) & set(b.data)):
            if not same_pictures(first, machine, task):
                found.append(f"accuracy of {task} is of other pictures on {machine.name} than on {first.name}")
    for machine in machines:
        if not machine.report.complete:
            found.append(f"{machine.name}: the run was interrupted")
        unsettled = [r for r in machine.report.rows if r.timing and not r.timing.stability.stable]
        if unsettled:
            found.append(f"{machine.name}: {len(unsettled)} of {len(machine.report.rows)} cases were not stable")
    return found


def same_pictures(first: Machine, other: Machine, task: str) -> bool:
    """Whether the two measured a task's accuracy on the same pictures, and as many."""
    a, b = first.report.data.get(task), other.report.data.get(task)
    return a is not None and b is not None and a.same_pictures(b)


def accuracy_text(row: Row) -> str:
    """The main figure with its interval."""
    metric = main_metric(row)
    if metric is None:
        return "–"
    named, span = metric_named(metric[0]), metric[1]
    return f"{named.label} {named.text(span.value)} [{named.text(span.low)}, {named.text(span.high)}]"


def _p50(row: Row | None) -> float | None:
    timing = speed_of(row) if row is not None else None
    return None if timing is None else timing.stages["end_to_end"].p50
