"""What of a bench.json may stand on its page as a number: worked out from the JSON alone, without the report's code."""

from __future__ import annotations

import itertools
import json
import math
import re
from collections.abc import Iterator, Sequence
from html.parser import HTMLParser
from typing import Any

import numpy as np

from edgekit.metrics.classification import clopper_pearson
from edgekit.metrics.statistics import t_quantile

NUMBER = re.compile(r"(?<![\w.])-?\d+(?:\.\d+)?(?![\d.]*\d)")
# the page's own words that hold digits: how things are measured, names of figures, units
WORDS = re.compile(r"95 %|top-\d|1e9|\b3 %|255ths|0 is clean|need 10, 20, 100 and 1000|A4|x86|IoU of 0\.5")


class Page(HTMLParser):
    """A page's text: outside drawings, and of drawings what names or labels a figure. Ticks of axes are none."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.texts: list[str] = []
        self.cells: list[tuple[str, str]] = []
        self.stack: list[tuple[str, dict[str, str | None]]] = []
        self.feed(page[page.index("<main>") : page.index("</main>") + 7])

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in ("br", "img"):
            self.stack.append((tag, dict(attrs)))
        if tag == "td":
            self.cells.append((str(dict(attrs).get("data-l")), ""))

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        return None

    def handle_endtag(self, tag: str) -> None:
        self.stack.pop()

    def handle_data(self, data: str) -> None:
        drawn = any(tag == "svg" for tag, _ in self.stack)
        tag, attributes = self.stack[-1]
        figure = str(attributes.get("class")) in ("k mono", "in", "k hl")
        if not drawn or tag == "title" or figure:
            self.texts.append(data)
        if self.cells and any(tag == "td" for tag, _ in self.stack):
            self.cells[-1] = (self.cells[-1][0], self.cells[-1][1] + " " + data)


def leaves(value: Any) -> Iterator[Any]:
    """Every plain value in a JSON."""
    if isinstance(value, dict):
        yield from itertools.chain.from_iterable(map(leaves, value.values()))
    elif isinstance(value, list):
        yield from itertools.chain.from_iterable(map(leaves, value))
    else:
        yield value


def numbers(texts: Sequence[str], content: dict[str, Any]) -> list[tuple[str, str]]:
    """Each number that is shown, with the text that it is in: without the JSON's own strings and the page's words."""
    named = {k for row in content["rows"] if row["accuracy"] for k in row["accuracy"]["classes"]}
    words = {str(v) for v in leaves(content) if isinstance(v, str) and re.search(r"\d", v)} | named
    words |= {w for v in list(words) for w in (v.replace("T", " "), v.rsplit("/", 1)[-1])}
    words |= {v[:12] for v in words if re.fullmatch("[0-9a-f]{64}", v)}
    every = "|".join(re.escape(w) for w in sorted(words, key=len, reverse=True) if re.search(r"[^\d.]", w))
    known = re.compile(rf"(?<![\w.])(?:{every})(?![\w.]*\d)")
    found = []
    for text in texts:
        left = WORDS.sub(" ", known.sub(" ", text))
        found += [(match.group(), text) for match in NUMBER.finditer(left)]
    return found


def holds(shown: str, pool: np.ndarray) -> bool:
    """Whether a figure of the pool (sorted) is this one, rounded as it is shown."""
    decimals = len(shown.partition(".")[2])
    value, half = abs(float(shown)), 0.5 * 10**-decimals + 1e-9
    at = int(np.searchsorted(pool, value - half))
    return at < len(pool) and bool(pool[at] <= value + half)


def pool(content: dict[str, Any]) -> np.ndarray:
    """Absolute values, sorted, of all that the page may show."""
    rows = content["rows"]
    timed = [r for r in rows if r["timing"]]
    figures: list[float] = [len(rows), len(timed), sum(r["timing"]["stability"]["stable"] for r in timed)]
    figures += [sum(r["status"] == "failed" for r in rows), sum(r["verified"] is False for r in rows)]
    figures += [sum(not r["timing"]["stability"]["stable"] for r in timed), 1]
    for part in ("settings", "environment", "before", "after", "data", "peak"):
        figures += [float(v) for v in leaves(content[part]) if isinstance(v, (int, float))]
    for row in rows:
        figures += of_row(row)
    held = [row["expected"] for row in rows if row["expected"]]
    figures += [len(held), sum(one["passed"] for one in held)]
    for part in content["bounded"]:
        figures += [
            float(part[k]) for k in ("bound_ms", "percentile", "throughput", "latency_ms") if part[k] is not None
        ]
    for ratio in content["ratios"]:
        figures += ratio["speedup"].values()
    for a, b in itertools.permutations(timed, 2):
        figures += pair(a, b)
    # how many cases a goal could not tell apart, of how many
    figures += range(2, len(rows) + 1)
    return np.unique(np.abs(np.array(figures, dtype=np.float64)))


def of_row(row: dict[str, Any]) -> list[float]:
    """Figures of one row."""
    found = [float(v) for v in leaves(row["cold"]) if v] + [
        float(v) for v in row["case"].values() if isinstance(v, int)
    ]
    found += [(row["file_bytes"] or 0) / 1e6, (row["params"] or 0) / 1e6, row["params"] or 0, (row["macs"] or 0) / 1e9]
    if (t := row["timing"]) is not None:
        n = row["case"]["batch"]
        every = [v for stage in t["stages"].values() for k, v in stage.items() if k != "n" and v is not None]
        every += [v for span in t["intervals"].values() for v in span.values()]
        found += [v / k for v in every for k in {1, n}]
        found += [
            v for v in (t["throughput"], t["cpu_outside"], *(t["energy"].values())) if isinstance(v, (int, float))
        ]
        found += [t["session"]["p50"]] if t["session"] else []
        found += [sum(t["stages"][s]["p50"] for s in ("decode", "preprocess", "inference", "post")) / n]
        found += [middle(b["end_to_end"]) for b in t["blocks"]] + [b["start"] for b in t["blocks"]]
        found += [100 * (t["others"] or 0.0)]
    if row["accuracy"]:
        found += [row["accuracy"]["n"], *row["accuracy"]["class_counts"].values()]
        found += [100 * v for span in row["accuracy"]["metrics"].values() for v in span.values()]
        curves = [*itertools.chain.from_iterable(row["accuracy"]["curves"].values())]
        found += [
            100 * at[k] for at in (*curves, *row["accuracy"]["operating"].values()) for k in ("recall", "precision")
        ]
    if (agreed := row["agreement"]) is not None:
        found += [
            agreed["p_value"] or 0.0,
            *(100 * v for k in ("share", "difference") if agreed[k] for v in agreed[k].values()),
        ]
    if (known := row["expected"]) is not None:
        found += [known["n"], known["identical"]]
    if (asked := row["erased"]) is not None:
        shares = [v for one in asked["classes"] for k in ("whole", "still", "elsewhere", "alone") if (v := one[k])]
        found += [asked["n"], *(100 * v for share in shares for v in share.values())]
    keys = ("percentile", "latency_ms", "throughput", "queries", "samples")
    found += [float(one[k]) for one in row["scenarios"] for k in keys if one[k] is not None]
    return found + robust(row["robustness"]) + layered(row["layers"])


def robust(r: dict[str, Any] | None) -> list[float]:
    """Means, changes and exact intervals under corruptions; attacks."""
    if r is None:
        return []
    means = [float(np.mean(v)) for v in r["corruptions"].values()]
    by_severity = np.mean(list(r["corruptions"].values()), axis=0).tolist() if means else []
    shares = [r["clean"], r["average"], r["worst"], *means, *by_severity]
    shares += [v for curve in r["attacks"].values() for v in curve.values()]
    found = [100 * v for v in shares] + [100 * (v - r["clean"]) for v in means]
    found += [100 * end for v in shares for end in clopper_pearson(round(v * r["n"]), r["n"])]
    strengths = [float(k) for curve in r["attacks"].values() for k in curve]
    return [*found, r["n"], *r["attacked"].values(), *strengths, *range(6)]


def layered(held: dict[str, Any] | None) -> list[float]:
    """Times, bytes, errors and shares of layers, their sums, and what they reach."""
    if held is None:
        return []
    total, found = (
        held["total_ms"],
        [held["total_ms"], held["gmacs_per_second"] or 0, 100 * (held["share_of_peak"] or 0)],
    )
    nodes = sorted((x["ms"] for x in held["layers"] if x["node"]), reverse=True)
    rest = total - sum(nodes)
    found += [rest, 100 * rest / total, len(held["layers"]), *range(len(held["layers"]))]
    for layer in held["layers"]:
        found += [layer["ms"], 100 * layer["ms"] / total, (layer["bytes"] or 0) / 1e6, 100 * (layer["error"] or 0)]
        found += [(layer["macs"] or 0) / layer["ms"] / 1e6]
    return found


def pair(a: dict[str, Any], b: dict[str, Any]) -> list[float]:
    """How many times as fast a is as b: in the turns of both, in each layer that both have, and in size."""
    found: list[float] = []
    kinds = {
        "end_to_end": lambda r, k: middle(k["end_to_end"]) / r["case"]["batch"],
        "inference": lambda r, k: middle(k["inference"]) / r["case"]["batch"],
        "seconds": lambda r, k: k["seconds"] / len(k["end_to_end"]) / r["case"]["batch"],
        "tail": lambda r, k: tail(k["end_to_end"]) / r["case"]["batch"],
    }
    for figure in kinds.values():
        logs = [
            math.log(figure(b, y) / figure(a, x))
            for x, y in zip(a["timing"]["blocks"], b["timing"]["blocks"], strict=True)
        ]
        half = t_quantile(len(logs) - 1) * float(np.std(logs, ddof=1)) / math.sqrt(len(logs))
        found += [math.exp(float(np.mean(logs)) + k * half) for k in (-1, 0, 1)]
    if a["layers"] and b["layers"]:
        theirs = {x["node"]: x["ms"] for x in b["layers"]["layers"] if x["node"]}
        both = [(x["ms"], theirs[x["node"]]) for x in a["layers"]["layers"] if x["node"] in theirs]
        fewer = sorted(both, key=lambda times: -max(times))[12:]  # of the dearest twelve each has a line
        more = (sum(x for x, _ in fewer), sum(y for _, y in fewer))
        rest = [r["layers"]["total_ms"] - sum(p[i] for p in both) for i, r in enumerate((a, b))]
        whole = (a["layers"]["total_ms"], b["layers"]["total_ms"])
        found += [x / y for x, y in (*both, more, (rest[0], rest[1]), whole) if y > 1e-9 and x > 0]
        found += [*more, *rest]
    if a["accuracy"] and b["accuracy"]:
        classes = [(v, b["accuracy"]["classes"].get(k)) for k, v in a["accuracy"]["classes"].items()]
        found += [100 * (x - y) for x, y in classes if x is not None and y is not None]
    return [*found, (a["file_bytes"] or 1) / (b["file_bytes"] or 1)]


def apart(a: dict[str, Any], b: dict[str, Any]) -> list[float]:
    """How many times as fast row a is as b, of another machine: Welch's interval of the turns of both."""
    x, y = (np.log([middle(k["end_to_end"]) for k in row["timing"]["blocks"]]) for row in (a, b))
    parts = [float(np.var(v, ddof=1)) / len(v) for v in (x, y)]
    freedom = sum(parts) ** 2 / sum(p**2 / (len(v) - 1) for p, v in zip(parts, (x, y), strict=True))
    half = t_quantile(max(1, int(freedom))) * math.sqrt(sum(parts))
    return [math.exp(float(np.mean(y) - np.mean(x)) + k * half) for k in (-1, 0, 1)]


def middle(values: Sequence[float]) -> float:
    """The median by nearest rank, as percentiles are told everywhere."""
    return sorted(values)[math.ceil(len(values) / 2) - 1]


def tail(values: Sequence[float]) -> float:
    """The 95th percentile by nearest rank."""
    return sorted(values)[math.ceil(0.95 * len(values)) - 1]


def content_of(text: str) -> dict[str, Any]:
    """A bench.json as plain data."""
    loaded: dict[str, Any] = json.loads(text)
    return loaded
