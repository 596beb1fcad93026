"""The house of docs/house.md stands: imports go down a floor, never up and never sideways."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1] / "edgekit"
FLOORS = (
    {"errors", "screen", "suffixes", "progress"},
    {"spec", "reading"},
    {"artifact", "config", "vision", "targets", "recipes", "engine_key"},
    {"recipe", "engine", "deployment"},
    {"data", "nets", "graph", "backends"},
    {"predictor"},
    {"training", "quantize", "verify", "bench", "camera", "rungs"},
    {"pipeline", "loading", "building", "selftest"},
    {"cli"},
    {"__main__"},
)
FLOOR = {room: i for i, rooms in enumerate(FLOORS) for room in rooms}
FILES = sorted(ROOT.rglob("*.py"))
assert len(FILES) > 30


def room_of(path: Path) -> str:
    parts = path.relative_to(ROOT).parts
    return parts[0].removesuffix(".py")


def imports(path: Path) -> set[str]:
    """Rooms that a file imports, at module level or inside functions; the public `edgekit/__init__` is no room."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{path}: relative import"
            module = node.module or ""
            found |= {f"edgekit.{a.name}" for a in node.names} if module == "edgekit" else {module}
    return {name.split(".")[1] for name in found if name.startswith("edgekit.")} - {"__version__"}


def test_every_room_has_a_floor() -> None:
    assert {room_of(path) for path in FILES} - {"__init__"} <= set(FLOOR)


@pytest.mark.parametrize(
    "path", [f for f in FILES if f != ROOT / "__init__.py"], ids=lambda p: str(p.relative_to(ROOT))
)
def test_imports_go_down(path: Path) -> None:
    room = room_of(path)
    wrong = {other for other in imports(path) if other != room and FLOOR[other] >= FLOOR[room]}
    assert not wrong, f"{room} (floor {FLOOR[room]}) imports {wrong}"
