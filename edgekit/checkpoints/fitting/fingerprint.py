"""One short text for the names and shapes of a net's weights, apart from what training scripts change of them.

Left out are the last layer, whose width is the number of classes, and buffers, which come and go between versions of a
library; of a position embedding the shape, which is the input's size.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping, Sequence

Shapes = Mapping[str, Sequence[int]]

# what a net computes for itself or counts, and what only averages in BatchNorm: a weight and a bias stand beside these
BUFFER = re.compile(
    r"(^|\.)(num_batches_tracked|running_(mean|var)|relative_position_index|relative_coords_table|attn_mask|attn_bias_idxs"
    r"|attention_bias(es)?_idxs|relative_coords|rel_pos_indices|rel_indices|rel_coords_log|relative_coordinates_log"
    r"|periods|bands|freqs|(sin|cos)_emb|pos_embed_cached|k_bias|(height|width)_lookup|inv_freq|position_ids|mask_matrix)$"
)
POSITION = re.compile(
    r"(^|[._])(pos_(embed|embedding|emb)|position_embeddings?|absolute_pos_embed|pos_embed_(win|h|w))$"
)


def fingerprint(shapes: Shapes, heads: Iterable[str]) -> str:
    """12 hexadecimal digits of a net's trunk.

    Args:
        shapes: names of the weights and buffers of a whole net -> their shapes.
        heads: paths of its last layers.
    """
    outside = tuple(f"{head}." for head in heads)
    lines = sorted(
        f"{name} {'*' if POSITION.search(name) else tuple(shape)}"
        for name, shape in shapes.items()
        if not (outside and name.startswith(outside)) and not BUFFER.search(name)
    )
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()[:12]
