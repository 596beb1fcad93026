"""User, password and query of an address reach no output: neither what is printed, nor kept, nor served."""

import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path

import pytest

from edgekit.camera.config import SourceConfig, parse_config
from edgekit.camera.source.feed.live import LiveFeed
from edgekit.camera.source.uri import parse_source, printed
from edgekit.errors import EdgekitError, UsageError
from tests.camera.conftest import HttpCamera, ListGrabber, source_of, wait_for
from tests.camera.test_feed import counting
from tests.conftest import Cli

USER, PASSWORD, QUERY = "keeper7", "pa55w0rd", "t0ken123"
SECRETS = (USER, PASSWORD, QUERY)
GOOD = f"rtsp://{USER}:{PASSWORD}@127.0.0.1:9/x?token={QUERY}"
EDGEKIT = [sys.executable, "-c", "from edgekit.cli.app import main; main()"]


def whole(text: str) -> str:
    """`text`, which holds none of the secrets."""
    assert not [secret for secret in SECRETS if secret in text], text
    return text


@pytest.mark.parametrize(
    "uri",
    [
        GOOD.replace("rtsp", "rtps"),
        GOOD.replace("://", ":/"),
        GOOD.replace("://", "//"),
        GOOD.replace("rtsp://", ""),
        GOOD.replace("rtsp:", ""),
        f"{USER}:{PASSWORD}@rtsp://127.0.0.1/x",
        f"rtsp://{USER}:{PASSWORD}/x@127.0.0.1/s",
        f"rtsp://{USER}:12/{PASSWORD}@127.0.0.1/s",
        f"rtsp://{USER}:12?{PASSWORD}@127.0.0.1/s",
        f"rtsp://{USER}:12#{PASSWORD}@127.0.0.1/s",
        f"rtsp://{USER}:{PASSWORD}[@127.0.0.1/s",
        f"rtsp://{USER}:{PASSWORD} @127.0.0.1/s",
        f"rtsp://{USER}:{PASSWORD}@127.0.0.1:99999/s",
        f"rtsp://{USER}:{PASSWORD}@/s",
        f"rtsp://{USER}:{PASSWORD}\\@h/s",
        f"synthetic://{USER}:{PASSWORD}@hive",
        f"csi://{USER}:{PASSWORD}@0",
        f"{USER}@127.0.0.1/x",
        f"http:/127.0.0.1/x?{QUERY}",
        f"rtspsrc location=rtsp://{USER}:{PASSWORD}@h/x ! decodebin",
        f"user={USER}&password={PASSWORD}",
        f"127.0.0.1/x?token={QUERY}",
    ],
)
def test_a_mistyped_address_is_not_repeated(
    uri: str, cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EDGEKIT_DEBUG", "1")  # and not by a traceback either
    monkeypatch.setenv("CAMERA", uri)
    with pytest.raises(UsageError) as caught:
        parse_source(source_of(uri))
    whole(str(caught.value))
    (tmp_path / "hive.toml").write_text(f"[source]\nuri = {json.dumps(uri)}\n")
    for words in (
        ("--source", uri),
        ("--set", f"source.uri={uri}"),
        ("--source", "${CAMERA}"),
        (tmp_path / "hive.toml",),
    ):
        outcome = cli("camera", "--check", *words, "--model", "centernet-tiny")
        assert outcome.code == 2
        whole(outcome.text)


@pytest.mark.parametrize(
    "text",
    [
        f"source = '{GOOD}'",
        f"source = ['{GOOD}']",
        f"[[source]]\nuri = '{GOOD}'",
        f"[source.uri]\nx = '{GOOD}'",
        f"[source]\nuri = ['{GOOD}']",
        f"[source]\nuri = {GOOD}",
        f"[source]\nuri = '{GOOD}",
        f"[source]\n{GOOD}",
        f"['{GOOD}']\n['{GOOD}']",
        f"'{GOOD}' = 1",
        f"[source]\nopen_timeout = '{GOOD}'",
        f"[source]\nopen_timeout = '{USER}:{PASSWORD}@h'",
        f"[model]\nbackend = '{GOOD}'",
        f"model = '{GOOD}'",
        f"zones = '{GOOD}'",
        f"[[zones]]\nname = 'a'\npoints = '{GOOD}'",
        f"[source]\nuri = '0'\nuri = '{GOOD}'",
    ],
)
def test_a_wrong_configuration_does_not_repeat_it(
    text: str, cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EDGEKIT_DEBUG", "1")
    (tmp_path / "hive.toml").write_text(text)
    with pytest.raises(EdgekitError):
        parse_config(text, "mine")
    outcome = cli("camera", "--check", tmp_path / "hive.toml", "--model", "centernet-tiny")
    assert outcome.code == 2
    whole(outcome.text)


@pytest.mark.parametrize(
    "words",
    [
        (GOOD,),
        ("hive.toml", GOOD),
        ("--model", GOOD, "--source", "synthetic://hive?frames=1"),
        ("--set", GOOD),
        ("--set", f"source={GOOD}"),
        ("--set", f"source.url={GOOD}"),
        ("--set", f"{GOOD}=1"),
        ("--set", f"source.uri={GOOD}", "--set", "source.uri.x=1"),
        ("--set", f"cameras={GOOD}"),
        ("--set", f"cameras=['{GOOD}']"),
        ("--set", f"cameras=[{{name='a', source='{GOOD}'}}]"),
        ("--seconds", GOOD),
        (f"--{GOOD}",),
        ("--format", GOOD),
        ("--video", GOOD, "--source", "synthetic://hive?frames=1", "--model", "centernet-tiny"),
    ],
)
def test_an_address_in_the_wrong_place_is_not_repeated(
    words: tuple[str, ...], cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EDGEKIT_DEBUG", "1")
    outcome = cli("camera", *words)
    assert outcome.code not in (0, 3), outcome.text
    whole(outcome.text)


def test_neither_a_source_nor_a_configuration_shows_it() -> None:
    config = source_of(GOOD)
    whole(f"{config} {config!r} {parse_source(config)!r} {parse_source(config).shown}")
    in_path = parse_source(source_of(f"rtsp://h/user={USER}&password={PASSWORD}&channel=1/x.sdp"))
    whole(f"{in_path!r} {in_path.shown}")
    assert PASSWORD in in_path.secret_url


def test_what_a_library_says_of_a_source_loses_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edgekit.camera.source.feed.backoff.Backoff.next", lambda _: 60)
    said: list[str] = []
    source = parse_source(source_of(f"rtsp://{USER}:p%40{PASSWORD}@127.0.0.1:9/x?token={QUERY}"))
    told = f"no {source.secret_url}, tried p@{PASSWORD} as {USER} with {QUERY}"
    feed = LiveFeed(source, SourceConfig(), lambda *_: ListGrabber([RuntimeError(told)]), said.append)
    feed.start()
    wait_for(lambda: bool(said), 3)
    wait_for(lambda: feed.state() == "offline", 3)
    feed.stop()
    whole(f"{said} {feed.detail}")
    assert "RuntimeError" in feed.detail


@pytest.mark.parametrize(
    ("uri", "same"),
    [
        ("rtsp://h/x", True),
        ("rtsp://${U}:${P}@h/x", True),
        ("${CAMERA}", True),
        ("synthetic://hive?seed=1&frames=2", True),
        ("rtsp://${U}:own@h/x", False),
        ("rtsp://own@h/x", False),
        ("http://h/x?token=own", False),
        ("rtsp://h/user=own_password=own", False),
    ],
)
def test_what_is_of_the_environment_may_be_typed_again(uri: str, same: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in (("U", "u"), ("P", "p"), ("CAMERA", GOOD)):
        monkeypatch.setenv(name, value)
    assert printed(source_of(uri)) == (uri if same else None)


def test_the_next_line_of_a_configured_camera_names_the_file(
    cli: Cli, good: Path, tmp_path: Path, http_camera: Callable[..., HttpCamera]
) -> None:
    camera = http_camera(counting(), user=f"{USER}:{PASSWORD}")
    (tmp_path / "hive.toml").write_text(f"[source]\nuri = '{camera.uri}?token={QUERY}'\n[model]\npath = '{good}'\n")
    stored = ("--out", tmp_path / "out", "--seconds", "0.3")
    outcome = cli("camera", tmp_path / "hive.toml", *stored)
    assert outcome.code == 0, outcome.text
    assert f"next: edgekit camera {tmp_path / 'hive.toml'} --out" in whole(outcome.err)
    outcome = cli("camera", "--source", f"{camera.uri}?token={QUERY}", "--model", good, *stored)
    assert "next: edgekit camera --source '${HIVE_SOURCE}' --model" in whole(outcome.err)
    for change in (f"source.uri={camera.uri}", f"source . uri = {camera.uri}", f"source={{uri='{camera.uri}'}}"):
        outcome = cli("camera", "--set", change, "--model", good, *stored)
        assert outcome.code == 0, outcome.text
        assert "--source '${HIVE_SOURCE}'" in whole(outcome.err)
        assert "uri" not in outcome.err
    change = f"cameras=[{{name='a', source={{uri='{camera.uri}?token={QUERY}'}}}}]"
    outcome = cli("camera", "--set", change, "--model", good, *stored)
    assert outcome.code == 0, outcome.text
    assert "cameras" not in whole(outcome.text)


TOLD = f"""
[deliver.mqtt]
host = "127.0.0.1"
port = 9
user = "{USER}"
password = "{PASSWORD}"
[deliver.webhook]
url = "http://127.0.0.1:9/{QUERY}?key={PASSWORD}"
secret = "{PASSWORD}{PASSWORD}{PASSWORD}"
[deliver.command]
run = ["/bin/sh", "-c", "echo it failed with $0 >&2; exit 1", "{PASSWORD}"]
[deliver.email]
host = "127.0.0.1"
port = 9
user = "{USER}"
password = "{PASSWORD}"
sender = "hive@example.org"
to = ["somebody@example.org"]
"""  # of which none ever takes anything


@pytest.mark.parametrize(
    "text",
    [
        f"mqtt = '{GOOD}'",
        f"mqtt.host = '{GOOD}'\nmqtt.port = '{GOOD}'",
        f"mqtt.host = 'h'\nmqtt.pasword = '{GOOD}'",
        f"mqtt.host = 'h'\nmqtt.password = ['{GOOD}']",
        f"mqtt.host = 'h'\nmqtt.topic = '{GOOD}#'",
        f"webhook.url = '{GOOD}'",
        f"webhook.url = 'https://h/'\nwebhook.secret = '{PASSWORD}'",
        f"command.run = '{GOOD}'",
        f"command.run = ['{PASSWORD}']",
        f"email.to = '{GOOD}'",
        f"email.host = 'h'\nemail.sender = '{GOOD} x'\nemail.to = ['a@b']",
    ],
)
def test_a_wrong_delivery_does_not_repeat_it(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from edgekit.camera.deliver import make_deliveries
    from edgekit.camera.deliver.base import Setup

    with pytest.raises(UsageError) as caught:
        make_deliveries(Setup(parse_config(f"[deliver]\n{text}", "mine"), False, lambda: 10.0))
    whole(str(caught.value))


@pytest.fixture
def environment() -> dict[str, str]:
    """One in which every library is asked to say all it knows."""
    loud = {"OPENCV_FFMPEG_LOGLEVEL": "56", "OPENCV_FFMPEG_DEBUG": "1", "OPENCV_LOG_LEVEL": "DEBUG", "GST_DEBUG": "9",
            "OPENCV_VIDEOIO_DEBUG": "1", "PYTHONUNBUFFERED": "1"}  # fmt: skip
    return {**os.environ, **loud}


def test_nothing_that_a_run_says_keeps_or_serves_holds_it(
    good: Path, tmp_path: Path, http_camera: Callable[..., HttpCamera], environment: dict[str, str]
) -> None:
    """A camera that works, is reloaded wrongly, then to an RTSP address that refuses; all libraries are loud."""
    camera = http_camera(counting(), user=f"{USER}:{PASSWORD}")
    config = tmp_path / "hive.toml"
    working = f"[source]\nuri = '{camera.uri}?token={QUERY}'\n[web]\nenabled = true\nport = 0\n{TOLD}"
    config.write_text(working)
    words = ["--model", str(good), "--out", str(tmp_path / "out"), "--json-lines", "--format", "json",
             "--set", "visits.min_score=0", "--set", "visits.threshold=0.01", "--set", "visits.cooldown=0"]  # fmt: skip
    child = subprocess.Popen([*EDGEKIT, "--debug", "camera", str(config), *words], stdout=subprocess.PIPE,
                             stderr=subprocess.PIPE, text=True, env=environment)  # fmt: skip
    assert child.stdout is not None
    assert child.stderr is not None
    try:
        lines: list[str] = []
        while not lines or "page: " not in lines[-1]:
            lines.append(child.stderr.readline())
        page = lines[-1].split("page: ")[1].strip()
        first = child.stdout.readline()
        served = [first]
        for wrong in (f"source = '{GOOD}'", working.replace("http://", "htps://"), working.replace(
            "http://", "rtsp://").replace("?token", "/none?token")):  # fmt: skip
            config.write_text(wrong)
            child.send_signal(signal.SIGHUP)
            time.sleep(1)
            for path in ("", "api/status", "api/visits", "metrics", "readyz", "livez"):
                try:
                    with urllib.request.urlopen(page + path, timeout=5) as answer:
                        served.append(answer.read().decode())
                except urllib.error.HTTPError as error:
                    served.append(error.read().decode())
    finally:
        child.send_signal(signal.SIGTERM)
        out, err = child.communicate(timeout=30)
    assert child.returncode == 0, err
    assert "offline" in err  # the last address was tried
    assert err.count("was not taken") == 2
    assert all(f"error: {name}: " in "".join(lines) + err for name in ("mqtt", "webhook", "command", "email"))
    whole("".join([*lines, *served, out, err]))
    assert any("camera" in text for text in served)
    for path in tmp_path.rglob("*"):
        if path.is_file() and path != config:
            whole(path.read_bytes().decode("latin-1"))
