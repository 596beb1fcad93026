"""What an exporter wrote into an ONNX file about it: class names, input size, task and how pictures are prepared."""

from __future__ import annotations

import ast
import json
from collections.abc import Mapping, Sequence
from typing import Any

from edgekit.errors import UsageError
from edgekit.tasks import task_of

_TASKS = {  # of Ultralytics' key `task`
    "detect": "detection",
    "classify": "classification",
    "segment": "detection",  # of instances: their boxes, and the decoder says that masks are left out
    "semantic": "segmentation",
    "pose": "",
    "obb": "",
}
MOST = 1 << 20  # characters of a value that are looked at


class ExporterClaims:
    """What stands in `metadata_props`; what cannot be read counts as not said.

    Args:
        props: of the file.
    """

    def __init__(self, props: Mapping[str, str]) -> None:
        self._props = props
        self.exporter = "Ultralytics" if "ultralytics" in props.get("author", "").lower() else ""

    @property
    def classes(self) -> tuple[str, ...]:
        """Of `names` ({0: "bee", 1: "hornet"} or a list) or `classes`; empty where it says none."""
        for key in ("names", "classes", "class_names", "labels"):
            value = _value(self._props.get(key, ""))
            if isinstance(value, Mapping):
                value = [value[i] for i in sorted(value, key=int)] if _counted(value) else []
            if isinstance(value, (list, tuple)) and value and all(isinstance(v, str) and v.strip() for v in value):
                return tuple(v.strip() for v in value)
        return ()

    @property
    def size(self) -> tuple[int, int] | None:
        """Height and width, of `imgsz`."""
        value = _value(self._props.get("imgsz", ""))
        pair = (value, value) if isinstance(value, int) else tuple(value) if isinstance(value, (list, tuple)) else ()
        good = len(pair) == 2 and all(isinstance(v, int) and 0 < v <= 16384 for v in pair)
        return (int(pair[0]), int(pair[1])) if good else None

    @property
    def task(self) -> str | None:
        """A name of `edgekit.tasks.TASKS`, or None where it says none.

        Raises:
            UsageError: it says one that edgekit has not.
        """
        said = self._props.get("task", "").strip().lower()
        if said not in _TASKS or self.exporter != "Ultralytics":
            return None
        if not _TASKS[said]:
            raise UsageError(
                "The file is of a task that edgekit does not have.",
                got=f"task {said!r} (Ultralytics)",
                expected=", ".join(sorted(filter(None, set(_TASKS.values())))),
                fix="a model of one of these tasks",
            )
        return _TASKS[said]

    def style(self, size: tuple[int, int]) -> str | None:
        """How its exporter's own code prepares pictures, as `edgekit.pipeline.adopting.styles.of_style` reads it."""
        if self.exporter != "Ultralytics":
            return None
        if self._props.get("head") == "RTDETRDecoder":
            return "ultralytics,resize=stretch"
        # a classifier's picture is cropped to its whole shorter side, antialiased
        return f"unit,shorter_side={max(size)}" if self.task and task_of(self.task).finds == "label" else "ultralytics"


def _value(text: str) -> Any:
    if not text or len(text) > MOST:
        return None
    for read in (json.loads, ast.literal_eval):
        try:
            return read(text)
        except (ValueError, SyntaxError, MemoryError, RecursionError):
            continue
    return None


def _counted(names: Mapping[Any, Any]) -> bool:
    """Whether the keys are 0, 1, 2 and so on."""
    keys: Sequence[str] = [str(key) for key in names]
    return all(key.isdecimal() for key in keys) and sorted(map(int, keys)) == list(range(len(keys)))
