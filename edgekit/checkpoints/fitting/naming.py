"""Which net a foreign state dict is of: named by the user, by the file, or guessed from its keys and shapes.

Keys do not tell a net: timm's resnetblur18 has those of a ResNet-18 and another function, and so has a ResNet-18 with
another eps, without its pooling or with dilation.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from edgekit import nets
from edgekit.checkpoints.fitting.table import known
from edgekit.config.keys import nearest
from edgekit.errors import BackendError, CheckpointError, UsageError
from edgekit.nets.library import has_tag, without_tag

LIBRARIES = ("torchvision", "timm")


class Said(Protocol):
    """What a file says, and where."""

    @property
    def value(self) -> Any: ...

    @property
    def where(self) -> str: ...


class SaidOfItself(Protocol):
    """All that a file says of itself, by the words of `edgekit.checkpoints.words`."""

    def __getitem__(self, name: str) -> Said | None: ...

    @property
    def arguments(self) -> dict[str, Any]:
        """Of its net's constructor."""


@dataclass(frozen=True)
class Named:
    """Who says which net it is.

    Attributes:
        archs: the nets that the name can mean, all of them tried in this order; with the tag of published weights
            (`timm:resnet18.a1_in1k`), where it is said. Empty: nobody says it.
        by: who says so: `--arch`, `the file (args.model)`; empty: nobody.
        name: as it was said.
    """

    archs: tuple[str, ...] = ()
    by: str = ""
    name: str = ""


def plain_name(name: str) -> str | None:
    """`resnet18` for what torchvision and timm call it; None for a net whose plain state dicts are not known."""
    bare = re.sub("[- ]", "", _parts(name)[1])
    return next((known for known in nets.plain() if bare == known or bare in nets.NETS[known].aliases), None)


def nets_called(name: str, stated: bool = False) -> tuple[str, ...]:
    """The nets that a name can mean: ours, or those of torchvision and timm; none for a name that nobody has.

    Args:
        name: `resnet18`, `timm:resnet18.a1_in1k`, `torchvision.models.resnet18`, `hf_hub:timm/resnet18.a1_in1k`.
        stated: as --arch says it: `timm:resnet18` then is timm's own net, not ours of the same function.
    """
    library, bare, tag = _parts(name)
    ours = plain_name(name)
    tagged = bool(tag) and _has("timm", bare) and _published(f"timm:{bare}{tag}")
    if ours is not None and not (stated and library) and not (tagged and library != "torchvision"):
        return (ours,)
    there = [one for one in LIBRARIES if library in (one, "") and _has(one, bare)]
    if not there:
        there, bare = _squeezed(library, bare)
    if tag and not library:
        there = [one for one in there if one == "timm"]
    found = tuple(f"{one}:{bare}{tag}" for one in there)
    # a file may have a tag of its own
    return found if stated or not tag else tuple(n if _published(n) else without_tag(n) for n in found)


def named(option: str | None, claim: Said | None, path: Path) -> Named:
    """The net that --arch or the file names.

    Raises:
        UsageError: --arch is no net's name, or contradicts the file.
    """
    stated = () if option is None else nets_called(option, stated=True)
    if option is not None and not stated:
        raise UsageError(
            "--arch names a net that edgekit does not have.",
            got=option,
            expected="one of " + ", ".join((*nets.plain(), "timm:NAME", "torchvision:NAME")),
            fix=nearest(_parts(option)[1], sorted({_parts(n)[1] for n in (*nets.plain(), *known().names)})),
        )
    said = () if claim is None else nets_called(str(claim.value))
    if option is None:
        return Named(said, f"the file ({claim.where})", str(claim.value)) if claim is not None and said else Named()
    if claim is None:
        return Named(stated, "--arch", option)
    if not said:
        return Named(stated, f"--arch (the file's {claim.where} calls it {claim.value})", option)
    same = tuple(arch for arch in stated if any(_same(arch, other) for other in said))
    if not same:
        raise UsageError(
            f"--arch contradicts what {path.name} says of itself.",
            got=option,
            expected=f"{claim.value}, as {claim.where} says",
            fix="leave --arch out; if the file is wrong, save its weights alone, torch.save(net.state_dict(), "
            f"'weights.pth'): --arch {option} --expect PAIRS.npz then proves it",
        )
    return Named(same, f"the file ({claim.where})", option)


