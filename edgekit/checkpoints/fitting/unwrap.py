"""Where in a file the weights are: under which key, behind which prefix, and what lies beside them.

Training scripts wrap a state dict (`{"model": ...}`), put a prefix before its names (`module.`, `backbone.`), keep an
average of the weights beside them, and leave tensors in it that belong to no layer. What is taken, and what is left
out, is said.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from edgekit import nets
from edgekit.checkpoints.fitting.fingerprint import BUFFER
from edgekit.checkpoints.fitting.guess import behind, starts_of_known
from edgekit.checkpoints.fitting.layout import Layout
from edgekit.checkpoints.fitting.names import BESIDE, NORMALIZE, behind_dropout, unwrapped
from edgekit.errors import CheckpointError, UsageError
from edgekit.screen import count_of, some

WRAPPERS = (
    "state_dict_ema", "model_ema", "ema", "ema_state_dict", "params_ema", "state_dict", "model_state_dict",
    "model_state", "model", "net", "network", "weights", "params",
)  # fmt: skip
_AVERAGED = re.compile(r"(^|[._])(ema|averaged?|averaging|avg|swa|polyak|shadow)([._]|$)|ema$")
_NO_WEIGHTS = re.compile(r"^(optim|sched|lr_|scaler|amp|loops|callbacks|rng|random)|optimizer|scheduler")
# where Lightning's averaging callback puts the weights that are no average
_UNAVERAGED = "current_model_state"
_PART = 0.5  # of the largest dictionary: what is smaller is no whole net
DEPTH = 3


@dataclass(frozen=True)
class Weights:
    """A state dict as it was found.

    Attributes:
        state: names as the net has them -> tensors.
        buffers: `mean` and `std` of a net that normalizes its pictures itself.
        notes: what was taken and what was left out, for people.
    """

    state: dict[str, Tensor]
    buffers: Mapping[str, Tensor]
    notes: tuple[str, ...]


@dataclass(frozen=True)
class _Found:
    name: str  # what `--weights-key` calls it
    key: str
    prefix: str
    tensors: Mapping[str, Tensor]
    whole: bool  # whether the net that is looked for begins here


@dataclass(frozen=True)
class Wanted:
    """What kind of net is looked for.

    Attributes:
        called: for the messages.
        starts: prefixes behind which a whole net of the kind begins, of a dictionary of tensors.
    """

    called: str
    starts: Callable[[Mapping[str, Tensor]], list[str]]


def ours() -> Wanted:
    """Any of edgekit's own nets whose plain state dicts are known."""
    called = " or ".join(keys.family for keys in nets.families())
    return Wanted(called, lambda tensors: [p for keys in nets.families() for p in _starts(tensors, keys.marks)])


def one_of(layout: Layout) -> Wanted:
    """The net of a layout."""
    return Wanted(layout.arch, lambda tensors: _starts(tensors, layout.marks))


def any_known() -> Wanted:
    """Ours, or any net of timm and torchvision."""
    own = ours()
    return Wanted("net", lambda tensors: own.starts(tensors) or starts_of_known(tensors))


