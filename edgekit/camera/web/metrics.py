"""Prometheus' view of the cameras, made when it is asked for from the same numbers as the page."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, get_args

from edgekit.camera.source.feed.base import State

_LABELS = ("device", "camera")


def exposition(device: str, cameras: Mapping[str, Mapping[str, Any]]) -> tuple[bytes, str]:
    """The text that /metrics answers, and its content type.

    Args:
        device: on every metric.
        cameras: by name each one's `Health.status`. What several share, such as the output, is said once, of no camera.
    """
    from prometheus_client import CollectorRegistry, generate_latest
    from prometheus_client.exposition import CONTENT_TYPE_LATEST

    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Collector(device, cameras))
    return generate_latest(registry), CONTENT_TYPE_LATEST


class _Collector:
    def __init__(self, device: str, cameras: Mapping[str, Mapping[str, Any]]) -> None:
        self._device, self._cameras = device, cameras
        self._families: dict[str, Any] = {}

    def collect(self) -> Iterator[Any]:
        self._families = {}
        for name, status in self._cameras.items():
            self._of_camera(name, status)
        name, status = next(iter(self._cameras.items()))
        self._of_all(name if len(self._cameras) == 1 else "", status)
        yield from self._families.values()

    def _of_camera(self, camera: str, status: Mapping[str, Any]) -> None:
        source, model = status["source"], status["model"]
        frames = {key: source.get(key, 0) for key in ("captured", "processed", "dropped", "broken")}
        states = {state: float(state == source["state"]) for state in get_args(State)}
        looks = {"inferred": model["inferred"], "gated": model["gated"], "failed": model["errors"]}
        opens = {"opened": source.get("opened", 0), "failed": source.get("failed", 0)}
        self._one(camera, "ready", "1 while an insect that comes would be seen and told of", float(status["ready"]))
        self._many(camera, "source_state", "1 for the state the source is in", "state", states)
        self._many(camera, "frames", "Frames by what became of them", "fate", frames, counter=True)
        text = "Frames that the model saw, the gate held, or failed"
        self._many(camera, "looks", text, "fate", looks, counter=True)
        self._many(camera, "opens", "Openings of the source, and failures of it", "fate", opens, counter=True)
        self._one(camera, "fps", "Frames looked at a second", status["rate"]["fps"])
        for name, part in (("inference", model), ("age", status["age"])):
            seconds = {q: part[f"ms_{p}"] / 1000 for q, p in (("0.5", "p50"), ("0.99", "p99")) if part[f"ms_{p}"]}
            self._many(camera, f"{name}_seconds", f"Seconds of {name}, of the last 2000 frames", "quantile", seconds)

    def _of_all(self, camera: str, status: Mapping[str, Any]) -> None:
        output = status["output"]
        told = {"told": output["events"], "lost": output["events_lost"]}
        dropped = {key: n for key, n in output.items() if key.endswith(("_lost", "_removed")) and key != "events_lost"}
        delivered = {row["name"]: row["delivered"] for row in output["deliveries"]}
        failures = {row["name"]: row["failed"] for row in output["deliveries"]}
        self._one(camera, "uptime_seconds", "Since the process began", status["uptime"])
        self._many(camera, "events", "Events told, and of these lost to the store", "fate", told, counter=True)
        text = "Never kept (lost), or removed to make room"
        self._many(camera, "dropped", text, "what", dropped, counter=True)
        self._many(camera, "delivered", "Events, or frames of a video", "delivery", delivered, counter=True)
        self._many(camera, "delivery_failures", "Those that did not arrive", "delivery", failures, counter=True)
        self._one(camera, "celsius", "Of the hottest part of the board", status["rate"]["celsius"])

    def _one(self, camera: str, name: str, text: str, value: float | None) -> None:
        from prometheus_client.core import GaugeMetricFamily

        if value is not None:
            self._family(GaugeMetricFamily, name, text, _LABELS).add_metric((self._device, camera), value)

    def _many(
        self, camera: str, name: str, text: str, key: str, rows: Mapping[str, float], counter: bool = False
    ) -> None:
        from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

        family = self._family(CounterMetricFamily if counter else GaugeMetricFamily, name, text, (*_LABELS, key))
        for row, value in rows.items():
            family.add_metric((self._device, camera, row), value)

    def _family(self, kind: Any, name: str, text: str, labels: tuple[str, ...]) -> Any:
        """The one of this name, which may stand in the text once only."""
        if name not in self._families:
            self._families[name] = kind(f"edgekit_camera_{name}", text, labels=labels)
        return self._families[name]
