"""What a net with a trunk starts from: the pictures that the trunk's weights take, and where these go in the net."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from torch import Tensor, nn

from edgekit import nets
from edgekit.config.recipe import Recipe
from edgekit.nets.library import preprocess
from edgekit.nets.pyramid import pyramid_state
from edgekit.spec import PreprocessSpec


def preprocess_of(recipe: Recipe, trunk: str) -> PreprocessSpec:
    """The recipe's, with the mean and deviation that the published weights of a trunk by name take."""
    usual = preprocess(trunk) if nets.of_library(trunk) else None
    own = recipe.input.preprocess()
    return own if usual is None else replace(own, mean=usual.mean, std=usual.std)


def in_trunk(net: nn.Module, state: Mapping[str, Tensor], trunk: nets.Net) -> tuple[Mapping[str, Tensor], str]:
    """Weights under the names that they have in the net whose `trunk` they are of, and what to say of those that have
    no place in it.
    """
    if any(key.startswith("trunk.") for key in state):
        return state, ""
    left: list[str] = []
    if nets.of_library(trunk.name):
        state, left = pyramid_state(net.get_submodule("trunk"), state)
    parts = ", ".join(dict.fromkeys(name.partition(".")[0] for name in left))
    return {f"trunk.{key}": value for key, value in state.items()}, f"; left out: {parts}" if left else ""
