"""`edgekit tune`: which file, runtime and settings are best on this machine?"""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import Annotated

import typer

from edgekit.cli.shared import after
from edgekit.cli.shared.helptext import DATA, OUTPUT, Group, argument
from edgekit.cli.shared.options import ForceOption, Format, FormatOption, MapOption, print_json, say

SEARCH = Group("The search")


class Goal(str, Enum):
    """What is tuned for."""

    latency = "latency"
    throughput = "throughput"


def tune(
    context: typer.Context,
    models: Annotated[
        list[Path],
        argument("MODEL", "Exported files of one model in several precisions; the first is the reference."),
    ],
    data: Annotated[
        list[Path] | None, DATA("-d, --data DIR", "Labelled pictures for the accuracy; default: made.")
    ] = None,
    split: Annotated[str | None, DATA("--split SPLIT", "train, val, test or all.")] = None,
    classes_map: MapOption = None,
    max_drop: Annotated[float, SEARCH("--max-drop POINTS", "Points of accuracy that may be lost.", min=0)] = 0.5,
    goal: Annotated[Goal, SEARCH("--goal", "The quickest answer, or the most pictures a second.")] = Goal.latency,
    backend: Annotated[
        list[str] | None, SEARCH("-b, --backend RUNTIME", "Runtimes to try; default: all that are installed.")
    ] = None,
    pictures: Annotated[int, DATA("--pictures N", "At most, for accuracy, spread evenly.", min=1)] = 500,
    seconds: Annotated[float, SEARCH("--seconds S", "Measured for each case.", min=0.1)] = 4.0,
    out: Annotated[Path, OUTPUT("-o, --out DIR", "Folder of the report and deployment.json.")] = Path("tuned"),
    force: ForceOption = False,
    output_format: FormatOption = Format.text,
) -> int:
    """Try the backends, precisions, threads and batches of this machine within an accuracy budget.

    Writes deployment.json (the artefact and its runtime settings) and the report that justifies it. Exit code 3 when
    nothing holds the budget.

    Examples:
        edgekit tune net.onnx net.int8-x86.onnx -d pictures/
        edgekit tune net.onnx --goal throughput
    """
    from edgekit.api.benching import parts as wiring
    from edgekit.artifacts.atomic import refuse_existing, write_bytes
    from edgekit.benchmark.machine.emulation import require_real_processor
    from edgekit.benchmark.measure import MeasurementPlan
    from edgekit.benchmark.run import Settings
    from edgekit.benchmark.suite import refuse_existing_report
    from edgekit.benchmark.tune import candidates, choose
    from edgekit.cores import usable_cpus
    from edgekit.data.classes.class_map import class_map

    require_real_processor()
    refuse_existing_report(out, force)
    refuse_existing(out / "deployment.json", force)
    backends = wiring.installed_backends(backend)
    say("trying " + ", ".join(p if p != "cpu" else b for b, providers in backends.items() for p in providers))
    cases = candidates([str(m) for m in models], backends, usable_cpus(), goal.value)
    settings = Settings(MeasurementPlan(seconds, None, 4, 6.0), accuracy=pictures)
    parts = wiring.Parts(data or [], split, cold=False, classes_map=class_map(classes_map), say=say)
    names = ", ".join(m.stem for m in models[:3])
    report = parts.measure(cases, settings, wiring.writer(out), f"Tuning {names} for {goal.value}")
    found = choose(report, max_drop, goal.value)
    write_bytes(out / "deployment.json", found.to_json(out).encode(), overwrite=True)
    if output_format is Format.json:
        print_json(found.to_dict())
    else:
        typer.echo(f"best: {found.case.name} ({found.precision})")
        typer.echo(f"  {found.p50_ms:.2f} ms p50 end to end, {found.pictures_per_second:.1f} pictures a second")
        side = "below" if found.drop >= 0 else "above"
        typer.echo(f"  {found.metric} {found.accuracy:.2%}, {abs(found.drop):.2f} points {side} {found.reference}")
        if found.speedup is not None:
            value, low, high = found.speedup
            typer.echo(f"  {value:.2f} times as fast as the reference [{low:.2f}, {high:.2f}]")
        if not found.stable:
            typer.echo("  the machine was not stable meanwhile: measure again when it is free")
        for note in report.notes:
            typer.echo(f"  doubtful: {note}")
        for refusal in found.refused:
            typer.echo(f"  left out: {refusal.row}: {refusal.why}")
    say(f"report: {(out / 'bench.html').resolve()}")
    after.look(context, out / "deployment.json", data[0] if data else None)
    return 0
