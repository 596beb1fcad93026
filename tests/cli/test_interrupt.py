"""Ctrl-C that something loses on its way: an import, a destructor, a library that makes another error of it."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from edgekit.cli import app
from edgekit.cli.shared import interrupt
from edgekit.cli.shared.interrupt import INTERRUPTED, INTERRUPTION, STOPPED, TOO_LATE, guarded
from edgekit.cli.shared.options import say
from edgekit.errors import BackendError

Main = Callable[[Callable[..., object]], int]


def press() -> None:
    """Ctrl-C. Python calls the handler before the next line."""
    signal.raise_signal(signal.SIGINT)


@pytest.fixture
def main(monkeypatch: pytest.MonkeyPatch) -> Iterator[Main]:
    """Runs a function as if it were the command, in this process; the exit code."""
    if threading.current_thread() is not threading.main_thread():
        pytest.skip("signals reach the main thread only")
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGALRM)}
    hook = sys.unraisablehook
    signal.signal(signal.SIGINT, signal.default_int_handler)
    monkeypatch.setattr("gc.set_threshold", lambda *_: None)
    monkeypatch.setattr("gc.freeze", lambda: None)

    def call(command: Callable[..., object]) -> int:
        monkeypatch.setattr(app, "app", lambda *_, **__: command())
        with pytest.raises(SystemExit) as stop:
            app.main()
        assert isinstance(stop.value.code, int)
        return stop.value.code

    yield call
    signal.setitimer(signal.ITIMER_REAL, 0)
    INTERRUPTION.heard = False
    sys.unraisablehook = hook
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], None]]:
    """Writes the module `imported`, which sees the functions of this one as `here`."""
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setitem(sys.modules, "here", sys.modules[__name__])
    yield lambda text: (tmp_path / "imported.py").write_text("import here\n" + text) and None
    sys.modules.pop("imported", None)


def wait(seconds: float = 30) -> str:
    """Until an exception ends it; what it gives is for a failure's message."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        time.sleep(0.001)
    return "nothing came"


def test_an_import_that_would_swallow_it_is_finished_first(
    main: Main, module: Callable[[str], None], capsys: pytest.CaptureFixture[str]
) -> None:
    module("try:\n    here.press()\nexcept BaseException:\n    pass\nwhole = True\n")
    told: list[str] = []

    def command() -> None:
        import imported  # type: ignore[import-not-found]

        told.append(str(imported.whole))
        told.append(wait())

    assert main(command) == INTERRUPTED
    assert told == ["True"]
    assert capsys.readouterr().err == f"error: {STOPPED}\n"


def test_a_destructor_that_drops_it_is_not_its_end(main: Main, capsys: pytest.CaptureFixture[str]) -> None:
    class Dropped:
        def __del__(self) -> None:
            press()

    told: list[str] = []

    def command() -> None:
        thing: Any = Dropped()
        del thing
        told.append(wait())

    assert main(command) == INTERRUPTED
    assert not told
    assert capsys.readouterr().err == f"error: {STOPPED}\n"  # and no "Exception ignored in"


def test_what_swallows_it_goes_on_to_its_next_step(main: Main, capsys: pytest.CaptureFixture[str]) -> None:
    def swallow() -> None:
        try:
            press()
        except BaseException:  # noqa: BLE001 - as others do
            return

    def command() -> None:
        swallow()
        say("next step")
        raise AssertionError

    assert main(command) == INTERRUPTED
    assert capsys.readouterr().err == f"error: {STOPPED}\n"
    assert main(lambda: swallow()) == INTERRUPTED
    assert capsys.readouterr().err == f"error: {TOO_LATE}\n"


@pytest.mark.parametrize("made", [RuntimeError("Error building `model` serializer"), BackendError("It fails.")])
def test_an_error_that_is_made_of_it_is_no_error(
    made: Exception, main: Main, capsys: pytest.CaptureFixture[str]
) -> None:
    def command() -> None:
        try:
            press()
        except KeyboardInterrupt:
            raise made from None

    assert main(command) == INTERRUPTED
    assert capsys.readouterr().err == f"error: {STOPPED}\n"


def test_what_is_said_while_it_is_dealt_with_is_said(main: Main, capsys: pytest.CaptureFixture[str]) -> None:
    def command() -> None:
        try:
            press()
        finally:
            say("what was measured is kept")

    assert main(command) == INTERRUPTED
    assert capsys.readouterr().err == f"what was measured is kept\nerror: {STOPPED}\n"


def test_other_threads_say_what_they_have_to_say(main: Main, capsys: pytest.CaptureFixture[str]) -> None:
    def command() -> int:
        with contextlib.suppress(KeyboardInterrupt):
            press()
        thread = threading.Thread(target=say, args=("from a thread",))
        thread.start()
        thread.join()
        return 0

    assert main(command) == INTERRUPTED
    assert capsys.readouterr().err.startswith("from a thread\n")


def test_a_command_with_its_own_way_ends_as_it_likes(main: Main) -> None:
    pressed: list[int] = []

    def command() -> int:
        signal.signal(signal.SIGINT, lambda *_: pressed.append(1))
        press()
        return 0

    assert main(command) == 0
    assert pressed == [1]


def test_a_background_job_that_ignores_it_goes_on(main: Main) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    assert main(lambda: press() or 0) == 0
    assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN


def test_while_the_process_ends_it_changes_the_code(main: Main, monkeypatch: pytest.MonkeyPatch) -> None:
    ended: list[int] = []
    monkeypatch.setattr(os, "_exit", ended.append)
    assert main(lambda: 0) == 0
    monkeypatch.setattr(interrupt.os, "write", lambda *_: 0)
    with pytest.raises(KeyboardInterrupt):  # because os._exit came back
        press()
    assert ended == [INTERRUPTED]


def test_an_error_that_nobody_pressed_for_is_shown_as_ever(main: Main, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Any] = []
    monkeypatch.setattr(sys, "unraisablehook", seen.append)

    class Broken:
        def __del__(self) -> None:
            raise ValueError

    def command() -> int:
        thing: Any = Broken()
        del thing
        return 0

    assert main(command) == 0
    assert [found.exc_type for found in seen] == [ValueError]


def test_it_is_heard_before_the_command_line_is_there() -> None:
    """While `edgekit` still imports itself; before that it is the interpreter's own."""
    code = """
import signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)
class Finder:
    def find_spec(self, name, *_):
        if name == "typer":
            signal.raise_signal(signal.SIGINT)
sys.meta_path.insert(0, Finder())
from edgekit.cli.start import main
assert "typer" not in sys.modules
main()
"""
    done = subprocess.run([sys.executable, "-c", code, "--version"], capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stdout, done.stderr) == (INTERRUPTED, "", f"error: {STOPPED}\n")


def test_guarded_is_what_the_entry_point_runs(main: Main) -> None:
    def interrupted() -> int:
        raise KeyboardInterrupt

    with pytest.raises(SystemExit) as stop:
        guarded(interrupted)
    assert stop.value.code == INTERRUPTED
