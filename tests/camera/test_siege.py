"""A real camera with systemd's 1024 descriptors, and 1100 connections to its page that never say a word."""

import contextlib
import http.client
import json
import resource
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

pytest.importorskip("uvicorn")
pytest.importorskip("onnxruntime")
SILENT, DESCRIPTORS, SECONDS = 1100, 1024, 20.0
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
def watching(store: Path, port: int) -> Iterator[subprocess.Popen[str]]:
    model = Path(__file__).parents[2] / "models" / "centernet-tiny.onnx"
    changes = (f"store.folder={store}", "web.host=0.0.0.0", f"web.port={port}", f"web.token={TOKEN}", "rate.fps=5",
               "visits.update_every=1", "visits.end_after=0.5", "visits.cooldown=0", "model.threads=1")  # fmt: skip
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


@pytest.mark.slow
def test_a_thousand_silent_connections_cost_no_event(tmp_path: Path) -> None:
    if resource.getrlimit(resource.RLIMIT_NOFILE)[0] < SILENT + 100:
        pytest.skip("needs 1200 descriptors for the test itself")
    port, store = free_port(), tmp_path / "store"
    answers: list[tuple[str, int]] = []
    most, slowest = 0, 0.0
    with watching(store, port) as process, contextlib.ExitStack() as silent:
        until = time.monotonic() + 60
        while True:
            with contextlib.suppress(OSError):
                if ask(port, "/readyz")[0] == 200:
                    break
            assert time.monotonic() < until, (tmp_path / "said.txt").read_text()
            time.sleep(0.1)
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
