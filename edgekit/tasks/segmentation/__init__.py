"""Segmentation: `mask` int32 [N, H, W], the class of every pixel of the input, and `score` float32 [N, H, W]."""

from __future__ import annotations

from edgekit.tasks.segmentation.task import TASK

__all__ = ["TASK"]
