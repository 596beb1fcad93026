"""A real camera with systemd's 1024 descriptors, and 1100 connections to its page that never say a word."""

import contextlib
import http.client
import json
import os
import resource
import selectors
import signal
import socket
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

pytest.importorskip("uvicorn")
pytest.importorskip("onnxruntime")
SILENT, DESCRIPTORS, SECONDS = 1100, 1024, 20.0
VIEWERS, PHASE, TURNS = 50, 15.0, 2
TOKEN = "a-token-of-many-letters"


def ask(port: int, path: str) -> tuple[int, str]:
    link = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        link.request("GET", path, headers={"Authorization": f"Bearer {TOKEN}"})
        answer = link.getresponse()
        return answer.status, answer.read().decode()
    finally:
        link.close()


def free_port() -> int:
    with socket.socket() as link:
        link.bind(("127.0.0.1", 0))
        return int(link.getsockname()[1])


@contextlib.contextmanager
def watching(store: Path, port: int, *more: str) -> Iterator[subprocess.Popen[str]]:
    model = Path(__file__).parents[2] / "models" / "centernet-tiny.onnx"
    changes = (f"store.folder={store}", "web.host=0.0.0.0", f"web.port={port}", f"web.token={TOKEN}", "rate.fps=5",
               "visits.update_every=1", "visits.end_after=0.5", "visits.cooldown=0", "model.threads=1",
               *more)  # fmt: skip
    code = "from edgekit.cli.app import main; main()"
    command = [sys.executable, "-c", code, "camera", "--source", "synthetic://hive?seed=1&fps=10&height=180&width=320",
               "--model", str(model), "--web", "--json-lines"]  # fmt: skip
    for change in changes:
        command += ["--set", change]
    with (store.parent / "said.txt").open("w") as said, (store.parent / "events.jsonl").open("w") as events:
        process = subprocess.Popen(
            command, stdout=events, stderr=said, text=True,
            preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (DESCRIPTORS, DESCRIPTORS)),
        )  # fmt: skip
        try:
            yield process
        finally:
            process.kill()
            process.wait()


def descriptors(pid: int) -> int:
    return len(list(Path(f"/proc/{pid}/fd").iterdir()))


def wait_until_ready(port: int, folder: Path) -> None:
    until = time.monotonic() + 60
    while True:
        with contextlib.suppress(OSError):
            if ask(port, "/readyz")[0] == 200:
                return
        assert time.monotonic() < until, (folder / "said.txt").read_text()
        time.sleep(0.1)


@pytest.mark.slow
def test_a_thousand_silent_connections_cost_no_event(tmp_path: Path) -> None:
    if resource.getrlimit(resource.RLIMIT_NOFILE)[0] < SILENT + 100:
        pytest.skip("needs 1200 descriptors for the test itself")
    port, store = free_port(), tmp_path / "store"
    answers: list[tuple[str, int]] = []
    most, slowest = 0, 0.0
    with watching(store, port) as process, contextlib.ExitStack() as silent:
        wait_until_ready(port, tmp_path)
        begun, opened = time.monotonic(), 0
        while time.monotonic() - begun < SECONDS:
            while opened < SILENT:
                link = silent.enter_context(socket.socket())
                link.settimeout(10)
                link.connect(("127.0.0.1", port))
                opened += 1
                if opened % 100 == 0:
                    break
            for path in ("/livez", "/readyz"):
                asked = time.monotonic()
                answers.append((path, ask(port, path)[0]))
                slowest = max(slowest, time.monotonic() - asked)
            most = max(most, descriptors(process.pid))
            time.sleep(0.05)
        metrics = ask(port, "/metrics")[1]
        assert process.poll() is None
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0, (tmp_path / "said.txt").read_text()
    told = [json.loads(line) for line in (tmp_path / "events.jsonl").read_text().splitlines()]
    with contextlib.closing(sqlite3.connect(store / "visits.db")) as db:
        kept = [json.loads(row[0]) for row in db.execute("SELECT event FROM events ORDER BY seq")]
    lost = [line for line in metrics.splitlines() if 'fate="lost"' in line]
    print(f"{opened} silent connections, {len(answers)} answers in {SECONDS:g} s, the slowest {slowest:.2f} s, at most "
          f"{most} of {DESCRIPTORS} descriptors; events: {len(told)} told, {len(kept)} kept, {lost}")  # fmt: skip
    assert opened == SILENT
    assert {status for _, status in answers} == {200}, answers
    assert most < DESCRIPTORS / 2
    assert len(told) > 5
    assert [event["seq"] for event in told] == [event["seq"] for event in kept]
    assert [event["seq"] for event in told] == list(range(told[0]["seq"], told[0]["seq"] + len(told)))
    assert all(line.endswith(" 0.0") for line in lost)
    assert lost
    assert not [line for line in (tmp_path / "said.txt").read_text().splitlines() if line.startswith("error")]


