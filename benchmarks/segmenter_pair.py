"""A small pair in Segment Anything's layout, trained on the made hive: is a click answered with the insect's mask?

    python benchmarks/segmenter_pair.py --out pair --minutes 29

An encoder (`image` -> `image_embeddings`) and a decoder (points with labels and boxes as corners -> masks and
`iou_predictions`) of 0.26 million parameters are trained on crops around insects of `hive_masks`, exported as two ONNX
files, opened by `edgekit.labels.proposals.sam` and asked on held-out pictures: for each insect by a click on the pixel
of its mask that is farthest from the mask's edge, and by its box. Printed: mean IoU, and the share at 0.5 and above.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from edgekit.data.hive.made import HIVE_CLASSES, hive_masks
from edgekit.labels.proposals.base import Prompt, box_of
from edgekit.labels.proposals.sam.framing import MEAN, STD
from edgekit.labels.proposals.sam.segmenter import open_segment_anything

SIDE, STRIDE, WIDTH = 1024, 2, 24
PICTURE = (576, 1024)  # height and width: a bee is 20 to 72 pixels long
CROPS = ((96, 20, 64.0), (96, 20, 64.0), (160, 8, np.inf))  # side, insects a step, and how long at most; in turns
HORNETS = 0.35  # of the insects of a step; of all that are seen they are an eighth
_WIDE = (4.0, 15.0, 50.0)  # pixels: how far the nearness to a point reaches, three times
_CHOSEN_ON, _HELD_OUT = 800_000_000, 900_000_000


def _conv(c_in: int, c_out: int, stride: int = 1, dilation: int = 1) -> nn.Sequential:
    """No normalization over the picture: trained on crops and asked on whole pictures, it would see other means."""
    return nn.Sequential(
        nn.Conv2d(c_in, c_out, 3, stride, dilation, dilation, bias=False), nn.BatchNorm2d(c_out), nn.ReLU(inplace=True)
    )


def _twice(x: Tensor) -> Tensor:
    return functional.interpolate(x, scale_factor=2.0, mode="bilinear")


class ImageEncoder(nn.Module):
    """float32 [N, 3, H, W] normalized -> [N, WIDTH, H / 2, W / 2]: three levels down, and their sums up again."""

    def __init__(self) -> None:
        super().__init__()
        self.to_half = nn.Sequential(nn.PixelUnshuffle(2), _conv(12, WIDTH), _conv(WIDTH, WIDTH))
        self.to_quarter = nn.Sequential(_conv(WIDTH, 40, 2), _conv(40, 40))
        self.to_eighth = nn.Sequential(_conv(40, 64, 2), _conv(64, 64), _conv(64, 64, dilation=2), _conv(64, 40))
        self.up_quarter, self.up_half = _conv(40, WIDTH), _conv(WIDTH, WIDTH)

    def forward(self, image: Tensor) -> Tensor:
        half = self.to_half(image)  # [N, 24, H/2, W/2]
        quarter = self.to_quarter(half)  # [N, 40, H/4, W/4]
        eighth = self.to_eighth(quarter)  # [N, 40, H/8, W/8]
        quarter = self.up_quarter(quarter + _twice(eighth))
        up: Tensor = self.up_half(half + _twice(quarter))
        return up  # [N, 24, H/2, W/2]


class MaskDecoder(nn.Module):
    """Embedding and prompt -> mask logits [N, 1, H, W] and the IoU it expects, [N, 1].

    Points are [N, P, 2] in pixels of the encoder's input, labels [N, P]: 1 on the thing, 0 beside it, 2 and 3 the
    corners of a box, -1 nothing. A mask given along is [N, 1, H / 2, W / 2].
    """

    def __init__(self) -> None:
        super().__init__()
        self.asked = _conv(2 * WIDTH + 2 * len(_WIDE) + 1, 32)
        self.around = nn.Sequential(
            _conv(32, 48, 2), _conv(48, 48, dilation=2), _conv(48, 48, dilation=4), _conv(48, 32)
        )
        self.fine = nn.Sequential(_conv(32, 32), nn.Conv2d(32, STRIDE * STRIDE, 3, padding=1))
        self.judge = nn.Sequential(nn.Linear(WIDTH + 3, 32), nn.ReLU(inplace=True), nn.Linear(32, 1))

    def forward(
        self, image_embeddings: Tensor, point_coords: Tensor, point_labels: Tensor, mask_input: Tensor,
        has_mask_input: Tensor,
    ) -> tuple[Tensor, Tensor]:  # fmt: skip
        height, width = image_embeddings.shape[-2:]
        where = image_embeddings.device
        y = (torch.arange(height, dtype=torch.float32, device=where) + 0.5) * STRIDE
        x = (torch.arange(width, dtype=torch.float32, device=where) + 0.5) * STRIDE
        on, beside, low, high = ((point_labels == k).float() for k in (1, 0, 2, 3))  # [N, P]
        first = (point_coords * low[..., None]).sum(1)  # [N, 2], 0 without a box
        last = (point_coords * high[..., None]).sum(1)
        boxed = high.sum(1).clamp(max=1)[:, None, None]  # [N, 1, 1]
        across = torch.sigmoid(x - first[:, :1]) * torch.sigmoid(last[:, :1] - x)  # [N, W/2]
        down = torch.sigmoid(y - first[:, 1:]) * torch.sigmoid(last[:, 1:] - y)
        box = down[:, :, None] * across[:, None, :] * boxed
        gap = (x - point_coords[..., :1])[:, :, None, :] ** 2 + (y - point_coords[..., 1:])[..., None] ** 2
        near = [_nearest(gap, on, wide) for wide in _WIDE] + [_nearest(gap, beside, wide) for wide in _WIDE]
        middle = (first + last) / 2
        far = (x - middle[:, :1])[:, None, :] ** 2 + (y - middle[:, 1:])[:, :, None] ** 2
        asked = near[0] + torch.exp(-far / (2 * _WIDE[0] ** 2)) * boxed * (1 - on.sum(1).clamp(max=1)[:, None, None])
        weight = (asked / asked.sum((1, 2), keepdim=True).clamp(min=1e-6))[:, None]
        query = (image_embeddings * weight).sum((2, 3))  # [N, WIDTH], what is there
        maps = torch.stack([*near, box], 1)
        seen = torch.cat([image_embeddings.expand(len(query), -1, -1, -1),
                          image_embeddings * query[..., None, None], maps], 1)  # fmt: skip
        half = self.asked(seen)  # [N, 32, H/2, W/2]
        given = mask_input * has_mask_input[:, None, None, None]
        logits = functional.pixel_shuffle(self.fine(half + _twice(self.around(half))) + given, STRIDE)
        share = torch.sigmoid(logits)
        size = share.sum((1, 2, 3))
        sure = (share * share).sum((1, 2, 3)) / size.clamp(min=1)
        told = torch.stack([torch.log1p(size) / 10, sure, boxed[:, 0, 0]], 1)
        return logits, torch.sigmoid(self.judge(torch.cat([query, told], 1)))


def _nearest(gap: Tensor, chosen: Tensor, wide: float) -> Tensor:
    return (torch.exp(-gap / (2 * wide**2)) * chosen[:, :, None, None]).amax(1)


def clicked(mask: np.ndarray) -> tuple[float, float]:
    """The pixel that is farthest from the mask's edge."""
    padded = np.pad(mask.astype(np.uint8), 1)
    y, x = np.unravel_index(int(cv2.distanceTransform(padded, cv2.DIST_L2, 3).argmax()), padded.shape)
    return float(x) - 0.5, float(y) - 0.5


