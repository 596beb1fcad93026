"""The ways out of the box. A new one is one file beside these and one line in `DELIVERIES`."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module

from edgekit.camera.deliver.base import Delivery, Setup
from edgekit.camera.deliver.listener import Listener, ListenerDelivery
from edgekit.config.keys import nearest
from edgekit.config.tables import Kind
from edgekit.errors import UsageError

# by name the module, imported only here, and the class in it
DELIVERIES = {
    "video": ("edgekit.camera.deliver.video_file", "VideoFile"),
    "lines": ("edgekit.camera.deliver.lines", "Lines"),
    "mqtt": ("edgekit.camera.deliver.mqtt.mqtt", "Mqtt"),
    "webhook": ("edgekit.camera.deliver.webhook", "Webhook"),
    "command": ("edgekit.camera.deliver.command", "Command"),
    "email": ("edgekit.camera.deliver.mail", "Mail"),
}


def delivery_class(name: str) -> type[Delivery]:
    """The class of the delivery that the table calls `name`."""
    module, cls = DELIVERIES[name]
    found: type[Delivery] = getattr(import_module(module), cls)
    return found


def make_deliveries(setup: Setup, listeners: Sequence[Listener] = ()) -> list[Delivery]:
    """What the configuration switches on, and a delivery for each listener.

    Raises:
        UsageError: [deliver.NAME] of no such delivery, or with a key or value that it does not have.
        EdgekitError: a delivery cannot be used as it is configured.
    """
    classes = {name: delivery_class(name) for name in DELIVERIES}
    with_keys = sorted(name for name, delivery in classes.items() if delivery.Keys is not None)
    for name in setup.config.deliver:
        if name not in with_keys:
            raise UsageError(
                "There is no such delivery.",
                got=f"[deliver.{name}]",
                expected=f"one of {', '.join(with_keys)}" if with_keys else "output.video or output.json_lines",
                fix=nearest(name, with_keys) or "leave it out",
            )
    made = [delivery.wanted(setup, _keys(name, delivery, setup)) for name, delivery in classes.items()]
    given = [ListenerDelivery(f"listener {number}", listener) for number, listener in enumerate(listeners, 1)]
    return [delivery for delivery in made if delivery is not None] + given


def _keys(name: str, delivery: type[Delivery], setup: Setup) -> object:
    content = setup.config.deliver.get(name)
    if content is None or delivery.Keys is None:
        return None
    kind = Kind(delivery.Keys, f"a configuration of the delivery {name}", secret=lambda *_: True)
    return kind.check(content, f"[deliver.{name}]")
