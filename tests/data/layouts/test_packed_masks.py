"""Masks within label files: packed PNGs, runs, brushes, polygons with holes, and Kaggle's tables of runs."""

from __future__ import annotations

import base64
import io
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from edgekit.data import load_dataset
from edgekit.data.layouts.files.packed import brushed, placed, png_mask
from tests.data.layouts.made import labelme, text
from tests.data.layouts.test_mask_kinds import CLASSES, KEYS, SIZE, check, of_class, picture, truth


def supervisely(root: Path, objects: Any) -> None:
    names = [{"title": name, "shape": "any"} for name in CLASSES[1:]]
    text(root / "meta.json", {"classes": names, "tags": []})
    for key in KEYS:
        picture(root / "ds" / "img" / f"{key}.png")
        size = {"height": SIZE[0], "width": SIZE[1]}
        text(root / "ds" / "ann" / f"{key}.png.json", {"size": size, "objects": objects(key), "tags": []})


def test_superviselys_bitmaps(tmp_path: Path) -> None:
    def bitmaps(key: str) -> list[dict[str, Any]]:
        made = []
        for name in CLASSES[1:]:
            ys, xs = np.nonzero(of_class(key, name))
            part = of_class(key, name)[ys.min() : ys.max() + 1, xs.min() : xs.max() + 1]
            stream = io.BytesIO()
            Image.fromarray(part).save(stream, "PNG")
            data = base64.b64encode(zlib.compress(stream.getvalue())).decode()
            bitmap = {"data": data, "origin": [int(xs.min()), int(ys.min())]}
            made.append({"classTitle": name, "geometryType": "bitmap", "bitmap": bitmap})
        return made

    supervisely(tmp_path, bitmaps)
    check(tmp_path)


def test_a_polygon_with_a_hole(tmp_path: Path) -> None:
    points = {"exterior": [[4, 4], [30, 4], [30, 20], [4, 20]], "interior": [[[10, 8], [20, 8], [20, 14], [10, 14]]]}
    supervisely(tmp_path, lambda key: [{"classTitle": "bee", "geometryType": "polygon", "points": points}])
    wanted = np.zeros(SIZE, int)
    wanted[4:20, 4:30] = 1
    wanted[8:14, 10:20] = 0
    data = load_dataset(tmp_path, CLASSES, truth="masks")
    np.testing.assert_array_equal(data.samples[0].read_mask(), wanted)


def packed_png(mask: NDArray[np.bool_]) -> str:
    stream = io.BytesIO()
    Image.fromarray(mask).save(stream, "PNG")
    return base64.b64encode(stream.getvalue()).decode()


def cut_out(mask: NDArray[np.bool_]) -> tuple[int, int, NDArray[np.bool_]]:
    ys, xs = np.nonzero(mask)
    return int(xs.min()), int(ys.min()), mask[ys.min() : ys.max() + 1, xs.min() : xs.max() + 1]


def test_labelmes_masks(tmp_path: Path) -> None:
    for key in KEYS:
        picture(tmp_path / f"{key}.png")
        shapes = []
        for name in CLASSES[1:]:
            x, y, part = cut_out(of_class(key, name))
            points = [[float(x), float(y)], [float(x + part.shape[1] - 1), float(y + part.shape[0] - 1)]]
            shapes.append({"label": name, "points": points, "shape_type": "mask", "mask": packed_png(part)})
        text(tmp_path / f"{key}.json", labelme(key) | {"shapes": shapes, "imageWidth": SIZE[1], "imageHeight": SIZE[0]})
    check(tmp_path)
    boxes = np.asarray(load_dataset(tmp_path).samples[0].boxes)
    np.testing.assert_array_equal(boxes, [[2, 4, 12, 12], [20, 14, 30, 20]])


