"""What a file says of itself beside its weights: net, classes, input. Used or contradicted, never ignored.

The names are those that training scripts write: torchvision's and timm's (`args.model`, `args.val_crop_size`),
Lightning's (`hyper_parameters`), jetson-inference's (`resolution`, `multi_label`), and in a `config.json` beside
safetensors timm's pretrained_cfg and the Hub's `id2label`.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from torch import Tensor

from edgekit.checkpoints.words import INSIDE, OFTEN_OTHER, WORDS, three, word_of
from edgekit.errors import CheckpointError, InputError, UsageError
from edgekit.reading import read_json
from edgekit.reading.limits import CARD
from edgekit.spec import PreprocessSpec

# arguments that a net takes and that change nothing of what a trained one computes
_NO_FUNCTION = frozenset(
    ("pretrained", "num_classes", "in_chans", "drop_rate", "drop_path_rate", "drop_block_rate", "attn_drop_rate",
     "proj_drop_rate", "pos_drop_rate", "patch_drop_rate", "bn_momentum", "checkpoint_path", "scriptable", "weights",
     "progress")
)  # fmt: skip
_CONFIGS = ("config.json", "preprocessor_config.json")
# what of a PreprocessSpec each claim settles
_FIELDS: dict[str, tuple[str, ...]] = {
    "size": ("height", "width"), "shorter": ("shorter_side",), "crop_pct": ("shorter_side",), "crop_mode": ("resize",),
    "mean": ("mean",), "std": ("std",), "interpolation": ("interpolation",), "color": ("color",),
}  # fmt: skip


@dataclass(frozen=True)
class Claim:
    """One thing that a file says.

    Attributes:
        value: as it is used.
        where: by which name it is said, such as `args.model`.
    """

    value: Any
    where: str


@dataclass(frozen=True)
class Claims:
    """What a file says of itself, by the names of `WORDS`; `notes` is what it says and edgekit cannot read."""

    said: Mapping[str, Claim] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    def __getitem__(self, name: str) -> Claim | None:
        return self.said.get(name)

    @property
    def arguments(self) -> dict[str, Any]:
        """What the file says of its net's constructor, and that changes what the net computes."""
        options, pool, eps = self["options"], self["pool"], self["bn_eps"]
        given = {} if options is None else {k: v for k, v in options.value if k not in _NO_FUNCTION}
        given |= {} if pool is None else {"global_pool": pool.value}
        return given | ({} if eps is None else {"bn_eps": eps.value})

    def with_buffers(self, buffers: Mapping[str, Tensor]) -> Claims:
        """And what `mean` and `std` among the weights say of the pictures."""
        if not {"mean", "std"} <= set(buffers):
            return self
        mean, std = (three(buffers[k].detach().cpu().reshape(-1).tolist()) for k in ("mean", "std"))
        if (mean, std) == ((0.0, 0.0, 0.0), (1.0, 1.0, 1.0)):
            more = "mean and std among the weights are 0 and 1 and do nothing: left out"
            return Claims(self.said, (*self.notes, more))
        if mean is None or std is None or {"mean", "std"} & set(self.said):
            return self
        among = {"mean": Claim(mean, "mean, among the weights"), "std": Claim(std, "std, among the weights")}
        return Claims({**self.said, **among}, self.notes)