def refuse_unknown(claim: Said, fits: Sequence[str], path: Path) -> None:
    """Raises CheckpointError for a file that calls its net by a name that nobody has."""
    raise CheckpointError(
        f"{path} calls its net by a name that edgekit does not know.",
        got=f"{claim.where} = {claim.value}",
        expected="one of " + ", ".join((*nets.plain(), "timm:NAME", "torchvision:NAME")),
        fix=f"--arch {fits[0] if fits else 'NAME'} where it is one; --expect PAIRS.npz proves it",
    )


def misnamed(named: Named, found: str, path: Path, why: str = "") -> CheckpointError | UsageError:
    """The error for a name that the keys and shapes contradict.

    Args:
        found: the net that they are of, or what is known of them.
        why: what differs.
    """
    more = f": {why}" if why else ""
    if named.by.startswith("--arch"):
        fix = f"--arch {found}, or another file" if _is_name(found) else "--arch with the net that it is"
        return UsageError(
            f"--arch contradicts the keys and shapes of {path.name}.",
            got=f"{named.name}{more}",
            expected=found,
            fix=fix,
        )
    return CheckpointError(
        f"{path} says that it is another net than its keys and shapes fit.",
        got=f"{named.by.removeprefix('the file (').removesuffix(')')} = {named.name}{more}",
        expected=f"{found}, of its weights" if _is_name(found) else found,
        fix="save it anew from the net itself, torch.save(net.state_dict(), ...)",
    )


def _is_name(found: str) -> bool:
    return " " not in found


def _parts(name: str) -> tuple[str, str, str]:
    """(library or "", name, tag with its dot or "") of a net's name as people write it."""
    text = re.sub(r"^(hf[_-]hub:|local-dir:)", "", name.strip())
    library = ""
    for prefix, one in (("torchvision.models.", "torchvision"), ("timm.models.", "timm")):
        if text.lower().startswith(prefix):
            library, text = one, text[len(prefix) :]
    if match := re.match(r"(timm|torchvision)[:./]", text, re.IGNORECASE):
        library, text = match[1].lower(), text[len(match[0]) :]
    bare, dot, tag = text.rpartition("/")[2].partition(".")
    return library, bare.lower(), dot + tag


def _has(library: str, bare: str) -> bool:
    """Whether a library has a classifier of this name, as it is installed or as the table knows it."""
    if f"{library}:{bare}" in known().names:
        return True
    if library == "torchvision":
        import torchvision

        return bare in torchvision.models.list_models(module=torchvision.models)
    try:
        import timm
    except ImportError:
        return False
    return bool(timm.is_model(bare))


def _squeezed(library: str, bare: str) -> tuple[list[str], str]:
    """The only name that is this one but for its dashes: `efficientnet_b0` for `EfficientNet-B0`."""
    want = re.sub("[-_ ]", "", bare)
    names = [name.partition(":") for name in known().names if library in ("", name.partition(":")[0])]
    found = {name for _, _, name in names if name.replace("_", "") == want}
    if len(found) != 1:
        return [], bare
    return [one for one in LIBRARIES if library in (one, "") and _has(one, next(iter(found)))], next(iter(found))


def _published(name: str) -> bool:
    try:
        return has_tag(name)
    except BackendError:
        return True


def _same(one: str, other: str) -> bool:
    """Whether two names mean one net; ours is that of its aliases."""
    return without_tag(one) == without_tag(other) or (
        plain_name(one) is not None and plain_name(one) == plain_name(other)
    )
