"""The words by which files say what they are, and what is understood of their values.

Each reader gives the value as edgekit uses it, or None for what it does not understand.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from typing import Any

Reader = Callable[[Any], Any]
# dictionaries in which a file speaks of itself, beside its top
INSIDE = frozenset(
    (
        *("args", "opt", "opts", "options", "cfg", "config", "hparams", "hyperparams", "hyperparameters", "trainargs"),
        *("meta", "metadata", "info", "model", "modelconfig", "modelcfg", "modelargs", "modelkwargs", "modelinfo"),
        *("pretrainedcfg", "defaultcfg", "data", "dataconfig", "datacfg", "normalize", "normalization"),
        *("preprocess", "preprocessing", "preprocessor", "transform", "transforms"),
    )
)


def word_of(key: str) -> str:
    """`class_to_idx`, `class-to-idx` and `classToIdx` are one word."""
    return re.sub(r"[_\-\s]", "", key).lower()


def _arch(value: Any) -> str | None:
    """A net's name; not a path of a file."""
    return (
        value if isinstance(value, str) and re.fullmatch(r"[\w.:/+-]{2,80}", value) and value[0] not in "./" else None
    )


def _names(value: Any) -> tuple[str, ...] | None:
    """Class names in the order of the logits: a list, or a table from or to indices 0, 1, 2, ..."""
    if isinstance(value, Mapping):
        pairs = [(k, v) if _index(k) is not None else (v, k) for k, v in value.items()]
        table = {_index(i): name for i, name in pairs}
        if not table or set(table) != set(range(len(pairs))):
            return None
        value = [table[i] for i in range(len(pairs))]
    good = isinstance(value, (list, tuple)) and len(value) > 0 and all(isinstance(v, str) and v.strip() for v in value)
    return tuple(str(v).strip() for v in value) if good else None


def _index(value: Any) -> int | None:
    if isinstance(value, str) and re.fullmatch(r"\d{1,7}", value):
        return int(value)
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _count(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else None


def _size(value: Any) -> tuple[int, int] | None:
    """Height and width: a number, [h, w], [3, h, w], [h, w, 3], or a table with height and width."""
    if isinstance(value, Mapping):
        value = [value.get("height"), value.get("width")]
    if count := _count(value):
        return (count, count)
    if isinstance(value, (list, tuple)) and 1 <= len(value) <= 4 and all(_count(v) for v in value):
        sides = [int(v) for v in value]
        if len(sides) == 4:
            sides = sides[1:]
        if len(sides) == 3:
            sides = sides[1:] if sides[0] <= 4 else sides[:2]
        return (sides[0], sides[-1])
    return None


def _shortest(value: Any) -> int | None:
    """The shorter side in the Hub's table of sizes; a plain size is the input's."""
    return _count(value.get("shortest_edge")) if isinstance(value, Mapping) else None


def _edge(value: Any) -> int | None:
    """The shorter side before a crop."""
    if isinstance(value, (list, tuple)) and len(value) == 1:
        value = value[0]
    return _count(value)


def three(value: Any) -> tuple[float, float, float] | None:
    """Three numbers, in 0..1 units; what is above is in 0..255."""
    if not isinstance(value, (list, tuple)) or len(value) != 3:
        return None
    if not all(isinstance(v, (int, float)) and math.isfinite(v) for v in value):
        return None
    a, b, c = (float(v) / (255 if max(value) > 2 else 1) for v in value)
    return (a, b, c)


def _share(value: Any) -> float | None:
    return float(value) if isinstance(value, (int, float)) and 0 < value <= 1 else None


def _filter(value: Any) -> str | None:
    """A filter's name, or Pillow's number of it."""
    named = {0: "nearest", 2: "bilinear", 3: "bicubic"}.get(value) if isinstance(value, int) else str(value).lower()
    return named if named in ("nearest", "bilinear", "bicubic") else None


def _mode(value: Any) -> str | None:
    return str(value) if value in ("center", "squash") else None


def _pool(value: Any) -> str | None:
    """How a net of timm pools its last map: `avg`, `token`; timm's own default where it is empty."""
    return value if isinstance(value, str) and re.fullmatch(r"[a-z_]{2,12}", value) else None


def _positive(value: Any) -> float | None:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    return float(value) if number and 0 < value < 1 else None


def _tag(value: Any) -> str | None:
    """Which published weights of a net: `a1_in1k`."""
    return value if isinstance(value, str) and re.fullmatch(r"\w{2,60}", value) else None


def _options(value: Any) -> tuple[tuple[str, Any], ...] | None:
    """Arguments of a net's constructor: plain values by name."""
    if not isinstance(value, Mapping) or not value:
        return None
    plain = (str, int, float, list, tuple, type(None))
    good = all(isinstance(k, str) and k.isidentifier() and isinstance(v, plain) for k, v in value.items())
    return tuple((k, tuple(v) if isinstance(v, list) else v) for k, v in sorted(value.items())) if good else None


def _flag(value: Any) -> bool | None:
    return value if isinstance(value, bool) else None


def _problem(value: Any) -> bool | None:
    return str(value).startswith("multi_label") if isinstance(value, str) else None


def _order(value: Any) -> str | None:
    return str(value).lower() if str(value).lower() in ("rgb", "bgr") else None


def _table(**words: str) -> dict[str, str]:
    return {word: kind for kind, many in words.items() for word in many.split()}


_READERS: dict[str, Reader] = {
    "arch": _arch, "classes": _names, "width": _count, "size": _size, "shorter": _edge, "mean": three, "std": three,
    "crop_pct": _share, "crop_mode": _mode, "interpolation": _filter, "multi_label": _flag, "color": _order,
    "pool": _pool, "bn_eps": _positive, "tag": _tag, "options": _options,
}  # fmt: skip
_KINDS = _table(
    arch="arch architecture archname modelname modelarch backbone backbonename encodername netname network networkname "
    "model net basemodel",
    classes="classes classnames labels labelnames names categories classtoidx classtoindex class2idx class2index "
    "label2id labeltoidx labeltoid id2label idtolabel idx2label idxtolabel idxtoclass idx2class indextoclass "
    "classlabels",
    width="numclasses nclasses nbclasses numlabels nc",
    size="resolution inputsize imgsize imagesize imgsz inputresolution inputshape valcropsize cropsize",
    shorter="valresizesize resizesize",
    mean="mean imagemean normmean pixelmean",
    std="std imagestd normstd pixelstd",
    crop_pct="croppct",
    crop_mode="cropmode",
    interpolation="interpolation resample",
    multi_label="multilabel ismultilabel",
    color="inputspace colorspace channelorder",
    pool="globalpool gp",
    bn_eps="bneps batchnormeps",
    tag="tag",
    options="modelkwargs modelargs",
)
WORDS: dict[str, tuple[tuple[str, Reader], ...]] = {
    **{word: ((kind, _READERS[kind]),) for word, kind in _KINDS.items()},
    "classes": (("classes", _names), ("width", _count)),
    "size": (("shorter", _shortest), ("size", _size)),
    "problemtype": (("multi_label", _problem),),
}
# words that also mean other things, as a wrapper of weights or the labels of pictures: nothing is said of them
OFTEN_OTHER = frozenset(
    ("model", "net", "network", "labels", "names", "size", "categories", "classes", "nc", "problemtype", "tag", "gp")
)
