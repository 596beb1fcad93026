"""Two models' classes side by side: which is which, by name or by a map, and what only one of them has."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from edgekit.data.classes.class_map import ClassMap, proposal
from edgekit.errors import UsageError
from edgekit.predictor import Predictor
from edgekit.screen import count_of, some


@dataclass(frozen=True)
class Paired:
    """What two models are compared in.

    Attributes:
        names: the classes that both have, under the reference's names and in its order.
        reference, candidate: of each class of the model its name among `names`, None where it is left out.
        text: in words how they were brought together; empty where both have the same names.
    """

    names: tuple[str, ...]
    reference: tuple[str | None, ...]
    candidate: tuple[str | None, ...]
    text: str = ""

    @property
    def as_they_are(self) -> bool:
        """Whether both have these classes in this order, and no others."""
        return self.reference == self.candidate == self.names


def pair_classes(reference: Predictor, candidate: Predictor, given: ClassMap | None = None) -> Paired:
    """Brings the classes of two models of one task together: by `given`, else by name.

    Raises:
        UsageError: other tasks, a class that only one of them has and that is not left out, none in common, or several
            classes as one where the task's answers cannot be added up.
    """
    if reference.task is not candidate.task:
        raise UsageError(
            "The two models are of different tasks.",
            got=f"{candidate.name} is for {candidate.spec.task}",
            expected=f"{reference.spec.task}, as {reference.name}",
        )
    ours, theirs = reference.spec.classes, candidate.spec.classes
    if given is None and set(ours) == set(theirs):
        return Paired(ours, ours, theirs)
    if not ours or not theirs:
        raise UsageError("Models without classes have none to map.", got="--map", fix="leave --map out")
    if given is None:  # names that differ in case alone are other names too: a map says that they are one
        _refuse_odd(reference, candidate, [n for n in ours if n not in theirs], [n for n in theirs if n not in ours])
    places = (given or ClassMap(())).places(theirs, ours)
    there = set(places.found.values())
    away = given.left_out(ours) if given is not None else frozenset[int]()
    lonely = [name for i, name in enumerate(ours) if i not in there and i not in away]
    _refuse_odd(reference, candidate, lonely, [theirs[i] for i in places.nowhere], given)
    renamed = tuple(ours[places.found[i]] if i in places.found else None for i in range(len(theirs)))
    names = tuple(name for i, name in enumerate(ours) if i in there)
    if not names:
        raise UsageError("The two models have no class in common.", got="all are left out", expected="one at least")
    _refuse_merging(reference, theirs, renamed)
    kept = tuple(name if name in names else None for name in ours)
    return Paired(names, kept, renamed, _text(names, reference, candidate, renamed))


def _refuse_odd(
    reference: Predictor,
    candidate: Predictor,
    lonely: Sequence[str],
    unknown: Sequence[str],
    given: ClassMap | None = None,
) -> None:
    """Raises UsageError where the reference has classes `lonely`, or the candidate `unknown`, and the other has not."""
    if not lonely and not unknown:
        return
    parts = [f"only {model.name} has {some(odd)}" for model, odd in ((candidate, unknown), (reference, lonely)) if odd]
    raise UsageError(
        "The two models do not know the same classes.",
        got="; ".join(parts),
        expected="the same names, or a map that says which is which",
        fix=proposal(unknown, lonely, given, kept=set(reference.spec.classes) != set(lonely)),
    )


def _refuse_merging(reference: Predictor, theirs: Sequence[str], renamed: Sequence[str | None]) -> None:
    known = [name for name in renamed if name is not None]
    twice = next((name for name in known if known.count(name) > 1), None)
    if twice is not None and not reference.task.merges:
        raise UsageError(
            f"Several classes of {reference.task.noun} cannot be compared as one.",
            got=f"{' and '.join(n for n, own in zip(theirs, renamed, strict=True) if own == twice)} as {twice}",
            expected="one class of each model",
            fix="leave one out (-=NAME), or measure both on labelled pictures: edgekit eval --map",
        )


def _text(names: Sequence[str], reference: Predictor, candidate: Predictor, renamed: Sequence[str | None]) -> str:
    theirs = candidate.spec.classes
    told = [f"{a} as {b}" for a, b in zip(theirs, renamed, strict=True) if b is not None and a != b]
    parts = [f"{some(told)}"] if told else []
    for model, left in (
        (candidate, [a for a, b in zip(theirs, renamed, strict=True) if b is None]),
        (reference, [a for a in reference.spec.classes if a not in names]),
    ):
        if left:
            parts.append(
                f"left out of {model.name}: {len(left)} of {count_of(len(model.spec.classes), 'class')}, {some(left)}"
            )
    return f"in {count_of(len(names), 'class')} by the map" + (f" ({'; '.join(parts)})" if parts else "")
