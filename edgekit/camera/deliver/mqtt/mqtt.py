"""Events and states to an MQTT broker, and from there to Home Assistant or whatever else listens."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from pydantic import Field, field_validator, model_validator

from edgekit.camera.deliver.base import CameraNow, Delivery, Event, Setup
from edgekit.camera.deliver.mqtt.discovery import discovery, discovery_topic
from edgekit.camera.deliver.mqtt.link import Broker, Link
from edgekit.camera.deliver.mqtt.topics import Topics, slug
from edgekit.camera.deliver.queued.queued import QueuedDelivery, picture_of, secrets_of
from edgekit.camera.deliver.queued.rules import QueueKeys
from edgekit.camera.source.uri import expand
from edgekit.errors import UsageError

_WHY = 250  # characters; Home Assistant takes no longer state


class MqttKeys(QueueKeys):
    """What is below [deliver.mqtt]."""

    host: str = Field(min_length=1, description="of the broker")
    port: int | None = Field(default=None, ge=1, le=65535, description="none: 1883, with tls 8883")
    user: str | None = Field(default=None, repr=False, description="`${NAME}` is of the environment")
    password: str | None = Field(default=None, repr=False, description="`${NAME}` is of the environment")
    tls: bool = Field(default=False, description="encrypted, and the broker's certificate checked")
    ca: Path | None = Field(default=None, description="a certificate that signed the broker's; none: the system's")
    cert: Path | None = Field(default=None, description="shown to a broker that asks for one; with `key`")
    key: Path | None = None
    topic: str = Field(default="edgekit", description="what all topics begin with")
    discovery: str = Field(default="homeassistant", description='where Home Assistant looks; "": nowhere')
    picture: bool = Field(default=True, description="publish a visit's picture")
    switch: bool = Field(default=True, description="let whoever may publish switch watching off and on")
    update: bool = Field(default=False, description="take a signed model that is published, by [update]'s rules")

    @field_validator("topic", "discovery")
    @classmethod
    def _a_topic(cls, topic: str) -> str:
        if any(c in "+#$\0" or not c.isprintable() for c in topic) or topic != topic.strip("/") or len(topic) > 200:
            raise ValueError("a topic without wildcards, as edgekit or home/bees")
        return topic

    @model_validator(mode="after")
    def _of_tls(self) -> MqttKeys:
        if not self.topic:
            raise ValueError("topic is not empty")
        if not self.tls and (self.ca or self.cert or self.key):
            raise ValueError("ca, cert and key want tls = true")
        return self


class Mqtt(QueuedDelivery):
    """Publishes events in order (QoS 1), a visit's best picture, and, retained, how each camera is now."""

    name = "mqtt"
    Keys = MqttKeys

    def __init__(self, setup: Setup, keys: MqttKeys) -> None:
        super().__init__(setup, keys)
        if keys.update and not (setup.config.update.keys and setup.config.store.folder):
            raise UsageError(
                "A model that is published could not be trusted, or not kept.",
                got="deliver.mqtt.update without " + ("store.folder" if setup.config.update.keys else "update.keys"),
                expected="both (docs/updates.md), or deliver.mqtt.update = false",
            )
        self._mqtt, self._topics = keys, Topics(keys.topic, setup.config.device)
        user = expand(keys.user) if keys.user is not None else ""
        password = expand(keys.password) if keys.password is not None else ""
        self.secrets = secrets_of(password, user)
        self._broker = Broker(
            keys.host, keys.port or (8883 if keys.tls else 1883), f"edgekit-{slug(setup.config.device)}"[:60],
            user, password, keys.tls, keys.ca, keys.cert, keys.key,
        )  # fmt: skip
        self._link: Link | None = None
        self._said: dict[str, str] = {}  # by topic what was published last in this connection
        self._pictured: dict[str, str] = {}  # by topic the hash of its picture

    @classmethod
    def wanted(cls, setup: Setup, keys: Any) -> Delivery | None:
        return cls(setup, keys) if keys is not None else None

    def attend(self) -> None:
        """Connects where that is not the case, does what was heard, and publishes what changed. Raises OSError."""
        link = self._link or self._connect()
        while link.heard:
            self._hear(link, *link.heard.popleft())
        if link.down:
            raise ConnectionError(link.down)
        for camera in self._setup.cameras():
            for what, payload in states(camera).items():
                self._state(link, self._topics.of(camera.name, what), payload)

    def send(self, event: Event) -> None:
        """The picture first: who hears of the event may look at it at once. Raises OSError."""
        link = self._link or self._connect()
        named = event.get("snapshot") or {}
        topic = self._topics.of(str(event["camera"]), "snapshot")
        if self._mqtt.picture and named and self._pictured.get(topic) != named.get("sha256"):
            picture = picture_of(self._setup, event)
            if picture is not None:
                link.publish(topic, picture, retain=True)
                self._pictured[topic] = str(named.get("sha256"))
        text = json.dumps(event, ensure_ascii=False).encode("utf-8", "replace")
        link.publish(self._topics.of(str(event["camera"]), "events"), text)

    def hang_up(self) -> None:
        link, self._link = self._link, None
        if link is None:
            return
        ends = not link.down and self._over is not None
        try:
            if ends:
                link.publish(self._topics.availability, "offline", retain=True)
        finally:
            link.close(politely=ends)

    def _connect(self) -> Link:
        link = Link(self._broker, self._topics.availability, self._wake, self._topics.update)
        self._link, self._said = link, {}
        link.listen(*([f"{self._mqtt.discovery}/status"] if self._mqtt.discovery else []))
        link.listen(*([self._topics.commands] if self._mqtt.switch else []))
        link.listen(*([self._topics.update] if self._mqtt.update else []))
        self._announce(link)
        return link

    def _announce(self, link: Link) -> None:
        """Tells Home Assistant of each camera, and then how each is."""
        self._said = {}
        cameras = self._setup.cameras()
        if self._mqtt.discovery:
            for camera in cameras:
                text = json.dumps(discovery(self._topics, camera))
                link.publish(discovery_topic(self._mqtt.discovery, self._topics.device, camera.name), text, retain=True)
        link.publish(self._topics.availability, "online", retain=True)

    def _hear(self, link: Link, topic: str, payload: bytes) -> None:
        if topic == f"{self._mqtt.discovery}/status":
            if payload == b"online":  # Home Assistant was started anew
                self._announce(link)
            return
        if topic == self._topics.update and self._mqtt.update:
            self._setup.update(payload)
            return
        for camera in self._setup.cameras():
            if topic == self._topics.of(camera.name, "enabled/set") and payload in (b"ON", b"OFF"):
                self._setup.switch(camera.name, payload == b"ON")

    def _state(self, link: Link, topic: str, payload: str) -> None:
        if self._said.get(topic) != payload:
            link.publish(topic, payload, retain=True)
            self._said[topic] = payload

    def _wake(self) -> None:
        with self._changed:
            self._changed.notify_all()


def states(camera: CameraNow) -> dict[str, str]:
    """What is retained of a camera, by the topic's last word."""
    return {
        "status": json.dumps({"state": camera.state, "ready": camera.ready, "why": camera.why[:_WHY]}),
        "counts": json.dumps(dict(camera.counts), ensure_ascii=False),
        "level": camera.level,
        "enabled": "ON" if camera.enabled else "OFF",
    }
