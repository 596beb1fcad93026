"""Detection: `boxes` float32 [N, K, 4], `scores` float32 [N, K] and `labels` int32 [N, K]."""

from __future__ import annotations

from edgekit.tasks.detection.task import TASK

__all__ = ["TASK"]
