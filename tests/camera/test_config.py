"""One TOML says everything; a wrong key or value is refused by name, and passwords are never repeated."""

import re
from pathlib import Path

import pytest
from pydantic import BaseModel

from edgekit.camera.config import CameraConfig, load_config, parse_config
from edgekit.errors import UsageError

ROOT = Path(__file__).parents[2]


def test_the_defaults_are_a_configuration() -> None:
    config = load_config(None)
    assert config.web.host == "127.0.0.1"
    assert not config.web.enabled
    assert config.store.folder is None
    assert config.device


def test_the_shipped_example_is_valid_and_names_only_real_keys() -> None:
    config = load_config(ROOT / "export" / "deploy" / "hive.toml")
    assert config.visits.labels == ("hornet",)
    assert config.store.folder is not None
    assert config.zones


def test_every_key_and_its_default_is_documented() -> None:
    reference = (ROOT / "docs" / "camera.md").read_text()
    for name, field in CameraConfig.model_fields.items():
        table = field.annotation
        if isinstance(table, type) and issubclass(table, BaseModel):
            for key, inner in table.model_fields.items():
                default = inner.default
                row = re.search(rf"^\| `{name}\.{key}` \| ([^|]+) \|", reference, re.MULTILINE)
                assert row, f"{name}.{key}"
                if isinstance(default, (int, float)) and not isinstance(default, bool):
                    assert float(row[1]) == default, f"{name}.{key}"
        else:
            assert f"`{name}`" in reference or f"[[{name}]]" in reference or f"[{name}." in reference


@pytest.mark.parametrize(
    ("text", "got", "fix"),
    [
        ("camra = 'x'", "unknown key camra", "did you mean camera?"),
        ("[sorce]\nuri = '0'", "unknown key sorce", "did you mean source?"),
        ("[source]\nurl = '0'", "unknown key source.url", "did you mean uri?"),
        ("[labels.hornet]\nminscore = 1", "unknown key labels.hornet.minscore", "did you mean min_score?"),
        (
            "[[zones]]\nname = 'a'\npoint = [[0, 0]]\npoints = [[0, 0], [0, 1], [1, 1]]",
            "unknown key zones.0.point",
            "did you mean points?",
        ),
        ("[web]\nzzz = 1", "unknown key web.zzz", "remove web.zzz"),
    ],
)
def test_an_unknown_key_names_the_nearest(text: str, got: str, fix: str) -> None:
    with pytest.raises(UsageError, match="^mine is not a camera's configuration") as caught:
        parse_config(text, "mine")
    assert (caught.value.got, caught.value.fix) == (got, fix)


@pytest.mark.parametrize(
    "text",
    [
        "[web]\nport = 70000",
        "[source]\nopen_timeout = 0",
        "[model]\ntiles = [0, 1]",
        "[thermal]\nlimits = [80, 75]\nfps = [2, 1]",
        "[thermal]\nlimits = [75]\nfps = [5, 2]",
        "[[zones]]\nname = 'a'\npoints = [[0, 0], [0, 1]]",
        "[[zones]]\nname = 'a'\npoints = [[0, 0], [0, 1], [2, 1]]",
        "[visits]\nmin_score = 1.5",
        "camera = ''",
        "[track]\nhits = 0",
    ],
)
def test_a_bad_value_is_refused(text: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_config(text, "mine")
    assert caught.value.got
    assert caught.value.expected


def test_every_key_can_be_set_on_the_command_line() -> None:
    config = parse_config(
        "[web]\nport = 1",
        "mine",
        [
            "web.port=8090",
            "source.uri=0",
            "visits.labels=['hornet']",
            "store.folder=/var/hive",
            "labels.bee.threshold=0.4",
        ],
    )
    assert (config.web.port, config.source.uri, config.visits.labels) == (8090, "0", ("hornet",))
    assert config.store.folder == Path("/var/hive")
    assert config.labels["bee"].threshold == 0.4


@pytest.mark.parametrize("change", ["web.port", "=1", "web.port.x=1", "web.prt=1"])
def test_a_wrong_change_is_refused(change: str) -> None:
    with pytest.raises(UsageError):
        parse_config("[web]\nport = 1", "mine", [change])


def test_a_refused_secret_is_not_repeated() -> None:
    with pytest.raises(UsageError) as caught:
        parse_config("[web]\ntoken = ['pssst']", "mine")
    assert "pssst" not in str(caught.value)


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot be read"):
        load_config(tmp_path / "absent.toml")
    with pytest.raises(UsageError, match="^mine is not TOML"):
        parse_config("a =", "mine")


def test_a_configuration_is_frozen_and_every_number_has_its_range() -> None:
    with pytest.raises(Exception, match="frozen"):
        CameraConfig().camera = "x"  # type: ignore[misc]
