"""A data set with boxes, written in another layout. A new layout is one file beside this one and one line here."""

from __future__ import annotations

import errno
import glob
import os
import secrets
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from edgekit.artifacts.atomic import make_folder, reason, sync_folder
from edgekit.data.classes.class_map import ClassMapLike, class_map
from edgekit.data.drawn_mask import Outline
from edgekit.data.names import split_of
from edgekit.data.orientation import picture_size
from edgekit.data.sample import Dataset
from edgekit.data.survey.sets import Sets, read_sets, shared_out
from edgekit.data.writing.coco import COCO
from edgekit.data.writing.names import file_names
from edgekit.data.writing.outlines import outlines_of, read_outlines
from edgekit.data.writing.picture import Layout, Placed
from edgekit.data.writing.voc import VOC
from edgekit.data.writing.yolo import YOLO
from edgekit.errors import DataError, OutputError, UsageError
from edgekit.progress import track
from edgekit.screen import count_of, some
from edgekit.vision.image import encode_picture

LAYOUTS = {layout.name: layout for layout in (YOLO, COCO, VOC)}
_WHOLE = "train"  # the split of a set without splits: `edgekit train` holds a share of it out


@dataclass(frozen=True)
class Written:
    """What a conversion wrote.

    Attributes:
        out: the folder.
        layout: yolo, coco or voc.
        pictures, objects: how many, by split.
        lost: a sentence for whatever the layout cannot hold; empty where all was kept.
        notes: what else is worth knowing.
    """

    out: Path
    layout: str
    pictures: dict[str, int]
    objects: dict[str, int]
    lost: tuple[str, ...]
    notes: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """As plain data for JSON."""
        return {**asdict(self), "out": str(self.out), "lost": list(self.lost), "notes": list(self.notes)}


def convert_data(
    data: str | os.PathLike[str],
    out: str | os.PathLike[str],
    *,
    to: str,
    split: str | None = None,
    link: bool = False,
    classes_map: ClassMapLike | None = None,
    val_share: float | None = None,
    group: str | None = None,
    seed: int = 0,
    say: Callable[[str], None] = lambda line: None,
) -> Written:
    """Writes a data set with boxes in another layout, as `edgekit data --to` does.

    Args:
        data: a folder, table or file with boxes in any layout that edgekit reads, or synthetic://hive?n=60.
        out: a folder that is not there yet, or is empty. It appears whole or not at all.
        to: `yolo`, `coco` or `voc`.
        split: the only one to write; "all" puts every picture into one set.
        link: hard links to the pictures, not copies; both must lie on one disk.
        classes_map: a map that gives classes other names, puts several together or leaves some out, as `--map`.
        val_share: hold this share, 0..1, out of a set without splits; pictures that look alike stay on one side.
        group: with `val_share`, a regular expression on names; what it finds stays on one side too.
        seed: of `val_share`.
        say: called with a line for whatever reading the set said, such as pictures that were left out.

    Returns:
        What was written, and in `lost` what the layout cannot hold. Read again, boxes are the same to 1e-6 pixels.

    Raises:
        DataError: as `edgekit.data.load_dataset`, a split that cannot be read, or no boxes.
        UsageError: an unknown layout, a map that does not fit, or splits that the layout cannot hold.
        OutputError: something is there already, or it cannot be written.
    """
    sets = read_sets(data, split, class_map(classes_map), whole=True)
    outlines = read_outlines(data, sets.parts)
    if val_share is not None:
        sets = shared_out(sets, val_share, seed, group)
    for line in sets.lines():
        say(line)
    return write_sets(sets, Path(out), to, link=link, outlines=outlines)


def write_sets(
    sets: Sets, out: Path, to: str, *, link: bool = False, outlines: Mapping[Path, tuple[Outline, ...]] | None = None
) -> Written:
    """Writes the pictures of `sets` and their boxes to the folder `out` in the layout `to`.

    The folder appears whole or not at all. Boxes read from it again are those of `sets` to 1e-6 pixels, except for what
    `Written.lost` says.

    Args:
        out: a folder that is not there yet, or is empty.
        to: a name of `LAYOUTS`.
        link: hard links to the pictures, not copies; both must lie on one disk.
        outlines: those in each picture, by its file.

    Raises:
        UsageError: no such layout, or splits whose names it cannot hold.
        DataError: pictures without boxes, or names that it cannot hold.
        OutputError: something is there already, or it cannot be written.
    """
    if to not in LAYOUTS:
        raise UsageError("There is no such layout to write.", got=to, expected=" or ".join(LAYOUTS))
    layout = LAYOUTS[to]
    _refuse_existing(out)
    parts = _named(sets, layout)
    placed = _placed(parts, outlines or {})
    classes = sets.classes or ()
    texts = layout.texts(placed, classes)
    _fill(out, lambda folder: _write(folder, placed, layout, texts, link))
    pictures = {split: len(part) for split, part in parts.items()}
    objects = {split: sum(part.box_counts) for split, part in parts.items()}
    renamed = [f"{o.sample.name} to {o.file}" for o in placed if Path(o.sample.name).name != o.file and o.sample.path]
    notes: tuple[str, ...] = ()
    if renamed:
        notes += (f"{count_of(len(renamed), 'picture')} renamed, so that each has a name of its own: {some(renamed)}",)
    return Written(out, to, pictures, objects, layout.lost(placed, classes), notes)


