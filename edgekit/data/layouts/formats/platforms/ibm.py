"""IBM Cloud Annotations' _annotations.json: boxes of each picture by two corners, as parts of it.

Format: github.com/cloud-annotations, "_annotations.json" of type `localization`.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from edgekit.data.layouts.files.entry import Entry, Format, Read, Shape, ordered
from edgekit.reading import read_json
from edgekit.reading.limits import LIST

_MARKS = re.compile(rb'"type"\s*:\s*"localization"')


def _fits(file: Path, head: bytes) -> bool:
    return _MARKS.search(head) is not None and b'"annotations"' in head


def _read(file: Path, root: Path) -> Read:
    data = read_json(file, LIST, exact=False)
    names = tuple(map(str, data.get("labels") or ()))
    return Read([Entry((str(name),), _shapes(boxes), parts=True) for name, boxes in data["annotations"].items()], names)


def _shapes(boxes: list[dict[str, Any]]) -> tuple[Shape, ...]:
    return tuple(
        Shape(str(one["label"]), ordered(*(one.get(key) for key in ("x", "y", "x2", "y2"))), f"box {i}")
        for i, one in enumerate(boxes, 1)
    )


FORMAT = Format("ibm", frozenset({".json"}), _fits, _read, "IBM Cloud Annotations' JSON")
