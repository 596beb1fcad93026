"""Prometheus' view of the camera, made when it is asked for from the same numbers as the page."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, get_args

from edgekit.camera.source.feed.base import State

Status = Callable[[], dict[str, Any]]


def exposition(status: Status, labels: dict[str, str]) -> tuple[bytes, str]:
    """The text that /metrics answers, and its content type.

    Args:
        status: `Health.status`.
        labels: on every metric: device and camera.
    """
    from prometheus_client import CollectorRegistry, generate_latest
    from prometheus_client.exposition import CONTENT_TYPE_LATEST

    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Collector(status(), labels))
    return generate_latest(registry), CONTENT_TYPE_LATEST


class _Collector:
    def __init__(self, status: dict[str, Any], labels: dict[str, str]) -> None:
        self._status, self._names, self._values = status, tuple(labels), tuple(labels.values())

    def collect(self) -> Iterator[Any]:
        from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

        status, names, values = self._status, self._names, self._values

        def gauge(name: str, text: str, value: float | None) -> Iterator[Any]:
            if value is not None:
                family = GaugeMetricFamily(f"edgekit_camera_{name}", text, labels=names)
                family.add_metric(values, value)
                yield family

        def many(kind: Any, name: str, text: str, key: str, rows: dict[str, float]) -> Iterator[Any]:
            family = kind(f"edgekit_camera_{name}", text, labels=(*names, key))
            for row, value in rows.items():
                family.add_metric((*values, row), value)
            yield family

        source, model, output = status["source"], status["model"], status["output"]
        frames = {key: source.get(key, 0) for key in ("captured", "processed", "dropped", "broken")}
        states = {state: float(state == source["state"]) for state in get_args(State)}
        yield from gauge("ready", "1 while an insect that comes would be seen and told of", float(status["ready"]))
        yield from gauge("uptime_seconds", "Since the process began", status["uptime"])
        yield from many(GaugeMetricFamily, "source_state", "1 for the state the source is in", "state", states)
        yield from many(CounterMetricFamily, "frames", "Frames by what became of them", "fate", frames)
        looks = {"inferred": model["inferred"], "gated": model["gated"], "failed": model["errors"]}
        yield from many(
            CounterMetricFamily, "looks", "Frames that the model saw, the gate held, or failed", "fate", looks
        )
        opens = {"opened": source.get("opened", 0), "failed": source.get("failed", 0)}
        yield from many(CounterMetricFamily, "opens", "Openings of the source, and failures of it", "fate", opens)
        yield from many(CounterMetricFamily, "events", "Events told, and of these lost to the store", "fate",
                        {"told": output["events"], "lost": output["events_lost"]})  # fmt: skip
        dropped = {key: n for key, n in output.items() if key.endswith(("_lost", "_removed")) and key != "events_lost"}
        yield from many(CounterMetricFamily, "dropped", "Never kept (lost), or removed to make room", "what", dropped)
        delivered = {row["name"]: row["delivered"] for row in output["deliveries"]}
        yield from many(CounterMetricFamily, "delivered", "Events, or frames of a video", "delivery", delivered)
        failures = {row["name"]: row["failed"] for row in output["deliveries"]}
        yield from many(CounterMetricFamily, "delivery_failures", "Those that did not arrive", "delivery", failures)
        yield from gauge("fps", "Frames looked at a second", status["rate"]["fps"])
        yield from gauge("celsius", "Of the hottest part of the board", status["rate"]["celsius"])
        for name, part in (("inference", model), ("age", status["age"])):
            seconds = {q: part[f"ms_{p}"] / 1000 for q, p in (("0.5", "p50"), ("0.99", "p99")) if part[f"ms_{p}"]}
            text = f"Seconds of {name}, of the last 2000 frames"
            yield from many(GaugeMetricFamily, f"{name}_seconds", text, "quantile", seconds)
