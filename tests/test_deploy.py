"""What export/deploy/ gives: a closed unit, a pinned container that ends what hangs, and words that are true."""

from __future__ import annotations

import functools
import importlib.util
import os
import re
import shlex
import shutil
import subprocess
import sys
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread
from types import ModuleType

import pytest

from edgekit.camera.config import load_config

ROOT = Path(__file__).parents[1]
DEPLOY = ROOT / "export" / "deploy"
UNIT = DEPLOY / "edgekit-camera@.service"
LOOSEST = 3.0  # of systemd's 0 to 10

systemd_analyze = shutil.which("systemd-analyze")
needs_systemd = pytest.mark.skipif(systemd_analyze is None, reason="systemd-analyze is not here")


def analyzed(*words: object) -> str:
    assert systemd_analyze is not None
    done = subprocess.run([systemd_analyze, *map(str, words)], capture_output=True, text=True, timeout=60)
    return done.stdout + done.stderr


def exposure(unit: Path) -> float:
    said = re.search(r"exposure level for \S+: ([\d.]+)", analyzed("security", "--offline=true", "--no-pager", unit))
    if said is None:
        pytest.skip("this systemd-analyze judges no file that is not installed")
    return float(said[1])


@needs_systemd
def test_the_unit_is_closed() -> None:
    assert exposure(UNIT) <= LOOSEST


@needs_systemd
def test_that_a_wider_unit_is_found(tmp_path: Path) -> None:
    wide = tmp_path / UNIT.name
    lines = [line for line in UNIT.read_text().splitlines() if not line.startswith(("CapabilityBoundingSet", "System"))]
    wide.write_text("\n".join(lines))
    assert exposure(wide) > LOOSEST


@needs_systemd
def test_the_unit_has_no_key_that_is_none() -> None:
    """`RestartSteps` and `RestartMaxDelaySec` came with systemd 254; an older one passes over them."""
    said = [line for line in analyzed("verify", UNIT).splitlines() if "not executable" not in line]
    assert [line for line in said if UNIT.stem in line and "RestartSteps" not in line and "MaxDelay" not in line] == []


@functools.cache
def allowed() -> frozenset[str]:
    """The system calls that the unit lets through."""
    words = re.findall(r"^SystemCallFilter=(.*)$", UNIT.read_text(), re.MULTILINE)[0].split()
    found: set[str] = set()
    while words:
        word = words.pop()
        if not word.startswith("@"):
            found.add(word)
            continue
        lines = [line.strip() for line in analyzed("syscall-filter", "--no-pager", word).splitlines()[1:]]
        words += [line for line in lines if line and not line.startswith("#")]
    return frozenset(found)


@needs_systemd
@pytest.mark.slow
@pytest.mark.skipif(shutil.which("strace") is None, reason="strace is not here")
def test_the_camera_makes_no_call_that_the_unit_forbids(tmp_path: Path) -> None:
    """With the store, clips, the page, and a model in onnxruntime."""
    assert {"read", "openat", "adjtimex", "clock_adjtime", "sched_setaffinity"} <= allowed()
    assert not {"mount", "ptrace", "bpf", "reboot", "init_module", "settimeofday"} & allowed()
    trace = tmp_path / "trace"
    camera = "from edgekit.cli.app import main; main()"
    settings = ("visits.clip=true", "web.port=0", f"store.folder={tmp_path / 'store'}")
    words = [sys.executable, "-c", camera, "camera", "--source", "synthetic://hive?seed=1&fps=5", "--web", "--model",
             "hornet-mobile", "--seconds", "4", *(word for one in settings for word in ("--set", one))]  # fmt: skip
    done = subprocess.run(["strace", "-f", "-qq", "-o", trace, *words], capture_output=True, text=True, timeout=280)
    if "Operation not permitted" in done.stderr:
        pytest.skip("strace may not trace here")
    assert done.returncode == 0, done.stderr
    made = set(re.findall(r"^\d+ +(?:<\.\.\. )?([a-z_0-9]+)(?:\(| resumed)", trace.read_text(), re.MULTILINE))
    assert len(made) > 40
    assert sorted(made - allowed()) == []


def test_the_unit_starts_what_is_installed() -> None:
    text = UNIT.read_text()
    commands = re.findall(r"^Exec\w+=(.*)$", text, re.MULTILINE)
    assert {shlex.split(command)[0] for command in commands} == {"/opt/edgekit/bin/edgekit", "/bin/kill"}
    assert "/opt/edgekit" in (DEPLOY / "README.md").read_text()
    assert {"Type=notify", "Restart=always", "StartLimitIntervalSec=0"} <= set(text.splitlines())
    assert re.search(r"^WatchdogSec=\d+$", text, re.MULTILINE)


