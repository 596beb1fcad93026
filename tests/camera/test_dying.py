"""Killed again and again while events, clips and deliveries are under way: nothing that was told is lost.

`python -m pytest -s -m slow tests/camera/test_dying.py` kills 200 times and prints the figures.
"""

import json
import os
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from edgekit.camera.store.avi import read_avi
from tests.camera.conftest import wait_for
from tests.camera.dying import writer_of
from tests.camera.test_store import rows_of


class Receiver:
    """Takes posted events, in the order in which they came."""

    def __init__(self) -> None:
        self.got: list[dict[str, Any]] = []
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                if len(body) == int(self.headers["Content-Length"]):  # who is killed sends half of one
                    receiver.got.append(json.loads(body))
                self.send_response(204)
                self.end_headers()

            def log_message(self, *_: object) -> None:
                return

        class Server(ThreadingHTTPServer):
            def handle_error(self, *_: object) -> None:
                """A killed process ended the connection."""

        self._server = Server(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}/"
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    made = Receiver()
    yield made
    made.close()


@pytest.mark.parametrize("times", [5, pytest.param(200, marks=pytest.mark.slow)])
def test_killed_under_way(times: int, receiver: Receiver, tmp_path: Path) -> None:
    words = [sys.executable, "-m", "tests.camera.dying", str(tmp_path), receiver.url, str(times), "1"]
    begun = time.monotonic()
    subprocess.run(words, cwd=Path(__file__).parents[2], env=os.environ, check=True, timeout=500)
    lasted = time.monotonic() - begun
    last = writer_of(tmp_path, receiver.url)  # the next start puts right what is left
    last.start()
    store = tmp_path / "store"
    kept = rows_of(store)
    wait_for(lambda: {event["seq"] for event in list(receiver.got)} >= set(kept), 30)
    assert last.stop()
    kept = rows_of(store)

    db = sqlite3.connect(store / "visits.db")
    assert db.execute("PRAGMA integrity_check").fetchone()[0] == "ok"
    assert db.execute("SELECT count(*) FROM visits WHERE NOT ended").fetchone()[0] == 0
    assert db.execute("SELECT count(*) FROM outbox").fetchone()[0] == 0
    visits = [json.loads(row[0]) for row in db.execute("SELECT event FROM visits")]
    db.close()
    told = [int(line) for line in (tmp_path / "told").read_text().split()]
    crashed = sum(event["end_reason"] == "crash" for event in kept.values())
    clips = [visit["clip"]["path"] for visit in visits if visit["clip"]]
    twice = len(receiver.got) - len({event["seq"] for event in receiver.got})
    print(f"killed {times} times in {lasted:.0f} s: {len(told)} told, {len(set(told) - set(kept))} lost, "
          f"{len(visits)} visits, {crashed} ended as crashes, {len(clips)} clips, {twice} of {len(receiver.got)} posts "
          "were repetitions")  # fmt: skip
    assert set(told) <= set(kept)
    assert crashed > 0
    assert clips
    assert all(list(read_avi(store / path)[1]) for path in clips)
    named = [event[key]["path"] for event in kept.values() for key in ("snapshot", "plain", "clip") if event.get(key)]
    assert [path for path in named if not (store / path).is_file()] == []
    assert {event["seq"] for event in receiver.got} == set(kept)
    for ident in {visit["id"] for visit in visits}:
        first = list(dict.fromkeys(event["seq"] for event in receiver.got if event["id"] == ident))
        assert first == sorted(first), ident
