"""Which column of a table of boxes is which, by its header or, without one, by what stands in it."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from types import MappingProxyType

from edgekit.data.names import plain
from edgekit.vision.find import SUFFIXES

# what people call the columns, the better name first; compared in small letters without spaces, dots and underscores
_NAMES: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "file": ("filename", "file", "imagename", "imagepath", "imgpath", "filepath", "path", "imagefile", "imageid",
                 "image", "img", "picture", "imgname", "frame", "patientid", "externalid", "name", "id"),
        "label": ("class", "classname", "label", "labelname", "category", "categoryname", "species", "type",
                  "objectclass", "target", "name", "classid", "labelid", "categoryid", "classindex"),
        "x1": ("xmin", "x1", "left", "xtl", "minx", "bboxxmin", "bboxx1", "x0", "bboxleft", "topleftx",
               "roix1", "startx", "ulx", "leftx"),
        "y1": ("ymin", "y1", "top", "ytl", "miny", "bboxymin", "bboxy1", "y0", "bboxtop", "toplefty",
               "roiy1", "starty", "uly", "topy"),
        "x2": ("xmax", "x2", "right", "xbr", "maxx", "bboxxmax", "bboxx2", "bboxright", "bottomrightx",
               "roix2", "endx", "lrx", "rightx"),
        "y2": ("ymax", "y2", "bottom", "ybr", "maxy", "bboxymax", "bboxy2", "bboxbottom", "bottomrighty",
               "roiy2", "endy", "lry", "bottomy"),
        "x": ("x", "bboxx", "boxx", "xtopleft"),
        "y": ("y", "bboxy", "boxy", "ytopleft"),
        "cx": ("xcenter", "centerx", "cx", "xcentre", "xc", "bboxxcenter"),
        "cy": ("ycenter", "centery", "cy", "ycentre", "yc", "bboxycenter"),
        "w": ("bboxwidth", "boxwidth", "bboxw", "boxw", "w", "width"),
        "h": ("bboxheight", "boxheight", "bboxh", "boxh", "h", "height"),
        "box": ("bbox", "box", "boundingbox", "boxes", "bboxes"),
        "width": ("imagewidth", "imgwidth", "imgw", "width"),
        "height": ("imageheight", "imgheight", "imgh", "height"),
        "split": ("split", "subset", "set", "partition"),
        "group": ("isgroupof", "iscrowd"),
        "shape": ("regionshapeattributes",),
        "attributes": ("regionattributes",),
    }
)  # fmt: skip
_SPLITS = re.compile(r"(?i)train(ing)?|val(id|idation)?|test(ing)?|unassigned")

Row = Sequence[str]


def by_header(header: Row) -> dict[str, int] | None:
    """The place of each known column; None where the header has no file or no box."""
    cells = _plain(header)
    found: dict[str, int] = {}
    for what, names in _NAMES.items():
        taken = {found["file"]} if what == "label" and "file" in found else set()
        at = next((cells.index(n) for n in names if n in cells and cells.index(n) not in taken), None)
        if at is not None:
            found[what] = at
    corners = {"x1", "y1", "x2", "y2"} <= set(found)
    # of x1 y1 with a width and a height, and of x y, those are the box's; beside two corners the picture's
    left = {"x1", "y1"} <= set(found) or {"x", "y"} <= set(found) or {"cx", "cy"} <= set(found)
    sized = left and {"w", "h"} <= set(found)
    if "file" not in found or not (corners or sized or "box" in found or "shape" in found):
        return None
    if corners or "box" in found:
        found.pop("w", None), found.pop("h", None)
    elif found.get("width") == found.get("w"):
        found.pop("width", None), found.pop("height", None)
    return found


def with_names(found: Mapping[str, int], header: Row, rows: Sequence[Row]) -> dict[str, int]:
    """`found` with the classes' names where their column has numbers and another has a name of its own for each."""
    if "label" not in found:
        return dict(found)
    labels = _column(rows, found["label"])
    if not all(_number(label) for label in labels if label):
        return dict(found)
    for at in (i for i, cell in enumerate(_plain(header)) if cell in _NAMES["label"] and i not in found.values()):
        names = _column(rows, at)
        pairs = set(zip(labels, names, strict=True)) - {("", "")}
        one_each = len(pairs) == len({label for label, _ in pairs}) == len({name for _, name in pairs})
        if pairs and one_each and all(name and not _number(name) for _, name in pairs):
            return {**found, "label": at}
    return dict(found)


def _plain(header: Row) -> list[str]:
    return [re.sub(r"[\s_.\-]", "", plain(cell).casefold()) for cell in header]


def _column(rows: Sequence[Row], at: int) -> list[str]:
    return [row[at].strip() if at < len(row) else "" for row in rows]


def by_content(rows: Sequence[Row]) -> dict[str, int] | None:
    """The place of each column of a table without a header, by its first rows; None where it is none of boxes.

    Keras-RetinaNet's `path,x1,y1,x2,y2,class` (empty behind the path of a picture without objects), Make Sense's
    `class,x,y,w,h,file,width,height`, and AutoML's `set,path,class,x1,y1,,,x2,y2,,`.
    """
    if not rows:
        return None
    first = next((row for row in rows if sum(_number(cell) for cell in row) >= 4), rows[0])
    files = [i for i, cell in enumerate(first) if "." + cell.strip().casefold().rpartition(".")[2] in SUFFIXES]
    numbers = [_number(cell) for cell in first]
    if len(first) == 6 and files == [0] and all(numbers[1:5]):
        return {"file": 0, "x1": 1, "y1": 2, "x2": 3, "y2": 4, "label": 5}
    if len(first) == 8 and files == [5] and all(numbers[1:5]):
        return {"label": 0, "x": 1, "y": 2, "w": 3, "h": 4, "file": 5, "width": 6, "height": 7}
    if len(first) >= 9 and files == [1] and _SPLITS.fullmatch(first[0].strip()) and numbers[3] and numbers[7]:
        return {"split": 0, "file": 1, "label": 2, "x1": 3, "y1": 4, "x2": 7, "y2": 8}
    if len(first) >= 8 and files == [0] and numbers[2] and numbers[6] and not numbers[1]:
        return {"file": 0, "label": 1, "x1": 2, "y1": 3, "x2": 6, "y2": 7}
    return None


def _number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True
