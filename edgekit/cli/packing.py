"""`edgekit bench --pack FILE.zip`, which writes a bench pack, and `edgekit bench FILE.zip`, which measures one."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from edgekit.cli.shared import after
from edgekit.cli.shared.options import next_command, say
from edgekit.errors import UsageError
from edgekit.screen import count_of

if TYPE_CHECKING:
    from edgekit.benchmark.schema import Report
    from edgekit.benchmark.suite import Suite

# what may be asked of a pack otherwise than its suite says: an option, and the field it sets
_SUITE = {"seconds": "seconds", "iterations": "iterations", "turns": "turns", "warmup": "warmup", "cold": "cold",
          "pictures": "accuracy", "robustness": "robustness", "layers": "layers",
          "scenario_seconds": "scenario_seconds", "latency_bound": "latency_bound"}  # fmt: skip
_MATRIX = {"backend": "backends", "threads": "threads", "batch": "batch", "streams": "streams"}
_BESIDE = {"models", "provider", "compare", "fail_on", "anyway", "resume", "out", "force", "output_format", "scenario"}
# what means nothing while a pack is written
_UNMEASURED = (
    "erase",
    "size",
    "resume",
    "compare",
    "fail_on",
    "anyway",
    "unverified",
    "attack",
    "out",
    "output_format",
)


def write(context: typer.Context, pack: Path) -> int:
    """Writes MODELS or a suite as a pack, and says what is in it."""
    from edgekit.api.benching.packing import is_pack, write_suite_pack
    from edgekit.api.benching.parts import Pictures
    from edgekit.api.benching.suite import SuitePlaces
    from edgekit.benchmark.suite import load_suite
    from edgekit.data.classes.class_map import class_map

    given = context.params
    _refuse(context, _UNMEASURED, "writes a pack and measures nothing, so it has no use for")
    if not is_pack(pack):
        raise UsageError("A pack is a zip file.", got=str(pack), expected="--pack FILE.zip")
    suite: Suite = _of_models(context) if given["suite"] is None else load_suite(given["suite"])
    places = SuitePlaces(given["models_root"], given["data_root"], given["data"] or [], say=say)
    pictures = Pictures(
        places.pictures(suite.data), given["split"], say, class_map(given["classes_map"]) or class_map(suite.map)
    )
    root = given["models_root"] if given["suite"] is not None else Path()
    manifest = write_suite_pack(pack, suite, root, pictures, force=given["force"], say=say)
    count = sum(len(one.pictures) for one in manifest.sets)
    size = pack.stat().st_size / 1e6
    typer.echo(f"{pack}: {count_of(len(manifest.models), 'model')}, {count_of(count, 'picture')}, {size:.1f} MB")
    for name, model in manifest.models.items():
        typer.echo(f"  {name}: the answers of {model.answers.by} to {count_of(len(model.answers.pictures), 'picture')}")
    next_command("edgekit", "bench", str(pack))
    return 0


def check(context: typer.Context) -> None:
    """Raises UsageError for what cannot be asked of a pack, which comes with its pictures and models."""
    if len(context.params["models"]) > 1:
        got = " ".join(map(str, context.params["models"]))
        raise UsageError("A pack is measured alone.", got=got, expected="one .zip", fix="one run for each")
    allowed = {*_SUITE, *_MATRIX, *_BESIDE}
    others = tuple(str(p.name) for p in context.command.params if p.name not in allowed)
    _refuse(context, others, "measures what a pack holds, so it has no use for")


def run(context: typer.Context, pack: Path, out: Path) -> Report:
    """Measures a pack, with what was asked otherwise on the command line."""
    from edgekit.api.benching.packing import PackAsked, bench_pack
    from edgekit.api.benching.parts import writer

    given = context.params
    asked = {field: given[name] for name, field in _SUITE.items() if after.was_typed(context, name)}
    if given["scenario"]:
        asked["scenarios"] = _scenarios(context)
    matrix = {field: tuple(given[name]) for name, field in _MATRIX.items() if given[name]}
    if after.was_typed(context, "provider"):
        matrix["providers"] = (given["provider"].value,)
    return bench_pack(pack, out, writer(out), PackAsked(asked, matrix), resume=given["resume"], say=say)


def _of_models(context: typer.Context) -> Suite:
    """MODELS and their options as a suite."""
    from edgekit.benchmark.suite import Matrix, Suite

    given = context.params
    names = tuple(str(model) for model in given["models"])
    more = {field: tuple(given[name]) for name, field in _MATRIX.items() if given[name]}
    matrix = Matrix(models=names, providers=(given["provider"].value,), **more)
    kept = {field: given[name] for name, field in _SUITE.items()}
    title = "Benchmark of " + ", ".join(Path(name).stem for name in names[:3])
    return Suite(title=title, matrix=(matrix,), scenarios=_scenarios(context), **kept)


def _scenarios(context: typer.Context) -> tuple[Any, ...]:
    return tuple(one.value for one in context.params["scenario"] or ())


def _refuse(context: typer.Context, names: tuple[str, ...], why: str) -> None:
    typed = [name for name in names if after.was_typed(context, name)]
    if typed:
        words = after.given(context, typed[0])
        raise UsageError(f"bench {why} {words[0]}.", got=" ".join(words), expected="a run without it")
