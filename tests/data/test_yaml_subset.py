"""The small YAML reader says what PyYAML says, or refuses."""

import pytest

from edgekit.data.layouts.yaml_subset import Value, YamlError, sections, value

READ = [
    "names: [\"a\", 'b, c', d e]\nnc: 3",
    'names:\n  0: person\n  1: "bi: cycle" # x\ntrain: ../train/images',
    "names:\n- a\n- b # c\nval: x",
    "names: {0: a, 1: b b}\n",
    "names: [\n  a,\n  b,\n]\npath: .",
    "names: [\na,\nb\n]\npath: .",
    "names:\n  [a,\n b]\nval: y",
    "names: [it's, b]\ntrain: C:/x/y",
    'names: [a:b, "c\\"d"]',
    "train: # t\n  - a/b\n  - c",
    'names: ["#1", a#b]',
    "names: ['it''s', x]",
    "names: []",
    'path: "/a b/c"\ntrain: images/train  # 128 images',
    "---\n# comment\nnames: ['asian hornet']\n\nval: v",
    "names: [Bees, Hornets]\ndownload: |\n  import os\n  x = [1",
    "names: [a]\nroboflow:\n  workspace: w\n  url: http://a.b/c",
    "train: a (b) [c].txt\nnames: [a]",
]
REFUSED = [
    "names:\n  0: a\n  0: b",
    "names: [a, [b]]",
    "names: [a, b",
    "names:\n  - a\n    - b",
    "names: *anchor",
    "names: |\n  a",
    '{"names": ["a"]}',
    "names: [a]\nnames: [b]",
    "just words",
    'names: ["\\x41"]',
]
WANTED = ("names", "nc", "train", "val", "path")


def strings(found: object) -> object:
    """PyYAML makes numbers of 3 and 0; here all is text."""
    if isinstance(found, dict):
        return {str(k): str(v) for k, v in found.items()}
    return [str(v) for v in found] if isinstance(found, list) else str(found)


@pytest.mark.parametrize("text", READ)
def test_what_it_reads_is_what_pyyaml_reads(text: str) -> None:
    yaml = pytest.importorskip("yaml", reason="PyYAML is not installed: nothing to compare with")
    parts = sections(text)
    found: dict[str, Value] = {key: value(parts[key]) for key in WANTED if key in parts}
    assert found == {key: strings(v) for key, v in yaml.safe_load(text).items() if key in WANTED}
    assert found


@pytest.mark.parametrize("text", REFUSED)
def test_what_it_does_not_read_it_refuses(text: str) -> None:
    with pytest.raises(YamlError):
        {key: value(part) for key, part in sections(text).items()}


def test_lines_are_named() -> None:
    with pytest.raises(YamlError, match="line 2: no key here"):
        sections("names: [a]\nno key here")
