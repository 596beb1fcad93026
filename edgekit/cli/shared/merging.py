"""`edgekit bench --merge`: several machines' reports on one page; nothing is measured."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import typer

from edgekit.cli.shared import after
from edgekit.cli.shared.options import Format, next_command, print_json, say


def merge(context: typer.Context, files: Sequence[Path], out: Path, force: bool, output_format: Format) -> int:
    """The command's exit code.

    Raises:
        UsageError: an option that measures.
        EdgekitError: as `edgekit.api.benching.merging.merge_reports`.
    """
    from edgekit.api.benching.merging import STEM, merge_reports
    from edgekit.benchmark.report.merging.page import as_markdown
    from edgekit.errors import UsageError

    takes = {"models", "merge", "out", "force", "output_format"}
    if other := [name for name in context.params if name not in takes and after.was_typed(context, name)]:
        raise UsageError(
            "Merging measures nothing.",
            got=f"--merge with {after.given(context, other[0])[0]}",
            expected="bench.json files, --out, --force and --format",
        )
    merged = merge_reports(files, out, force)
    if output_format is Format.json:
        print_json(merged.to_dict())
    else:
        typer.echo(as_markdown(merged))
    say(f"page: {(out / (STEM + '.html')).resolve()}")
    next_command(*after.again(context, force=None, out=after.fresh(out)))
    return 0
