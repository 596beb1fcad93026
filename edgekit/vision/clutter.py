"""What systems and programs leave among pictures: never part of a data set, though some of it is pictures."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from edgekit.screen import some

# Windows, macOS, Synology, QNAP, Linux' file check and Python; all that begins with a dot is hidden, and goes with them
# (.ipynb_checkpoints, .Trash-1000, .DS_Store, "._x.jpg" of macOS, .trashed-1-x.jpg of Android)
_NAMES = frozenset(
    {
        "__macosx",
        "__pycache__",
        "$recycle.bin",
        "recycler",
        "system volume information",
        "thumbs.db",
        "ehthumbs.db",
        "desktop.ini",
        "icon\r",
        "@eadir",
        "@tmp",
        "@recycle",
        "@recently-snapshot",
        "#recycle",
        "#snapshot",
        "lost+found",
    }
)


def is_clutter(name: str) -> bool:
    """Whether a file or folder of this name is hidden, or one that a system made for itself."""
    return name.startswith(".") or name.casefold() in _NAMES


def clutter_note(found: Sequence[Path], root: Path) -> tuple[str, ...]:
    """The note about what was ignored below `root`, or none."""
    if not found:
        return ()
    names = [p.relative_to(root).as_posix() + ("/" if p.is_dir() else "") for p in found]
    return (f"{len(names)} ignored, hidden or a system's own: {some(names)}",)