class Insect(NamedTuple):
    """Its picture, its mask there and that of all, where to click, all its pixels [K, 2] as x and y, and its kind."""

    frame: np.ndarray
    mask: np.ndarray
    everyone: np.ndarray
    middle: tuple[float, float]
    pixels: np.ndarray
    hornet: bool

    @property
    def length(self) -> float:
        return float(np.ptp(self.pixels, axis=0).max())


def insects_of(pictures: int, seed: int) -> list[Insect]:
    found = []
    for shot in hive_masks(pictures, seed, *PICTURE):
        everyone = shot.masks.any(axis=0)
        for mask, label in zip(shot.masks, shot.labels, strict=True):
            pixels = np.argwhere(mask)[:, ::-1].astype(np.int16) + 0.5
            found.append(Insect(shot.frame, mask, everyone, clicked(mask), pixels, HIVE_CLASSES[label] == "hornet"))
    return found


def crops(insects: list[Insect], rng: np.random.Generator, n: int, side: int) -> tuple[Tensor, ...]:
    """Pictures [n, 3, side, side], masks of one and of all [n, 2, side, side], points [n, 2, 2], labels [n, 2]."""
    images, masks = np.zeros((n, side, side, 3), np.uint8), np.zeros((n, 2, side, side), np.float32)
    points, labels = np.zeros((n, 2, 2), np.float32), np.full((n, 2), -1, np.float32)
    kinds = [[one for one in insects if one.hornet is hornet] for hornet in (False, True)]
    for i in range(n):
        kind = kinds[int(rng.random() < HORNETS)]
        one = kind[int(rng.integers(len(kind)))]
        px, py = one.middle if rng.random() < 0.75 else one.pixels[int(rng.integers(len(one.pixels)))]
        left = int(np.clip(px - rng.uniform(0.25, 0.75) * side, 0, one.mask.shape[1] - side))
        top = int(np.clip(py - rng.uniform(0.25, 0.75) * side, 0, one.mask.shape[0] - side))
        rows, columns = slice(top, top + side), slice(left, left + side)
        part = one.mask[rows, columns]
        images[i], masks[i, 0], masks[i, 1] = one.frame[rows, columns], part, one.everyone[rows, columns]
        box = box_of(part)
        if box is not None and rng.random() < 0.35:
            points[i] = np.reshape(box, (2, 2)) + rng.normal(0, 1.0, (2, 2))
            labels[i] = 2, 3
        else:
            points[i, 0], labels[i, 0] = (px - left, py - top), 1
            outside = np.argwhere(part == 0)
            if rng.random() < 0.15 and len(outside):
                points[i, 1], labels[i, 1] = outside[int(rng.integers(len(outside)))][::-1] + 0.5, 0
        if rng.random() < 0.5:
            images[i], masks[i] = images[i, :, ::-1], masks[i, :, :, ::-1]
            points[i, :, 0] = side - points[i, :, 0]
            if labels[i, 0] == 2:
                points[i, :, 0] = points[i, ::-1, 0]
    rgb = (images[..., ::-1].astype(np.float32) - np.array(MEAN, np.float32)) / np.array(STD, np.float32)
    return tuple(map(torch.from_numpy, (rgb.transpose(0, 3, 1, 2).copy(), masks, points, labels)))