def claims_of(content: Mapping[str, Any], path: Path) -> Claims:
    """What the file and a configuration beside it say.

    Args:
        content: the whole file, its plain data included.
        path: of it; `config.json` is looked for beside .safetensors and .bin.

    Raises:
        CheckpointError: two places say different things, or a configuration that cannot be read.
    """
    said: dict[str, Claim] = {}
    notes: list[str] = []
    told: list[tuple[str, str, Any]] = list(_pairs(content, ""))
    for name, text in _beside(path):
        _refuse_transformers(text, path.with_name(name))
        told += [(word, f"{name}: {where}", value) for word, where, value in _pairs(text, "")]
    for word, where, value in told:
        for kind, reader in WORDS.get(word, ()):
            read = reader(value)
            if read is None:
                continue
            if kind in said and kind == "arch" and (longer := _longer(str(said[kind].value), str(read))):
                said[kind] = Claim(longer, where if longer == read else said[kind].where)
            elif kind in said and said[kind].value != read:
                raise CheckpointError(
                    f"{path} says two different things of itself.",
                    got=f"{where} = {_short(read)}",
                    expected=f"{_short(said[kind].value)}, as {said[kind].where} says",
                    fix="correct the one that is wrong, or save the weights alone: torch.save(net.state_dict(), ...)",
                )
            said.setdefault(kind, Claim(read, where))
            break
        else:
            if word in WORDS and word not in OFTEN_OTHER and value not in (None, "", [], {}):
                notes.append(f"not understood, and not used: {where} = {_short(value)}")
    return Claims(said, tuple(notes))


def refuse_contradiction(claim: Claim | None, given: Any, option: str, path: Path) -> None:
    """Raises UsageError where an option says something else than the file."""
    if claim is not None and given is not None and given != claim.value:
        raise UsageError(
            f"{option} contradicts what {path.name} says of itself.",
            got=_short(given),
            expected=f"{_short(claim.value)}, as {claim.where} says",
            fix=f"leave {option} out; if the file is wrong, save its weights alone, torch.save(net.state_dict(), ...)",
        )


@dataclass(frozen=True)
class Published:
    """The pictures that a net's published weights take: what is not said otherwise.

    Attributes:
        spec: torchvision's of its ImageNet ResNets, or what the net's own library says.
        share: of the picture's shorter side that the crop has.
        whose: for people: `torchvision's`.
        stated: whether somebody named these weights, so that it is no guess.
    """

    spec: PreprocessSpec = field(default_factory=PreprocessSpec)
    share: float = 0.875
    whose: str = "torchvision's"
    stated: bool = False

    def shorter(self, side: int) -> int:
        """The shorter side before a crop of another side, as the library reckons it."""
        return math.floor(side / self.share) if self.whose.startswith("timm") else round(side / self.share)


PLAIN = Published()


def preprocess_of(
    claims: Claims, path: Path, published: Published = PLAIN
) -> tuple[PreprocessSpec, tuple[str, ...], tuple[str, ...]]:
    """The preprocessing that the file describes, the published one for the rest: it, what was said, what was guessed.

    Raises:
        CheckpointError: a description that edgekit's preprocessing cannot follow.
    """
    base = published.spec
    values: dict[str, Any] = {"interpolation": base.interpolation, "mean": base.mean, "std": base.std}
    told: list[str] = []

    def take(kind: str) -> Any:
        claim = claims[kind]
        if claim is not None:
            told.append(claim.where)
        return claim.value if claim else None

    size, shorter, share, how = take("size"), take("shorter"), take("crop_pct"), take("crop_mode")
    if size is None and shorter is not None and share is not None:
        size, shorter = (shorter, shorter), None  # the Hub's: the input's side, and what is cropped of the picture
    height, width = size or (base.height, base.width)
    if how == "squash" and (share or 1) < 1:
        raise CheckpointError(
            f"{path} describes pictures that edgekit cannot make.",
            got=f"{', '.join(told)}: squashed, and then cropped to {share} of their sides",
            expected="crop_pct 1 with crop_mode squash",
            fix="--preprocess FILE with the nearest of edgekit's own",
        )
    if how == "squash" or (how is None and share is None and shorter is None and base.resize == "stretch"):
        values.update(resize="stretch", shorter_side=None)
    elif share is not None:
        values["shorter_side"] = max(height, width, math.floor(max(height, width) / share))
    elif shorter is not None:
        values["shorter_side"] = shorter
    elif size in (None, (base.height, base.width)) and base.resize == "crop":
        values["shorter_side"] = base.shorter_side
    else:
        values["shorter_side"] = max(height, width, published.shorter(max(height, width)))
    values.update(height=height, width=width)
    for kind in ("mean", "std", "interpolation", "color"):
        if (value := take(kind)) is not None:
            values[kind] = value
    if values.get("interpolation") == "nearest":
        values["antialias"] = False
    try:
        spec = PreprocessSpec(**values)
    except InputError as error:
        raise CheckpointError(
            f"{path} describes pictures that edgekit cannot make.",
            got=f"{', '.join(told)}: {error.got}",
            expected=error.expected,
            fix="--preprocess FILE",
        ) from error
    parts = {
        "input size": size, "resize": shorter or share or how, "mean": claims["mean"], "std": claims["std"],
        "interpolation": claims["interpolation"],
    }  # fmt: skip
    rest = () if published.stated else tuple(name for name, value in parts.items() if value is None)
    return spec, tuple(told), rest


