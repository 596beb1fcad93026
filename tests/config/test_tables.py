"""Whatever is read from TOML is refused in the same words: targets, recipes, suites and cameras."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from edgekit.benchmark.suite import SUITES
from edgekit.camera.config import CONFIGURATIONS
from edgekit.cli.shared.options import read_preprocess
from edgekit.config.recipe import RECIPES
from edgekit.config.tables import Kind
from edgekit.config.target import TARGETS
from edgekit.errors import UsageError

KINDS: dict[str, Kind[Any]] = {k.called: k for k in (TARGETS, RECIPES, SUITES, CONFIGURATIONS)}
every_kind = pytest.mark.parametrize("kind", KINDS.values(), ids=list(KINDS))


@every_kind
def test_a_file_that_is_not_there_or_not_text(kind: Kind[Any], tmp_path: Path) -> None:
    binary = tmp_path / "b.toml"
    binary.write_bytes(b"\xff\xfe\x00")
    for path, got in ((tmp_path / "absent.toml", "No such file or directory"), (binary, "")):
        with pytest.raises(UsageError, match=f"cannot be read as {kind.called}") as caught:
            kind.read(path)
        assert got in str(caught.value.got)
        assert "a TOML file" in str(caught.value.expected)


@every_kind
def test_what_is_no_toml_is_told_where(kind: Kind[Any]) -> None:
    with pytest.raises(UsageError, match="^mine is not TOML") as caught:
        kind.parse("x = 1\nname = \ny = 2", "mine")
    assert "line 2" in str(caught.value.got)
    assert caught.value.expected == "key = value lines"


@every_kind
def test_a_misspelt_key_wins_over_what_is_missing_or_wrong(kind: Kind[Any]) -> None:
    key = next(iter(kind.model.model_fields))
    with pytest.raises(UsageError, match=f"^mine is not {kind.called}") as caught:
        kind.parse(f"{key}x = 1", "mine")
    assert (caught.value.got, caught.value.fix) == (f"unknown key {key}x", f"did you mean {key}?")
    assert key in str(caught.value.expected)


@every_kind
def test_set_names_the_nearest_key(kind: Kind[Any]) -> None:
    key = next(iter(kind.model.model_fields))
    with pytest.raises(UsageError, match=f"unknown key: {key}x") as caught:
        kind.parse("", "mine", [f"{key}x=1"])
    assert caught.value.fix == f"did you mean {key}?"
    with pytest.raises(UsageError, match="a key and a value") as caught:
        kind.parse("", "mine", [key])
    assert caught.value.fix == f"--set {kind.example}"


@pytest.mark.parametrize(
    ("kind", "text", "got"),
    [
        (TARGETS, 'name="x"\ndescription="x"\nopset=20\nruntimes=["onnxruntime"]\nprecisions=["fp16"]\n'
         "[gate.fp32]\nmax_abs=1\ntop1_agreement=1", "values that contradict each other"),
        (RECIPES, 'name="x"\n[schedule]\nepochs=3\nfreeze_epochs=4', "values of [schedule] that contradict each other"),
        (CONFIGURATIONS, "[thermal]\nlimits=[75]", "values of [thermal] that contradict each other"),
    ],
)  # fmt: skip
def test_of_a_rule_over_several_keys_only_the_rule_is_told(kind: Kind[Any], text: str, got: str) -> None:
    with pytest.raises(UsageError) as caught:
        kind.parse(text, "mine")
    assert caught.value.got == got
    assert caught.value.expected
    assert "Value error" not in str(caught.value)


@pytest.mark.parametrize(
    ("kind", "change", "said"),
    [
        (CONFIGURATIONS, "web.port=many", "web.port"),
        (CONFIGURATIONS, "web.port=70000", "less than or equal to 65535"),
        (CONFIGURATIONS, "web.port.x=1", "nothing below web.port"),
        (CONFIGURATIONS, "source=0", "source.uri"),
        (CONFIGURATIONS, "labels.bee.treshold=0.4", "did you mean threshold?"),
        (RECIPES, "input.size=5", "greater than or equal to 8"),
        (RECIPES, "schedule.epochs=[1", "integer"),
    ],
)
def test_set_says_what_is_wrong(kind: Kind[Any], change: str, said: str) -> None:
    with pytest.raises(UsageError, match="--set") as caught:
        kind.parse("", "mine", [change])
    assert said in str(caught.value)


def test_set_is_typed_by_the_model_whatever_the_text_looks_like() -> None:
    changes = ["source.uri=0", "camera=7", "model.crops=true", "store.folder=none", "zones=[]", "thermal={dwell=1}"]
    config = CONFIGURATIONS.parse("[store]\nfolder='x'", "mine", changes)
    assert (config.source.uri, config.camera, config.model.crops) == ("0", "7", True)
    assert config.store.folder is None
    assert config.zones == ()
    assert config.thermal.dwell == 1


def test_a_value_of_two_types_is_told_without_the_types() -> None:
    with pytest.raises(UsageError) as caught:
        RECIPES.parse('name = "x"\n[input]\nsize = 5', "mine")
    assert caught.value.got == "input.size = 5"


def test_a_preprocessing_table_has_the_same_words(tmp_path: Path) -> None:
    file = tmp_path / "p.toml"
    file.write_text('colour = "rgb"')
    with pytest.raises(UsageError) as caught:
        read_preprocess(file)
    assert (caught.value.got, caught.value.fix) == ("unknown key colour", "did you mean color?")
