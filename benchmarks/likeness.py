"""How often "nearly the same picture" is wrong: copies that are missed, different pictures that are taken for one.

    python benchmarks/likeness.py /path/to/data --json results.json --sheet flagged/

Copies are made: each picture saved as a hard JPEG, sized, lit, cut. Different pictures are those of sets of unrelated
photographs, and of similar scenes: cells cut out of blood smears, all in the middle and as large as the picture, one
cell each. Frames of clips are neither; of them it is counted how many neighbours (by the frame number) are found.

Even pictures of each set choose the limits, odd ones judge them: those that miss fewest copies while at most two pairs
of different pictures of the even half are taken for one, after those were looked at. `--sheet` writes what was found
among different pictures side by side, for that.
"""

from __future__ import annotations

import argparse
import io
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image, ImageEnhance, ImageOps

from edgekit.data import Dataset, Sample, load_dataset
from edgekit.data import looks as rule
from edgekit.vision.find import scan
from edgekit.vision.image import Frame

Picture = Image.Image
LONGEST = 320  # pixels; what is larger is shrunk first, which only saves time
PHOTOGRAPHS = {"hymenoptera": "hymenoptera", "imagenet-250": "imagenet-250", "coco128": "coco128/train2017"}
SCENES = {"bccd smears": "bccd-voc/JPEGImages"}
CELLS = {"red cells": "RBC"}  # of the white ones some were photographed twice
CLIPS = {"camvid": "camvid"}
MOST = {"cells": 600, "photographs": 250}  # of a set
BITS, LEAST = (8, 12, 16, 20, 24), (0.6, 0.7, 0.75, 0.8, 0.85, 0.9)


def jpeg(picture: Picture, quality: int) -> Picture:
    stream = io.BytesIO()
    picture.save(stream, "JPEG", quality=quality)
    return Image.open(io.BytesIO(stream.getvalue())).convert("RGB")


def sized(picture: Picture, factor: float) -> Picture:
    return picture.resize((max(16, round(picture.width * factor)), max(16, round(picture.height * factor))))


def cut(picture: Picture, share: float, rng: np.random.Generator) -> Picture:
    w, h = round(picture.width * share), round(picture.height * share)
    x, y = int(rng.integers(0, picture.width - w + 1)), int(rng.integers(0, picture.height - h + 1))
    return picture.crop((x, y, x + w, y + h))


COPIES: dict[str, Callable[[Picture, np.random.Generator], Picture]] = {
    "JPEG of quality 40": lambda p, _: jpeg(p, 40),
    "half the size": lambda p, _: sized(p, 0.5),
    "half the size, JPEG of quality 60": lambda p, _: jpeg(sized(p, 0.5), 60),
    "stretched to a square": lambda p, _: p.resize((320, 320)),
    "darker by 30 %": lambda p, _: ImageEnhance.Brightness(p).enhance(0.7),
    "brighter by 30 %": lambda p, _: ImageEnhance.Brightness(p).enhance(1.3),
    "less contrast by 30 %": lambda p, _: ImageEnhance.Contrast(p).enhance(0.7),
    "cut to 98 %": lambda p, rng: cut(p, 0.98, rng),
    "cut to 95 %": lambda p, rng: cut(p, 0.95, rng),
    "cut to 90 %": lambda p, rng: cut(p, 0.9, rng),
    "cut to 95 %, half the size, JPEG of quality 60, darker": lambda p, rng: ImageEnhance.Brightness(
        jpeg(sized(cut(p, 0.95, rng), 0.5), 60)
    ).enhance(0.8),
    "cut to 80 %": lambda p, rng: cut(p, 0.8, rng),
    "mirrored": lambda p, _: ImageOps.mirror(p),
}
BEYOND = ("cut to 80 %", "mirrored")  # not promised, only counted


def frame(picture: Picture) -> Frame:
    return np.ascontiguousarray(np.asarray(picture.convert("RGB"))[..., ::-1])


def seen(pictures: list[Picture]) -> rule.Looks:
    return rule.looks(Sample(None, frame(p), None, str(i)) for i, p in enumerate(pictures))


