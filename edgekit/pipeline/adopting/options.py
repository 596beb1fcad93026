"""What an adoption is asked for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from edgekit.config.target import Target, load_target
from edgekit.data.classes.class_map import ClassMap
from edgekit.errors import UsageError
from edgekit.pipeline.options import CALIBRATE, PICTURES, require_makeable
from edgekit.spec import PreprocessSpec, Suppression

KEEP, CANDIDATES = 100, 600


@dataclass(frozen=True)
class AdoptOptions:
    """What decides an adoption, beside the file and the folder; `edgekit.adopt` takes the same one by one.

    Attributes:
        task: a name of `edgekit.tasks.TASKS`; None where the file says it.
        data: pictures to compare on; with labels they also tell which preprocessing fits, where none is stated.
        decoder: a name of `edgekit.graph.decoders.DECODERS`, or the path of a TOML; None where one alone fits.
        preprocess: `STYLE[,KEY=VALUE...]`, or the spec itself; None where the file says it.
        size: height and width, for a file that takes any.
        classes: names, in the order of the net's classes.
        classes_map: which of them the classes of `data` are, where those are called differently.
        suppression: of duplicates, where the decoder leaves some; None: the usual, see `suppress`.
        suppress: whether duplicates are left out.
        target, pictures, input_kind, batch, precision, calibrate, max_drop, force: as in
            `edgekit.pipeline.options.ExportOptions`.
        keep: boxes a picture.
        candidates: so many of the highest scores are looked at for duplicates.
    """

    task: str | None = None
    data: Path | None = None
    target: str | Target = "x86-cpu"
    decoder: str | Path | None = None
    preprocess: str | PreprocessSpec | None = None
    size: tuple[int, int] | None = None
    classes: Sequence[str] | None = None
    classes_map: ClassMap | None = None
    suppression: Suppression | None = None
    suppress: bool = True
    keep: int = KEEP
    candidates: int = CANDIDATES
    pictures: int = PICTURES
    input_kind: str = "uint8"
    batch: int | None = None
    precision: str = "fp32"
    calibrate: int = CALIBRATE
    max_drop: float | None = None
    force: bool = False

    def require_possible(self) -> Target:
        """The target, read. Raises UsageError for options that make no sense, alone or together."""
        target = self.target if isinstance(self.target, Target) else load_target(self.target)
        if self.batch not in (None, 1):
            raise UsageError(
                "An adopted file takes one picture or any number of them.",
                got=f"--batch {self.batch}",
                expected="1, or none for a batch of any size",
            )
        if not 1 <= self.keep <= self.candidates:
            raise UsageError(
                "More boxes are kept than are looked at.",
                got=f"--keep {self.keep} --candidates {self.candidates}",
                expected="1 or more, and at least as many candidates",
            )
        require_makeable(target, self.input_kind, self.precision, self.max_drop, self.data)
        return target
