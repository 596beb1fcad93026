"""The rows of a report: what they are called, their main figure, and any two of them side by side, turn by turn."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from edgekit.benchmark.schema import Block, Report, Row, Span, Timing
from edgekit.metrics.percentiles import enough, percentile
from edgekit.metrics.statistics import Interval, paired_ratio
from edgekit.tasks import task_of

Figure = Callable[[Row, Block], float | None]


def groups(report: Report) -> dict[str, list[Row]]:
    """Rows of the same model (net, classes, size), in order; only these can be compared. Failed ones apart: see below.

    A row that failed before its model was known is in the group of its file's first sibling, else in one called "".
    """
    found: dict[str, list[Row]] = {}
    for row in report.rows:
        found.setdefault(row.model, []).append(row)
    return found


def short_names(rows: Sequence[Row]) -> dict[str, str]:
    """Of each row what sets it apart from the others, by its full name."""
    parts: list[list[str]] = []
    for row in rows:
        case = row.case
        file = case.model.rsplit("/", 1)[-1]
        stem = file.removesuffix(".onnx")
        runtime = case.backend if case.provider == "cpu" else f"{case.backend} {case.provider}"
        threads = "" if case.threads == 0 else f"{case.threads} thread{'s' * (case.threads > 1)}"
        streams = f"{case.streams} stream{'s' * (case.streams > 1)}"
        parts.append([stem, row.precision, runtime, threads, f"batch {case.batch}", streams])
    varied = [i for i in range(6) if len({p[i] for p in parts}) > 1]
    if 0 in varied and 1 in varied and len({(p[1], *p[2:]) for p in parts}) == len(parts):
        varied.remove(0)  # the precision says as much as the file's name
    names = [" · ".join(p[i] for i in varied if p[i]) or p[0] for p in parts]
    return {row.name: name for row, name in zip(rows, names, strict=True)}


def main_metric(row: Row) -> tuple[str, Span] | None:
    """Of what tells which model is better, as `top1` or `ap50`, the name and value; None where it was not measured."""
    if row.accuracy is None:
        return None
    task = task_of(row.accuracy.task)
    for name in (task.main, *(metric.name for metric in task.metrics)):
        if name in row.accuracy.metrics:
            return name, row.accuracy.metrics[name]
    return None


def speed_of(row: Row) -> Timing | None:
    """The row's timing, unless its file did not pass its verification: then no speed is shown."""
    return None if row.verified is False else row.timing


def answer(row: Row, block: Block) -> float | None:
    """Median milliseconds of a whole answer, a picture."""
    return percentile(block.end_to_end, 50) / row.case.batch


def inference(row: Row, block: Block) -> float | None:
    """Median milliseconds of the session within a whole answer, a picture."""
    return percentile(block.inference, 50) / row.case.batch


def tail(row: Row, block: Block) -> float | None:
    """The 95th percentile of whole answers, ms a picture; None of a turn with too few for one."""
    return percentile(block.end_to_end, 95) / row.case.batch if len(block.end_to_end) >= enough(95) else None


def time_a_picture(row: Row, block: Block) -> float | None:
    """Milliseconds of the clock a picture, all streams together."""
    return block.seconds * 1e3 / (len(block.end_to_end) * row.case.batch) if block.end_to_end else None


def times_as_fast(row: Row, other: Row, figure: Figure = answer) -> Interval | None:
    """How many times as fast `row` is as `other`, from the turns they took side by side; None where that is not known.

    Both must be of one model, so that they were measured in the same turns.
    """
    if row.timing is None or other.timing is None:
        return None
    if len(row.timing.blocks) != len(other.timing.blocks) or len(row.timing.blocks) < 2:
        return None
    mine = [figure(row, block) for block in row.timing.blocks]
    theirs = [figure(other, block) for block in other.timing.blocks]
    known = [(a, b) for a, b in zip(mine, theirs, strict=True) if a is not None and b is not None]
    if len(known) < len(mine):
        return None
    return paired_ratio([b for _, b in known], [a for a, _ in known])


def not_slower(rows: Sequence[Row], best: Row, figure: Figure = answer) -> list[Row]:
    """The other rows that are not shown to be slower than `best`: the ratio's interval holds 1, or is not known."""
    found = []
    for row in rows:
        if row is not best and ((ratio := times_as_fast(best, row, figure)) is None or ratio.low <= 1):
            found.append(row)
    return found


def answers_of(row: Row) -> tuple[str, str, str]:
    """What decides a row's answers: the file and the runtime. Threads, batch and streams change none."""
    return row.case.model, row.case.backend, row.case.provider


def shown_worse(row: Row, rows: Sequence[Row]) -> bool:
    """Whether the pictures show another row to be more accurate: the reference than this one, or one than the
    reference, where this is it."""
    if row.agreement is not None:
        return row.agreement.verdict == "worse"
    return any(r.agreement is not None and r.agreement.reference == row.name and r.agreement.verdict == "better"
               for r in rows)  # fmt: skip


def spoken(name: str, row: Row) -> str:
    """A row's short name within a sentence: `int8 on openvino`; the file's, where only runtimes differ."""
    if name.startswith(row.case.backend):
        return f"{row.case.model.rsplit('/', 1)[-1].removesuffix('.onnx')} on {name}"
    return name.replace(f" · {row.case.backend}", f" on {row.case.backend}", 1)
