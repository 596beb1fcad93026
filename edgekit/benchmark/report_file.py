"""The report as a file: bench.json, written whole and read back with its errors named."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from edgekit.artifacts.atomic import write_bytes
from edgekit.benchmark.schema import Report
from edgekit.errors import InputError
from edgekit.reading import read_json
from edgekit.reading.limits import REPORT

SCHEMA = "edgekit.bench"
VERSION = 1


def write_report(path: Path, report: Report, *, overwrite: bool = False) -> None:
    """The JSON, atomically."""
    write_bytes(path, report.to_json().encode(), overwrite=overwrite)


def read_report(path: Path) -> Report:
    """A report that `write_report` wrote.

    Raises:
        InputError: not there, not JSON, of another version, or not a report.
    """
    try:
        content = read_json(path, REPORT)
    except (OSError, ValueError) as error:
        raise InputError(f"{path} cannot be read as a report.", got=str(error), expected="a JSON of bench") from error
    found = (content.get("schema"), content.get("version")) if isinstance(content, dict) else (None, None)
    if found != (SCHEMA, VERSION):
        raise InputError(
            f"{path} is not a report of this version.",
            got=f"schema {found[0]!r} version {found[1]!r}",
            expected=f"{SCHEMA!r} version {VERSION}",
            fix="measure again with edgekit bench",
        )
    try:
        return Report.model_validate(content)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise InputError(f"{path} is a broken report.", got=f"{where}: {first['msg']}") from error


def rounded(values: Any, digits: int = 5) -> list[float]:
    """Timings for the JSON, to `digits` significant figures."""
    return [round(v, digits - 1 - math.floor(math.log10(v))) if v > 0 else 0.0 for v in map(float, values)]
