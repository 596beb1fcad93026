"""YAML is read as PyYAML's BaseLoader reads it, or refused with its line before it costs memory or time."""

from __future__ import annotations

import sys
import time
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from edgekit.errors import BackendError
from edgekit.reading import RefusedError
from edgekit.reading.yaml_ import load_yaml

READ = {
    "a list in quotes": "names: [\"a\", 'b, c', d e]\nnc: 3",
    "a mapping with comments": 'names:\n  0: person\n  1: "bi: cycle" # x\ntrain: ../train/images',
    "a list of lines": "names:\n- a\n- b # c\nval: x",
    "a mapping in braces": "names: {0: bee, 1: b b}\n",
    "brackets over lines": "names: [\n  a,\n  b,\n]\npath: .",
    "an apostrophe and a drive": "names: [it's, b]\ntrain: C:/x/y",
    "colons and escapes": 'names: [a:b, "c\\"d", "\\x41\\u00e9"]',
    "hashes": 'names: ["#1", a#b]\ntrain: images/train  # 128 pictures',
    "doubled quotes": "names: ['it''s', x]",
    "nothing": "names: []\ntest:\nval: ~\ntrain: null",
    "a document's marks": "---\n# a set\nnames: ['asian hornet']\n...\n",
    "a script": "names: [Bees]\ndownload: |\n  import os\n  x = [1\n  # no comment\n\ntrain: x",
    "folded text": "description: >-\n  hives\n  in May\nnames: [a]",
    "nested tables": "names: [a]\nroboflow:\n  workspace: w\n  tags: [{a: b}, [c]]\n  url: http://a.b/c",
    "brackets in a path": "train: a (b) [c].txt\nnames: [a]",
    "all in braces": '{"names": ["a"], "nc": 1}',
    "an anchor": "train: &here images/train\nval: *here\nnames: &n [a, b]\nold: *n",
    "words that look like values": "names: [no, yes, 1.10, 007, 2024-01-01, null, 1e3]",
    "tags": "names: !!seq [!!str 1, !mine b]",
    "a merge key": "a: &a {x: 1}\nb:\n  <<: *a",
    "long key": "? names\n: - a\n  - b",
    "Windows' line ends": "names:\r\n- a\r\n- b\r\n",
    "letters of others": "names: ['Фея', '蜜蜂', 'Hornisse ü', '🐝']",
    "no text at all": "",
    "only a comment": "# names: [a]\n",
    "a word": "just words",
}
REFUSED = {
    "names:\n  0: a\n  0: b": "line 3: the key '0' for the second time",
    "names: [a]\nnames: [b]": "line 2: the key 'names'",
    "{a: 1, a: 2}": "line 1: the key 'a'",
    "names: [a, b": "line 1: ",
    "names:\n  - a\n    - b\n  c: d": "line 4: ",
    "names: [a]\nno key here": "line 2: ",
    "names:\n\t- a": "line 2: ",
    "names: *nobody": "line 1: \\*nobody stands for nothing",
    "names: &a [b, *a]": "stands for nothing that came before",
    "a: &x 1\nb: &x 2": "line 2: the anchor &x for the second time",
    "[a]: b": "line 1: a key that is a list",
    "a: 1\n---\na: 2": "line 2: a second document",
    'names: ["\\xzz"]': "line 1: ",
    'names: ["\\UFFFFFFFF"]': "no character",
    'names: ["\\U00110000"]': "chr",
    'names: ["\\ud800"]': "half of a character",
    "names: [\x00]": "#x0000",
    "%YAML 2.0\n---\na: b": "line 1: ",
    "%YAML " + "9" * 5000 + ".1\n---\na": ".",
    "a: !<%E0> b": "line 1: ",
}


def of_base_loader(text: str) -> Any:
    """What PyYAML itself makes of it."""
    found = yaml.load(text, Loader=yaml.BaseLoader)
    return "" if found is None else found


@pytest.mark.parametrize("text", READ.values(), ids=list(READ))
def test_it_reads_what_pyyaml_reads(text: str) -> None:
    assert load_yaml(text) == of_base_loader(text)


@pytest.mark.parametrize(("text", "message"), REFUSED.items(), ids=[t[:20] for t in REFUSED])
def test_what_is_wrong_is_told_with_its_line(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        load_yaml(text)


_TEXTS = st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"]), max_size=8)
_VALUES = st.recursive(
    _TEXTS, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(_TEXTS, inner, max_size=4), max_leaves=12
)


@settings(max_examples=100, deadline=None)
@given(_VALUES, st.sampled_from([None, True, False]))
def test_what_pyyaml_writes_is_read_back(value: Any, flow: bool | None) -> None:
    text = yaml.dump(value, Dumper=yaml.Dumper, default_flow_style=flow, allow_unicode=True)
    assert load_yaml(text) == value


LAUGHS = "a: &a [x, x]\n" + "".join(
    f"{c}: &{c} [{', '.join([f'*{p}'] * 9)}]\n" for p, c in zip("abcdefghi", "bcdefghij", strict=True)
)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (LAUGHS, "100000"),
        ("a: &a [x]\n" + "".join(f"k{i}: *a\n" for i in range(60_000)), "100000"),
        ("names: [" + "a," * 200_000 + "]", "100000"),
        ("[" * 100_000, "64 deep"),
        ("- " * 100_000, "64 deep"),
        ("? " * 100_000, "64 deep"),
        ("{a: " * 100_000, "64 deep"),
        ("#" * 1_000_001, "1 MB"),
    ],
    ids=["laughs", "aliases", "list", "brackets", "dashes", "keys", "braces", "size"],
)
def test_what_would_cost_memory_or_time_is_refused_at_once(text: str, message: str) -> None:
    began = time.process_time()
    with pytest.raises(RefusedError, match=message):
        load_yaml(text)
    assert time.process_time() - began < 10  # 2 s at the most on an idle core


def test_what_is_below_the_limits_is_read() -> None:
    assert len(load_yaml("names:\n" + "".join(f"  {i}: class {i}\n" for i in range(21_841)))["names"]) == 21_841
    assert load_yaml("[" * 64 + "]" * 64)


def test_without_pyyaml_the_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "yaml", None)
    with pytest.raises(BackendError, match="PyYAML") as caught:
        load_yaml("a: b")
    assert "pip install 'pyyaml" in str(caught.value.fix)
    assert caught.value.exit_code == 5
