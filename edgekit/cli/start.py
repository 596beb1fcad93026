"""Where the `edgekit` command begins: Ctrl-C is heard before anything is imported that takes time."""

from __future__ import annotations

from typing import NoReturn

from edgekit.cli.shared.interrupt import guarded


def main() -> NoReturn:
    """Runs a command and ends the process with its exit code."""

    def run() -> int:
        import sys

        from edgekit.cli import app

        return app.prepared(sys.argv[1:])

    guarded(run)
