"""What Home Assistant takes as a device discovery message, of its MQTT integration's own schemas (2024.11 and later).

Only the kinds of entities that a camera has. Home Assistant drops unknown keys of a component without a word, so a
misspelt one is an error here.
"""

from __future__ import annotations

import json
import re
from typing import Any

TOPIC = re.compile(r"homeassistant/device/(?P<object_id>[a-zA-Z0-9_-]+)/config")
_DEVICE = {"identifiers", "connections", "manufacturer", "model", "model_id", "name", "hw_version", "serial_number",
           "sw_version", "via_device", "suggested_area", "configuration_url"}  # fmt: skip
_ORIGIN = {"name", "sw_version", "support_url"}
_ROOT = {"device", "origin", "components", "availability", "availability_mode", "availability_template",
         "availability_topic", "payload_available", "payload_not_available", "state_topic", "command_topic", "qos",
         "encoding"}  # fmt: skip
_COMMON = {"platform", "unique_id", "name", "icon", "entity_category", "enabled_by_default", "object_id",
           "default_entity_id", "json_attributes_topic", "json_attributes_template", "qos", "encoding",
           "entity_picture", "availability", "availability_mode", "availability_topic"}  # fmt: skip
_KEYS = {
    "sensor": {"state_topic", "value_template", "device_class", "state_class", "unit_of_measurement", "options",
               "expire_after", "force_update", "suggested_display_precision", "last_reset_value_template"},
    "binary_sensor": {"state_topic", "value_template", "device_class", "payload_on", "payload_off", "off_delay",
                      "expire_after", "force_update"},
    "event": {"state_topic", "value_template", "event_types", "device_class"},
    "image": {"image_topic", "url_topic", "url_template", "content_type", "image_encoding"},
    "switch": {"state_topic", "command_topic", "value_template", "payload_on", "payload_off", "state_on", "state_off",
               "optimistic", "retain", "device_class", "command_template"},
}  # fmt: skip
_NEEDED = {"sensor": {"state_topic"}, "binary_sensor": {"state_topic"}, "event": {"state_topic", "event_types"},
           "image": set(), "switch": {"command_topic"}}  # fmt: skip
_CLASSES = {
    "sensor": {"enum", "temperature", "timestamp", "duration", "data_size"},
    "binary_sensor": {"problem", "connectivity", "motion", "occupancy", "running"},
    "event": {"motion", "doorbell", "button"},
    "switch": {"switch", "outlet"},
}


def check_discovery(topic: str, payload: bytes) -> dict[str, dict[str, Any]]:
    """The components of a message that Home Assistant would take as it is meant; AssertionError else."""
    assert TOPIC.fullmatch(topic), topic
    message = json.loads(payload)
    assert set(message) <= _ROOT
    assert {"device", "origin", "components"} <= set(message)
    device, origin = message["device"], message["origin"]
    assert set(device) <= _DEVICE
    assert device.get("identifiers") or device.get("connections"), "a device has an identifying value"
    assert all(isinstance(value, str) for value in device["identifiers"])
    assert all(isinstance(value, str) for key, value in device.items() if key not in ("identifiers", "connections"))
    assert set(origin) <= _ORIGIN
    assert isinstance(origin["name"], str)
    assert message.get("qos") in (None, 0, 1, 2)
    for one in message.get("availability", []):
        assert set(one) <= {"topic", "payload_available", "payload_not_available", "value_template"}
        _check_topic(one["topic"])
    assert not ("availability" in message and "availability_topic" in message)
    parts: dict[str, dict[str, Any]] = message["components"]
    for name, part in parts.items():
        assert re.fullmatch(r"[a-zA-Z0-9_-]+", name), name
        _check_part(part)
    ids = [part["unique_id"] for part in parts.values()]
    assert len(set(ids)) == len(ids), "each entity has an id of its own"
    return parts


def _check_part(part: dict[str, Any]) -> None:
    kind = part["platform"]
    assert set(part) <= _COMMON | _KEYS[kind], sorted(set(part) - _COMMON - _KEYS[kind])
    assert set(part) >= _NEEDED[kind]
    assert part["unique_id"]
    assert part.get("entity_category") in (None, "diagnostic", "config")
    assert re.fullmatch(r"[a-z]+:[a-z0-9-]+", part.get("icon", "mdi:x"))
    assert part.get("device_class") in {None} | _CLASSES.get(kind, set())
    for key, value in part.items():
        if key.endswith("_topic"):
            _check_topic(value)
        if key.endswith("_template"):
            _compile(value)
    if kind == "sensor":
        _check_sensor(part)
    if kind == "event":
        assert part["event_types"]
        assert all(isinstance(one, str) for one in part["event_types"])
        _check_event(part)
    if kind == "image":
        assert ("image_topic" in part) != ("url_topic" in part)
        assert "content_type" not in part or "url_topic" not in part


def _check_sensor(part: dict[str, Any]) -> None:
    options, state_class = part.get("options"), part.get("state_class")
    assert state_class in (None, "measurement", "total", "total_increasing")
    assert (options is not None) == (part.get("device_class") == "enum")
    if options is not None:
        assert options, "an empty list of options is not allowed"
        assert state_class is None
        assert "unit_of_measurement" not in part
    if state_class is not None:
        rendered = _compile(part["value_template"]).render(value_json=_Counts(), value="")
        float(rendered)  # a sensor with a state class has numbers


class _Counts(dict):  # type: ignore[type-arg]
    def __missing__(self, _: str) -> int:
        return 3


def _check_event(part: dict[str, Any]) -> None:
    """What comes of the template is JSON with a type that was announced, for each event that is told."""
    for kind in part["event_types"]:
        visit = {"type": kind, "id": "0190", "seq": 7, "label": 'a "quoted" label', "count_max": 2, "start": "x"}
        for event in (visit, {"type": kind, "id": "0190", "seq": 7, "start": "x"}):
            rendered = json.loads(_compile(part["value_template"]).render(value_json=event, value=json.dumps(event)))
            assert rendered["event_type"] == kind
            assert rendered["label"] == event.get("label")


def _check_topic(topic: str) -> None:
    assert 0 < len(topic.encode()) < 65536
    assert not set(topic) & set("+#\0")
    assert topic.isprintable()


def _compile(template: str) -> Any:
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    return ImmutableSandboxedEnvironment().from_string(template)