def _named(sets: Sets, layout: Layout) -> dict[str, Dataset]:
    """The parts under the names of the splits that are written."""
    bare = [k or "the set" for k, part in sets.parts.items() if not part.boxed]
    if bare or not sets.classes:
        first = next(iter(sets.parts.values()))
        what = "masks" if first.masked else "labels of whole pictures" if first.labelled else "no boxes"
        raise DataError(
            f"Only boxes are converted, and {', '.join(bare) or 'the set'} has none.",
            got=f"{what} (layout {sets.layout!r})",
            expected="a data set with boxes",
            fix="edgekit label draws boxes" if not first.masked else None,
        )
    names = {k: split_of(k.rstrip("0123456789")) or k or _WHOLE for k in sets.parts}
    if len(set(names.values())) < len(names):
        names = {k: k or _WHOLE for k in sets.parts}
    wrong = [name for name in names.values() if layout.splits is not None and name not in layout.splits]
    if wrong:
        raise UsageError(
            f"{layout.name} has no such splits.", got=some(wrong), expected=some(layout.splits or ()), fix="--split ONE"
        )
    return {names[k]: part for k, part in sets.parts.items()}


def _placed(parts: dict[str, Dataset], outlines: Mapping[Path, tuple[Outline, ...]]) -> list[Placed]:
    pairs = [(split, sample) for split, part in parts.items() for sample in part]
    files = file_names([sample for _, sample in pairs])
    found = []
    for (split, sample), file in zip(pairs, files, strict=True):
        if sample.frame is not None:
            height, width = sample.frame.shape[:2]
        else:
            assert sample.path is not None
            size = picture_size(sample.path)
            height, width = size.height, size.width
        mine = outlines_of(sample, outlines) if sample.path in outlines else ()
        unmatched = len(outlines.get(sample.path, ())) - sum(one is not None for one in mine) if sample.path else 0
        found.append(Placed(sample, split, file, width, height, mine, unmatched))
    return found


def _write(folder: Path, placed: Sequence[Placed], layout: Layout, texts: Mapping[Path, str], link: bool) -> None:
    for file, text in texts.items():
        (folder / file).parent.mkdir(parents=True, exist_ok=True)
        (folder / file).write_text(text, encoding="utf-8", newline="\n")
    for one in track(placed, "linking pictures" if link else "copying pictures"):
        target = folder / layout.folder(one.split) / one.file
        target.parent.mkdir(parents=True, exist_ok=True)
        source = one.sample.path
        if source is None:
            assert one.sample.frame is not None
            target.write_bytes(encode_picture(one.sample.frame, ".png"))
        elif link:
            os.link(source.resolve(), target)
        else:
            shutil.copyfile(source, target)


def _refuse_existing(out: Path) -> None:
    if out.is_symlink() or (out.exists() and not (out.is_dir() and not any(out.iterdir()))):
        raise OutputError(
            f"{out} exists already.", got="a folder with files in it" if out.is_dir() else "a file", fix="--out another"
        )


def _fill(out: Path, write: Callable[[Path], None]) -> None:
    """Lets `write` fill a hidden folder beside `out`, which then takes that name."""
    make_folder(out.parent)
    for old in out.parent.glob(f".{glob.escape(out.name)}.*-*.tmp"):
        pid = old.name.rsplit(".", 2)[-2].split("-")[0]
        if pid.isdigit() and not Path(f"/proc/{pid}").exists():  # of a process that was killed
            shutil.rmtree(old, ignore_errors=True)
    folder = out.with_name(f".{out.name}.{os.getpid()}-{secrets.token_hex(4)}.tmp")
    try:
        folder.mkdir()
        write(folder)
        folder.rename(out)  # over an empty folder, and over nothing else
        sync_folder(out.parent)
    except OSError as error:
        crossed = " (hard links need pictures and --out on one disk)" if error.errno == errno.EXDEV else ""
        raise OutputError(f"{out} could not be written.", got=reason(error) + crossed, fix="--out another") from error
    finally:
        shutil.rmtree(folder, ignore_errors=True)