def apart(logits: Tensor, mask: Tensor) -> Tensor:
    """Cross-entropy a pixel of the mask, and Dice: a bee counts as much as a hornet."""
    entropy = functional.binary_cross_entropy_with_logits(logits, mask, reduction="none").sum((1, 2, 3))
    share, size = torch.sigmoid(logits), mask.sum((1, 2, 3))
    overlap, total = (share * mask).sum((1, 2, 3)), share.sum((1, 2, 3)) + size
    return (0.5 * entropy / (size + 100) + 1 - (2 * overlap + 1) / (total + 1)).mean()


def train(steps: int, minutes: float, pictures: int, seed: int, device: str) -> tuple[ImageEncoder, MaskDecoder]:
    """AdamW and one cosine over the steps or the minutes, in bf16; ends with what is over first.

    Learnt are the mask asked for, the IoU it expects, and from the embedding all insects.
    """
    torch.manual_seed(seed)
    insects = insects_of(pictures, seed + 1)
    encoder, decoder, everyone = ImageEncoder(), MaskDecoder(), nn.Conv2d(WIDTH, STRIDE * STRIDE, 1)
    parts = [part.to(device, memory_format=torch.channels_last) for part in (encoder, decoder, everyone)]
    parameters = [p for part in parts for p in part.parameters()]
    optimizer = torch.optim.AdamW(parameters, lr=3e-3, weight_decay=0.01)
    rng, begun, seen = np.random.default_rng(seed), time.monotonic(), []
    fitting = [[one for one in insects if one.length <= longest] for _, _, longest in CROPS]
    print(f"{len(insects)} insects, {sum(p.numel() for p in parameters)} parameters", flush=True)
    for step in range(steps):
        gone = max(step / steps, (time.monotonic() - begun) / 60 / minutes)
        if gone >= 1:
            break
        optimizer.param_groups[0]["lr"] = 3e-3 * min(1.0, (step + 1) / 100) * (0.5 + 0.5 * np.cos(np.pi * gone))
        side, n, _ = CROPS[step % len(CROPS)]
        image, masks, points, labels = (x.to(device) for x in crops(fitting[step % len(CROPS)], rng, n, side))
        with torch.autocast(device, torch.bfloat16):
            embeddings = encoder(image.contiguous(memory_format=torch.channels_last))
            none = torch.zeros(n, 1, side // STRIDE, side // STRIDE, device=device)
            logits, expected = decoder(embeddings, points, labels, none, none[:, 0, 0, 0])
            all_of_them = functional.pixel_shuffle(everyone(embeddings), STRIDE)
        mask, got = masks[:, :1], logits.detach() > 0
        iou = (got & (mask > 0)).sum((1, 2, 3)) / (got | (mask > 0)).sum((1, 2, 3)).clamp(min=1)
        loss = apart(logits.float(), mask) + 0.5 * apart(all_of_them.float(), masks[:, 1:])
        loss = loss + functional.mse_loss(expected.float()[:, 0], iou)
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        seen.append(iou.mean().item())
        if step % 100 == 99:
            print(f"step {step + 1}: mean IoU {np.mean(seen[-100:]):.3f}, {time.monotonic() - begun:.0f} s", flush=True)
    print(
        f"{len(seen)} steps, {time.monotonic() - begun:.0f} s, {time.process_time():.0f} s of processor time",
        flush=True,
    )
    return encoder.cpu().eval(), decoder.cpu().eval()


def export(encoder: ImageEncoder, decoder: MaskDecoder, out: Path) -> tuple[Path, Path]:
    """encoder.onnx and decoder.onnx, the number of points dynamic."""
    out.mkdir(parents=True, exist_ok=True)
    image, side = torch.zeros(1, 3, SIDE, SIDE), SIDE // STRIDE
    paths = out / "encoder.onnx", out / "decoder.onnx"
    torch.onnx.export(encoder, (image,), str(paths[0]), input_names=["image"], output_names=["image_embeddings"],
                      external_data=False, dynamo=True)  # fmt: skip
    asked = (encoder(image), torch.rand(1, 2, 2) * SIDE, torch.tensor([[1.0, -1.0]]), torch.zeros(1, 1, side, side),
             torch.zeros(1))  # fmt: skip
    names = ["image_embeddings", "point_coords", "point_labels", "mask_input", "has_mask_input"]
    some = torch.export.Dim("points", min=1, max=64)
    shapes = ({}, {1: some}, {1: some}, {}, {})
    torch.onnx.export(decoder, asked, str(paths[1]), input_names=names, output_names=["masks", "iou_predictions"],
                      dynamic_shapes=shapes, external_data=False, dynamo=True)  # fmt: skip
    return paths


def judged(paths: tuple[Path, Path], pictures: int, seed: int) -> dict[str, dict[str, float]]:
    """IoU of each insect's mask with the answer to a click and to its box, on held-out pictures."""
    found: dict[str, list[float]] = {"click": [], "box": []}
    seconds = {"embedding": 0.0, "answer": 0.0}
    asked = open_segment_anything(*paths, say=print)
    for number, shot in enumerate(hive_masks(pictures, seed, *PICTURE)):
        key = str(number)
        begun = time.monotonic()
        asked.prepare(key, lambda shot=shot: shot.frame)
        seconds["embedding"] += (time.monotonic() - begun) / pictures
        for mask in shot.masks:
            for how, prompt in (("click", Prompt((clicked(mask),), (True,))), ("box", Prompt(box=box_of(mask)))):
                begun = time.monotonic()
                answer = asked.segment(key, lambda shot=shot: shot.frame, prompt).mask
                seconds["answer"] += time.monotonic() - begun
                found[how].append(float((answer & mask).sum() / (answer | mask).sum()))
    asked.close()
    seconds["answer"] /= max(1, 2 * len(found["click"]))
    figures = {
        how: {"insects": len(ious), "mean": float(np.mean(ious)), "at_0.5": float(np.mean(np.array(ious) >= 0.5))}
        for how, ious in found.items()
    }
    return {**figures, "seconds": seconds}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--steps", type=int, default=6000)
    parser.add_argument("--minutes", type=float, default=np.inf, help="to train for at most")
    parser.add_argument("--pictures", type=int, default=300, help="made ones to train on")
    parser.add_argument("--held-out", type=int, default=40)
    parser.add_argument("--choose", action="store_true", help="ask it on other pictures than those to report")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--device", default="cpu", help="to train on: cpu or cuda")
    asked = parser.parse_args()
    torch.set_num_threads(1)
    paths = export(*train(asked.steps, asked.minutes, asked.pictures, asked.seed, asked.device), asked.out)
    print(json.dumps(judged(paths, asked.held_out, _CHOSEN_ON if asked.choose else _HELD_OUT), indent=1))


if __name__ == "__main__":
    main()
