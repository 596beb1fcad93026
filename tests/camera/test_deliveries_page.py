"""What docs/deliveries.md shows works: its tables, its check of a signature, its broker."""

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from edgekit.camera.config import parse_config
from edgekit.camera.deliver import DELIVERIES, delivery_class, make_deliveries
from edgekit.camera.deliver.base import Setup
from edgekit.camera.deliver.mqtt.link import Broker, Link
from edgekit.camera.deliver.queued.rules import QueueKeys
from edgekit.camera.deliver.webhook import signature
from edgekit.reading import load_toml
from tests.camera.broker import Mosquitto

PAGE = (Path(__file__).parents[2] / "docs" / "deliveries.md").read_text()


def blocks(kind: str) -> list[str]:
    found = re.findall(r"^```(\w*)\n(.*?)^```\n", PAGE, re.DOTALL | re.MULTILINE)
    return [text for name, text in found if name == kind]


@pytest.mark.parametrize("text", blocks("toml"))
def test_its_tables_are_configurations(text: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in re.findall(r"\$\{(\w+)\}", text):
        monkeypatch.setenv(name, "a value of some length")
    config = parse_config(text.replace("/var/lib/edgekit/visits", str(tmp_path)), "the page")
    assert len(make_deliveries(Setup(config, False, lambda: 10.0))) == len(load_toml(text)["deliver"])


def test_its_check_of_a_signature_takes_ours_and_no_other() -> None:
    (text,) = blocks("python")
    found: dict[str, Any] = {}
    exec(text, found)
    secret, body = b"a secret of nineteen", b'{"seq": 7}'
    ours = f"sha256={signature(secret, '1700000000', body)}"
    assert found["is_genuine"](secret, "1700000000", body, ours)
    assert not found["is_genuine"](secret, "1700000001", body, ours)
    assert not found["is_genuine"](secret, "1700000000", body + b" ", ours)


def test_its_broker_lets_in_who_has_the_password(tmp_path: Path) -> None:
    tool = shutil.which("mosquitto_passwd")
    if tool is None:
        pytest.skip("mosquitto_passwd is not installed")
    subprocess.run([tool, "-c", "-b", tmp_path / "users", "hive", "pa55w0rd"], check=True)
    (text,) = (block for block in blocks("") if "listener" in block)
    lines = [line for line in text.replace("/etc/mosquitto", str(tmp_path)).splitlines() if "listener" not in line]
    broker = Mosquitto(tmp_path, *lines)
    try:
        link = Link(Broker("127.0.0.1", broker.port, "one", "hive", "pa55w0rd"), "gone", lambda: None)
        link.close()
        with pytest.raises(ConnectionError, match=r"refuses"):
            Link(Broker("127.0.0.1", broker.port, "two"), "gone", lambda: None)
    finally:
        broker.kill()


def test_every_key_is_told() -> None:
    told = set(re.findall(r"`(\w+)`", PAGE))
    told |= {key for text in blocks("toml") for key in re.findall(r"^(\w+) =", text, re.MULTILINE)}
    for name in DELIVERIES:
        keys = delivery_class(name).Keys
        if keys is not None:
            assert set(keys.model_fields) <= told, name
    assert set(QueueKeys.model_fields) <= told