def find_weights(content: Mapping[str, Any], path: Path, kind: Wanted, wanted: str | None = None) -> Weights:
    """The weights of a foreign file.

    Args:
        content: what was read.
        path: for the messages.
        kind: of net.
        wanted: which of several: the key that they are under, or the prefix before their names.

    Raises:
        CheckpointError: no state dict, several and none averaged, or a net that is part of a larger one.
        UsageError: nothing is called `wanted`.
    """
    dictionaries = dict(_dictionaries(content, "", DEPTH, kind))
    found = list(_candidates(dictionaries, kind))
    if not found:
        strange = [str(k) for k, v in content.items() if not isinstance(v, Tensor)]
        raise CheckpointError(
            f"{path} does not hold a state dict.",
            got="entries that are not tensors: " + ", ".join(strange[:4]) if strange else "no tensors",
            expected="a dictionary of tensors, or one under " + ", ".join(WRAPPERS[-7:]),
            fix="torch.save(net.state_dict(), path)",
        )
    whole = [one for one in found if one.whole]
    large = max(len(one.tensors) for one in found) * _PART
    chosen, notes = _choose(
        found if wanted is not None else whole or [one for one in found if len(one.tensors) >= large], path, wanted
    )
    chosen = _completed(chosen, whole, notes)
    others = tuple(one.prefix for one in whole if one.key == chosen.key and one.prefix != chosen.prefix)
    left = [] if not whole else [
        name for name in dictionaries[chosen.key]
        if not name.startswith(chosen.prefix) and not (others and name.startswith(others))
    ]  # fmt: skip
    strange = [name for name in left if not (BESIDE.search(name) or NORMALIZE.match(name))]
    if strange:
        raise CheckpointError(
            f"{path} holds a net of which the {kind.called} is only a part.",
            got=f"{count_of(len(strange), 'tensor')} beside {chosen.prefix}*: {', '.join(strange[:4])}",
            expected=f"a {kind.called} and nothing that computes beside it",
            fix="save the whole classifier's state_dict(); a net of several parts has to be added "
            "(CONTRIBUTING.md, 'Add a net')",
        )
    state, buffers, dropped = dict(chosen.tensors), {}, list(left)
    for name in list(state):
        if BESIDE.search(name):
            dropped.append(name)
            del state[name]
    for name in [*left, *state]:
        if match := NORMALIZE.match(name):
            tensor = state.pop(name) if name in state else dictionaries[chosen.key][name]
            buffers[match[3]] = tensor
            dropped = [other for other in dropped if other != name]
    if chosen.prefix:
        notes.append(f"weights: those called {chosen.prefix}*" + (f" under {chosen.key}" if chosen.key else ""))
    elif chosen.key:
        notes.append(f"weights: those under {chosen.key}")
    if dropped:
        notes.append(f"left out, since they belong to no layer: {some(dropped, 4)}")
    return Weights(headed(state, notes), buffers, tuple(notes))


def _choose(found: list[_Found], path: Path, wanted: str | None) -> tuple[_Found, list[str]]:
    """One of the candidates: the one that is asked for, the only one, or the averaged one; and what to say of it."""
    names = [one.name for one in found]
    if wanted is not None:
        fitting = [one for one in found if wanted in (one.name, one.key, one.prefix, one.prefix.rstrip("."))]
        if len(fitting) != 1:
            raise UsageError(
                f"{path} has no weights that --weights-key tells apart.",
                got=wanted,
                expected="one of " + ", ".join(name or "(the file itself)" for name in names),
            )
        return fitting[0], []
    if len(found) == 1:
        return found[0], []
    first = found[0]
    averaged = [one for one in found if _AVERAGED.search(one.name)]
    if not averaged and _UNAVERAGED in names and len(found) == 2:
        averaged = [one for one in found if one.name != _UNAVERAGED]
    if len(averaged) == 1:
        rest = [one.name for one in found if one is not averaged[0]]
        return averaged[0], [
            f"two sets of weights: {averaged[0].name}, the averaged ones, is taken; not {', '.join(rest)} "
            f"(--weights-key {rest[0]} takes it)"
        ]
    if all(_same(first.tensors, one.tensors) for one in found[1:]):
        return first, [f"the same weights are there {len(found)} times: {', '.join(names)}"]
    raise CheckpointError(
        f"{path} holds several sets of weights.",
        got=", ".join(names),
        expected="one, or one of them averaged",
        fix=f"--weights-key {names[0]}, or another of these",
    )


def _completed(chosen: _Found, whole: list[_Found], notes: list[str]) -> _Found:
    """An average of the parameters alone, with the running statistics of the net beside it."""
    for other in whole:
        lacking = [name for name in other.tensors if name not in chosen.tensors]
        if lacking and all(BUFFER.search(name) for name in lacking) and set(chosen.tensors) < set(other.tensors):
            notes.append(f"{chosen.name} has parameters alone: running statistics are those of {other.name}")
            return replace(chosen, tensors={**chosen.tensors, **{name: other.tensors[name] for name in lacking}})
    return chosen