def refuse_other_preprocess(claims: Claims, given: PreprocessSpec, path: Path, published: Published = PLAIN) -> None:
    """Raises UsageError where --preprocess says something else than the file does."""
    spec, _, _ = preprocess_of(claims, path, published)
    for kind, names in _FIELDS.items():
        claim = claims[kind]
        for name in names if claim is not None else ():
            assert claim is not None
            said = Claim(f"{name} = {getattr(spec, name)}", claim.where)
            refuse_contradiction(said, f"{name} = {getattr(given, name)}", "--preprocess", path)


def _pairs(content: Mapping[Any, Any], where: str) -> Iterator[tuple[str, str, Any]]:
    """(word, where it stands, value) of the file's top and of the dictionaries in which it speaks of itself."""
    for key, value in content.items():
        if isinstance(key, str) and not isinstance(value, Tensor):
            yield word_of(key), f"{where}{key}", value
            if isinstance(value, Mapping) and word_of(key) in INSIDE and where.count(".") < 3:
                yield from _pairs(value, f"{where}{key}.")


def _beside(path: Path) -> Iterator[tuple[str, Mapping[str, Any]]]:
    for name in _CONFIGS if path.suffix in (".safetensors", ".bin") else ():
        config = path.with_name(name)
        if not config.is_file():
            continue
        try:
            content = read_json(config, CARD)
            if not isinstance(content, Mapping):
                raise ValueError(type(content).__name__)
        except (OSError, ValueError) as error:
            raise CheckpointError(
                f"{config} lies beside the weights and cannot be read.",
                got=str(error)[:200],
                expected="what the weights are, as JSON",
                fix="mend it, or move it away",
            ) from error
        yield name, content


def _refuse_transformers(text: Mapping[str, Any], config: Path) -> None:
    """Raises CheckpointError for a net of the transformers library, which shares neither names nor code with timm's."""
    classes = text.get("architectures")
    if isinstance(classes, list) and classes and "model_type" in text and "architecture" not in text:
        raise CheckpointError(
            f"{config.parent} holds a net of the transformers library; edgekit builds those of timm and torchvision.",
            got=f"{config.name}: architectures = {', '.join(map(str, classes))[:80]}",
            expected="architecture = the name of a net of timm or torchvision",
            fix="take the same net as timm publishes it, or add the net (CONTRIBUTING.md, 'Add a net')",
        )


def _longer(one: str, other: str) -> str:
    """The one of two names that says more, where they are the same: a library before it, a tag of weights behind."""
    short, long = sorted((one, other), key=len)
    bare, inner = (re.split("[:/]", name.lower())[-1] for name in (short, long))
    return long if inner.partition(".")[0] == bare.partition(".")[0] and inner.startswith(bare) else ""


def _short(value: Any) -> str:
    text = ", ".join(map(str, value)) if isinstance(value, tuple) else str(value)
    return text if len(text) <= 80 else f"{text[:70]}... ({len(value)})"
