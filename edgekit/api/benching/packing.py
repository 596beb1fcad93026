"""A suite with everything it needs as one file, and such a file measured on another machine."""

from __future__ import annotations

import platform
import re
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgekit.api.benching.parts import Parts, Pictures, Say, Written, case
from edgekit.benchmark.pack.manifest import CHECKED, FILES, Answers, Manifest, model_file
from edgekit.benchmark.suite import Suite, group_cases, run_suite
from edgekit.data import Dataset, sample_evenly
from edgekit.errors import DataError, PictureError, UsageError
from edgekit.screen import count_of

if TYPE_CHECKING:
    from edgekit.benchmark.pack.read import Unpacked
    from edgekit.benchmark.pack.write import PackedModel, PackedSet
    from edgekit.benchmark.schema import Case, Expected, Report
    from edgekit.predictor import Predictor

_ANY_BOARD = "x86-cpu"  # whose limits count for a model of a target that is not known here
UNPACKED = "pack"  # in --out, while it is measured


def is_pack(path: Path) -> bool:
    """Whether this names a bench pack, by its suffix."""
    return path.suffix.lower() == ".zip"


def write_suite_pack(
    out: Path, suite: Suite, root: Path, pictures: Pictures, *, force: bool = False, say: Say = lambda line: None
) -> Manifest:
    """Packs a suite: its models, pictures, and each model's answers as onnxruntime gives them here.

    A model that is not there is left out, and so are pictures that cannot be read.

    Args:
        root: folder of the suite's models.
        pictures: for each model.

    Raises:
        UsageError: no model is left, or one is no exported .onnx.
        EdgekitError: a model or picture cannot be used, or the file cannot be written.
    """
    from edgekit.artifacts.atomic import refuse_existing
    from edgekit.benchmark.pack.write import write_pack

    refuse_existing(out, force)
    found = _models([name for matrix in suite.matrix for name in matrix.models], root, say)
    sets: list[PackedSet] = []
    models = {}
    pictures.check(list(found.values()))
    for path in dict.fromkeys(found.values()):
        say(f"answers of {path.name}")
        models[path.name] = _packed(path, suite, pictures, sets, say)
    matrix = tuple(
        one.model_copy(update={"models": tuple(found[name].name for name in one.models if name in found)})
        for one in suite.matrix
        if any(name in found for name in one.models)
    )
    kept = suite.model_copy(update={"matrix": matrix, "data": (), "map": {}, "attack": None, "erase": 0})
    return write_pack(out, kept, sets, models, overwrite=force)


def _models(names: Sequence[str], root: Path, say: Say) -> dict[str, Path]:
    """The file of each model of a suite that is there."""
    from edgekit.artifacts.deployment import model_path

    found: dict[str, Path] = {}
    for name in dict.fromkeys(names):
        path = model_path(root / name)
        if path.suffix != ".onnx":
            raise UsageError(
                f"A pack cannot hold {path.name}.",
                got=path.suffix or "no suffix",
                expected="exported .onnx files: a board has no torch, and an engine is built on it",
                fix=f"edgekit export {path}" if path.suffix in (".pt", ".pth") else "pack the .onnx that it came from",
            )
        if not path.is_file():
            say(f"not packed: {path} is not there")
            continue
        if not FILES.fullmatch(model_file(path.name)):
            raise UsageError(
                "A pack cannot hold a file of this name.", got=path.name, expected="letters, digits, . _ -"
            )
        if any(other.name == path.name and other != path for other in found.values()):
            raise UsageError(f"Two models are called {path.name}.", got=str(path), expected="a name for each")
        found[name] = path
    if not found:
        raise UsageError("There is nothing to pack.", got="no model that is there", expected="one at least")
    return found


