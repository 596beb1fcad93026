"""One small set of boxes, written as programs and people write it: each writer fills a folder."""

from tests.data.layouts.made import layouts, platforms, programs, sets, tables
from tests.data.layouts.made.base import (
    CLASSES,
    NO_EMPTY,
    SIZES,
    TRUTH,
    WRITERS,
    boxes,
    coco,
    picture,
    pictures,
    rows,
    table,
    text,
    xml,
)
from tests.data.layouts.made.programs import labelme, percent

__all__ = [
    "CLASSES",
    "NO_EMPTY",
    "SIZES",
    "TRUTH",
    "WRITERS",
    "boxes",
    "coco",
    "labelme",
    "layouts",
    "percent",
    "picture",
    "pictures",
    "platforms",
    "programs",
    "rows",
    "sets",
    "table",
    "tables",
    "text",
    "xml",
]
