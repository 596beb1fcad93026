"""What `make bench` runs: makes a ResNet-18 and a CenterNet in fp32 and int8, then the default suite on them.

    python benchmarks/standard.py --out bench-output [--centernet hornets.pt --boxes hornets/]

With EDGEKIT_DATA the ResNet-18 is the ImageNet one there, on its pictures. Without, it is one that learnt
the patterns of pictures made in code in a minute: as quick as any other, right about those. The CenterNet
is --centernet, or the small one that `edgekit demo` trains on a made hive entrance. Models are kept in OUT/models and
made again only when what they come from changed.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgekit import __version__
from edgekit.artifacts.onnx_file import file_sha256
from edgekit.data import HIVE_CLASSES, load_dataset, sample_evenly
from edgekit.vision.image import encode_picture

HERE = Path(__file__).parent
EDGEKIT = Path(sys.executable).with_name("edgekit")
HIVE = "synthetic://hive?n=600&val=100&seed=0"  # what `edgekit demo` trains on
LEARNT, FITTED, HELD_OUT = 1200, 180, 120  # made pictures for the ResNet, to calibrate it, and to measure it on
REJECTED = 3  # the exit code of an export that was written and not proven
EPOCHS, BATCH, LEARNT_AT = 8, 64, 64  # at a small size, which is enough for patterns


@dataclass(frozen=True)
class Source:
    """A checkpoint and the pictures it is exported with and measured on."""

    checkpoint: Path
    data: str


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("bench-output"))
    parser.add_argument("--resnet", type=Path, help="a ResNet-18's checkpoint")
    parser.add_argument("--labels", help="labelled pictures for it")
    parser.add_argument("--centernet", type=Path, help="a CenterNet's checkpoint")
    parser.add_argument("--boxes", help="pictures with boxes for it")
    parser.add_argument("--calibrate", type=int, help="pictures to fit int8 on; default: edgekit export's")
    parser.add_argument("--suite", type=Path, default=HERE / "suites" / "default.toml")
    parser.add_argument("--prepare", action="store_true", help="only make the models")
    args = parser.parse_args()
    for one, other in (("resnet", "labels"), ("centernet", "boxes")):
        if bool(getattr(args, one)) != bool(getattr(args, other)):
            parser.error(f"--{one} and --{other} go together")
    models, made = args.out / "models", args.out / "made"
    models.mkdir(parents=True, exist_ok=True)
    resnet = Source(args.resnet, args.labels) if args.resnet else real_resnet() or made_resnet(made)
    centernet = Source(args.centernet, args.boxes) if args.centernet else made_centernet(made)
    export(resnet, models, "resnet18", args.calibrate)
    export(centernet, models, "centernet", args.calibrate)
    if args.prepare:
        return 0
    words = ["bench", "--suite", args.suite, "--models", models, "--data", resnet.data, "--data", centernet.data]
    done = edgekit(*words, "--out", args.out / "report", "--force", accept=(0, 1))
    print((args.out / "report" / "bench.html").resolve())
    return done


def real_resnet() -> Source | None:
    """The ImageNet weights and pictures in EDGEKIT_DATA, where both are there."""
    root = Path(os.environ.get("EDGEKIT_DATA") or "nowhere")
    weights, pictures = root / "weights" / "resnet18-imagenet.pth", root / "imagenet-250"
    return Source(weights, str(pictures)) if weights.is_file() and pictures.is_dir() else None


def made_resnet(folder: Path) -> Source:
    """A ResNet-18 that tells the made patterns apart, trained small, its head fitted at the size that it runs at."""
    import torch

    from edgekit import nets
    from edgekit.checkpoints.checkpoint import Checkpoint, save_checkpoint
    from edgekit.data import PATTERNS, made_pictures
    from edgekit.spec import ModelSpec, PreprocessSpec
    from edgekit.vision.preprocess import normalise, preprocess

    checkpoint, pictures = folder / "resnet18.pt", folder / "patterns"
    if checkpoint.exists():
        return Source(checkpoint, str(pictures))
    print("training a ResNet-18 on made pictures", flush=True)
    spec = ModelSpec("resnet18", PATTERNS, PreprocessSpec(224, 224, shorter_side=256))
    learnt = made_pictures(LEARNT, seed=11)
    for split, dataset in {"train": learnt.samples[:FITTED], "val": made_pictures(HELD_OUT, seed=12)}.items():
        for i, sample in enumerate(dataset):
            path = pictures / split / PATTERNS[int(sample.label or 0)] / f"{i:04d}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(encode_picture(sample.read(), ".png"))
    x = torch.empty(len(learnt), 3, 224, 224)
    for i, sample in enumerate(learnt):
        x[i] = torch.from_numpy(normalise(preprocess(sample.read(), spec.preprocess)[None], spec.preprocess))[0]
    torch.manual_seed(0)
    net = train_small(nets.build(spec), x, torch.tensor([int(s.label or 0) for s in learnt]))
    save_checkpoint(checkpoint, Checkpoint(spec, net.state_dict()))
    return Source(checkpoint, str(pictures))


def train_small(net: Any, x: Any, y: Any) -> Any:
    """The net trained on x [N, 3, H, W] at a smaller size, then its statistics and head made to fit the full one."""
    import torch
    from torch.nn import functional

    net.to(memory_format=torch.channels_last)
    small = functional.interpolate(x, size=(LEARNT_AT, LEARNT_AT), mode="area")
    steps = EPOCHS * (len(x) // BATCH)
    optimizer = torch.optim.AdamW(net.parameters(), 1e-3, weight_decay=0.05)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 3e-3, steps)
    net.train()
    for _ in range(EPOCHS):
        for rows in torch.randperm(len(x))[: len(x) // BATCH * BATCH].split(BATCH):
            pictures = small[rows][:, torch.randperm(3)]  # a pattern stays what it is in other colours, and turned
            if torch.rand(()) < 0.5:
                pictures = pictures.transpose(2, 3)
            pictures = pictures.flip([d for d in (2, 3) if torch.rand(()) < 0.5])
            optimizer.zero_grad()
            pictures = pictures.contiguous(memory_format=torch.channels_last)
            functional.cross_entropy(net(pictures), y[rows]).backward()
            optimizer.step()
            schedule.step()
    for norm in net.modules():
        if isinstance(norm, torch.nn.BatchNorm2d):
            norm.reset_running_stats()
            norm.momentum = None  # the plain mean over the batches
    x, y = x[:300], y[:300]
    with torch.no_grad():
        for part in x[torch.randperm(len(x))].split(30):
            net(part)
        net.eval()
        features = torch.cat([net.features(part)[-1].mean((2, 3)) for part in x.split(30)])
    head = torch.optim.LBFGS(net.fc.parameters(), max_iter=100)

    def loss() -> Any:
        head.zero_grad()
        value = functional.cross_entropy(net.fc(features), y) + 1e-3 * net.fc.weight.square().sum()
        value.backward()
        return value

    head.step(loss)
    return net.to(memory_format=torch.contiguous_format)


def made_centernet(folder: Path) -> Source:
    """The small CenterNet of `edgekit demo`, trained for a minute or two; its pictures as files, as a user has them."""
    run, pictures = folder / "centernet", folder / "hive"
    if not (run / "best.pt").exists():
        shutil.rmtree(run, ignore_errors=True)
        trained = run.with_name("centernet.part")
        shutil.rmtree(trained, ignore_errors=True)
        edgekit("train", "demo", "--data", HIVE, "--out", trained)
        trained.rename(run)
    if not (pictures / "data.yaml").exists():
        for split in ("train", "val"):
            write_yolo(pictures / split, split)
        names = ", ".join(HIVE_CLASSES)
        (pictures / "data.yaml").write_text(f"train: train/images\nval: val/images\nnames: [{names}]\n")
    return Source(run / "best.pt", str(pictures))


def write_yolo(folder: Path, split: str) -> None:
    """At most 100 pictures of one split of the made hive, with their boxes."""
    for name in ("images", "labels"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    for i, sample in enumerate(sample_evenly(load_dataset(HIVE, None, split), 100)):
        frame, truth = sample.read(), sample.ground_truth()
        height, width = frame.shape[:2]
        lines = []
        for (x1, y1, x2, y2), label in zip(truth.boxes.tolist(), truth.labels.tolist(), strict=True):
            middle = (x1 + x2) / 2 / width, (y1 + y2) / 2 / height, (x2 - x1) / width, (y2 - y1) / height
            lines.append(f"{label} " + " ".join(f"{v:.6f}" for v in middle))
        (folder / "images" / f"{i:04d}.png").write_bytes(encode_picture(frame, ".png"))
        (folder / "labels" / f"{i:04d}.txt").write_text("\n".join(lines) + "\n")


def export(source: Source, models: Path, name: str, calibrate: int | None) -> None:
    """NAME.pt, NAME.onnx and NAME.int8-x86.onnx in `models`, unless they come from this checkpoint already."""
    kept, stamp = models / f"{name}.pt", models / f"{name}.source"
    comes_from = f"{file_sha256(source.checkpoint)} {source.data} {calibrate} {__version__}\n"
    files = [kept, models / f"{name}.onnx", models / f"{name}.int8-x86.onnx"]
    if all(f.exists() for f in files) and stamp.exists() and stamp.read_text() == comes_from:
        return
    for old in (*files[1:], stamp):
        old.unlink(missing_ok=True)  # of another checkpoint, should the next one not pass
    shutil.copyfile(source.checkpoint, kept)
    words = ["export", kept, "--data", source.data, "--precision", "int8", "--out", models, "--force"]
    words += ["--calibrate", calibrate] if calibrate is not None else []
    if edgekit(*words, accept=(0, REJECTED)) == REJECTED:
        print(f"{name}: what did not pass is measured as missing", flush=True)
        return
    stamp.write_text(comes_from)


def edgekit(*words: object, accept: tuple[int, ...] = (0,)) -> int:
    """Runs the command beside this interpreter; its exit code. Raises CalledProcessError for one not in `accept`."""
    line = [str(EDGEKIT), *map(str, words)]
    print("$ edgekit " + " ".join(line[1:]), flush=True)
    done = subprocess.run(line, check=False)
    if done.returncode not in accept:
        done.check_returncode()
    return done.returncode


if __name__ == "__main__":
    sys.exit(main())