def test_cvats_masks(tmp_path: Path) -> None:
    images = []
    for number, key in enumerate(KEYS):
        picture(tmp_path / "images" / f"{key}.png")
        masks = ""
        for name in CLASSES[1:]:
            x, y, part = cut_out(of_class(key, name))
            flat = np.concatenate([[False], part.reshape(-1)])
            ends = np.append(np.flatnonzero(flat[1:] != flat[:-1]), part.size)
            rle = ", ".join(map(str, np.diff(np.concatenate([[0], ends]))))
            where = f'left="{x}" top="{y}" width="{part.shape[1]}" height="{part.shape[0]}"'
            masks += f'<mask label="{name}" rle="{rle}" {where} z_order="0"></mask>'
        images.append(f'<image id="{number}" name="{key}.png" width="{SIZE[1]}" height="{SIZE[0]}">{masks}</image>')
    text(tmp_path / "annotations.xml", f"<annotations><version>1.1</version>{''.join(images)}</annotations>")
    check(tmp_path)


def rle_pack(values: NDArray[np.uint8]) -> list[int]:
    """thi.ng's rle-pack of bytes: counts of 3, 4, 8 or 16 bits, runs and single values in turns."""
    sizes = (3, 4, 8, 16)
    bits = f"{len(values):032b}{7:05b}" + "".join(f"{size - 1:04b}" for size in sizes)
    at = 0
    while at < len(values):
        same = np.flatnonzero(values[at:] != values[at])
        n = min(int(same[0]) if len(same) else len(values) - at, 1 << 16)
        kind = next(i for i, size in enumerate(sizes) if n - 1 < 1 << size)
        repeated = n > 1
        bits += f"{int(repeated)}{kind:02b}" + format(n - 1, f"0{sizes[kind]}b") + f"{int(values[at]):08b}"
        at += n
    bits += "0" * (-len(bits) % 8)
    return [int(bits[i : i + 8], 2) for i in range(0, len(bits), 8)]


def test_label_studios_brush(tmp_path: Path) -> None:
    tasks: list[dict[str, Any]] = []
    for key in KEYS:
        picture(tmp_path / f"{key}.png")
        results = []
        for name in CLASSES[1:]:
            rgba = np.repeat(255 * of_class(key, name).reshape(-1).astype(np.uint8), 4)
            value = {"format": "rle", "rle": rle_pack(rgba), "brushlabels": [name]}
            sizes = {"original_width": SIZE[1], "original_height": SIZE[0]}
            results.append({**sizes, "type": "brushlabels", "value": value})
        tasks.append({"data": {"image": f"/data/upload/1/{key}.png"}, "annotations": [{"result": results}]})
    text(tmp_path / "project.json", tasks)
    check(tmp_path)
    boxes = np.asarray(load_dataset(tmp_path).samples[0].boxes)
    np.testing.assert_allclose(boxes, [[2, 4, 12, 12], [20, 14, 30, 20]], atol=1e-5)
    value = tasks[0]["annotations"][0]["result"][0]["value"]
    value["rle"] = value["rle"][:9]
    text(tmp_path / "project.json", tasks)
    assert [sample.name for sample in load_dataset(tmp_path, CLASSES, truth="masks")] == ["b.png"]


def test_darwins_polygons_with_a_hole(tmp_path: Path) -> None:
    outer, inner = [(4, 4), (30, 4), (30, 20), (4, 20)], [(10, 8), (20, 8), (20, 14), (10, 14)]
    paths = [[{"x": float(x), "y": float(y)} for x, y in ring] for ring in (inner, outer)]
    for key in KEYS:
        picture(tmp_path / "images" / f"{key}.png")
        one = {"name": "bee", "bounding_box": {"x": 4, "y": 4, "w": 26, "h": 16}, "polygon": {"paths": paths}}
        item = {"name": f"{key}.png", "slots": [{"width": SIZE[1], "height": SIZE[0]}]}
        text(tmp_path / "annotations" / f"{key}.json", {"version": "2.0", "item": item, "annotations": [one]})
    wanted = np.zeros(SIZE, int)
    wanted[4:20, 4:30] = 1
    wanted[8:14, 10:20] = 0
    data = load_dataset(tmp_path, CLASSES, truth="masks")
    np.testing.assert_array_equal(data.samples[0].read_mask(), wanted)


