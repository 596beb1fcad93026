"""Writes `edgekit/checkpoints/fitting/nets.txt`: a fingerprint of each net of timm and torchvision.

    python benchmarks/known_nets.py

It builds all of them without memory, which takes a quarter of an hour. After a new version of either library.
"""

from __future__ import annotations

import warnings
from pathlib import Path

import edgekit.checkpoints.fitting
from edgekit.checkpoints.fitting.fingerprint import fingerprint
from edgekit.checkpoints.fitting.layout import layout_of
from edgekit.checkpoints.fitting.table import FILE, written
from edgekit.errors import EdgekitError


def main() -> None:
    import timm
    import torchvision

    warnings.simplefilter("ignore")
    names = [f"timm:{name}" for name in timm.list_models()]
    names += [f"torchvision:{name}" for name in torchvision.models.list_models(module=torchvision.models)]
    marks = {}
    for done, name in enumerate(names, start=1):
        try:
            layout = layout_of(name)
        except (EdgekitError, RuntimeError) as error:
            print(f"{name}: {error}")
            continue
        marks[name] = (fingerprint(layout.shapes, layout.heads), layout.heads)
        if done % 50 == 0:
            print(f"{done} of {len(names)}", flush=True)
    versions = f"timm {timm.__version__}, torchvision {torchvision.__version__.partition('+')[0]}"
    path = Path(edgekit.checkpoints.fitting.__file__).with_name(FILE)
    path.write_text(written(marks, versions), encoding="utf-8")
    print(f"{len(marks)} nets in {path}")


if __name__ == "__main__":
    main()
