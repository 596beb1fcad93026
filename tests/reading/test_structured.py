"""JSON and TOML: what is refused, what is read, and that the look at brackets agrees with the parser."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from edgekit.reading import RefusedError, load_json, load_toml, read_json
from edgekit.reading.structured import _BLOCK, _check_brackets

TEXTS = st.text(st.characters(exclude_categories=["Cs"]))
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**19), 10**19) | st.floats(allow_nan=False, allow_infinity=False)
    | TEXTS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4),
    max_leaves=20,
)  # fmt: skip


@given(VALUES, st.booleans())
@example(-(10**19), False)  # 20 digits; its sign is none
def test_what_python_writes_is_read(value: object, ascii_only: bool) -> None:
    assert load_json(json.dumps(value, ensure_ascii=ascii_only)) == value
    assert load_json(json.dumps(value).encode(), exact=False) == value


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[" * 10**6, "64 deep"),
        ('{"a":' * 65 + "1" + "}" * 65, "64 deep"),
        ("[1e999]", "an infinite number"),
        ("[NaN]", "NaN"),
        ("[-Infinity]", "Infinity"),
        ('{"a": 1, "a": 2}', "second time"),
        ("1" * 21, "20 digits"),
        ('["\\ud800"]', "UTF-8"),
        (b"\xff[]", "UTF-8"),
        ("[" + "{}," * 10**6 + "{}]", "lists and objects"),
        ("[1,]", "line 1"),
        ("", "line 1"),
    ],
)
def test_what_is_refused(text: str | bytes, words: str) -> None:
    began = time.process_time()
    with pytest.raises(ValueError, match=words):
        load_json(text)
    assert time.process_time() - began < 2


def test_as_deep_as_the_limit_says() -> None:
    assert load_json("[" * 64 + "]" * 64)
    assert load_json('"' + "[" * 1000 + '"') == "[" * 1000
    assert load_json(json.dumps(['\\"[[[' * 100])) == ['\\"[[[' * 100]


def test_labels_of_others_may_say_what_json_has_not() -> None:
    """Tools write NaN boxes; those are told with their picture, and not the whole file refused."""
    found = load_json('{"a": NaN, "a": 1e999, "b": 123456789012345678901234567890}', exact=False)
    assert found == {"a": float("inf"), "b": 123456789012345678901234567890}


@pytest.mark.parametrize("shift", range(4))
def test_escapes_at_the_end_of_a_block(shift: int) -> None:
    text = json.dumps(["x" * (_BLOCK - 5 - shift) + '\\\\"' + "[" * 200, [1]])
    assert load_json(text)[1] == [1]
    with pytest.raises(RefusedError):
        _check_brackets(text.encode()[:-1] + b"[" * 64)


def test_as_many_as_coco_has() -> None:
    """train2017 has 860,001 annotations in 448 MB: a list or object for every hundred bytes, and numbers."""
    item = {"id": 1, "image_id": 2, "category_id": 3, "bbox": [1.5, 2.5, 3.5, 4.5], "area": 9.25, "iscrowd": 0,
            "segmentation": [[1.25, 2.5, 3.75, 4.125, 5.5, 6.25]]}  # fmt: skip
    assert len(load_json(json.dumps([item] * 50_000), exact=False)) == 50_000
    _check_brackets(json.dumps([item] * 300_000).encode())


def test_a_file_over_its_limit_names_it(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_bytes(b"[" + b" " * 2000 + b"]")
    assert read_json(tmp_path / "a.json", 10_000) == []
    with pytest.raises(RefusedError, match="2 KB, over edgekit's limit of 1 KB"):
        read_json(tmp_path / "a.json", 1000)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a = " + "[" * 10**5, "deep"),
        ("a = " + "{b = " * 100 + "1" + "}" * 100, "deep"),
        (".".join("a" * 10**5) + " = 1", "100000 parts"),
        ("[" + ".".join("a" * 1000) + "]", "1000 parts"),
        ("a = inf", "finite"),
        ("[t]\na = [1.0, nan]", "finite"),
        ("a = " + "9" * 10**4, "digits"),
        ("a = 100000000000000000000000", "digits"),
        ("a = 1\n" + "#" * 1_000_000, "1 MB"),
        ("a = ", "value"),
    ],
)
def test_toml_that_is_refused(text: str, words: str) -> None:
    began = time.process_time()
    with pytest.raises(ValueError, match=words):
        load_toml(text)
    assert time.process_time() - began < 2


def test_toml_that_is_read() -> None:
    dots = "# " + "." * 200 + "\n"
    many = "x = [" + ", ".join(["0.5"] * 1000) + "]\n"
    assert load_toml(dots + many + 'a.b.c = "1.2.3"\nd = 1979-05-27\n')["a"] == {"b": {"c": "1.2.3"}}
