"""Defects from the frame to the input, and in the module that is exported."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

import edgekit.vision.preprocess as vision
from edgekit import predictor
from edgekit.graph import to_onnx
from edgekit.pipeline import folding
from edgekit.spec import PreprocessSpec
from tests.faults.planted.defect import Patch

# -- from frame to input ------------------------------------------------------------------------------------------


def stretch(patch: Patch) -> None:
    patch.setattr(vision, "_place", lambda h, w, spec: (spec.height, spec.width, 0, 0))


def crop_one_pixel_off(patch: Patch) -> None:
    honest = vision._place

    def place(h: int, w: int, spec: PreprocessSpec) -> tuple[int, int, int, int]:
        height, width, top, left = honest(h, w, spec)
        return height, width, top - 1, left

    patch.setattr(vision, "_place", place)


def resize_as(interpolation: str) -> Callable[[Patch], None]:
    honest = vision._resize

    def resize(frame: Any, height: int, width: int, spec: PreprocessSpec) -> Any:
        other = replace(spec, interpolation=interpolation, antialias=interpolation == "area")  # type: ignore[arg-type]
        return honest(frame, height, width, other)

    return lambda patch: patch.setattr(vision, "_resize", resize)


def normalise_with(**changes: Any) -> Callable[[Patch], None]:
    honest = vision.normalise

    def normalise(batch: Any, spec: PreprocessSpec) -> Any:
        return honest(batch, replace(spec, **changes))

    def seed(patch: Patch) -> None:
        patch.setattr(folding, "normalise", normalise)
        patch.setattr(predictor, "normalise", normalise)

    return seed


def normalise_at_run_time_with(**changes: Any) -> Callable[[Patch], None]:
    honest = vision.normalise
    return lambda patch: patch.setattr(predictor, "normalise", lambda b, spec: honest(b, replace(spec, **changes)))


# -- the module that is exported ----------------------------------------------------------------------------------


def deploy_with(**changes: Any) -> Callable[[Patch], None]:
    """Builds another preprocessing into the graph than the net was trained with."""
    honest = to_onnx.Deploy
    return lambda patch: patch.setattr(to_onnx, "Deploy", lambda net, spec: honest(net, replace(spec, **changes)))


def spoil_deploy(change: Callable[[Any], None]) -> Callable[[Patch], None]:
    honest = to_onnx.Deploy

    def deploy(net: nn.Module, spec: PreprocessSpec) -> nn.Module:
        module = honest(net, spec)
        with torch.no_grad():
            change(module)
        return module

    return lambda patch: patch.setattr(to_onnx, "Deploy", deploy)


def forget_255(deploy: Any) -> None:
    deploy.net.conv1.weight *= 255


def mean_in_rgb_order(deploy: Any) -> None:
    deploy.mean.copy_(deploy.mean.flip(1))


class Mixing(to_onnx.Deploy):
    def forward(self, image: Tensor) -> Tensor:
        out = super().forward(image)
        return out + 0.1 * (out.mean(0, keepdim=True) - out)


def head_with(change: Callable[[nn.Module, Sequence[str], float], nn.Module]) -> Callable[[Patch], None]:
    return lambda patch: patch.setattr(to_onnx, "divide_heads", change)


def temperature_twice(
    net: nn.Module, paths: Sequence[str], temperature: float, honest: Any = to_onnx.divide_heads
) -> nn.Module:
    return honest(honest(net, paths, temperature), paths, temperature)
