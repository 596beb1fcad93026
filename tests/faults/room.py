"""What a case of bad input is built from, and what every refusal has to say."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

Make = Callable[["Room"], list[object]]
EDGEKIT = (sys.executable, "-c", "from edgekit.cli.app import main; main()")


@dataclass(frozen=True)
class Room:
    """What a case can build its bad input from, and the empty folder to build it in."""

    folder: Path
    checkpoint: Path
    state: Mapping[str, Tensor]
    good: Path
    pictures: Path

    def __truediv__(self, name: str) -> Path:
        return self.folder / name

    def classes(self, count: int = 7) -> Path:
        path = self.folder / "classes.txt"
        path.write_text("\n".join(f"class {i}" for i in range(count)))
        return path

    def cut(self, source: Path, share: float, name: str) -> Path:
        data = source.read_bytes()
        (self / name).write_bytes(data[: int(len(data) * share)])
        return self / name


def listing(folder: Path) -> dict[str, bytes | None]:
    """Every path below `folder` with its content."""
    return {str(p.relative_to(folder)): p.read_bytes() if p.is_file() else None for p in sorted(folder.rglob("*"))}


def assert_told(outcome: Any, code: int, *words: str, fix: bool = True) -> None:
    """Asserts on the exit code and that the message says what, what was got or expected, and what to do now."""
    assert outcome.code == code, outcome.text
    assert "Traceback" not in outcome.text
    assert "Unexpected" not in outcome.text
    assert "weights_only" not in outcome.text  # torch's own text advises to run a file's code
    assert "error: " in outcome.err
    for word in (*words, "got:", *(["fix:"] if fix else [])):
        assert word in outcome.err, f"{word!r} is not in:\n{outcome.err}"
    assert "expected:" in outcome.err or "fix:" in outcome.err
