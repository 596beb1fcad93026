"""SageMaker Ground Truth's manifest: one JSON object a line, boxes by class numbers and a class map in the metadata.

Format: docs.aws.amazon.com/sagemaker/latest/dg/sms-data-output.html, "Bounding Box Job Output".
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from edgekit.data.layouts.files.entry import Entry, Format, Read, Shape, corners, json_lines

_MARKS = re.compile(rb'"source-ref"\s*:')


def _fits(file: Path, head: bytes) -> bool:
    return _MARKS.search(head) is not None and b"class-map" in head


def _read(file: Path, root: Path) -> Read:
    return Read(json_lines(file, _entry))


def _entry(item: dict[str, Any]) -> Entry:
    key = next((k for k, v in item.items() if isinstance(v, dict) and isinstance(v.get("annotations"), list)), None)
    if key is None:
        return Entry((str(item["source-ref"]),), problem="it has no boxes")
    names = {str(k): str(v) for k, v in item[f"{key}-metadata"]["class-map"].items()}
    sizes = item[key].get("image_size") or [{}]
    size = (float(sizes[0]["width"]), float(sizes[0]["height"])) if sizes[0] else None
    shapes = tuple(
        Shape(
            names[str(a["class_id"])], corners(*(a.get(k) for k in ("left", "top", "width", "height"))), f"object {i}"
        )
        for i, a in enumerate(item[key]["annotations"], 1)
    )
    return Entry((str(item["source-ref"]),), shapes, size)


FORMAT = Format("manifest", frozenset({".manifest", ".jsonl", ".json"}), _fits, _read, "Ground Truth's manifest")
