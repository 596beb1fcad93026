"""Reports of several machines put on one page, for `edgekit bench --merge`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from edgekit.artifacts.atomic import make_folder, write_bytes
from edgekit.benchmark.report.merging.match import Merged, merge
from edgekit.benchmark.report.merging.page import as_html, as_markdown
from edgekit.errors import EdgekitError

STEM = "merged"


def merge_reports(files: Sequence[Path], out: Path, force: bool = False) -> Merged:
    """Writes merged.html and merged.md into `out`.

    Raises:
        UsageError: fewer than two reports, or one of them twice.
        InputError: a file that is no report, or no case in common.
        EdgekitError: `out` holds such a page already, and may not be replaced.
    """
    pages = [out / f"{STEM}.{kind}" for kind in ("html", "md")]
    if not force and (found := [path.name for path in pages if path.exists()]):
        raise EdgekitError(
            f"{out} holds a merged page already.",
            got=", ".join(found),
            fix="--force replaces it, --out DIR writes elsewhere",
        )
    merged = merge(files)
    make_folder(out)
    for path, text in zip(pages, (as_html(merged), as_markdown(merged)), strict=True):
        write_bytes(path, text.encode(), overwrite=True)
    return merged
