"""What an export or an adoption came to: the verdict on stdout, a failure and its first wrong tensor on stderr."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

from edgekit.cli.shared.options import Format, print_json, say

if TYPE_CHECKING:
    from edgekit.pipeline import ExportResult


def told(result: ExportResult, output_format: Format) -> int:
    """Prints a result and gives the exit code: 0, or 3 where the gate rejected it."""
    if output_format is Format.json:
        print_json(result.content)
    else:
        _print(result)
    if result.passed:
        return 0
    failed = next(stage for stage in result.content["stages"] if not stage["passed"])
    where = failed["first_wrong"]
    say(f"error: verification failed at stage {failed['name']}: " + "; ".join(failed["problems"]))
    if where:
        worst = "not a number" if where["max_abs"] is None else f"{where['max_abs']:.3g}"
        say(f"  first tensor that differs: {where['tensor']} (max|d| {worst})")
    content = result.content
    trained = content.get("int8", {}).get("trained", False)
    if content["precision"].startswith("int8") and "search" not in content and not trained:
        say("  fix:      --max-drop 1 gives the layers that cost most back to float, and tells which they are")
    say(f"  report:   {result.report}")
    return 3


def _print(result: ExportResult) -> None:
    content = result.content
    if result.base is not None:
        _print(result.base)
    name = "" if content["precision"] == "fp32" else f"{content['precision']} "
    said = content["verdict"]
    typer.echo(f"{name}{'verified' if result.passed else 'REJECTED'}: {said['text']} ({content['data']['source']})")
    for guess in said["guessed"] if result.passed else ():
        typer.echo(f"  guessed: {guess}")
    if "speed" in content:
        typer.echo(f"{name}is {content['speed']['text']}" if content["speed"]["times"] else content["speed"]["text"])
    if result.model is not None:
        typer.echo(f"{result.model}  {content['file']['bytes'] / 1e6:.1f} MB  sha256 {content['file']['sha256'][:16]}")
    typer.echo(str(result.report))
