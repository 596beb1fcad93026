"""The builder's phases, nested in one another, as one fraction that only grows; and a way to stop a build."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

Report: TypeAlias = Callable[[float, str], None]


class Progress:
    """Follows phases by name.

    Args:
        report: gets the share that is done, 0 to 1, and the phase that is at work.

    Attributes:
        stopped: what `report` raised, Ctrl-C for example. It must not pass through the library's own code, so it waits
            here until the builder has come back.
    """

    def __init__(self, report: Report) -> None:
        self.report = report
        self.stopped: BaseException | None = None
        self._phases: dict[str, tuple[str | None, int]] = {}  # name -> parent, steps
        self._done: dict[str, int] = {}
        self._most = 0.0

    def start(self, phase: str, parent: str | None, steps: int) -> None:
        self._phases[phase] = (parent, max(steps, 1))
        self._done[phase] = 0
        self._tell(phase)

    def step(self, phase: str, step: int) -> bool:
        """Counts step number `step` from 0; False asks the builder to stop."""
        if phase in self._phases:
            self._done[phase] = max(self._done[phase], step + 1)
            self._tell(phase)
        return self.stopped is None

    def finish(self, phase: str) -> None:
        parent, steps = self._phases.get(phase, (None, 1))
        self._done[phase] = steps
        self._tell(phase)
        if parent is not None:  # the parent counts it as a step of its own
            self._phases.pop(phase, None)

    @property
    def fraction(self) -> float:
        roots = [name for name, (parent, _) in self._phases.items() if parent is None]
        shares = [self._share(name) for name in roots]
        # 0.99: the plan is written after the last phase, and a bar at the end looks stuck
        return max(self._most, 0.99 * sum(shares) / len(shares)) if shares else self._most

    def _share(self, phase: str) -> float:
        steps, done = self._phases[phase][1], self._done[phase]
        inside = [self._share(name) for name, (parent, _) in self._phases.items() if parent == phase]
        return min(1.0, (done + (max(inside) if inside and done < steps else 0.0)) / steps)

    def _tell(self, phase: str) -> None:
        if self.stopped is not None:
            return
        self._most = self.fraction
        try:
            self.report(self._most, phase)
        except BaseException as error:  # noqa: BLE001 - raised again by the builder's caller
            self.stopped = error


def monitor(module: Any, progress: Progress) -> Any:
    """An IProgressMonitor of `module` that tells `progress`."""

    class Monitor(module.IProgressMonitor):  # type: ignore[misc]
        def __init__(self) -> None:
            module.IProgressMonitor.__init__(self)

        def phase_start(self, phase_name: str, parent_phase: str | None, num_steps: int) -> None:
            progress.start(phase_name, parent_phase, num_steps)

        def step_complete(self, phase_name: str, step: int) -> bool:
            return progress.step(phase_name, step)

        def phase_finish(self, phase_name: str) -> None:
            progress.finish(phase_name)

    return Monitor()
