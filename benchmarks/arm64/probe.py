"""What a processor computes, step by step, so that two can be compared: run by both, with a device's packages alone.

    python probe.py OUT.npz WORK [--given OTHER.npz]

Pictures are decoded, resized, made and encoded; a camera watches WORK/clip.mp4, and what its model found in each frame
is kept. Of each WORK/*.onnx the graph is kept that onnxruntime makes of it here (OUT.MODEL.onnx), with all its tensors
on some pictures. With --given each node of the other processor's graph runs here, alone, on the other's own tensors:
what differs then differs by itself and inherited nothing.
"""

from __future__ import annotations

import argparse
import platform
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
from numpy.typing import NDArray
from onnx.utils import Extractor

from edgekit import read_picture
from edgekit.api.watching import open_model
from edgekit.artifacts.onnx_file import read_onnx
from edgekit.backends.onnxruntime_ import UNASKED
from edgekit.benchmark.machine.environment import environment
from edgekit.camera.config import CameraConfig, load_config
from edgekit.camera.detect.detectors import Detector
from edgekit.camera.detect.motion import Motion
from edgekit.camera.runtime import Camera
from edgekit.data import HiveClip, hive_pictures, made_pictures
from edgekit.spec import PreprocessSpec
from edgekit.vision.image import Frame, encode_picture
from edgekit.vision.preprocess import preprocess
from edgekit.vision.results import Detections

RESIZES = {
    "bilinear, antialiased": PreprocessSpec(96, 160, resize="stretch", shorter_side=None),
    "bicubic, antialiased": PreprocessSpec(96, 160, resize="stretch", shorter_side=None, interpolation="bicubic"),
    "letterbox, antialiased": PreprocessSpec(96, 160, resize="letterbox", shorter_side=None),
    **{
        f"{kind} (OpenCV)": PreprocessSpec(
            96, 160, resize="stretch", shorter_side=None, interpolation=kind, antialias=kind in ("area", "pyramid")
        )
        for kind in ("nearest", "bilinear", "bicubic", "area", "pyramid")
    },
}
EVENT = ("type", "label", "start", "last_seen", "end", "count", "count_max")
# of a model's pictures, on how many each node is compared: rounding differs in one of many
TRACED = {"fp32": 2, "int8": 12}
Arrays = dict[str, NDArray[Any]]


def pictures(work: Path) -> Arrays:
    """What happens to a picture before a model sees it, and after."""
    files = [path for folder in sorted(work.iterdir()) for path in sorted(folder.rglob("*.[jJ][pP]*g"))[:4]]
    frames = [read_picture(path) for path in files]
    told = {f"JPEG decoded|{path.relative_to(work)}": frame for path, frame in zip(files, frames, strict=True)}
    for name, spec in RESIZES.items():
        told |= {f"resize {name}|{i}": preprocess(frame, spec) for i, frame in enumerate(frames)}
    told |= {f"JPEG encoded|{i}": np.frombuffer(encode_picture(f, ".jpg"), np.uint8) for i, f in enumerate(frames)}
    told |= {f"made patterns|{i}": sample.read() for i, sample in enumerate(made_pictures(6, 3))}
    told |= {f"made hive, pictures|{i}": sample.read() for i, sample in enumerate(hive_pictures(3, 3))}
    hive = HiveClip(seed=4)
    return told | {f"made hive, clip|{i}": hive.frame(i).frame for i in (0, 60, 120)}


class Recorder(Detector):
    """A camera's detector, and what it found in each frame."""

    def __init__(self, inner: Detector, frames: list[tuple[Frame, Detections]]) -> None:
        self._inner, self._frames = inner, frames
        self.needs_motion, self.several = inner.needs_motion, inner.several

    def look(self, frame: Frame, motion: Motion | None) -> Detections:
        found = self._inner.look(frame, motion)
        self._frames.append((frame, found))
        return found


def watched(work: Path, model: Path) -> tuple[Arrays, list[str]]:
    """What a camera's model finds in the frames of the clip, and the events that come of it."""
    frames: list[tuple[Frame, Detections]] = []
    events: list[dict[str, Any]] = []

    def opened(config: CameraConfig) -> Any:
        found = open_model(config, print)
        return replace(found, make=lambda wanted, floor: Recorder(found.make(wanted, floor), frames))

    # a limit to the rate, however high, keeps frames from being looked at several at once, out of their order
    place = [f"source.uri={work / 'clip.mp4'}", "source.start=2026-08-01T12:00:00Z"]
    asked = [*place, f"model.path={model}", "rate.fps=100"]
    Camera(load_config(None, asked), opened, say=print, listeners=(events.append,)).run()
    told: Arrays = {}
    for i, (frame, found) in enumerate(frames):
        told[f"clip decoded|{i}"] = frame[::8, ::8].copy()
        told[f"camera|{i}"] = np.concatenate([found.labels[:, None], found.scores[:, None], found.boxes], 1)
    return told, [" ".join(str(event.get(key)) for key in EVENT) for event in events]


