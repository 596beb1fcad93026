"""A signed model that is published to a real broker reaches the camera whole, where that is allowed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from edgekit.camera.config import CameraConfig
from edgekit.camera.deliver.base import CameraNow, Setup
from edgekit.camera.deliver.mqtt.mqtt import Mqtt, MqttKeys
from edgekit.errors import UsageError
from edgekit.updating.inbox import Inbox
from edgekit.updating.install import install
from tests.camera.broker import Listener, Mosquitto
from tests.camera.conftest import wait_for
from tests.updating.conftest import Hive, made_hive, passes

NOW = CameraNow("hive", True, "", "online", {"hornet": 0}, "none")


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Mosquitto]:
    made = Mosquitto(tmp_path)
    yield made
    made.kill()


def delivery(config: CameraConfig, port: int, inbox: Inbox, update: bool) -> Mqtt:
    setup = Setup(config, False, lambda: 10.0, cameras=lambda: (NOW,), update=inbox)
    made = Mqtt(setup, MqttKeys(host="127.0.0.1", port=port, update=update))
    made.start()
    return made


def test_a_published_update_is_taken_and_only_where_that_is_allowed(
    broker: Mosquitto, good: Path, package: Path, key: Path, tmp_path: Path
) -> None:
    hives = {
        name: made_hive(good, key, tmp_path / name, f"device={name}") for name in ("willing", "deaf")
    }  # fmt: skip
    said: list[str] = []

    def inbox(hive: Hive) -> Inbox:
        return Inbox(lambda: hive.config, said.append, lambda path, config: install(path, config, passes))

    listener = Listener(broker.port)
    made = [delivery(hive.config, broker.port, inbox(hive), name == "willing") for name, hive in hives.items()]
    try:
        wait_for(lambda: len(listener.of("/enabled")) == 2)
        for name in hives:
            listener.say(f"edgekit/{name}/update", b"no update")
        wait_for(lambda: bool(said))
        assert "refused" in said[0]
        for name in hives:
            listener.say(f"edgekit/{name}/update", package.read_bytes())
        wait_for(lambda: len(said) == 2)
        assert "better.onnx came as a message and passed its check" in said[1]
    finally:
        for one in made:
            one.end()
            one.close()
        listener.close()
    assert hives["willing"].used() == "better.onnx"
    assert hives["deaf"].used() == "tiny.onnx"


def test_without_a_key_or_a_store_it_is_no_option(hive: Hive) -> None:
    for table, told in (("store", "store.folder"), ("update", "update.keys")):
        config = hive.config.model_copy(update={table: type(getattr(hive.config, table))()})
        with pytest.raises(UsageError) as caught:
            Mqtt(Setup(config, False, lambda: 10.0), MqttKeys(host="127.0.0.1", update=True))
        assert told in str(caught.value.got)
