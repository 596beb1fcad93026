"""What Home Assistant is told of a camera, so that it shows up there without a line of configuration.

One message a device (MQTT device discovery, Home Assistant 2024.11 or later), with whole key names and no
abbreviations. Identifiers are made of the names of device and camera alone, so they stay as long as those do.
"""

from __future__ import annotations

import json
from typing import Any

from edgekit.camera.deliver.base import CameraNow
from edgekit.camera.deliver.mqtt.topics import Topics, slug
from edgekit.camera.events.levels import NAMES
from edgekit.version import __version__

TYPES = ("start", "update", "end", "lost", "back")
_EVENT = (
    "{{ {'event_type': value_json.type, 'visit': value_json.id, 'seq': value_json.seq, "
    "'label': value_json.label | default(none), 'most': value_json.count_max | default(none), "
    "'start': value_json.start, 'end': value_json.end | default(none)} | tojson }}"
)


def identifier(device: str, camera: str) -> str:
    """Of a camera's device in Home Assistant."""
    return f"edgekit_{slug(device)}_{slug(camera)}".replace("-", "_")


def discovery_topic(prefix: str, device: str, camera: str) -> str:
    """Where `discovery` is published, retained."""
    return f"{prefix}/device/{identifier(device, camera)}/config"


def discovery(topics: Topics, camera: CameraNow) -> dict[str, Any]:
    """The message for one camera: a device with its sensors, picture, event and switch.

    A sensor of a label that no model has any more stays in Home Assistant until it is removed there.
    """
    ident, of = identifier(topics.device, camera.name), topics.of
    status = of(camera.name, "status")
    parts: dict[str, dict[str, Any]] = {
        "level": {
            "platform": "sensor", "name": "Hornet level", "state_topic": of(camera.name, "level"),
            "device_class": "enum", "options": list(NAMES), "icon": "mdi:bee",
        },
        "trouble": {
            "platform": "binary_sensor", "name": "Trouble", "state_topic": status, "device_class": "problem",
            "value_template": "{{ 'OFF' if value_json.ready else 'ON' }}", "json_attributes_topic": status,
            "entity_category": "diagnostic",
        },
        "source": {
            "platform": "sensor", "name": "Camera", "state_topic": status, "value_template": "{{ value_json.state }}",
            "icon": "mdi:cctv", "entity_category": "diagnostic",
        },
        "visit": {
            "platform": "event", "name": "Visit", "state_topic": of(camera.name, "events"),
            "event_types": list(TYPES), "value_template": _EVENT,
        },
        "picture": {
            "platform": "image", "name": "Last visit", "image_topic": of(camera.name, "snapshot"),
            "content_type": "image/jpeg",
        },
        "watching": {
            "platform": "switch", "name": "Watching", "state_topic": of(camera.name, "enabled"),
            "command_topic": of(camera.name, "enabled/set"), "icon": "mdi:eye",
        },
    }  # fmt: skip
    for label in camera.counts:
        parts[f"count_{slug(label)}"] = {
            "platform": "sensor", "name": f"{label} now", "state_topic": of(camera.name, "counts"),
            "value_template": f"{{{{ value_json[{json.dumps(label)}] | default(0) }}}}",
            "state_class": "measurement", "icon": "mdi:counter",
        }  # fmt: skip
    return {
        "device": {
            "identifiers": [ident],
            "name": f"{camera.name} ({topics.device})",
            "manufacturer": "edgekit",
            "model": "hive camera",
            "sw_version": __version__,
        },
        "origin": {"name": "edgekit", "sw_version": __version__},
        "availability": [{"topic": topics.availability}],
        "qos": 1,
        "components": {
            name: {**part, "unique_id": f"{ident}_{name}".replace("-", "_")} for name, part in parts.items()
        },
    }
