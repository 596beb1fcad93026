"""The net, its weights and its arguments, of a foreign file: as it is named, or as keys and shapes tell."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from torch import Tensor

from edgekit import nets
from edgekit.checkpoints.fitting.fit import Fit, MisfitError, fit
from edgekit.checkpoints.fitting.guess import candidates, guesses
from edgekit.checkpoints.fitting.layout import Layout, layout_of
from edgekit.checkpoints.fitting.naming import Named, SaidOfItself, misnamed, named, refuse_unknown
from edgekit.checkpoints.fitting.unwrap import Weights, any_known, find_weights, one_of, ours
from edgekit.errors import CheckpointError
from edgekit.nets.library import without_tag
from edgekit.screen import some


@dataclass(frozen=True)
class Which:
    """A net and its weights.

    Attributes:
        arch: its name, with the tag of published weights where somebody says one.
        arguments: of the net.
        classes: width of its last layer.
        head: name of that layer's weight.
        state: what it loads strictly.
        buffers: mean and std that lay among the weights.
        by: who says that it is this net; empty: it is a guess.
        notes: what was taken and changed, for people.
    """

    arch: str
    arguments: Mapping[str, Any]
    classes: int
    head: str
    state: Mapping[str, Tensor]
    buffers: Mapping[str, Tensor]
    by: str
    notes: tuple[str, ...]


def which_net(
    content: Mapping[str, Any],
    path: Path,
    claims: SaidOfItself,
    option: str | None,
    stated: Mapping[str, Any],
    weights_key: str | None,
) -> Which:
    """The net that a foreign file holds.

    Args:
        content: what was read from `path`.
        claims: what the file says of itself.
        option: what --arch says.
        stated: arguments of one of our nets that its keys do not tell.
        weights_key: which of several sets of weights.

    Raises:
        CheckpointError: no net that is known, several that it can be and nobody who says which, or another than the
            file says.
        UsageError: --arch names no net, or another.
    """
    said = named(option, claims["arch"], path)
    if not said.archs:
        return _guessed(content, path, claims, stated, weights_key)
    if said.archs[0] in nets.NETS:
        if not (other := _beyond_ours(claims, said.archs[0])):
            return _ours(content, path, said, stated, weights_key)
        said = replace(said, archs=other)
    return _library(content, path, claims, said, weights_key)


def _ours(
    content: Mapping[str, Any],
    path: Path,
    said: Named,
    stated: Mapping[str, Any],
    key: str | None,
) -> Which:
    found = find_weights(content, path, ours(), key)
    made = _inferred(found, path, said, stated)
    if made.arch != said.archs[0]:
        raise misnamed(said, made.arch, path)
    return made


def _beyond_ours(claims: SaidOfItself, arch: str) -> tuple[str, ...]:
    """timm's net of the name of ours, where the file says arguments by which it is another function; else nothing."""
    changed = {name: value for name, value in claims.arguments.items() if (name, value) != ("global_pool", "avg")}
    return (f"timm:{arch}",) if changed else ()


def _inferred(found: Weights, path: Path, said: Named, stated: Mapping[str, Any]) -> Which:
    try:
        arch, width, arguments = nets.infer(found.state, stated)
    except CheckpointError as error:  # which net it is is told from keys; which file it was is not known there
        if said.archs and candidates(found.state):
            raise misnamed(said, some(candidates(found.state), 12), path) from error
        raise CheckpointError(f"{path}: {error.what}", got=error.got, expected=error.expected, fix=error.fix) from error
    head = f"{nets.find(arch).head}.weight"
    return Which(arch, arguments, width, head, found.state, found.buffers, said.by, found.notes)


def _library(content: Mapping[str, Any], path: Path, claims: SaidOfItself, said: Named, key: str | None) -> Which:
    """One of the nets that a name means, the first that the weights fit."""
    misfits: list[MisfitError] = []
    for arch in said.archs:
        layout = layout_of(without_tag(arch), claims.arguments)
        found = find_weights(content, path, one_of(layout), key)
        for arguments in _tried(layout, claims):
            try:
                made = fit(layout.arch, found.state, arguments)
            except MisfitError as misfit:
                misfits.append(misfit)
                continue
            other = [a for a in said.archs if a != arch]
            notes = (f"{said.name} is taken for {arch}, not for {', '.join(other)}",) if other else ()
            return _of(arch, made, found, said.by, (*notes, *found.notes))
    nearest = min(misfits, key=lambda one: one.distance)
    known = candidates(find_weights(content, path, any_known(), key).state)
    raise misnamed(said, some(known, 12) if known else str(nearest.expected), path, "" if known else str(nearest.got))


def _tried(layout: Layout, claims: SaidOfItself) -> list[dict[str, Any]]:
    """Arguments to build a net with: the file's, and then for pictures of the size that it says."""
    size, told = claims["size"], dict(layout.arguments)
    if size is None or not layout.fixed or size.value == (layout.side, layout.side):
        return [told]
    return [told, {**told, layout.size_argument: size.value[0] if size.value[0] == size.value[1] else size.value}]


def _guessed(
    content: Mapping[str, Any], path: Path, claims: SaidOfItself, stated: Mapping[str, Any], key: str | None
) -> Which:
    """The only net that these keys and shapes are of: ours first."""
    found = find_weights(content, path, any_known(), key)
    own: CheckpointError | None = None
    try:
        made = _inferred(found, path, Named(), stated)
    except CheckpointError as error:
        own = error
    else:
        if (claim := claims["arch"]) is not None:
            refuse_unknown(claim, (made.arch,), path)
        if other := _beyond_ours(claims, made.arch):
            return _library(content, path, claims, Named(other, "", made.arch), key)
        return made
    fits, names = guesses(found.state)
    if (claim := claims["arch"]) is not None:
        refuse_unknown(claim, tuple(fits) or names, path)
    if len(fits) == 1:
        (arch, fitted), *_ = fits.items()
        return _of(arch, fitted, found, "", found.notes)
    if names and not fits:
        own = _nearly(names, found.state, path) or own
        raise own
    if fits:
        raise CheckpointError(
            f"{path} does not say which net it is of, and its keys and shapes fit {len(fits)}.",
            got=some(tuple(fits), 12),
            expected="one net: several have these keys, and other functions",
            fix=f"--arch {next(iter(fits))}, or another of these; --expect PAIRS.npz proves it",
        ) from own
    raise own


def _nearly(names: tuple[str, ...], state: Mapping[str, Tensor], path: Path) -> CheckpointError | None:
    """Of a state dict whose trunk is that of these nets, and whose rest is not; None for one of ours."""
    if ours().starts(state):
        return None
    try:
        fit(names[0], state)
    except MisfitError as misfit:
        what = f"{path} is nearly a {some(names, 12)}."
        return CheckpointError(what, got=misfit.got, expected=misfit.expected, fix=misfit.fix)
    return None


def _of(arch: str, fitted: Fit, found: Weights, by: str, notes: tuple[str, ...]) -> Which:
    return Which(
        arch, fitted.arguments, fitted.classes, fitted.head, fitted.state, found.buffers, by, (*notes, *fitted.notes)
    )
