"""The split that the name of a label file or of a folder says."""

from __future__ import annotations

import re
from pathlib import Path

from edgekit.data.names import plain, split_of

# what stands beside a split's name in those of folders and files; `train_images`, `instances_val2017`, `trainannot`
_BESIDE = re.compile(
    r"(?i)images?|imgs?|jpegimages|pictures|photos|frames|labels?|annotations?|annot|anno|ann|boxes|bbox|bboxes|instances|"
    r"masks?|obj|data|dataset|set|split|coco|voc|yolo|via|csv|json|xml|txt|createml|panoptic|objects?|detections?|export|"
    r"solution|gt|with|of|in|region|default"
)
_GLUED = re.compile(r"(?i)(train|val|valid|test)(?=annot|images|labels|masks|img)")


def split_in(name: str) -> str:
    """The split that a folder's or a central label file's name says beside what is in it, or ""."""
    if split := split_of(name):
        return split
    text = _GLUED.sub(r"\1_", re.sub(r"(?<=[a-z])(?=[A-Z])", "_", plain(name)))
    words = [re.sub(r"\d+$", "", word) for word in re.split(r"[\s_.,()-]+", text)]
    words = [word for word in words if word]
    found = {split for word in words if (split := split_of(word))}
    others = [word for word in words if not split_of(word) and not _BESIDE.fullmatch(word)]
    return found.pop() if len(found) == 1 and not others else ""


def split_of_path(path: Path, root: Path, *, name_says: bool) -> str:
    """By the folders between `root` and a file, the innermost first; its own name only with `name_says`."""
    parts = path.relative_to(root).parts if path.is_relative_to(root) else ()
    named = [path.stem] if name_says else []
    return next((split for name in (*named, *reversed(parts[:-1])) if (split := split_in(name))), "")
