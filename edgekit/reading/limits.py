"""How much a file from outside may ask for. docs/limits.md has the same table with what is legitimate below each.

A limit is a promise in both directions: nothing below it is refused for its size, and what lies above it is refused in
words before memory or time is spent on it.
"""

from __future__ import annotations

KB, MB, GB = 10**3, 10**6, 10**9

# bytes of a file
SETTINGS = 1 * MB  # TOML, YAML, class names
LABELS = 16 * MB  # the label file of one picture
LIST = 256 * MB  # a table or a list of pictures
CARD = 16 * MB  # JSON about one model: metadata, sidecar, deployment.json, the state of a search
REPORT = 32 * MB  # a bench.json
COCO = 2 * GB  # a COCO instances file
ONNX = 2**31 - 1  # protobuf's own limit
PLAN = 8 * GB  # a TensorRT plan
CALIBRATION = 256 * MB  # unpacked
PAIRS = 2 * GB  # unpacked: recorded inputs and outputs; 64 at 224 pixels take 40 MB
SAFETENSORS_HEADER = 16 * MB  # names and shapes; a thousand tensors take 100 KB
CLIP_PICTURE = 32 * MB  # one picture in a clip or a stream

# inside a file
DEPTH = 64  # brackets in brackets, in JSON, TOML and YAML
VALUES = 100_000  # texts, lists and mappings of a YAML; a data.yaml of ImageNet-21k has 44,000
DIGITS = 20  # of a whole number; 2**64 has 20
PIXELS = 100_000_000  # of a picture, by its header: width x height
PASSES = 100  # of a JPEG over its picture; progressive ones have 10
SMALL_PICTURE = 16_000_000  # pixels; a larger one has at most so many
PIXELS_A_BYTE = 1000  # pixels; one black PNG in colour has 340
FIELDS = 1_000_000  # of an ONNX: nodes, attributes, names; ResNet-152 has 20,000
ENTRIES = 100_000  # files in a zip
UNPACKED = 4  # times the size of a zip that its files may have together, beside the spare
SPARE = 64 * MB
REPEATED = 256 * MB  # of tensors that repeat their numbers by a stride of 0


def size(count: float) -> str:
    """Bytes for people: `3.5 GB`."""
    for unit, name in ((GB, "GB"), (MB, "MB"), (KB, "KB")):
        if count >= unit:
            return f"{count / unit:.3g} {name}"
    return f"{count:g} bytes"


class RefusedError(ValueError):
    """Something in a file is over a limit, or is of a kind that no honest writer makes; the message says which.

    A ValueError, so that a reader which turns those into its own error turns this into it too.
    """


def over(what: str, found: str, limit: str) -> RefusedError:
    return RefusedError(f"{what}: {found}, over edgekit's limit of {limit} (docs/limits.md)")