def test_a_bomb_and_other_bytes_are_no_masks() -> None:
    whole = packed_png(truth("a") > 0)
    assert png_mask(whole) is not None
    head = bytearray(base64.b64decode(whole))
    head[16:24] = (60_000).to_bytes(4, "big") * 2  # as wide and as high
    head[29:33] = zlib.crc32(head[12:29]).to_bytes(4, "big")
    bomb = base64.b64encode(zlib.compress(bytes(1 << 28))).decode()
    for data, deflated in ((base64.b64encode(head).decode(), False), (bomb, True), ("%", False), (whole[:40], False)):
        assert png_mask(data, deflated=deflated) is None
    assert brushed([255] * 40, 8, 8) is None
    assert brushed([300], 8, 8) is None
    assert placed(np.ones((3, 3), bool), 6, 0, (8.0, 8.0)) is None
    assert placed(np.ones((3, 3), bool), 0, 0, (float("inf"), 8.0)) is None


def kaggles(mask: NDArray[np.bool_]) -> str:
    flat = np.concatenate([[0], mask.T.reshape(-1).astype(int), [0]])
    ends = np.flatnonzero(np.diff(flat)) + 1
    return " ".join(f"{a} {b - a}" for a, b in zip(ends[::2], ends[1::2], strict=True))


@pytest.mark.parametrize("header", ["ImageId,ClassId,EncodedPixels", "Image_Label,EncodedPixels", "id,class,rle"])
def test_kaggles_runs(tmp_path: Path, header: str) -> None:
    rows = [header]
    for key in KEYS:
        picture(tmp_path / "train_images" / f"{key}.png")
        for name in CLASSES[1:]:
            cells = (f"{key}.png_{name}",) if "_" in header else (f"{key}.png", name)
            rows.append(",".join((*cells, kaggles(of_class(key, name)))))
        rows.append(",".join((*((f"{key}.png_fly",) if "_" in header else (f"{key}.png", "fly")), "")))
    text(tmp_path / "train.csv", "\n".join(rows))
    check(tmp_path)
    boxed = load_dataset(tmp_path, CLASSES, "all")
    np.testing.assert_array_equal(np.asarray(boxed.samples[1].boxes), [[5, 4, 15, 12], [20, 14, 30, 20]])
    beyond = rows[1].rpartition(",")[0] + f",{SIZE[0] * SIZE[1]} 9"
    text(tmp_path / "train.csv", "\n".join([header, beyond, *rows[2:]]))
    data = load_dataset(tmp_path, CLASSES, "all")
    assert [sample.name for sample in data] == ["train_images/b.png"]


def test_numbers_that_no_picture_has_leave_it_out(tmp_path: Path) -> None:
    """Beyond every float, and beyond every integer of 64 bits."""
    good = '<mask label="bee" rle="0, 4" left="1" top="1" width="2" height="2"/>'
    bad = good.replace('left="1"', 'left="1e999"')
    images = [
        f'<image name="{key}.png" width="40" height="24">{m}</image>' for key, m in zip(KEYS, (bad, good), strict=True)
    ]
    points = {"exterior": [[4, 4], [1e999, 4], [30, 20]], "interior": []}
    far = f"a.png,bee,{10**30} 2"
    for kind in ("cvat", "supervisely", "kaggle"):
        root = tmp_path / kind
        for key in KEYS:
            picture(root / "img" / f"{key}.png")
        if kind == "cvat":
            text(root / "annotations.xml", f"<annotations><version>1.1</version>{''.join(images)}</annotations>")
        elif kind == "supervisely":
            for key, name in zip(KEYS, ("polygon", "rectangle"), strict=True):
                own = points if name == "polygon" else {"exterior": [[1, 1], [5, 5]], "interior": []}
                one = {"classTitle": "bee", "geometryType": name, "points": own}
                text(root / "ann" / f"{key}.png.json", {"size": {"height": 24, "width": 40}, "objects": [one]})
        else:
            text(root / "train.csv", f"ImageId,ClassId,EncodedPixels\n{far}\nb.png,bee,3 2\n")
        data = load_dataset(root, ("background", "bee"), "all", truth="masks")
        assert [Path(sample.name).name for sample in data] == ["b.png"], kind
        assert any("left out" in note and "a.png" in note for note in data.notes), kind
