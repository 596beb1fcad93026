"""Names of classes that may well mean the same, for messages that propose a map."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Sequence

from edgekit.data.names import plain

# what English and the large data sets call one thing: COCO's names beside Pascal VOC's, and insects at a hive
_SYNONYMS = tuple(
    frozenset(group.split("|"))
    for group in (
        "airplane|aeroplane|plane",
        "motorcycle|motorbike",
        "bicycle|bike",
        "couch|sofa",
        "tv|tvmonitor|television|tvset",
        "pottedplant|houseplant",
        "diningtable|table",
        "cellphone|mobilephone|phone",
        "person|people|pedestrian|human|man|woman",
        "car|automobile",
        "truck|lorry",
        "bee|honeybee|apismellifera|westernhoneybee|workerbee",
        "hornet|asianhornet|asiangianthornet|yellowleggedhornet|europeanhornet|vespavelutina|vespacrabro|vespamandarinia",
        "wasp|yellowjacket|vespulavulgaris|vespulagermanica|commonwasp",
        "mouse|mice",
        "background|none|nothing|other",
    )
)  # fmt: skip
_BETWEEN_WORDS = re.compile(r"[\W_]+")
_ENDS = (("ies", "y"), ("sses", "ss"), ("ses", "s"), ("xes", "x"), ("ches", "ch"), ("shes", "sh"))
_TYPO = 0.8  # difflib's ratio from which on two words are one, misspelt


def near(name: str, classes: Sequence[str]) -> int | None:
    """Index of the one class that `name` may well mean; None where none is near, or several are alike.

    Tried in turn, until one of them fits exactly one class: the same letters but for case, blanks and plural, also of
    a part between commas (ImageNet's "tench, Tinca tinca"); a known synonym; the same last word (`hornet` for
    `asian_giant_hornet`); a misspelling. A guess to propose, not to take.
    """
    own = _ways(name)
    others = [_ways(other) for other in classes]
    ways: tuple[Callable[[frozenset[str], frozenset[str]], bool], ...] = (
        lambda a, b: bool(a & b),
        lambda a, b: any(a & group and b & group for group in _SYNONYMS),
    )
    for same in ways:
        fits = [i for i, other in enumerate(others) if same(own, other)]
        if fits:
            return fits[0] if len(fits) == 1 else None
    heads = [i for i, other in enumerate(classes) if _singular(_words(other)[-1:]) == _singular(_words(name)[-1:])]
    if len(heads) == 1 and _words(name) and 1 in (len(_words(name)), len(_words(classes[heads[0]]))):
        return heads[0]
    ratios = [max(difflib.SequenceMatcher(None, a, b).ratio() for a in own for b in other) for other in others]
    alike = [i for i, ratio in enumerate(ratios) if ratio >= _TYPO]
    return alike[0] if len(alike) == 1 else None


def _ways(name: str) -> frozenset[str]:
    """The letters of a name and of its parts between commas, in the singular."""
    return frozenset(way for part in (name, *name.split(",")) if (way := _singular(_words(part)))) or frozenset((name,))


def _words(name: str) -> list[str]:
    return [word for word in _BETWEEN_WORDS.split(plain(name).casefold()) if word]


def _singular(words: Sequence[str]) -> str:
    """The words as one, the last in the singular, by English spelling."""
    whole = "".join(words)
    for end, single in _ENDS:
        if whole.endswith(end) and len(whole) > len(end):
            return whole[: -len(end)] + single
    return whole[:-1] if len(whole) > 2 and whole.endswith("s") and whole[-2] not in "siu" else whole
