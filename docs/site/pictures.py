"""The documentation's pictures of real outputs, made again: `python -m docs.site.pictures`. Needs Chromium.

Each is of a hive entrance made in code: a marked picture, the camera's page while it watches, the head of a report.
"""

from __future__ import annotations

import io
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from PIL import Image

import edgekit
from edgekit.data import hive_pictures
from tests.browser import Browser

FOLDER = Path(__file__).parents[1] / "pictures"
LARGEST = 100_000  # bytes of one picture
PORT = 8799
CAMERA = ("camera", "--source", "synthetic://hive?seed=4&fps=10", "--model", "hornet-mobile", "--web",
          "--set", f"web.port={PORT}", "--set", "camera=hive 1", "--seconds", "90")  # fmt: skip
BENCH = ("bench", "hornet-mobile", "centernet-tiny", "--data", "synthetic://hive?n=4&val=40", "--pictures", "40",
         "--seconds", "10", "--no-cold")  # fmt: skip


def keep(picture: Image.Image, name: str) -> None:
    """Writes docs/pictures/NAME.jpg, as good as its limit of bytes allows."""
    for quality in (88, 80, 70, 60):
        buffer = io.BytesIO()
        picture.convert("RGB").save(buffer, "JPEG", quality=quality, optimize=True)
        if buffer.tell() < LARGEST:
            break
    (FOLDER / f"{name}.jpg").write_bytes(buffer.getvalue())
    print(f"{name}.jpg {picture.width} x {picture.height}, {buffer.tell() / 1e3:.0f} kB")


def marked() -> None:
    """The made picture, of twenty, on which the surest hornet is found, with what is found on it."""
    with edgekit.load("hornet-mobile") as model:
        frames = [sample.read() for sample in hive_pictures(20, seed=7, height=540, width=960).samples]
        sure = [max((one.score for one in found if one.name == "hornet"), default=0.0) for found in model(frames)]
        frame = frames[sure.index(max(sure))]
        keep(Image.fromarray(model(frame).draw(frame)[..., ::-1]), "marked")


def page(work: Path) -> None:
    """The camera's page, 40 s after it began to watch."""
    command = [sys.executable, "-m", "edgekit", *CAMERA, "--set", f"store.folder={work / 'visits'}"]
    camera = subprocess.Popen(command, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    try:
        with Browser(work / "page", (1180, 820)) as browser:
            until = time.monotonic() + 30
            while time.monotonic() < until:
                time.sleep(1)
                browser.ask("Page.navigate", url=f"http://127.0.0.1:{PORT}/")
                time.sleep(1)
                if browser.value("location.protocol") == "http:":
                    break
            time.sleep(40)
            browser.screenshot(work / "page.png")
    finally:
        camera.terminate()
        camera.wait(30)
    keep(Image.open(work / "page.png"), "page")


def report(work: Path) -> None:
    """What a reader of a report sees first."""
    subprocess.run([sys.executable, "-m", "edgekit", *BENCH, "--out", str(work / "bench")], check=True)
    with Browser(work / "report", (1180, 900)) as browser:
        browser.open((work / "bench" / "bench.html").as_uri())
        time.sleep(1)
        browser.screenshot(work / "report.png")
    keep(Image.open(work / "report.png"), "report")


def main(names: list[str]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        for name, make in (("marked", marked), ("page", lambda: page(work)), ("report", lambda: report(work))):
            if not names or name in names:
                make()


if __name__ == "__main__":
    main(sys.argv[1:])