class Viewers:
    """Looks at the live picture over and over, as browsers do; but one of them takes nothing of what it is sent.

    Attributes:
        pictures: so many came to each of those that read.
    """

    def __init__(self, port: int, count: int) -> None:
        self.pictures = [0] * (count - 1)
        self._links = [self._asking(port) for _ in range(count)]  # the last one never reads
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def _asking(self, port: int) -> socket.socket:
        link = socket.socket()
        link.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096 * 16)
        link.settimeout(10)
        link.connect(("127.0.0.1", port))
        link.sendall(f"GET /live.mjpg HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {TOKEN}\r\n\r\n".encode())
        return link

    def _read(self) -> None:
        tails = [b""] * len(self.pictures)
        with selectors.DefaultSelector() as ready:
            for number, link in enumerate(self._links[:-1]):
                ready.register(link, selectors.EVENT_READ, number)
            while not self._over.is_set():
                for key, _ in ready.select(0.2):
                    data = key.fileobj.recv(65536)  # type: ignore[union-attr]
                    if not data:
                        ready.unregister(key.fileobj)
                    seen = tails[key.data] + data
                    self.pictures[key.data] += seen.count(b"--frame\r\n")
                    tails[key.data] = seen[-8:]

    def close(self) -> None:
        self._over.set()
        self._thread.join(10)
        for link in self._links:
            link.close()


def looked(port: int) -> float:
    """How many frames the model has seen."""
    lines = ask(port, "/metrics")[1].splitlines()
    return sum(float(line.rpartition(" ")[2]) for line in lines if "looks_total{" in line and 'fate="inferred"' in line)


def cpu(pid: int) -> float:
    """Seconds that a process used of the CPUs."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@pytest.mark.slow
@pytest.mark.alone
def test_viewers_and_silence_do_not_slow_detection(tmp_path: Path) -> None:
    """In turns: nobody is there; 50 look on, one of them without reading, among 1100 connections that say nothing."""
    if resource.getrlimit(resource.RLIMIT_NOFILE)[0] < SILENT + VIEWERS + 100:
        pytest.skip("needs 1250 descriptors for the test itself")
    port = free_port()
    quiet, besieged, pictures, used = [], [], [], {"quiet": 0.0, "besieged": 0.0}
    with watching(tmp_path / "store", port, f"web.viewers={VIEWERS}") as process:
        wait_until_ready(port, tmp_path)
        for turn in range(2 * TURNS):
            with contextlib.ExitStack() as stack:
                if turn % 2:
                    viewers = Viewers(port, VIEWERS)
                    stack.callback(viewers.close)
                    for _ in range(SILENT):
                        link = stack.enter_context(socket.socket())
                        link.settimeout(10)
                        link.connect(("127.0.0.1", port))
                time.sleep(2)
                came = list(viewers.pictures) if turn % 2 else []
                begun, before, spent = time.monotonic(), looked(port), cpu(process.pid)
                time.sleep(PHASE)
                rate = (looked(port) - before) / (time.monotonic() - begun)
                used["besieged" if turn % 2 else "quiet"] += (cpu(process.pid) - spent) / PHASE / TURNS
                (besieged if turn % 2 else quiet).append(rate)
                if turn % 2:
                    pictures += [now - then for now, then in zip(viewers.pictures, came, strict=True)]
        assert process.poll() is None
    alone, with_all = sum(quiet) / TURNS, sum(besieged) / TURNS
    print(f"looks a second: {alone:.2f} alone, {with_all:.2f} with {VIEWERS} viewers and {SILENT} silent connections "
          f"({[round(rate, 2) for rate in (*quiet, *besieged)]}); CPUs used {used['quiet']:.2f}, "
          f"{used['besieged']:.2f}; pictures a viewer in {PHASE:g} s: {min(pictures)} to {max(pictures)}")  # fmt: skip
    assert with_all >= 0.95 * alone
    assert min(pictures) >= 0.8 * with_all * PHASE  # nobody waits for the one that does not read
