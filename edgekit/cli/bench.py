"""`edgekit bench`: how fast, how right and how robust is each file on this machine?"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from edgekit.cli import packing
from edgekit.cli.shared import after
from edgekit.cli.shared.helptext import DATA, OUTPUT, RUNTIME, Group, argument
from edgekit.cli.shared.options import (
    ForceOption,
    Format,
    FormatOption,
    MapOption,
    Provider,
    ProviderOption,
    Scenario,
    next_command,
    say,
)

if TYPE_CHECKING:
    from edgekit.benchmark.measure import MeasurementPlan
    from edgekit.benchmark.report.compare import Comparison
    from edgekit.benchmark.schema import Report

PROOF = "bench"  # stem of the files in --out
TIMING = Group("Timing")
ACCURACY = Group("Accuracy")
SCENARIO = Group("MLPerf's edge scenarios")
SUITE = Group("A suite")
COMPARISON = Group("Comparison with an older report")


def bench(
    context: typer.Context,
    models: Annotated[
        list[Path] | None, argument("MODEL", "Exported files or checkpoints; the first is what others compare with.")
    ] = None,
    data: Annotated[
        list[Path] | None,
        DATA("-d, --data DIR", "Labelled pictures, or boxes for a detector; repeatable. Default: made."),
    ] = None,
    split: Annotated[str | None, DATA("--split SPLIT", "train, val, test or all.")] = None,
    classes_map: MapOption = None,
    backend: Annotated[
        list[str] | None, RUNTIME("-b, --backend RUNTIME", "A runtime; repeatable. Default: onnxruntime.")
    ] = None,
    provider: ProviderOption = Provider.cpu,
    threads: Annotated[list[int] | None, RUNTIME("--threads N", "Repeatable; 0: a core each.", min=0)] = None,
    batch: Annotated[list[int] | None, RUNTIME("--batch N", "Pictures in a run; repeatable.", min=1)] = None,
    size: Annotated[
        str | None,
        RUNTIME("--size HxW", "Of an ONNX from elsewhere, where it is open: 640, or 384x640."),
    ] = None,
    streams: Annotated[list[int] | None, RUNTIME("--streams N", "Sessions at once; repeatable.", min=1)] = None,
    seconds: Annotated[float, TIMING("--seconds S", "Measured for each case.", min=0.1)] = 10.0,
    iterations: Annotated[int | None, TIMING("--iterations N", "Instead of --seconds.", min=1)] = None,
    turns: Annotated[int, TIMING("--turns N", "Blocks, in which the cases take turns.", min=1)] = 5,
    warmup: Annotated[float, TIMING("--warmup S", "Seconds at most until a case is warm.", min=0)] = 10.0,
    pictures: Annotated[
        int | None, ACCURACY("--pictures N", "For accuracy; default all, 0: no accuracy.", min=0)
    ] = None,
    robustness: Annotated[
        int, ACCURACY("--robustness N", "Pictures for corruptions and attacks; 0: neither.", min=0)
    ] = 0,
    erase: Annotated[int, ACCURACY("--erase N", "Pictures with boxes, asked without the objects.", min=0)] = 0,
    attack: Annotated[
        Path | None,
        ACCURACY("--attack FILE", "Checkpoint on which attacks are crafted; default: one among the models."),
    ] = None,
    layers: Annotated[bool, TIMING("--layers", "Time per layer, and the roofline.")] = False,
    cold: Annotated[bool, TIMING("--cold/--no-cold", "Start a process for each case.")] = True,
    scenario: Annotated[
        list[Scenario] | None, SCENARIO("--scenario", "On resized pictures in memory; repeatable. No MLPerf result.")
    ] = None,
    scenario_seconds: Annotated[
        float, SCENARIO("--scenario-seconds S", "Of each; the rules ask for 600.", min=0.1)
    ] = 600.0,
    latency_bound: Annotated[
        float | None, SCENARIO("--latency-bound MS", "Tell the highest throughput whose p90 is within it.", min=0.1)
    ] = None,
    suite: Annotated[Path | None, SUITE("--suite FILE", "A TOML that says what to measure, instead of models.")] = None,
    models_root: Annotated[Path, SUITE("--models DIR", "Folder of a suite's models.")] = Path(),
    data_root: Annotated[
        Path | None, SUITE("--data-root DIR", "Folder of a suite's data; default: EDGEKIT_DATA.")
    ] = None,
    resume: Annotated[bool, SUITE("--resume", "Go on with an interrupted suite or pack.")] = False,
    pack: Annotated[
        Path | None, SUITE("--pack FILE", "Measure nothing: write models, pictures, suite and answers to a .zip.")
    ] = None,
    compare: Annotated[
        Path | None, COMPARISON("--compare FILE", "An older bench.json; exit code 4 where it got worse.")
    ] = None,
    fail_on: Annotated[
        str | None, COMPARISON("--fail-on LIMITS", "What is too much, for example 'p95>+5%,top1<-0.5'.")
    ] = None,
    anyway: Annotated[
        bool, COMPARISON("--anyway", "Compare although device, versions, settings or pictures differ.")
    ] = False,
    merge: Annotated[
        bool, COMPARISON("--merge", "Put the bench.json of several machines, instead of models, on one page.")
    ] = False,
    unverified: Annotated[
        bool, ACCURACY("--unverified", "Look into a file that did not pass the gate: accuracy, no speed.")
    ] = False,
    out: Annotated[Path, OUTPUT("-o, --out DIR", "Folder of the report.")] = Path("bench"),
    force: ForceOption = False,
    output_format: FormatOption = Format.text,
) -> int:
    """Measure files side by side: latency by stage, throughput, accuracy, cold start, memory, energy.

    A .zip that --pack wrote is measured without torch, the training set or its models;
    answers that are not those expected end with 3, and their speed is not measured.

    Of ONNX files that edgekit did not make the latency alone is printed: they were not verified.

    Writes bench.html, bench.json, bench.md and bench.csv to --out. A case that fails keeps its reason in its row, and
    the exit code is 1; where --compare finds a regression it is 4.

    Examples:
        edgekit bench hornet-mobile
        edgekit bench net.onnx net.int8-x86.onnx -d pictures/
        edgekit bench net.onnx --compare bench/bench.json
        edgekit bench --merge pi.json orin.json -o machines
    """
    from edgekit.api.bench import BenchOptions
    from edgekit.api.bench import bench as measure
    from edgekit.api.benching import suite as wiring
    from edgekit.api.benching.packing import is_pack
    from edgekit.api.benching.parts import writer
    from edgekit.artifacts.onnx_file import origin
    from edgekit.benchmark.measure import MeasurementPlan
    from edgekit.benchmark.report.compare import DEFAULT_LIMITS, parse_limits
    from edgekit.benchmark.report_file import read_report
    from edgekit.benchmark.suite import refuse_existing_report
    from edgekit.data.classes.class_map import class_map
    from edgekit.errors import UsageError, VerificationError

    if merge:
        from edgekit.cli.shared.merging import merge as merged

        return merged(context, models or [], out, force, output_format)
    if bool(models) == (suite is not None):
        got = "models and --suite" if suite is not None else "neither"
        raise UsageError("bench measures either models or a suite.", got=got, expected="MODEL..., or --suite FILE")
    if (fail_on or anyway) and compare is None:
        raise UsageError("There is nothing to compare with.", got="--fail-on or --anyway alone", expected="--compare")
    if pack is not None:
        return packing.write(context, pack)
    packed = next((path for path in models or [] if is_pack(path)), None)
    if packed is not None:
        packing.check(context)
    origins = [origin(path) for path in models or [] if packed is None]
    # one that cannot be read keeps its reason in its row beside others; alone there would be a report of nothing
    if "elsewhere" in origins or (origins and set(origins) == {"unreadable"}):
        plan = MeasurementPlan(seconds, iterations, turns, warmup)
        return _latency(context, models or [], batch or [None], plan, output_format)
    if size is not None:
        raise UsageError("--size is for an ONNX from elsewhere.", got=size, expected="nothing: the model has its size")
    limits = parse_limits(fail_on or DEFAULT_LIMITS)
    base = read_report(compare) if compare is not None else None  # before minutes are spent
    if (suite or packed) and not resume:
        refuse_existing_report(out, force)
    if packed is not None:
        report = packing.run(context, packed, out)
    elif suite is not None:
        places = wiring.SuitePlaces(models_root, data_root, data or [], attack, class_map(classes_map), say)
        report = wiring.run_suite_file(suite, places, out, writer(out), resume, unverified)
    else:
        options = BenchOptions(
            iterations, turns, warmup, streams or [1], cold, layers, [one.value for one in scenario or []],
            scenario_seconds, latency_bound, robustness, attack, unverified, classes_map, erase,
        )  # fmt: skip
        report = measure(
            models or [],
            data or [],
            out=out,
            split=split,
            backends=backend or ["onnxruntime"],
            provider=provider.value,
            threads=threads or [0],
            batch=batch or [1],
            seconds=seconds,
            pictures=pictures,
            options=options,
            force=force or resume,
            say=say,
        )
    comparison = None
    if base is not None:
        from edgekit.benchmark.report.compare import compare as compared

        comparison = compared(base, report, limits, anyway)
    _print(report, comparison, output_format)
    say(f"report: {(out / (PROOF + '.html')).resolve()}")
    if comparison is not None:
        comparison.check()
    if any(row.expected is not None and not row.expected.passed for row in report.rows):
        return VerificationError.exit_code
    if any(row.failure for row in report.rows):
        return 1
    once_more = {"force": None, "resume": None, "out": after.fresh(out)}
    next_command(*after.again(context, **once_more, compare=compare or out / f"{PROOF}.json"))
    return 0


def _print(report: Report, comparison: Comparison | None, output_format: Format) -> None:
    from edgekit.benchmark.report.text import as_markdown
    from edgekit.cli.shared.options import print_json

    if output_format is Format.json:
        content = report.model_dump(by_alias=True, mode="json")
        print_json({**content, "comparison": comparison.to_dict() if comparison else None})
        return
    typer.echo(as_markdown(report))
    if comparison is None:
        return
    verdict = "worse than allowed" if comparison.regressions else "not worse than allowed"
    typer.echo(f"Compared: {verdict}")
    for line in (*comparison.allowed, *map(str, comparison.changes), *comparison.few, *comparison.lost):
        typer.echo(f"- {line}")


# what says nothing of a file of which the latency alone is known
_UNKNOWN = ("data", "split", "classes_map", "pictures", "robustness", "erase", "attack", "layers", "suite", "compare",
            "fail_on", "scenario", "scenario_seconds", "latency_bound", "pack", "anyway", "unverified", "resume", "out",
            "force", "cold")  # fmt: skip


def _latency(
    context: typer.Context,
    models: Sequence[Path],
    batch: Sequence[int | None],
    plan: MeasurementPlan,
    output_format: Format,
) -> int:
    """Times files from elsewhere; nothing is written, since there would be nothing to report but this."""
    from edgekit.api.latency import ALONE, latency
    from edgekit.artifacts.onnx_file import origin
    from edgekit.cli.shared.options import print_json, read_size
    from edgekit.errors import UsageError

    made = [str(path) for path in models if origin(path) not in ("elsewhere", "unreadable")]
    if made:
        raise UsageError(
            "Files from elsewhere are not measured beside edgekit's: no accuracy, no verdict.",
            got=f"{', '.join(made)} beside {len(models) - len(made)} that edgekit did not make",
            expected="one or the other in one run",
            fix="edgekit adopt makes a verified file of one, which can stand beside others",
        )
    unknown = [name for name in _UNKNOWN if after.was_typed(context, name)]
    if unknown:
        asked = after.given(context, unknown[0])[0]
        raise UsageError(
            f"Of an ONNX from elsewhere the latency alone can be told, not what {asked} asks.",
            got=ALONE,
            expected="runtimes, threads, batches, streams, sizes and times",
            fix="edgekit adopt makes a verified file of it, which has classes and preprocessing",
        )
    given = context.params
    found = latency(
        models,
        size=read_size(given["size"]),
        backends=given["backend"] or ["onnxruntime"],
        provider=given["provider"].value,
        threads=given["threads"] or [0],
        batch=batch,
        streams=given["streams"] or [1],
        plan=plan,
        say=say,
    )
    if output_format is Format.json:
        print_json(found.to_dict())
    else:
        for line in found.lines():
            typer.echo(line)
    if not found.passed:
        return 1
    next_command(*after.again(context))
    return 0
