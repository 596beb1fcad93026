"""`edgekit build`: a verified ONNX becomes an engine of TensorRT or TensorRT-RTX."""

from __future__ import annotations

import contextlib
import shlex
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from edgekit.cli.shared import after
from edgekit.cli.shared.helptext import DATA, OUTPUT, TARGET, Group, argument
from edgekit.cli.shared.options import ForceOption, Format, FormatOption, print_json, say
from edgekit.progress import working
from edgekit.screen import count_of

if TYPE_CHECKING:
    from edgekit.engines.build import BuildResult
ENGINE = Group("The engine")


def build(
    context: typer.Context,
    model: Annotated[Path, argument("MODEL", "An exported .onnx, or hornet-mobile or centernet-tiny.")],
    target: Annotated[str, TARGET("-t, --target BOARD", "A board's name, or a .toml of your own.")],
    fallback: Annotated[
        list[Path] | None,
        TARGET("--fallback FILE", "The same model in fp16 or fp32, for a board that refuses MODEL; repeatable."),
    ] = None,
    out: Annotated[Path | None, OUTPUT("-o, --out DIR", "Folder to write to; default: beside the model.")] = None,
    batch: Annotated[str | None, ENGINE("--batch MIN:OPT:MAX", "Batch sizes; default: the target's.")] = None,
    workspace: Annotated[
        int | None, ENGINE("--workspace MIB", "Most scratch memory in MiB; default: the target's.", min=1)
    ] = None,
    sm: Annotated[
        list[str] | None,
        ENGINE("--sm X.Y", "Compute capability such as 8.9, instead of the target's; repeatable."),
    ] = None,
    cpu_only: Annotated[bool, ENGINE("--cpu-only", "Build for another machine's GPU (TensorRT-RTX targets).")] = False,
    timing_cache: Annotated[
        Path | None, ENGINE("--timing-cache DIR", "Folder for the builder's measurements: quicker next time.")
    ] = None,
    data: Annotated[
        Path | None, DATA("-d, --data DIR", "Pictures to prove it on; default: a small set made in code.")
    ] = None,
    pictures: Annotated[int, DATA("--pictures N", "How many of them.", min=1)] = 64,
    force: ForceOption = False,
    output_format: FormatOption = Format.text,
) -> int:
    """Compile an exported ONNX for a board, on that board, and compare the two on pictures.

    Writes NAME.engine, which trtexec can load, and NAME.engine.json, without which edgekit does not load it. An engine
    that is there already and was built from the same file with the same options is kept. One that does not answer as
    the ONNX is kept as NAME.engine.rejected and the exit code is 3.

    Examples:
        edgekit build hornets.onnx -t jetson-orin-nano
        edgekit build hornet-mobile -t rtx-ada --cpu-only
    """
    from edgekit import pipeline
    from edgekit.artifacts.deployment import model_path
    from edgekit.artifacts.engine_key import Batch
    from edgekit.engines import build
    from edgekit.engines.request import EngineRequest

    source = model_path(model)
    if out is None and source != model:
        out = Path()  # beside a shipped model are edgekit's own files
    asked = EngineRequest(
        fallbacks=fallback or (),
        out=out,
        sms=sm or (),
        batch=None if batch is None else Batch.parse(batch),
        workspace_mib=workspace,
        timing_cache=timing_cache,
        cpu_only=cpu_only,
        force=force,
    )
    with _progress() as report:
        result = build.build_engine(
            source,
            target,
            asked,
            pictures=lambda task: pipeline.pictures_for_gate(data, pictures, task),
            report=report,
            say=say,
        )
    if output_format is Format.json:
        print_json(result.to_dict())
    else:
        _print(result)
    if cpu_only:
        place = [] if result.path.parent == result.source.parent else ["--out", str(result.path.parent)]
        there = shlex.join(["edgekit", "build", str(result.source), *result.card.flags(), *place])
        say(f"not proven: nothing ran. On the board, with both files and {result.source.name} there: {there}")
        after.look(context, model, data)
    else:
        after.look(context, result.path, data)
    return 0


@contextlib.contextmanager
def _progress() -> Iterator[Callable[[float, str], None]]:
    """A bar on a terminal, and lines elsewhere: the builder itself says which share of it is done."""
    if not sys.stderr.isatty():
        with working("building the engine", 1000) as work:
            yield lambda share, phase: work.step(round(1000 * share) - work.done, phase)
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

    from edgekit.screen import bare, shown

    columns = (
        BarColumn(),
        TextColumn("{task.percentage:>3.0f}%"),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.description}", markup=False),
    )
    with (
        working("building the engine", elsewhere=True),
        Progress(*columns, console=Console(file=bare(sys.stderr)), transient=True) as bar,
    ):
        task = bar.add_task("", total=1.0)
        yield lambda share, phase: bar.update(task, completed=share, description=shown(phase))


def _print(result: BuildResult) -> None:
    card = result.card
    kept = "kept" if result.reused else f"built in {result.seconds:.1f} s"
    typer.echo(f"{result.path}  {card.plan_bytes / 1e6:.1f} MB  sha256 {card.plan_sha256[:16]}  {kept}")
    typer.echo(f"{card.metadata.precision} for {card.built_on.describe()}, SM {', '.join(card.options.sms)}")
    proof = card.proof
    typer.echo(
        f"answers as its ONNX on {count_of(proof['pictures'], 'picture')} (max|d| {proof['max_abs']:.2g})"
        if proof
        else "not proven: built without running it"
    )
    layers = card.layers
    if layers.get("quantized"):
        typer.echo(
            f"convolutions: {layers['int8']} int8 in the engine, {layers['quantized']} of {layers['convolutions']} "
            "quantized in the graph"
        )
    for item in card.refused:
        typer.echo(f"refused: {item['onnx']}: {item['reason']}")