def _candidates(dictionaries: Mapping[str, Mapping[str, Tensor]], kind: Wanted) -> Iterator[_Found]:
    for key, tensors in dictionaries.items():
        prefixes = list(dict.fromkeys(kind.starts(tensors)))
        for prefix in prefixes or [_shared(tensors)]:
            name = ".".join(part for part in (key, prefix.rstrip(".") if len(prefixes) > 1 else "") if part)
            yield _Found(name, key, prefix, behind(tensors, prefix), bool(prefixes))


def _shared(tensors: Mapping[str, Tensor]) -> str:
    """The prefix that all names have, of a net whose names are others than its library's."""
    names = [name for name in tensors if not BESIDE.search(name)]
    parts = [name.split(".")[:-2] for name in names]
    count = 0
    while parts and all(len(one) > count and one[count] == parts[0][count] for one in parts):
        count += 1
    return "".join(f"{part}." for part in parts[0][:count]) if parts else ""


def _starts(tensors: Mapping[str, Tensor], marks: tuple[str, ...]) -> list[str]:
    """Prefixes behind which all the marks of a net are: where it begins."""
    ends = [name.removesuffix(marks[0]) for name in tensors if name.endswith(marks[0])] if marks else []
    return [p for p in ends if (not p or p.endswith(".")) and all(p + mark in tensors for mark in marks)]


def _family(state: Mapping[str, Tensor]) -> nets.Keys | None:
    """The family of nets whose marks are all there, without a prefix."""
    return next((keys for keys in nets.families() if all(mark in state for mark in keys.marks)), None)


def _dictionaries(
    content: Mapping[Any, Any], key: str, depth: int, kind: Wanted
) -> Iterator[tuple[str, dict[str, Tensor]]]:
    """Dictionaries of tensors and their keys, a.b for b inside a."""
    given = {str(k): v for k, v in content.items() if isinstance(v, Tensor)}
    plain = {unwrapped(name): tensor for name, tensor in given.items()}
    tensors = plain if len(plain) == len(given) else given
    # plain data may stand beside the tensors of a whole net, not beside any tensor
    if tensors and (len(tensors) == len(content) or kind.starts(tensors)):
        yield key, tensors
    for name, inner in content.items() if depth else ():
        if isinstance(inner, Mapping) and isinstance(name, str) and not _NO_WEIGHTS.search(name):
            yield from _dictionaries(inner, f"{key}.{name}".lstrip("."), depth - 1, kind)


def _same(one: Mapping[str, Tensor], other: Mapping[str, Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[k], other[k]) for k in one)


def headed(state: dict[str, Tensor], notes: list[str]) -> dict[str, Tensor]:
    """`state` with its last linear layer called as its net has it (`fc`), and a bias of zeros where it has none."""
    family = _family(state)
    last = next((net.head for net in nets.NETS.values() if family is not None and net.keys is family), None)
    if last is None:
        return state
    inside = behind_dropout(last)
    inner = sorted({name.rpartition(".")[0] for name in state if inside.fullmatch(name)})
    if f"{last}.weight" not in state and len(inner) == 1 and state[f"{inner[0]}.weight"].ndim == 2:
        state = {name.replace(f"{inner[0]}.", f"{last}."): tensor for name, tensor in state.items()}
        notes.append(f"the last layer is {inner[0]}; what stands before it has no weights and is taken for a dropout")
    head = state.get(f"{last}.weight")
    if head is not None and head.ndim == 2 and f"{last}.bias" not in state:
        state = {**state, f"{last}.bias": torch.zeros(head.shape[0], dtype=head.dtype)}
        notes.append("the last layer has no bias: zeros")
    return state
