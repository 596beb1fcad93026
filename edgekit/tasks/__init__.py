"""What a model is for: one file a task. A new one is a subclass of `Task` in a file beside this one and a name here."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Literal, TypeAlias

from edgekit.errors import InputError
from edgekit.tasks.base import ANY, Asked, Task
from edgekit.tasks.evaluation import Metric

__all__ = ["ANY", "TASKS", "Asked", "Metric", "Task", "TaskName", "metric_named", "task_of"]

# each is a file or a room in this folder, and its `TASK` the object
NAMES = (
    "classification",
    "detection",
    "multilabel",
    "features",
    "segmentation",
)
TASKS: dict[str, Task] = {name: import_module(f"edgekit.tasks.{name}").TASK for name in NAMES}

if TYPE_CHECKING:
    TaskName: TypeAlias = str  # a type checker can't read the table
else:
    TaskName = Literal[tuple(TASKS)]


def task_of(name: str) -> Task:
    """The task that specs, recipes and reports call by this name. Raises InputError for one that there is not."""
    if name not in TASKS:
        raise InputError("task has a value that cannot be used.", got=repr(name), expected="one of " + ", ".join(TASKS))
    return TASKS[name]


def metric_named(name: str) -> Metric:
    """The metric of any task that reports call by this name. Raises InputError for one that there is not."""
    found = {metric.name: metric for task in TASKS.values() for metric in task.metrics}
    if name not in found:
        raise InputError("No task has this metric.", got=name, expected="one of " + ", ".join(found))
    return found[name]