def opened(paths: list[Path]) -> list[Picture]:
    pictures = []
    for path in paths:
        with Image.open(path) as image:
            picture = ImageOps.exif_transpose(image).convert("RGB")
        picture.thumbnail((LONGEST, LONGEST))
        pictures.append(picture)
    return pictures


def photographs(folder: Path) -> list[Picture]:
    found = [p for p in scan(folder).pictures if "masks" not in p.parts]
    return opened([found[i] for i in sorted(np.random.default_rng(0).permutation(len(found))[: MOST["photographs"]])])


def cells(smears: Dataset, name: str) -> list[Picture]:
    """Each cell cut out along its box, square; boxes that overlap by half are one cell, labelled twice."""
    index = (smears.classes or ()).index(name)
    found: list[Picture] = []
    for sample in smears:
        assert sample.path is not None
        assert sample.boxes is not None
        with Image.open(sample.path) as image:
            picture = image.convert("RGB")
        taken: list[tuple[float, float, float]] = []
        for x1, y1, x2, y2 in sample.boxes[sample.box_labels == index].tolist():
            x, y, half = (x1 + x2) / 2, (y1 + y2) / 2, max(x2 - x1, y2 - y1) / 2
            inside = half >= 20 and min(x, y) >= half and x + half <= picture.width and y + half <= picture.height
            if inside and all(max(abs(x - u), abs(y - v)) > r for u, v, r in taken):
                taken.append((x, y, half))
                found.append(picture.crop((int(x - half), int(y - half), int(x + half), int(y + half))))
    return [found[i] for i in np.random.default_rng(0).permutation(len(found))[: MOST["cells"]]]


def bits_and_details(a: rule.Looks, b: rule.Looks) -> tuple[np.ndarray, np.ndarray]:
    """[A, B] each: bits that differ, and the correlation, both ways, of pairs within the largest number of bits."""
    bits = rule.ones(a.bits[:, None] ^ b.bits[None])
    most, rule.CANDIDATE = rule.CANDIDATE, max(BITS)
    details = np.full(bits.shape, -1.0)
    for x, y, turned in ((a, b, False), (b, a, True)):
        for i, others, how in rule.alike(x, y, min(LEAST), enough=1):
            at = (others, i) if turned else (i, others)
            details[at] = np.maximum(details[at], how)
    rule.CANDIDATE = most
    return bits, details


class Half:
    """What was measured on one half: of copies and of different pictures bits and correlation, by kind and set."""

    def __init__(self) -> None:
        self.copies: dict[str, list[tuple[int, float]]] = {kind: [] for kind in COPIES}
        self.others: dict[str, list[tuple[int, float]]] = {}
        self.pairs: dict[str, int] = {}

    def missed(self, bits: int, least: float) -> dict[str, float]:
        return {
            kind: float(np.mean([not (b <= bits and d >= least) for b, d in rows]))
            for kind, rows in self.copies.items()
        }

    def false_alarms(self, bits: int, least: float) -> dict[str, int]:
        return {name: sum(b <= bits and d >= least for b, d in rows) for name, rows in self.others.items()}


