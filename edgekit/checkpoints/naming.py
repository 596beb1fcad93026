"""Which net a foreign state dict is of: named by the user, by the file, or guessed from its keys and shapes.

Keys do not tell a net: timm's resnetblur18 has those of a ResNet-18 and another function, and so has a ResNet-18 with
another eps, without its pooling or with dilation.
"""

from __future__ import annotations

import re
from pathlib import Path

from edgekit import nets
from edgekit.checkpoints.claims import Claim
from edgekit.errors import CheckpointError, UsageError


def plain_name(name: str) -> str | None:
    """`resnet18` for what torchvision and timm call it; None for a net whose plain state dicts are not known."""
    bare = name.lower().removeprefix("torchvision.models.").removeprefix("hf_hub:").rpartition("/")[2]
    bare = re.sub(r"^(timm|torchvision)[.:]", "", bare).partition(".")[0]  # timm's weights: resnet18.a1_in1k
    return next((known for known in nets.plain() if bare == known or bare in nets.NETS[known].aliases), None)


def named_by(option: str | None, claim: Claim | None, found: str, path: Path) -> str:
    """Who says that the net is `found`, which the keys and shapes are of: `--arch`, the file's word, or "" for nobody.

    Args:
        option: what --arch says.
        claim: what the file says.
        found: what the keys and shapes fit.

    Raises:
        UsageError: --arch names another net than the keys, or than the file.
        CheckpointError: the file names another net than its keys, or one that edgekit does not have.
    """
    if option is not None:
        _check_option(option, found, path)
    if claim is None:
        return "" if option is None else "--arch"
    says = plain_name(str(claim.value))
    if says == found:
        return f"the file ({claim.where})"
    if says is not None:
        raise CheckpointError(
            f"{path} says that it is another net than its keys and shapes fit.",
            got=f"{claim.where} = {claim.value}",
            expected=f"{found}, of its weights",
            fix="save it anew from the net itself, torch.save(net.state_dict(), ...)",
        )
    if _elsewhere(str(claim.value)):
        raise CheckpointError(
            f"{path} says that it is a net which edgekit does not have; that its keys fit {found} is no proof.",
            got=f"{claim.where} = {claim.value}",
            expected="one of " + ", ".join(nets.plain()),
            fix=f"add the net (CONTRIBUTING.md, 'Add a net'); where it is a {found} after all, save its weights alone, "
            f"torch.save(net.state_dict(), 'weights.pth'): --arch {found} --expect PAIRS.npz then proves it",
        )
    if option is None:
        raise CheckpointError(
            f"{path} calls its net by a name that edgekit does not know.",
            got=f"{claim.where} = {claim.value}",
            expected="one of " + ", ".join(nets.plain()),
            fix=f"--arch {found} where it is one; --expect PAIRS.npz proves it",
        )
    return f"--arch (the file's {claim.where} calls it {claim.value})"


def _check_option(option: str, found: str, path: Path) -> None:
    if option == found:
        return
    if option in nets.plain():
        raise UsageError(
            f"--arch contradicts the keys and shapes of {path.name}.",
            got=option,
            expected=found,
            fix=f"--arch {found}, or another file",
        )
    says = plain_name(option)
    fix = f"--arch {says}: it is the same net" if says in nets.plain() else "add the net (CONTRIBUTING.md, 'Add a net')"
    alike = _looks_like(option)
    why = f"it has the keys of a {alike} and another function" if alike else "edgekit cannot build it"
    raise UsageError(
        "--arch names a net that edgekit does not have.",
        got=f"{option}: " + (why if says is None else "a name of another library"),
        expected="one of " + ", ".join(nets.plain()),
        fix=fix,
    )


def _bare(name: str) -> str:
    return re.split(r"[:/]", name.lower())[-1].partition(".")[0]


def _looks_like(name: str) -> str:
    """The family whose keys and shapes a net of another library has; empty where it has those of none."""
    return next((keys.family for keys in nets.families() if _bare(name) in keys.look_alikes), "")


def _elsewhere(name: str) -> bool:
    """Whether torchvision or timm, where it is installed, has another net of this name."""
    bare = _bare(name)
    if _looks_like(name):
        return True
    from torchvision.models import list_models

    if bare in list_models():
        return True
    try:
        from timm import is_model
    except ImportError:
        return False
    return bool(is_model(bare))