def optimized(data: bytes, path: Path) -> onnx.ModelProto:
    """The graph that onnxruntime makes of a model on this processor, without layouts that are an x86's alone."""
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_EXTENDED
    options.optimized_model_filepath = str(path)
    options.log_severity_level = 3
    options.add_session_config_entry(*UNASKED)
    ort.InferenceSession(data, options, providers=["CPUExecutionProvider"])
    return onnx.load(path)


def run(model: onnx.ModelProto, feeds: Arrays) -> Arrays:
    """All outputs, each node as it stands."""
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.log_severity_level = 3
    options.intra_op_num_threads = 1
    session = ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return dict(zip([o.name for o in session.get_outputs()], session.run(None, feeds), strict=True))


def tensors(graph: onnx.ModelProto, pixels: NDArray[np.uint8]) -> Arrays:
    """Every tensor of a graph on one picture."""
    full = onnx.ModelProto()
    full.CopyFrom(graph)
    del full.graph.output[:]
    full.graph.output.extend(
        onnx.ValueInfoProto(name=name) for node in graph.graph.node for name in node.output if name
    )
    return {"image": pixels, **run(full, {"image": pixels})}


def alone(graph: onnx.ModelProto, given: Arrays) -> Arrays:
    """Every node's outputs, from the tensors that the other processor had before it."""
    known = {tensor.name for tensor in graph.graph.initializer}
    typed = onnx.ModelProto()
    typed.CopyFrom(graph)
    del typed.graph.value_info[:]
    for name, value in given.items():
        kind = onnx.helper.np_dtype_to_tensor_dtype(value.dtype)
        typed.graph.value_info.append(onnx.helper.make_tensor_value_info(name, kind, value.shape))
    extractor, told = Extractor(typed), {}
    for node in graph.graph.node:
        names = [name for name in dict.fromkeys(node.input) if name and name not in known]
        outputs = [name for name in node.output if name in given]
        if all(name in given for name in names) and outputs:
            told |= run(extractor.extract_model(names, outputs), {name: given[name] for name in names})
    return told


def nodes(file: Path, out: Path, work: Path, other: Arrays, given: Path | None) -> Arrays:
    """The kinds of nodes that run here, and all their tensors, or those of the other processor's nodes alone."""
    artifact = read_onnx(file)
    graph = optimized(artifact.data, out.with_suffix(f".{file.name}"))
    kinds = Counter(node.op_type for node in graph.graph.node)
    told: Arrays = {f"operators|{file.stem}": np.array([f"{kind} {count}" for kind, count in sorted(kinds.items())])}
    prefix = f"tensor|{file.stem}|"
    if given is not None:
        graph = onnx.load(given.with_suffix(f".{file.name}"))
        for i in range(max(TRACED.values())):
            start = f"{prefix}{i}|"
            theirs = {key.removeprefix(start): value for key, value in other.items() if key.startswith(start)}
            told |= {start + name: value for name, value in (alone(graph, theirs).items() if theirs else ())}
        return told
    spec = artifact.metadata.model
    folder = work / ("hive/val" if spec.task == "detection" else "patterns/val")
    chosen = sorted((folder if folder.is_dir() else work / "imagenet").rglob("*.[jJ][pP]*g"))
    for i, path in enumerate(chosen[: TRACED["fp32" if artifact.metadata.precision == "fp32" else "int8"]]):
        pixels = preprocess(read_picture(path), spec.preprocess)[None]
        told |= {f"{prefix}{i}|{name}": value for name, value in tensors(graph, pixels).items()}
    return told


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("out", type=Path)
    parser.add_argument("work", type=Path)
    parser.add_argument("--given", type=Path)
    asked = parser.parse_args()
    told = pictures(asked.work)
    detector = asked.work / "centernet-tiny.int8-arm.onnx"
    frames, events = watched(asked.work, detector)
    told |= frames
    other = dict(np.load(asked.given)) if asked.given else {}
    for file in sorted(asked.work.glob("*.onnx")):
        told |= nodes(file, asked.out, asked.work, other, asked.given)
    known = environment()
    told["events|"] = np.array(events)
    told["machine|"] = np.array(
        [platform.machine(), str(known["emulated"]), *(f"{k} {v}" for k, v in known["versions"].items())]
    )
    np.savez(asked.out, **told)


if __name__ == "__main__":
    main()
