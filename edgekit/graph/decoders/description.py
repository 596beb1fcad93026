"""`--decoder FILE.toml`: what a person writes of a net whose outputs no decoder knows, checked against the outputs."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from edgekit.config.keys import nearest
from edgekit.config.tables import Kind
from edgekit.errors import UsageError
from edgekit.graph.decoders.base import Reading, Size
from edgekit.graph.decoders.tables import Columns, Description
from edgekit.vision.spec import TensorSpec

FILE = Kind(Description, "a description of outputs", example="boxes.unit=picture")


def from_toml(path: Path, outputs: Sequence[TensorSpec], task: str, size: Size) -> Reading:
    """How a file says that the outputs are to be read.

    Raises:
        UsageError: not readable, an unknown key (with the nearest), tables of another task, or the outputs are not so.
    """
    told = FILE.read(path)
    given = {name for name in Description.model_fields if getattr(told, name) is not None}
    known = {spec.name: spec for spec in outputs}
    for needed, allowed, tasks, make in _READ:
        if needed <= given <= allowed and task in tasks:
            return make(told, known, task, size)
    fit = [" and ".join(f"[{name}]" for name in sorted(needed)) for needed, _, tasks, _ in _READ if task in tasks]
    raise UsageError(
        f"{path} describes no net for {task}.",
        got=", ".join(f"[{name}]" for name in sorted(given)) or "no table",
        expected=" or ".join(fit) or f"a task that can be described, not {task}",
    )


Known = Mapping[str, TensorSpec]


def _detection(told: Description, known: Known, task: str, size: Size) -> Reading:
    assert told.boxes is not None
    assert told.scores is not None
    boxes, scores = told.boxes, told.scores
    roles = {**_roles("boxes", boxes.output), **_roles("scores", scores.output)}
    count, numbers = _sides(known, boxes.output, boxes.axis)
    _require_columns("boxes", boxes.columns or (0, numbers), numbers, 4 * boxes.bins)
    places, columns = _sides(known, scores.output, scores.axis)
    first, end = scores.columns or (0, columns)
    _require_columns("scores", (first, end), columns, None)
    counts = {"boxes": count, "scores": places}
    settings: dict[str, Any] = {
        **boxes.model_dump(mode="json", exclude={"output", "columns", "axis"}),
        **scores.model_dump(mode="json", exclude={"output", "columns", "axis"}),
        **{"box_columns": _plain(boxes.columns), "box_axis": boxes.axis},
        **{"score_columns": _plain(scores.columns), "score_axis": scores.axis},
    }
    classes = end - first - (scores.background != "none")
    if told.objectness is not None:
        own = told.objectness
        roles |= _roles("objectness", own.output)
        counts["objectness"], there = _sides(known, own.output, scores.axis)
        _require_columns("objectness", own.columns or (0, there), there, 1)
        settings |= {
            "objectness_columns": _plain(own.columns),
            "objectness_activation": own.activation,
            "powers": list(own.powers),
        }
    if told.labels is not None:
        roles["labels"] = told.labels.output
        counts["labels"], there = _sides(known, told.labels.output, "last")
        _require_columns("labels", told.labels.columns or (0, there), there, 1)
        settings |= {"label_columns": _plain(told.labels.columns), "first_label": told.labels.first}
        if classes != 1:
            raise UsageError("A place with a label of its own has one score.", got=f"{classes}", expected="1 column")
    if boxes.strides:
        shapes = [len(row) for row in boxes.anchors] or [1] * len(boxes.strides)
        cells = (-(-size[0] // s) * -(-size[1] // s) for s in boxes.strides)
        counts["the cells of the strides"] = sum(n * a for n, a in zip(cells, shapes, strict=True))
    if len(set(counts.values())) > 1:
        got = ", ".join(f"{name} {n}" for name, n in counts.items())
        raise UsageError("The outputs have different numbers of places.", got=got, expected="one number for all")
    if classes < 1:
        raise UsageError("No class is left.", got=f"{end - first} columns of scores", expected="one or more")
    return Reading("described", task, roles, 0 if told.labels else classes, settings)


def _heads(told: Description, known: Known, task: str, size: Size) -> Reading:
    assert told.heads is not None
    heads = told.heads
    each = len(heads.anchors[0])
    widths = set()
    for name, stride in zip(heads.outputs, heads.strides, strict=True):
        sides = _fixed(_output(known, name))
        grid, width = sides[1:3], sides[3] if len(sides) == 4 else sides[0] // each if sides[0] % each == 0 else 0
        wrong = len(sides) == 4 and sides[0] != each
        if len(sides) not in (3, 4) or wrong or (grid[0] * stride, grid[1] * stride) != tuple(size) or width < 6:
            raise UsageError(
                f"{name} is no map of {each} anchors at stride {stride}.",
                got=str(known[name]),
                expected=f"[N, {each} (5 + C), {size[0] // stride}, {size[1] // stride}], or the anchors apart",
            )
        widths.add(width)
    if len(widths) != 1:
        raise UsageError(
            "The maps are of different classes.", got=", ".join(f"{w - 5}" for w in widths), expected="one"
        )
    settings = {
        "strides": list(heads.strides),
        "anchors": [[list(a) for a in row] for row in heads.anchors],
        "exponential": heads.sizes == "exp",
        "sigmoid": heads.activation == "none",
    }
    if heads.sizes == "exp" and heads.activation == "none":
        raise UsageError("exp(x) needs x.", got="sizes = 'exp', activation = 'none'", expected="activation = 'sigmoid'")
    roles = {f"head/{i}": name for i, name in enumerate(heads.outputs)}
    return Reading("yolov3-heads" if heads.sizes == "exp" else "yolov5-heads", task, roles, widths.pop() - 5, settings)


def _classes(told: Description, known: Known, task: str, size: Size) -> Reading:
    assert told.classes is not None
    sides = _fixed(_output(known, told.classes.output))
    background = told.classes.background == "first"
    columns = max(sides)
    if len([side for side in sides if side != 1]) > 1:
        raise UsageError("A classifier gives one vector.", got=str(known[told.classes.output]), expected="[N, C]")
    roles = {"scores": told.classes.output}
    return Reading(told.classes.values, task, roles, columns - background, {"background": background})


def _mask(told: Description, known: Known, task: str, size: Size) -> Reading:
    assert told.mask is not None
    sides = _fixed(_output(known, told.mask.output))
    if len(sides) != 3:
        raise UsageError("These are no maps.", got=str(known[told.mask.output]), expected="four sides")
    maps = sides[0] if told.mask.axis == "first" else sides[2]
    return Reading(f"mask-{told.mask.values}", task, {"maps": told.mask.output}, max(2, maps), {"axis": told.mask.axis})


def _features(told: Description, known: Known, task: str, size: Size) -> Reading:
    assert told.features is not None
    own = told.features
    sides = _fixed(_output(known, own.output))
    if (len(sides) == 2) != (own.of != "vector") or len(sides) > 3:
        raise UsageError(
            f"{own.output} is no {own.of}.", got=str(known[own.output]), expected="[N, D] or a map; or tokens [N, T, D]"
        )
    name = "features" if own.of == "vector" else f"features-{own.of}"
    return Reading(name, task, {"features": own.output}, 0, {"dimensions": sides[1] if len(sides) == 2 else sides[0]})


Make = Callable[[Description, Known, str, Size], Reading]
# the tables that are needed, those that may be there, the tasks, and what reads them
_READ: tuple[tuple[set[str], set[str], tuple[str, ...], Make], ...] = (
    ({"boxes", "scores"}, {"boxes", "scores", "objectness", "labels"}, ("detection",), _detection),
    ({"heads"}, {"heads"}, ("detection",), _heads),
    ({"classes"}, {"classes"}, ("classification", "multilabel"), _classes),
    ({"mask"}, {"mask"}, ("segmentation",), _mask),
    ({"features"}, {"features"}, ("features",), _features),
)


def _plain(columns: Columns | None) -> list[int] | None:
    return None if columns is None else list(columns)


def _roles(role: str, output: str | tuple[str, ...]) -> dict[str, str]:
    return {role: output} if isinstance(output, str) else {f"{role}/{i}": name for i, name in enumerate(output)}


def _output(known: Known, name: str) -> TensorSpec:
    if name not in known:
        raise UsageError(
            "There is no such output.", got=name, expected="one of " + ", ".join(known), fix=nearest(name, tuple(known))
        )
    return known[name]


def _fixed(spec: TensorSpec) -> tuple[int, ...]:
    sides = tuple(side for side in spec.shape[1:] if isinstance(side, int))
    if len(sides) != len(spec.shape) - 1 or not sides:
        raise UsageError("An output's sides are not fixed.", got=str(spec), expected="numbers behind the batch")
    return sides


def _sides(known: Known, output: str | tuple[str, ...], axis: str) -> tuple[int, int]:
    """Places of all the outputs together, and numbers a place."""
    places, numbers = 0, set()
    for name in [output] if isinstance(output, str) else output:
        sides = _fixed(_output(known, name))
        if len(sides) == 3 and axis == "first":
            sides = (sides[0], sides[1] * sides[2])
        if len(sides) > 2:
            raise UsageError(
                f"{name} has more sides than places and their numbers.",
                got=str(known[name]),
                expected="[N, places, numbers], or with axis = 'first' [N, numbers, places] or a map",
            )
        count, own = (sides[0], 1) if len(sides) == 1 else sides if axis == "last" else sides[::-1]
        places += count
        numbers.add(own)
    if len(numbers) != 1:
        raise UsageError(
            "The outputs of one role differ.", got=f"{sorted(numbers)} numbers a place", expected="one width"
        )
    return places, numbers.pop()


def _require_columns(role: str, columns: Columns, numbers: int, count: int | None) -> None:
    first, end = columns
    if not 0 <= first < end <= numbers or (count is not None and end - first != count):
        wanted = f"{count} of" if count else "some of"
        raise UsageError(
            f"[{role}] takes columns that do not fit.",
            got=f"columns {first} to {end} of {numbers} numbers a place",
            expected=f"{wanted} them: columns = [first, end], and axis as the output has it",
        )