def measure(halves: list[Half], name: str, pictures: list[Picture], sheet: Path | None) -> None:
    for side, half in enumerate(halves):
        mine = pictures[side::2]
        own = seen(mine)
        bits, details = bits_and_details(own, own)
        i, j = np.triu_indices(len(mine), 1)
        near = bits[i, j] <= max(BITS)
        half.pairs[name] = len(i)
        half.others[name] = list(zip(bits[i, j][near].tolist(), details[i, j][near].tolist(), strict=True))
        rng = np.random.default_rng(side)
        for kind, change in COPIES.items():
            copied = seen([change(p, rng) for p in mine])
            for k in range(len(mine)):
                one = rule.Looks(own.bits[k : k + 1], own.small[k : k + 1], own.at[:1], ())
                other = rule.Looks(copied.bits[k : k + 1], copied.small[k : k + 1], own.at[:1], ())
                b, d = bits_and_details(one, other)
                half.copies[kind].append((int(b[0, 0]), float(d[0, 0])))
        if sheet is not None:
            found = [
                (a, b)
                for a, b in zip(i, j, strict=True)
                if bits[a, b] <= rule.CANDIDATE and details[a, b] >= rule.ALIKE
            ]
            for a, b in sorted(found, key=lambda pair: -details[pair]):
                both = Image.new("RGB", (512, 256))
                for at, p in ((0, mine[a]), (256, mine[b])):
                    both.paste(p.resize((256, 256)), (at, 0))
                both.save(sheet / f"{name}-{side}-{details[a, b]:.2f}-{bits[a, b]}.jpg")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="the folder with the sets")
    parser.add_argument("--json", type=Path, help="also write the figures there")
    parser.add_argument("--sheet", type=Path, help="folder for what was found among different pictures")
    args = parser.parse_args()
    if args.sheet is not None:
        args.sheet.mkdir(parents=True, exist_ok=True)
    halves = [Half(), Half()]
    smears = load_dataset(args.data / "bccd-voc", split="all")
    for name, folder in {**PHOTOGRAPHS, **SCENES}.items():
        measure(halves, name, photographs(args.data / folder), args.sheet)
    for name, which in CELLS.items():
        measure(halves, name, cells(smears, which), args.sheet)
    rows = []
    print("bits least | choosing half: false alarms, missed copies | judging half: false alarms, missed copies")
    for bits in BITS:
        for least in (*LEAST, None):
            row: dict[str, object] = {"bits": bits, "least": least}
            for which, half in zip(("choosing", "judging"), halves, strict=True):
                limit = -2.0 if least is None else least
                missed = half.missed(bits, limit)
                row[which] = {
                    "false_alarms": sum(half.false_alarms(bits, limit).values()),
                    "pairs": sum(half.pairs.values()),
                    "missed": float(np.mean([m for kind, m in missed.items() if kind not in BEYOND])),
                }
            rows.append(row)
            told = " | ".join(f"{r['false_alarms']:5} {r['missed']:7.2%}" for r in (row["choosing"], row["judging"]))  # type: ignore[index]
            print(f"{bits:4} {'-' if least is None else least:5} | {told}")
    judged = {
        "limits": {"bits": rule.CANDIDATE, "least": rule.ALIKE},
        "missed": halves[1].missed(rule.CANDIDATE, rule.ALIKE),
        "false_alarms": halves[1].false_alarms(rule.CANDIDATE, rule.ALIKE),
        "pairs": halves[1].pairs,
        "missed_by_8_bits": halves[1].missed(8, -2.0),
        "false_alarms_by_8_bits": halves[1].false_alarms(8, -2.0),
        "clips": {name: neighbours(args.data / folder) for name, folder in CLIPS.items()},
    }
    print(json.dumps(judged, indent=2))
    if args.json is not None:
        args.json.write_text(json.dumps({"rows": rows, "judged": judged}, indent=2) + "\n")


def neighbours(folder: Path) -> dict[str, float]:
    """Of pictures that follow one another in a clip, the share found; and of pictures of different clips."""
    paths = sorted((p for p in scan(folder).pictures if "masks" not in p.parts), key=lambda p: p.name)
    own = seen(opened(paths))
    bits, details = bits_and_details(own, own)
    same = (bits <= rule.CANDIDATE) & (details >= rule.ALIKE)
    clip = [p.name.split("_")[0] for p in paths]
    follows = [i for i in range(len(paths) - 1) if clip[i] == clip[i + 1]]
    other = np.array([[a != b for b in clip] for a in clip])
    return {
        "neighbours": len(follows),
        "found": float(np.mean([same[i, i + 1] for i in follows])),
        "found_by_8_bits": float(np.mean([bits[i, i + 1] <= 8 for i in follows])),
        "of_other_clips": int((same & other).sum()) // 2,
        "of_other_clips_by_8_bits": int(((bits <= 8) & other).sum()) // 2,
    }


if __name__ == "__main__":
    main()
