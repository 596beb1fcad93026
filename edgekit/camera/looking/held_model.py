"""A model that several cameras look with is closed when the last of them let go of it, and not sooner."""

from __future__ import annotations

import threading

from edgekit.camera.rules import Model


class HeldModel:
    """A model and how many hold it. The one who opened it holds it first."""

    def __init__(self, model: Model) -> None:
        self.model = model
        self._lock = threading.Lock()
        self._holders = 1

    def hold(self) -> HeldModel:
        with self._lock:
            self._holders += 1
        return self

    def release(self) -> None:
        """One holder less; without any the model is closed."""
        with self._lock:
            self._holders -= 1
            last = self._holders == 0
        if last:
            self.model.close()
