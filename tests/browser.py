"""A headless Chromium that is told what to do over its debugging pipe, in real time, so that streams play."""

from __future__ import annotations

import base64
import json
import os
import shutil
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest


def find_chromium() -> str:
    """Its path; skips the test where there is none."""
    found = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if found is None:
        pytest.skip("needs Chromium")
    return found


class Browser:
    """One page.

    Args:
        folder: of its profile.
        size: width and height of the window in pixels.
    """

    def __init__(self, folder: Path, size: tuple[int, int] = (1280, 900)) -> None:
        self._count, self._rest = 0, b""
        theirs_in, self._out = os.pipe()
        self._in, theirs_out = os.pipe()
        options = ("--headless=new", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--remote-debugging-pipe")
        # the child's 3 and 4, whatever numbers the pipes have here
        line = f'exec 3<&{theirs_in} 4>&{theirs_out}; exec "$@"'
        self._process = subprocess.Popen(
            ["bash", "-c", line, "bash", find_chromium(), *options, f"--user-data-dir={folder}",
             f"--window-size={size[0]},{size[1]}", "about:blank"],
            pass_fds=(theirs_in, theirs_out), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        os.close(theirs_in)
        os.close(theirs_out)
        target = self._ask("Target.createTarget", {"url": "about:blank"})
        attached = self._ask("Target.attachToTarget", {"targetId": target["targetId"], "flatten": True})
        self._session = {"sessionId": attached["sessionId"]}
        self.ask("Page.enable")
        self.ask("Emulation.setDeviceMetricsOverride", width=size[0], height=size[1], deviceScaleFactor=1, mobile=False)

    def ask(self, method: str, **params: Any) -> Any:
        """One command of the page's, and its result."""
        return self._ask(method, params, self._session)

    def open(self, url: str) -> None:
        self.ask("Page.navigate", url=url)
        self.wait_for("document.readyState === 'complete'")

    def value(self, expression: str) -> Any:
        """Of a JavaScript expression; promises are waited for."""
        answer = self.ask("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    def wait_for(self, expression: str, seconds: float = 20) -> None:
        """Until the expression is true; fails otherwise."""
        until = time.monotonic() + seconds
        while not self.value(expression):
            assert time.monotonic() < until, f"not within {seconds} s: {expression}"
            time.sleep(0.1)

    def screenshot(self, path: Path) -> None:
        path.write_bytes(base64.b64decode(self.ask("Page.captureScreenshot")["data"]))

    def close(self) -> None:
        self._process.terminate()
        self._process.wait(20)
        os.close(self._in)
        os.close(self._out)

    def __enter__(self) -> Browser:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _ask(self, method: str, params: dict[str, Any], session: dict[str, str] | None = None) -> Any:
        self._count += 1
        message = {"id": self._count, "method": method, "params": params, **(session or {})}
        os.write(self._out, json.dumps(message).encode() + b"\0")
        while True:  # events come in between
            while b"\0" not in self._rest:
                part = os.read(self._in, 1 << 16)
                assert part, "Chromium ended"
                self._rest += part
            text, self._rest = self._rest.split(b"\0", 1)
            answer = json.loads(text)
            if answer.get("id") == self._count:
                assert "error" not in answer, answer
                return answer["result"]
