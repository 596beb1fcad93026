"""The house of docs/house.md stands: imports go down a floor, never up, never sideways, and never in a circle."""

from __future__ import annotations

import ast
import functools
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1] / "edgekit"
FLOORS = (
    {"cores", "errors", "memory", "progress", "screen", "version"},
    {"reading"},
    {"serving"},
    {"vision"},
    {"metrics"},
    {"tasks"},
    {"spec"},
    {"artifacts", "config", "recipes", "targets"},
    {"backends", "data", "graph", "nets"},
    {"checkpoints", "predictor"},
    {"benchmark", "camera", "gate", "labels", "quantize", "training"},
    {"qat"},
    {"engines", "loading", "pipeline", "refit"},
    {"updating"},
    {"api"},
    {"cli"},
    {"__main__"},
)
# Inside a room its files and rooms from the lowest floor up; `*` is what is not named. Files on one floor may import
# one another, rooms may not.
INSIDE: dict[str, tuple[set[str], ...]] = {
    "api": ({"benching"}, {"*"}),
    "artifacts": ({"*"},),
    "backends": ({"base"}, {"cuda", "*"}, {"trt"}, {"tensorrt_"}),
    "benchmark": (
        {"schema"}, {"*"}, {"machine", "quality", "layers", "scenarios"}, {"measure", "timing"}, {"run"},
        {"report"}, {"suite", "tune"}, {"pack"},
    ),
    "camera": (
        {"tables"}, {"*"}, {"source", "store", "thermal"}, {"detect", "track"}, {"events", "rate"}, {"deliver"},
        {"rules", "writing"}, {"event_writer"}, {"health"}, {"housekeeping", "replay", "summary"},
        {"looking"}, {"watch"}, {"runtime"}, {"web"},
    ),
    "checkpoints": ({"pickles", "fitting"}, {"*"}),
    "cli": ({"shared"}, {"*", "making"}, {"app"}, {"start"}),
    "config": ({"*"},),
    "data": ({"*"}, {"classes"}, {"hive", "layouts"}, {"likeness", "made"}, {"load", "split"}, {"survey"}, {"writing"}),
    "engines": ({"*"},),
    "gate": ({"*"},),
    "graph": ({"builder", "fold", "lint"}, {"passes"}, {"*"}, {"fold_bn", "to_onnx"}),
    "labels": ({"proposals"}, {"*"}, {"web"}),
    "metrics": (
        {"bootstrap", "classification", "ground_truth", "matching", "percentiles", "statistics"},
        {"average_precision"}, {"*"}, {"segmentation"},
    ),
    "nets": ({"*"}, {"decoding"}, {"detector"}),
    "pipeline": ({"*"}, {"adopting"}),
    "qat": ({"*"},),
    "quantize": (
        {"activation_tap", "calibrate", "calibration", "observers", "plan", "weights"}, {"rounding"}, {"*"},
    ),
    "reading": ({"*"},),
    "refit": ({"fit", "layer"}, {"*"}),
    "serving": ({"*"},),
    "tasks": ({"evaluation", "protocols", "stage"}, {"base"}, {"*"}),
    "training": (
        {"augment", "measured", "task", "temperature"}, {"loop", "*"},
        {"classification", "detection", "segmentation"}, {"tasks"},
    ),
    "updating": ({"*"},),
    "vision": ({"*"}, {"segmentation"}),
}  # fmt: skip
FILES = sorted(ROOT.rglob("*.py"))
MODULES = {".".join(f.relative_to(ROOT.parent).with_suffix("").parts).removesuffix(".__init__"): f for f in FILES}
assert len(MODULES) > 200


@functools.cache
def imports(module: str) -> set[str]:
    """Modules of edgekit that a file imports, at its top or inside functions."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(MODULES[module].read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{module}: relative import"
            names = {f"{node.module}.{alias.name}" for alias in node.names}
            found |= {name if name in MODULES else str(node.module) for name in names}
    return {name for name in found if name.partition(".")[0] == "edgekit"}


def above(floors: tuple[set[str], ...], name: str) -> int:
    for number, names in enumerate(floors):
        if name in names:
            return number
    return next((number for number, names in enumerate(floors) if "*" in names), -1)


def is_room(module: str) -> bool:
    return MODULES[module].name == "__init__.py" if module in MODULES else False


def wrong(module: str, other: str) -> bool:
    """Whether `module` may not import `other`: up, sideways, or the face of what it is a part of."""
    mine, theirs = module.split(".")[1:], other.split(".")[1:]
    if not theirs or (mine[: len(theirs)] == theirs):  # the public face, or the face of its own room
        return True
    if mine[0] != theirs[0]:
        return above(FLOORS, theirs[0]) >= above(FLOORS, mine[0])
    if len(mine) < 2 or mine[1] == theirs[1]:  # a face shows what is in its room; one room of a room
        return False
    here, there = above(INSIDE[mine[0]], mine[1]), above(INSIDE[mine[0]], theirs[1])
    rooms = is_room(".".join(["edgekit", *mine[:2]])) or is_room(".".join(["edgekit", *theirs[:2]]))
    return there >= here if rooms else there > here


def test_every_room_has_a_floor() -> None:
    names = {module.split(".")[1] for module in MODULES if "." in module}
    assert not [name for name in sorted(names) if above(FLOORS, name) < 0]
    rooms = {name for name in names if is_room(f"edgekit.{name}")}
    assert rooms == set(INSIDE), "a room's own floors are said"
    for room, floors in INSIDE.items():
        there = {module.split(".")[2] for module in MODULES if module.startswith(f"edgekit.{room}.")}
        assert not {name for names in floors for name in names} - there - {"*"}, f"gone from {room}"
        assert not [name for name in sorted(there) if above(floors, name) < 0], room


@pytest.mark.parametrize("module", [m for m in MODULES if m != "edgekit"])
def test_imports_go_down(module: str) -> None:
    """Without exceptions. Only `edgekit/__init__`, the public face, may name whatever it shows."""
    assert not sorted(other for other in imports(module) if wrong(module, other))


def test_no_circle() -> None:
    below = {module: imports(module) & set(MODULES) - {module} for module in MODULES if module != "edgekit"}
    try:
        order = list(TopologicalSorter(below).static_order())
    except CycleError as error:
        pytest.fail(f"a circle: {' -> '.join(error.args[1])}")
    assert len(order) >= len(below)


def test_no_room_is_a_hall() -> None:
    """About a dozen files; more wants rooms inside."""
    sizes = {folder: len(list(folder.glob("*.py"))) for folder in {file.parent for file in FILES}}
    assert max(sizes.values()) <= 14, sorted(((n, str(f)) for f, n in sizes.items()), reverse=True)[:3]


def test_what_is_forbidden_is_found() -> None:
    assert wrong("edgekit.vision.image", "edgekit.predictor")
    assert wrong("edgekit.nets.resnet", "edgekit.data.sample"), "sideways"
    assert wrong("edgekit.camera.source.feed.base", "edgekit.camera.store.store"), "sideways inside a room"
    assert wrong("edgekit.camera.source.feed.base", "edgekit.camera.runtime")
    assert wrong("edgekit.data.sample", "edgekit.data"), "the room's own face"
    assert wrong("edgekit.engines.build", "edgekit"), "the public face"
    assert not wrong("edgekit.camera.web.server", "edgekit.camera.runtime")
    assert not wrong("edgekit.vision.image", "edgekit.reading.limits")
