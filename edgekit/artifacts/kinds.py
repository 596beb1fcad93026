"""Which files are checkpoints, by name and else by how they begin, and what is named after one."""

from __future__ import annotations

from pathlib import Path

# the longer ones first: what is taken off a name is the first that fits
CHECKPOINTS = (".pth.tar", ".pt.tar", ".pt", ".pth", ".ckpt", ".safetensors", ".bin")
EXPORTED = (".onnx", ".rejected", ".engine", ".json")
_BEGINNINGS = (b"PK\x03\x04", b"\x80\x02")  # torch.save's archive, and what it wrote before 1.6


# a model's weights in a folder of the Hugging Face Hub, beside its config.json
HUB = ("model.safetensors", "pytorch_model.safetensors", "pytorch_model.bin", "model.bin")


def weights_file(path: Path) -> Path:
    """The file with the weights: `path` itself, or that one of a folder as the Hub has it."""
    if path.is_dir():
        return next((path / name for name in HUB if (path / name).is_file()), path)
    return path


def is_checkpoint(path: Path) -> bool:
    """Whether `path` is to be opened as trained weights, in every command alike: by its name, or else as it begins.

    A folder is a checkpoint where it has weights as the Hugging Face Hub keeps them.
    """
    if path.is_dir():
        return weights_file(path) != path
    name = path.name.lower()
    if name.endswith(CHECKPOINTS):
        return True
    if name.endswith(EXPORTED) or not path.is_file():
        return False
    with path.open("rb") as stream:
        return stream.read(4).startswith(_BEGINNINGS)


def checkpoint_stem(path: Path) -> str:
    """The name that exported files get: `model_best` of `model_best.pth.tar`, a folder's own name of a folder."""
    if path.is_dir():
        return path.resolve().name
    suffix = next((s for s in CHECKPOINTS if path.name.lower().endswith(s)), path.suffix)
    return path.name[: len(path.name) - len(suffix)] or path.stem
