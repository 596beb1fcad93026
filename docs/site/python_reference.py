"""The reference of the Python door: every name of `edgekit.__all__`, from its docstring and its annotations."""

from __future__ import annotations

import inspect
from collections.abc import Iterable

import edgekit

# in the order in which one meets them
GROUPS: dict[str, tuple[str, ...]] = {
    "Look at pictures": ("load", "Model", "read_picture", "open_predictor", "Predictor"),
    "What is found": ("Detections", "Detection", "Classification", "Labels", "Label", "Masks", "Features"),
    "Make a model": ("train", "export", "adopt", "label", "fold_bn"),
    "How good, how equal, how fast": (
        "evaluate", "verify", "bench", "BenchOptions", "latency", "false_alarms", "erasing",
    ),
    "Data": ("data_report", "convert_data"),
    "What a model is": ("ModelSpec", "PreprocessSpec", "Suppression", "TensorSpec"),
    "Files": ("read_onnx", "load_checkpoint", "save_checkpoint", "CheckpointOptions", "RunOptions"),
    "Errors": ("EdgekitError",),
}  # fmt: skip
INTRODUCTION = """# Python reference

Every public name of `edgekit`, with what it takes, gives and raises. [From Python](../python.md) walks through them
with what they print; [When it says no](../refusals.md) has the errors.
"""


def missing(groups: dict[str, tuple[str, ...]]) -> list[str]:
    """Public names that no group has; those that do not exist any more."""
    listed = {name for names in groups.values() for name in names}
    return sorted((set(edgekit.__all__) - {"__version__"}) ^ listed)


def entry(name: str) -> str:
    """One name, where it is defined, under the name that users write, for mkdocstrings."""
    thing = getattr(edgekit, name)
    path = f"{inspect.unwrap(thing).__module__}.{thing.__qualname__}"
    return f"::: {path}\n    options:\n      heading: edgekit.{name}\n      toc_label: {name}\n"


def page() -> str:
    if wrong := missing(GROUPS):
        raise SystemExit(f"docs/site/python_reference.py: GROUPS and edgekit.__all__ differ: {', '.join(wrong)}")

    def section(title: str, names: Iterable[str]) -> str:
        return f"## {title}\n\n" + "\n".join(map(entry, names))

    return "\n".join((INTRODUCTION, *(section(title, names) for title, names in GROUPS.items())))
