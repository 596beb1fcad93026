"""What the classes of an original are called: as the caller says, as the file says, or as the pictures' labels do."""

from __future__ import annotations

from edgekit.data import load_dataset
from edgekit.data.names import ALL
from edgekit.errors import EdgekitError, UsageError
from edgekit.graph.decoders import Reading
from edgekit.pipeline.adopting.claims import ExporterClaims
from edgekit.pipeline.adopting.options import AdoptOptions
from edgekit.screen import count_of
from edgekit.tasks import task_of


def class_names(options: AdoptOptions, claims: ExporterClaims, reading: Reading) -> tuple[tuple[str, ...], str]:
    """The names and who says them; `0`, `1` and so on where nobody does.

    Raises:
        UsageError: a list of another length than the net has classes; or none, of a net whose outputs do not tell how
            many it has, since they are labels alone.
    """
    count = reading.classes
    if not count:
        if task_of(reading.task).classless:
            return (), ""
        for names, whose in ((options.classes, "--classes"), (claims.classes, "the file")):
            if names:
                return tuple(names), whose
        raise UsageError(
            "How many classes the net has, its outputs do not tell.",
            got=f"{reading}, and no names",
            expected="the names of all classes, in their order",
            fix="--classes FILE, one a line",
        )
    if options.classes is not None:
        _fitting(options.classes, count, "--classes", "the names in the order of the net's classes")
        return tuple(options.classes), "--classes"
    said = claims.classes
    if said:
        _fitting(said, count, "the file", "--classes FILE with the right ones")
        return said, "the file"
    if options.data is not None:
        names = _of_pictures(options)
        if names and options.classes_map is not None:
            names = options.classes_map.chosen(names)
        if len(names) == count:
            return names, f"{options.data}, which has as many; another order would be another meaning"
    return tuple(str(i) for i in range(count)), ""


def _fitting(names: object, count: int, whose: str, fix: str) -> None:
    assert isinstance(names, (list, tuple))
    if len(names) != count or len(set(names)) != count:
        twice = "" if len(set(names)) == len(names) else ", some of them twice"
        raise UsageError(
            f"The class names of {whose} do not fit the net.",
            got=f"{count_of(len(names), 'name')}{twice}",
            expected=f"{count}, each once",
            fix=fix,
        )


def _of_pictures(options: AdoptOptions) -> tuple[str, ...]:
    assert options.data is not None
    try:
        return load_dataset(options.data, split=ALL).classes or ()
    except EdgekitError:  # pictures without labels, or in a layout that is not read: the gate says what is wrong
        return ()
