"""`edgekit label` on a folder of large pictures in Chromium: from the key to the next picture drawn.

    python benchmarks/label_page.py --work /tmp/large --pictures 1000

Writes 12-megapixel JPEGs (12 made scenes, enlarged, with a camera's noise; each file with a comment of its own), serves
them by `edgekit label` in a process of its own, and presses the key for the next picture in a headless Chromium, once
after each `--pause` seconds (the next picture is made and fetched meanwhile) and once as soon as the last one is drawn.
A time is from the key event to the second frame after the picture was loaded; before each step a key that changes
nothing is timed to the second frame, which is what the machine and its load cost by themselves. The folder
is deleted at the end.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from edgekit.data.hive.made import hive_masks
from edgekit.labels.pictures import SIZES, shown

WIDTH, HEIGHT, SCENES, QUALITY = 4000, 3000, 12, 90
_WATCH = """
window.drawn = []; window.idle = []; let at = 0;
const second = (into, from) => requestAnimationFrame(() => requestAnimationFrame(now => into.push(now - from)));
addEventListener('keydown', event => { at = event.timeStamp; if (event.key === 'Escape') second(idle, at) }, true);
document.querySelector('#stage image').addEventListener('load', () => second(drawn, at));
"""


def write(folder: Path, count: int) -> float:
    """The pictures; megabytes of one."""
    folder.mkdir(parents=True)
    rng, scenes = np.random.default_rng(0), []
    for shot in hive_masks(SCENES, 5, 750, 1000):
        large = cv2.resize(shot.frame, (WIDTH, HEIGHT), interpolation=cv2.INTER_CUBIC).astype(np.int16)
        noise = rng.normal(0, 6, (HEIGHT // 2, WIDTH // 2, 3)).astype(np.int16)
        noisy = np.clip(large + cv2.resize(noise, (WIDTH, HEIGHT)), 0, 255).astype(np.uint8)
        scenes.append(cv2.imencode(".jpg", noisy, [cv2.IMWRITE_JPEG_QUALITY, QUALITY])[1].tobytes())
    for i in range(count):
        data, told = scenes[i % SCENES], f"picture {i}".encode()
        comment = b"\xff\xfe" + (len(told) + 2).to_bytes(2, "big") + told
        (folder / f"{i:04d}.jpg").write_bytes(data[:2] + comment + data[2:])
    return float(np.mean([len(data) for data in scenes])) / 1e6


def stepped(hand: Any, steps: int, pause: float) -> dict[str, float]:
    """Milliseconds of `steps` keys."""
    before, empty = hand.value("drawn.length"), hand.value("idle.length")
    for i in range(steps):
        time.sleep(pause)
        hand.press("Escape")
        hand.wait_for(f"idle.length > {empty + i}", 60)
        hand.press(".")
        hand.wait_for(f"drawn.length > {before + i}", 60)
    taken, idle = np.array(hand.value(f"drawn.slice({before})")), np.array(hand.value(f"idle.slice({empty})"))
    return {
        "steps": len(taken), "pause_s": pause, "median_ms": float(np.median(taken)),
        "p95_ms": float(np.percentile(taken, 95, method="higher")), "worst_ms": float(taken.max()),
        "idle_median_ms": float(np.median(idle)), "idle_p95_ms": float(np.percentile(idle, 95, method="higher")),
        "below_300_ms": int((taken < 300).sum()), "load": os.getloadavg()[0],
    }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, required=True, help="a folder to make, deleted at the end")
    parser.add_argument("--pictures", type=int, default=1000)
    parser.add_argument("--steps", type=int, default=50)
    parser.add_argument("--pause", type=float, default=2.0, help="seconds that somebody looks at a picture")
    asked = parser.parse_args()
    sys.path.insert(0, str(Path(__file__).parents[1]))
    from tests.labels.web.hand import Hand, Server

    report: dict[str, Any] = {"pictures": asked.pictures, "pixels": [WIDTH, HEIGHT], "cpus": os.cpu_count()}
    profile = tempfile.mkdtemp()
    try:
        report["megabytes"] = write(asked.work, asked.pictures)
        begun = time.process_time()
        for path in sorted(asked.work.glob("*.jpg"))[:SCENES]:
            shown(path, SIZES[0])
        report["cpu_ms_to_make_one"] = (time.process_time() - begun) / SCENES * 1e3
        begun = time.monotonic()
        server = Server(asked.work)
        report["seconds_to_start"] = time.monotonic() - begun
        try:
            with Hand(Path(profile)) as hand:
                hand.open(server.url)
                hand.shows("0000.jpg")
                hand.value(_WATCH)
                for name, steps, pause in (("looked_at", asked.steps, asked.pause), ("at_once", asked.steps // 2, 0.0)):
                    report[name] = stepped(hand, steps, pause)
                    print(name, report[name], flush=True)
        finally:
            server.kill()
    finally:
        shutil.rmtree(asked.work, ignore_errors=True)
        shutil.rmtree(profile, ignore_errors=True)
    print(json.dumps(report, indent=1))


if __name__ == "__main__":
    main()
