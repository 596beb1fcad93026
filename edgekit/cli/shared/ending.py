"""What `edgekit camera` says at its end, and what it keeps of a file beside its video."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from edgekit.cli.shared.options import Format, print_json, say
from edgekit.screen import count_of, shown

if TYPE_CHECKING:
    from edgekit.camera.config import CameraConfig
    from edgekit.camera.summary import Summary


def tell(summary: Summary, config: CameraConfig, output_format: Format) -> None:
    """The summary on stdout, or on stderr where events are there."""
    from edgekit.camera.events.levels import level_of

    if output_format is Format.json:
        print_json(_as_json(summary))
        return
    write = say if config.output.json_lines else typer.echo
    write(f"frames    {summary.captured} captured, {summary.processed} processed, {summary.dropped} dropped, "
          f"{summary.broken} broken")  # fmt: skip
    if summary.unreadable:
        write(f"files     {summary.unreadable} could not be read and were left out")
    write(
        f"looks     {summary.inferred} by the model, {summary.gated} without motion, {summary.fps:.1f} frames a second"
    )
    for name, one in summary.cameras.items():
        write(f"  {shown(name)}: {one.captured} captured, {one.processed} processed, {one.dropped} dropped, "
              f"{count_of(one.inferred, 'look')}, {one.fps:.1f} frames a second")  # fmt: skip
    if summary.inference_p50_ms is not None:
        age = "" if summary.age_p99_ms is None else f", age of a frame p99 {summary.age_p99_ms} ms"
        write(f"times     inference p50 {summary.inference_p50_ms} ms{age}")
    for label, most in sorted(summary.most_at_once.items()):
        level = f" ({found})" if (found := level_of(label, most)) else ""
        write(f"{shown(label):<9} {count_of(summary.visits.get(label, 0), 'visit')}, most at once {most}{level}")
    dropped = ", ".join(f"{n} {name.replace('_', ' ')}" for name, n in summary.not_kept.items() if n)
    write(f"events    {summary.events}" + (f"; {dropped}" if dropped else ""))


def keep(events: list[dict[str, Any]], summary: Summary, out: Path) -> None:
    """Writes a file's events and summary beside its video."""
    from edgekit.artifacts.atomic import make_folder, write_bytes, write_json

    make_folder(out)
    lines = "".join(json.dumps(event, ensure_ascii=False) + "\n" for event in events)
    write_bytes(out / "events.jsonl", lines.encode(), overwrite=True)
    write_json(out / "summary.json", _as_json(summary))
    say(f"events: {out / 'events.jsonl'}")
    say(f"summary: {out / 'summary.json'}")


def _as_json(summary: Summary) -> dict[str, Any]:
    return {**asdict(summary), "fps": round(summary.fps, 2)}
