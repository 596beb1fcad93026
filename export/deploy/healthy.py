"""The container's health check: asks /livez, and ends a camera that was silent three times, so that it is restarted.

Docker calls a container unhealthy and leaves it at that. Run with `--init`, the camera is a child of the container's
first process; when it is gone the container ends, and `--restart unless-stopped` starts it again. Nothing here needs
edgekit, so that a broken one can't keep its own check from working.
"""

from __future__ import annotations

import os
import signal
import sys
import urllib.request
from pathlib import Path

URL = os.environ.get("EDGEKIT_HEALTH_URL", "http://127.0.0.1:8080/livez")
COUNT = Path(os.environ.get("EDGEKIT_HEALTH_COUNT", "/tmp/edgekit-unanswered"))  # noqa: S108 - the container's own
FIRST = 1  # the process that all others of a container come from
MOST = 3  # questions without an answer


def answers() -> bool:
    """Whether the camera says that it lives."""
    try:
        with urllib.request.urlopen(URL, timeout=4) as answer:  # noqa: S310 - this machine's
            return bool(answer.status == 200)
    except OSError:
        return False


def children(parent: int, proc: Path = Path("/proc")) -> list[int]:
    """Processes whose parent is `parent`."""
    found = []
    for entry in proc.iterdir():
        try:
            if entry.name.isdigit() and int((entry / "stat").read_text().rpartition(")")[2].split()[1]) == parent:
                found.append(int(entry.name))
        except (OSError, ValueError, IndexError):  # it ended meanwhile
            continue
    return found


def main() -> int:
    """0 where the camera answers, else 1; from the third time on its process is ended."""
    if answers():
        COUNT.unlink(missing_ok=True)
        return 0
    try:
        unanswered = int(COUNT.read_text()) + 1
    except (OSError, ValueError):
        unanswered = 1
    if unanswered < MOST:
        COUNT.write_text(str(unanswered))
        return 1
    COUNT.unlink(missing_ok=True)
    for pid in children(int(os.environ.get("EDGEKIT_HEALTH_PARENT", FIRST))):
        if pid != os.getpid():
            os.kill(pid, signal.SIGKILL)
    return 1


if __name__ == "__main__":
    sys.exit(main())
