"""A label page over real HTTP."""

from __future__ import annotations

import http.client
import json
from pathlib import Path
from typing import Any

from edgekit.labels.assistant import Assistant, Help
from edgekit.labels.session import Session
from edgekit.labels.web.server import LabelPage


class Site:
    """A page on any free port; `close` ends it and its session."""

    def __init__(
        self, folder: Path, out: Path | None = None, token: str | None = None, helped: Help | None = None
    ) -> None:
        self.session = Session(folder, out, ["bee", "hornet"])
        self.said: list[str] = []
        self.assistant = Assistant(self.session, helped or Help(), self.said.append)
        self.page = LabelPage(self.assistant, "127.0.0.1", 0, token, lambda line: None)
        self.page.start()

    def ask(self, path: str, method: str = "GET", body: Any = None, **headers: str) -> tuple[int, Any, Any]:
        """Status, body (of JSON its value), headers. A body that is no bytes is sent as JSON."""
        given = {name.replace("_", "-"): value for name, value in headers.items()}
        if body is not None and not isinstance(body, bytes):
            body, given = json.dumps(body).encode(), {"Content-Type": "application/json", **given}
        link = http.client.HTTPConnection("127.0.0.1", self.page.port, timeout=60)
        try:
            link.request(method, path, body, given)
            answer = link.getresponse()
            data = answer.read()
            is_json = answer.headers.get("content-type", "") == "application/json"
            return answer.status, json.loads(data) if is_json else data, answer.headers
        finally:
            link.close()

    def get(self, path: str) -> Any:
        status, body, _ = self.ask(path)
        assert status == 200, body
        return body

    def close(self) -> None:
        self.assistant.stop()
        self.page.stop()
        self.session.close()
