"""Label files as Windows writes them: UTF-16 is read, and what is no Unicode is told with the place."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgekit.data import load_dataset
from edgekit.errors import DataError
from edgekit.reading import in_utf8
from tests.data.layouts.made import TRUTH, WRITERS, picture, pictures, rows, text, xml
from tests.data.layouts.test_label_files import found


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-be"])
@pytest.mark.parametrize(
    "kind", ["labelimg-txt", "labelimg-xml", "coco-flat", "labelme", "tf-csv", "cvat-xml", "label-studio-json", "kitti"]
)
def test_a_byte_order_mark_says_the_encoding(kind: str, encoding: str, tmp_path: Path) -> None:
    WRITERS[kind](tmp_path)
    wanted = found(tmp_path, split="all")
    for file in (p for p in tmp_path.rglob("*") if p.suffix in (".txt", ".xml", ".json", ".csv")):
        said = file.read_text("utf-8").replace("\n", "\r\n")
        mark = "\ufeff" if encoding == "utf-16-be" else ""
        file.write_bytes((mark + said.replace('encoding="utf-8"', "")).encode(encoding))
    assert found(tmp_path, split="all") == wanted


def test_a_long_file_of_utf_16_is_known_by_its_head(tmp_path: Path) -> None:
    picture(tmp_path / "a.png")
    line = "a.png,bee,10,20,30,50\r\n"
    (tmp_path / "b.csv").write_bytes(
        ("filename,class,xmin,ymin,xmax,ymax\r\n" + line * 20_000 + "a.png,wasp,1,2,3,4").encode("utf-16")
    )
    assert len(load_dataset(tmp_path).samples[0].ground_truth().boxes) == 2  # equal ones are one


def test_what_is_no_unicode_is_told_with_the_place(tmp_path: Path) -> None:
    pictures(tmp_path / "names")
    for key in TRUTH:
        text(tmp_path / "names" / f"{key}.txt", rows(key))
        picture(tmp_path / "xml" / f"{key}.png")
        (tmp_path / "xml" / f"{key}.xml").write_bytes(
            xml(key).replace("<folder>x", "<folder>W\xe4lder").encode("cp1252")
        )
    (tmp_path / "names" / "classes.txt").write_bytes("bee\nK\xf6nigin\n".encode("cp1252"))
    for folder, said in (
        ("names", "byte 5 is 0xf6, which is not UTF-8: save it as UTF-8"),
        ("xml", "0xe4, which is not"),
    ):
        with pytest.raises(DataError, match=said):
            load_dataset(tmp_path / folder)


@pytest.mark.parametrize(
    ("file", "content"),
    [
        ("boxes.jsonl", '{"picture": "a.png", "bbox": []}'),
        ("boxes.ndjson", '{"ID": "a", "gtboxes": []}'),
        ("azure.ndjson", '{"image_url": "a.png", "label": [{"topX": 0.1}]}'),
        ("a.txt", "1 2 3 4 honey bee\n"),
        ("all.txt", "a.png: 1,2,3,4,0;\n"),
    ],
)
def test_labels_that_no_format_reads_are_not_looked_over(file: str, content: str, tmp_path: Path) -> None:
    picture(tmp_path / "images" / "a.png")
    text(tmp_path / "readme.txt", "Taken in 2024, 2025, 2026, 2027")
    assert len(load_dataset(tmp_path)) == 1
    text(tmp_path / "said" / file, content)
    with pytest.raises(DataError, match=file):
        load_dataset(tmp_path)


@pytest.mark.parametrize("torn", [b"\xff\xfeb\0e\0e", b"\xfe\xff\0b\0e\0"])
def test_the_head_of_a_text_may_end_within_a_character_and_a_whole_text_may_not(torn: bytes) -> None:
    assert in_utf8(torn, part=True) == b"be"
    with pytest.raises(UnicodeDecodeError):
        in_utf8(torn)
