"""No command lets a name or a note give orders to the terminal."""

import dataclasses
import io
import json
import subprocess
import sys
from pathlib import Path

import pytest
from torch import nn

from edgekit.checkpoints.checkpoint import Checkpoint, save_checkpoint
from edgekit.cli import app
from edgekit.cli.shared.options import next_command, say
from tests.conftest import CLASSES, PICTURES, SPEC, Cli, Outcome

EVIL = "a\x1b[2J\x1b]0;gone\x07\x9bK\u202eb\rc\bd\nok: all verified"
WRITTEN = "a\\x1b[2J\\x1b]0;gone\\x07\\u009bK\\u202eb\\x0dc\\x08d"


def no_control(outcome: Outcome) -> bool:
    return not [c for c in outcome.text if c not in "\n\t" and not c.isprintable()]


def test_a_pictures_name_is_text(cli: Cli, good: Path, pictures: Path, tmp_path: Path) -> None:
    picture = tmp_path / f"{EVIL}.png"
    picture.write_bytes(next(pictures.glob("*.png")).read_bytes())
    outcome = cli("predict", good, picture)
    assert outcome.code == 0, outcome.text
    assert no_control(outcome)
    assert f"{WRITTEN}\\x0aok: all verified.png  " in outcome.out
    assert len(outcome.out.splitlines()) == 1
    outcome = cli("predict", good, picture, "--format", "json")
    assert no_control(outcome)
    assert json.loads(outcome.out)["file"] == str(picture)


def test_a_pictures_name_of_bytes_that_are_no_text(cli: Cli, good: Path, pictures: Path, tmp_path: Path) -> None:
    picture = tmp_path / b"\xff\xfe.png".decode(errors="surrogateescape")
    picture.write_bytes(next(pictures.glob("*.png")).read_bytes())
    call = [sys.executable, "-c", "from edgekit.cli.app import main; main()", "predict", str(good), str(picture)]
    done = subprocess.run(call, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "\\udcff\\udcfe.png" in done.stdout


@pytest.mark.parametrize("words", [("predict", "centernet-tiny", "{}.png"), ("export", "{}.pt"), ("camera", "{}.toml"),
                                   ("camera", "--source", "{}"), ("{}",), ("--{}",)])  # fmt: skip
@pytest.mark.parametrize("debug", [(), ("--debug",)])
def test_errors_say_names_as_text(
    words: tuple[str, ...], debug: tuple[str, ...], cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EDGEKIT_DEBUG", "")  # --debug sets it; taken back at the end
    outcome = cli(*debug, *(word.format(EVIL) for word in words))
    assert outcome.code in (1, 2, 5), outcome.text
    assert no_control(outcome)
    assert "\\x1b[2J" in outcome.err
    if not debug and len(words) > 1:
        assert "\nok: all verified" not in outcome.err


def test_an_unexpected_error_and_lines_of_other_threads(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        say(f"looking at {EVIL}")
        raise ZeroDivisionError(EVIL)

    monkeypatch.setattr(app, "app", fail)  # outside of typer's context, as in a thread
    outcome = cli()
    assert no_control(outcome)
    assert f"looking at {WRITTEN}\\x0aok" in outcome.err
    assert f"ZeroDivisionError: {WRITTEN}" in outcome.err


def test_next_lines_paste(capsys: pytest.CaptureFixture[str]) -> None:
    next_command("printf", "%s", EVIL, "my hive")
    line = capsys.readouterr().err
    assert line.startswith("next: printf")
    done = subprocess.run(["bash", "-c", line.removeprefix("next: ")], capture_output=True, check=True)
    assert done.stdout.decode() == EVIL + "my hive"


def test_a_models_classes_are_text(cli: Cli, net: nn.Module, pictures: Path, tmp_path: Path) -> None:
    spec = dataclasses.replace(SPEC, classes=tuple(f"{name} {EVIL}" for name in CLASSES))
    save_checkpoint(tmp_path / "evil.pt", Checkpoint(spec, net.state_dict()))
    outcome = cli("predict", tmp_path / "evil.pt", pictures)
    assert outcome.code == 0, outcome.text
    assert no_control(outcome)
    assert WRITTEN in outcome.out
    assert len(outcome.out.splitlines()) == PICTURES


def test_a_line_of_an_event_is_text_and_json(monkeypatch: pytest.MonkeyPatch) -> None:
    from edgekit.camera.deliver.lines import Lines

    out = io.StringIO()
    monkeypatch.setattr(sys, "stdout", out)
    Lines(patient=True).deliver({"label": EVIL})
    assert [c for c in out.getvalue() if not c.isprintable()] == ["\n"]
    assert json.loads(out.getvalue()) == {"label": EVIL}
