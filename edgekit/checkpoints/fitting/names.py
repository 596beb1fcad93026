"""Names of tensors as training leaves them: behind which prefix a net begins, and which belong to no layer of it."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable

# what torch.compile, FSDP and activation checkpointing put between the parts of a name, wherever they wrap
_INSIDE = re.compile(r"(^|\.)(_orig_mod|_fsdp_wrapped_module|_checkpoint_wrapped_module|_forward_module)\.")
_LOSS = r"criterions?|crit|losses|(\w+_)?loss(_?(fn|fns|func|function|fct|module))?|objective|cost|bce|ce|cross_entropy"
# counters of thop and of averaging, a loss's class weights, running figures of a training
BESIDE = re.compile(
    r"(^|\.)(total_ops|total_params|n_averaged|num_updates|initted|ema_decay)$"
    rf"|^({_LOSS}|metrics?|\w+_metrics?|(train|val|valid|test)_\w+|acc|accuracy|f1|auroc|confusion_?matrix)\d*(\.|$)"
    r"|^(class|cls|pos|label|loss)_?weights?$|^(step|steps|global_step|epoch|decay|best_acc)$"
)
NORMALIZE = re.compile(r"^(|.*\.)(pixel_|image_|img_|norm_)?(mean|std)$")
_PART, _FEWEST = 0.2, 8


def unwrapped(name: str) -> str:
    """`blocks.0.attn.qkv.weight` for `blocks.0._orig_mod.attn.qkv.weight`."""
    while (shorter := _INSIDE.sub(r"\1", name)) != name:
        name = shorter
    return name


def behind_dropout(head: str) -> re.Pattern[str]:
    """What the weight of a last layer is called where something without weights was put before it: `fc.1.weight`."""
    return re.compile(rf"{re.escape(head)}((\.\d+)+|\.(fc|linear|classifier|head|out))\.weight")


def prefixes(names: Iterable[str]) -> list[str]:
    """Prefixes with a dot at their end, the empty one first, behind each of which there is a good part of the names."""
    count: Counter[str] = Counter()
    total = 0
    for name in names:
        total += 1
        parts = name.split(".")
        count.update(".".join(parts[:end]) + "." for end in range(1, len(parts)))
    large = [prefix for prefix, held in count.items() if held >= max(_PART * total, _FEWEST)]
    return ["", *sorted(large, key=lambda prefix: (prefix.count("."), prefix))]