def test_the_configuration_to_start_from_is_one() -> None:
    config = load_config(DEPLOY / "hive.toml")
    assert config.store.folder is not None
    assert config.store.folder.is_relative_to("/var/lib/edgekit"), "the only folder that the unit may write to"


@pytest.mark.parametrize("name", ["README.md", "../../docs/updates.md"])
def test_shell_blocks_are_shell(name: str) -> None:
    blocks = re.findall(r"```sh\n(.*?)```", (DEPLOY / name).read_text(), re.DOTALL)
    assert blocks
    for block in blocks:
        done = subprocess.run(["bash", "-n"], input=block, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr


def test_files_that_are_named_are_there() -> None:
    for name in ("README.md", "Dockerfile", "Dockerfile.l4t", UNIT.name):
        for path in re.findall(r"export/(?:deploy|targets)/[\w@./-]*\w", (DEPLOY / name).read_text()):
            assert (ROOT / path).exists(), f"{name} names {path}"
    for dockerfile in ("Dockerfile", "Dockerfile.l4t"):
        copied = re.findall(r"^COPY (.*) \S+$", (DEPLOY / dockerfile).read_text(), re.MULTILINE)
        sources = [word for line in copied for word in line.split()]
        assert sources
        assert [word for word in sources if not word.startswith("dist/") and not (ROOT / word).exists()] == []


def test_the_container_is_pinned_and_restarts_what_hangs() -> None:
    text = (DEPLOY / "Dockerfile").read_text()
    assert re.findall(r"^FROM (.*)$", text, re.MULTILINE)[0].partition("@")[2].startswith("sha256:")
    assert len(re.findall(r"@sha256:([0-9a-f]{64})$", text, re.MULTILINE)) == 1
    for name in ("Dockerfile", "Dockerfile.l4t"):
        text = (DEPLOY / name).read_text()
        assert 'CMD ["/opt/edgekit/bin/python", "/opt/edgekit/healthy.py"]' in text
        assert "--init --restart unless-stopped" in text
        assert re.search(r"^USER edgekit$", text, re.MULTILINE)


@pytest.fixture
def healthy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.setenv("EDGEKIT_HEALTH_COUNT", str(tmp_path / "count"))
    monkeypatch.setenv("EDGEKIT_HEALTH_URL", "http://127.0.0.1:9/livez")
    spec = importlib.util.spec_from_file_location("healthy", DEPLOY / "healthy.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class Alive(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200 if self.path == "/livez" else 404)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Not into the test's output."""


def test_the_third_silence_ends_the_camera_and_an_answer_forgives(
    healthy: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = HTTPServer(("127.0.0.1", 0), Alive)
    Thread(target=server.serve_forever, daemon=True).start()
    alive, silent = f"http://127.0.0.1:{server.server_address[1]}/livez", healthy.URL
    init = subprocess.Popen(["sh", "-c", "sleep 60 & echo $!; wait"], stdout=subprocess.PIPE, text=True)
    assert init.stdout is not None
    camera = int(init.stdout.readline())
    try:
        assert healthy.children(init.pid) == [camera]
        monkeypatch.setenv("EDGEKIT_HEALTH_PARENT", str(init.pid))
        for url, code in ((alive, 0), (silent, 1), (silent, 1), (alive, 0), (silent, 1), (silent, 1)):
            healthy.URL = url
            assert healthy.main() == code
            assert init.poll() is None
        assert healthy.main() == 1
        assert init.wait(10) is not None, "its only child is gone, and so is the container"
        assert not Path(f"/proc/{camera}").exists()
    finally:
        server.shutdown()
        server.server_close()
        if init.poll() is None:
            os.kill(camera, 9)
            init.wait(10)


def test_a_process_that_ends_meanwhile_is_no_error(healthy: ModuleType, tmp_path: Path) -> None:
    (tmp_path / "7").mkdir()
    (tmp_path / "8").mkdir()
    (tmp_path / "8" / "stat").write_text("8 (a name) with (brackets) S 1 8 8")
    (tmp_path / "9").mkdir()
    (tmp_path / "9" / "stat").write_text("")
    assert healthy.children(1, tmp_path) == [8]


def test_it_asks_soon_enough() -> None:
    """/livez says no after 30 s; three questions later, at the latest, the camera starts anew."""
    text = (DEPLOY / "Dockerfile").read_text()
    every = re.search(r"--interval=(\d+)s --timeout=(\d+)s", text)
    assert every is not None
    assert 3 * (int(every[1]) + int(every[2])) <= 60