def _packed(path: Path, suite: Suite, pictures: Pictures, sets: list[PackedSet], say: Say) -> PackedModel:
    """A model with its answers; its pictures become one of `sets`, unless they are there already."""
    from edgekit.artifacts.opening import RunOptions
    from edgekit.benchmark.pack.answers import answers
    from edgekit.benchmark.pack.write import PackedModel, PackedSet
    from edgekit.benchmark.pictures import name_of
    from edgekit.config.target import load_target, target_names
    from edgekit.loading import metadata_of, open_model

    with open_model(path, RunOptions()) as predictor:
        whole = pictures(predictor)
        key = (predictor.spec.task, whole.classes, len(whole))
        known = [(one.task, one.dataset.classes, one.of) for one in sets]
        if key not in known:
            name = re.sub(r"[^A-Za-z0-9_-]", "-", name_of(whole))[:40].lstrip("_-") or "pictures"
            name = name if all(one.name != name for one in sets) else f"{name}-{len(sets)}"
            sets.append(PackedSet(name, predictor.spec.task, _chosen(whole, suite, say), len(whole)))
            known.append(key)
        number = known.index(key)
        dataset = sets[number].dataset
        count, size = min(CHECKED, len(dataset)), len(dataset)
        asked = tuple((2 * i + 1) * size // (2 * count) for i in range(count))
        outputs = answers(predictor, dataset, asked)
    described = metadata_of(path)
    assert described is not None, "an exported file says what it is"
    board = described.target if described.target in target_names() else _ANY_BOARD
    limits = load_target(board).limits(described.precision)
    return PackedModel(path, number, Answers(by=_runtime(), pictures=asked, limits=limits), outputs)


def _runtime() -> str:
    import onnxruntime

    return f"onnxruntime {onnxruntime.__version__} on {platform.machine()}"


def _chosen(dataset: Dataset, suite: Suite, say: Say) -> Dataset:
    """As many pictures as the suite asks for, those that can be read."""
    wanted = None if suite.accuracy is None else max(suite.accuracy, suite.timed, suite.robustness, CHECKED)
    some = dataset if wanted is None else sample_evenly(dataset, wanted)
    kept = []
    for sample in some:
        try:
            sample.read()
        except PictureError as error:
            say(f"not packed: {sample.name}: {error.got or error.what}")
            continue
        kept.append(sample)
    if not kept:
        raise DataError("None of the pictures can be read.", got=f"{len(some)} tried", expected="readable pictures")
    return replace(some, samples=tuple(kept))


@dataclass(frozen=True)
class PackAsked:
    """What may be asked otherwise than a pack's suite has it; what is left out stays.

    Attributes:
        suite, matrix: fields of `Suite`, and of each of its `Matrix`, with their values.
    """

    suite: Mapping[str, Any] = field(default_factory=dict)
    matrix: Mapping[str, Any] = field(default_factory=dict)


def bench_pack(
    path: Path,
    out: Path,
    written: Written,
    asked: PackAsked | None = None,
    *,
    resume: bool = False,
    say: Say = lambda line: None,
) -> Report:
    """Measures a pack's suite here, each case's answers beside those expected.

    A case whose answers are beyond the gate's limits fails, and no speed of it is measured.

    Args:
        out: folder; the pack lies unpacked in OUT/pack until all is measured.
        written: given the report so far, to write it down.

    Raises:
        ArtifactError: no pack, or a broken one.
    """
    from edgekit.benchmark.pack.read import open_pack
    from edgekit.benchmark.report.decision import decide

    asked = asked or PackAsked()
    pack = open_pack(path)
    matrix = tuple(one.model_copy(update=dict(asked.matrix)) for one in pack.manifest.suite.matrix)
    suite = pack.manifest.suite.model_copy(update={**asked.suite, "matrix": matrix})
    say(f"unpacking {path.name}: {count_of(len(pack.manifest.models), 'model')}, "
        f"{count_of(sum(len(one.pictures) for one in pack.manifest.sets), 'picture')}")  # fmt: skip
    unpacked = pack.unpack(out / UNPACKED)
    groups = [group_cases(one, unpacked.models, case) for one in suite.matrix]
    board = PackPictures(unpacked)
    parts = Parts.of_suite(suite, (), say=say, pictures=board, expected=board.expected)
    settings = {**suite.model_dump(mode="json"), "pack": pack.describe().sha256}

    def shown(report: Report) -> Report:
        """The models as the pack calls them, wherever it was unpacked."""
        cases = [row.case.model_copy(update={"model": model_file(Path(row.case.model).name)}) for row in report.rows]
        rows = [row.model_copy(update={"case": one}) for row, one in zip(report.rows, cases, strict=True)]
        copy = report.model_copy(update={"rows": rows, "pack": pack.describe()})
        decide(copy)
        return copy

    def group(cases: Sequence[Case], done: Callable[[Report], None]) -> Report:
        return parts.measure(cases, suite.settings(), done, suite.title)

    whole = run_suite(groups, settings, out / "parts", group, lambda report: written(shown(report)), say, resume)
    shutil.rmtree(unpacked.folder, ignore_errors=True)
    return shown(whole)


class PackPictures:
    """The pictures of a pack's models, and whether a predictor answers them as the pack expects."""

    def __init__(self, unpacked: Unpacked) -> None:
        self.unpacked = unpacked
        self._held: dict[int, Dataset] = {}
        self._compared: dict[tuple[str, str, str], Expected] = {}

    def __call__(self, predictor: Predictor) -> Dataset:
        return self._dataset(predictor.name)

    def check(self, models: Sequence[Path]) -> None:
        """Nothing: the classes were compared when the pack was written."""

    def expected(self, asked: Case, predictor: Predictor) -> Expected:
        """The answers of this case's file on its runtime, compared once."""
        from edgekit.benchmark.pack.answers import answers, compare

        key = (asked.model, asked.backend, asked.provider)
        if key not in self._compared:
            name = Path(asked.model).name
            about = self.unpacked.pack.manifest.models[name].answers
            given = answers(predictor, self._dataset(name), about.pictures)
            self._compared[key] = compare(predictor, self.unpacked.answers(name), given, about)
        return self._compared[key]

    def _dataset(self, model: str) -> Dataset:
        number = self.unpacked.pack.manifest.models[model].set
        if number not in self._held:
            self._held[number] = self.unpacked.dataset(model)
        return self._held[number]
