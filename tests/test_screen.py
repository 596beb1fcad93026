"""What reaches a terminal: no control characters, no user, password or query of an address."""

import io
import json
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest

from edgekit.errors import EdgekitError
from edgekit.screen import Screen, bare, masked, printable, quoted, screened, shown

CODE = Path(__file__).parents[1] / "edgekit"
# ESC, a title, CR, backspace, bell, DEL, CSI as one character, writing backwards, isolates, a line separator
EVIL = ["\x1b[2J", "\x1b]0;x\x07", "a\rb", "a\bb", "\x00", "\x7f", "\x9b31m", "\u202e", "\u2066", "\u200f", "\u2028"]


@pytest.mark.parametrize("text", EVIL)
def test_control_characters_are_written_out(text: str) -> None:
    for made in (printable(text), shown(text)):
        assert made.isprintable()
        assert json.loads(f'"{made}"'.replace("\\x", "\\u00")) == text


def test_other_writing_stays_as_it_is() -> None:
    text = "Bienenkönigin 蜜蜂 🐝 نحلة\tand\nmore"
    assert printable(text) == text
    assert shown(text) == text.replace("\t", "\\x09").replace("\n", "\\x0a")


def test_json_stays_json() -> None:
    value = {"file": "".join(EVIL), "bytes": b"\xff.jpg".decode(errors="surrogateescape")}
    text = printable(json.dumps(value, ensure_ascii=False, indent=1))
    assert not [c for c in text if c != "\n" and not c.isprintable()]
    assert json.loads(text) == value


@pytest.mark.parametrize(
    "name", [*EVIL[:4], *EVIL[5:], "it's \\ a\nname\t\x1b", b"\xff\xfe".decode(errors="surrogateescape")]
)
def test_a_quoted_name_pastes(name: str) -> None:
    word = quoted(name)
    assert word.isprintable()
    done = subprocess.run(["bash", "-c", f"printf %s {word}"], capture_output=True, check=True)
    assert done.stdout == name.encode(errors="surrogateescape")


def test_plain_words_are_quoted_as_ever() -> None:
    assert [quoted(w) for w in ("a.onnx", "my hive", Path("x/y"), "é")] == ["a.onnx", "'my hive'", "x/y", "'é'"]


@pytest.mark.parametrize(
    ("text", "made"),
    [
        ("rtsp://u:p@h/x", "rtsp://***@h/x"),
        ("rtps:/u:p/w@h/x?tok=1", "rtps:/***@h/x?***"),  # as a path it has one slash
        ("see rtsp://user:my pass@h/x: no", "see rtsp://***@h/x: no"),
        ("http://admin:a@b@c:80/x", "http://***@c:80/x"),
        ("rtspsrc location=rtsp://u:p@h ! x", "rtspsrc location=rtsp://***@h ! x"),
        ('{"a": "rtsp://u:p\\"q@h"}', '{"a": "rtsp://***@h"}'),
        ("['http://h/x?token=1', 2]", "['http://h/x?***', 2]"),
        ("a 2x@h synthetic://hive?seed=1", "a 2x@h synthetic://hive?seed=1"),
        ("https://h/package@v1 file:///a@b.png?c", "https://h/package@v1 file:///a@b.png?c"),
    ],
)
def test_addresses_lose_user_password_and_query(text: str, made: str) -> None:
    assert masked(text) == made


def test_a_screen_lets_only_that_through_and_bars_go_around_it(monkeypatch: pytest.MonkeyPatch) -> None:
    under = io.StringIO()
    monkeypatch.setattr(sys, "stderr", under)
    with screened():
        print("\x1b[31m rtsp://u:p@h", file=sys.stderr)
        with screened():
            sys.stderr.writelines(["\x9b", "x\n"])
        bare(sys.stderr).write("\r\x1b[K")
        assert not hasattr(sys.stderr, "buffer")
    assert sys.stderr is under
    assert under.getvalue() == "\\x1b[31m rtsp://***@h\n\\u009bx\n\r\x1b[K"


def test_a_terminal_that_knows_few_characters_is_no_error() -> None:
    under = io.TextIOWrapper(io.BytesIO(), "ascii")
    Screen(under).write("é \udcff")
    under.flush()
    assert under.buffer.getvalue() == b"\\xe9 \\udcff"  # type: ignore[attr-defined]


def test_an_error_keeps_its_shape_whatever_a_name_holds() -> None:
    told = str(EdgekitError("a\nnext: b", got="c\nnext: d"))
    assert [line[:1] for line in told.splitlines()] == ["a", " ", " "]


def test_what_moves_the_cursor_goes_around_the_screen() -> None:
    """A bar that wrote to a screen would be seen as codes."""
    wrong = []
    for path in CODE.rglob("*.py"):
        for line in path.read_text().splitlines():
            bar = re.search(r"Console\(|write\(f?\"\\r|\\x1b", line)
            if bar and path.name != "screen.py" and "bare(" not in line:
                wrong.append(f"{path.name}: {line.strip()}")
    assert not wrong


@pytest.mark.parametrize(
    "text", ["http://" * 5_000, "a.b-c+" * 30_000 + ":/", "rtsp://u:" + "p" * 200_000, "x:/" * 10_000]
)
def test_long_lines_cost_little(text: str) -> None:
    begun = time.process_time()
    masked(f"@? {text} @?")
    assert time.process_time() - begun < 2
