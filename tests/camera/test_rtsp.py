"""RTSP for real: a GStreamer server with user and password on loopback, killed and brought back."""

import json
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgekit.camera.runtime import Camera
from edgekit.camera.source.feed.live import LiveFeed
from edgekit.camera.source.feed.make import make_feed
from tests.camera.conftest import SpotDetector, config_of, model_of, source_of, wait_for

SERVER = """
import sys, gi
gi.require_version("Gst", "1.0"); gi.require_version("GstRtspServer", "1.0")
from gi.repository import GLib, Gst, GstRtspServer as rtsp
Gst.init(None)
server, auth, token = rtsp.RTSPServer(), rtsp.RTSPAuth(), rtsp.RTSPToken()
server.set_service(sys.argv[1])
token.set_string("media.factory.role", "viewer")
auth.add_basic(rtsp.RTSPAuth.make_basic("viewer", "pa55word"), token)
server.set_auth(auth)
factory, allowed = rtsp.RTSPMediaFactory(), rtsp.RTSPPermissions()
factory.set_launch("( videotestsrc is-live=true pattern=ball ! video/x-raw,width=320,height=180,framerate=20/1 "
                   "! x264enc tune=zerolatency speed-preset=ultrafast key-int-max=20 ! rtph264pay name=pay0 pt=96 )")
factory.set_shared(True)
for right in ("access", "construct"):
    allowed.add_permission_for_role("viewer", "media.factory." + right, True)
factory.set_permissions(allowed)
server.get_mount_points().add_factory("/live", factory)
server.attach(None)
print("up", flush=True)
GLib.MainLoop().run()
"""
PYTHON = "/usr/bin/python3"  # the system's, which has GStreamer's bindings


class Server:
    def __init__(self) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.start()

    def start(self) -> None:
        self.process = subprocess.Popen(
            [PYTHON, "-c", SERVER, str(self.port)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        assert self.process.stdout is not None
        if self.process.stdout.readline() != "up\n":
            pytest.skip("needs gir1.2-gst-rtsp-server-1.0 and gstreamer1.0-plugins-ugly")

    def kill(self) -> None:
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()


@pytest.fixture
def server() -> Iterator[Server]:
    if not Path(PYTHON).exists():
        pytest.skip("needs the system's Python with GStreamer's bindings")
    made = Server()
    yield made
    made.kill()


@pytest.mark.slow
def test_a_stream_with_a_password(server: Server, capfd: pytest.CaptureFixture[str]) -> None:
    said: list[str] = []
    feed = make_feed(source_of(f"rtsp://viewer:pa55word@127.0.0.1:{server.port}/live"), say=said.append)
    assert isinstance(feed, LiveFeed)
    feed.start()
    first = feed.next(6)
    assert first is not None
    assert first.frame.shape == (180, 320, 3)
    ages = []
    for _ in range(16):  # a reader of 2 fps
        shot = feed.next(2)
        assert shot is not None
        time.sleep(0.5)
        ages.append(time.monotonic() - shot.captured)
    assert max(ages) < 0.5 + 0.05 + 0.15
    assert abs(np.polyfit(range(16), ages, 1)[0]) < 0.01
    server.kill()
    assert wait_for(lambda: feed.state() == "offline", 5) < 5
    time.sleep(4)
    captured = feed.counters.captured
    server.start()
    assert wait_for(lambda: feed.counters.captured > captured, 8) < 5.5
    feed.stop()

    wrong = make_feed(source_of(f"rtsp://viewer:other-pw@127.0.0.1:{server.port}/live"), say=said.append)
    wrong.start()
    wait_for(lambda: wrong.state() == "offline", 5)
    wrong.stop()
    printed = capfd.readouterr()
    told = " ".join([*said, wrong.detail, printed.out, printed.err])
    assert "offline" in told
    for secret in ("viewer", "pa55word", "other-pw"):
        assert secret not in told


@pytest.mark.slow
def test_no_password_in_events_store_or_status(
    server: Server, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    said: list[str] = []
    uri = f"source.uri=rtsp://viewer:pa55word@127.0.0.1:{server.port}/live"
    config = config_of(
        uri, f"store.folder={tmp_path}", "store.reserve_mb=0", "visits.clip=true", "output.json_lines=true"
    )
    events: list[dict[str, Any]] = []
    camera = Camera(config, model_of(SpotDetector()), say=said.append, listeners=(events.append,))
    running = threading.Thread(target=camera.run)
    running.start()
    wait_for(lambda: any(e["type"] == "start" for e in events), 15)  # the ball is bright and taken for a hornet
    status = [camera.lookout.health.status()]
    server.kill()
    wait_for(lambda: camera.lookout.health.status()["source"]["state"] == "offline", 6)
    status.append(camera.lookout.health.status())
    camera.stop()
    running.join(15)
    assert events[-1]["type"] == "end"
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert {".jpg", ".avi"} <= {path.suffix for path in files}
    printed = capfd.readouterr()
    told = json.dumps([events, status, said, printed.out, printed.err]).encode() + b"".join(
        f.read_bytes() for f in files
    )
    assert b"127.0.0.1" in told
    assert b"pa55word" not in told
    assert b"viewer" not in told
