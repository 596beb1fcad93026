"""A small pair in Segment Anything's layout, trained on the made hive: is a click answered with the insect's mask?

    python benchmarks/segmenter_pair.py --out pair --steps 1500

An encoder (`image` -> `image_embeddings`) and a decoder (points with labels and boxes as corners -> masks and
`iou_predictions`) of 0.1 million parameters are trained on crops around insects of `hive_masks`, exported as two ONNX
files, opened by `edgekit.labels.proposals.sam` and asked on held-out pictures: for each insect by a click on the pixel
of its mask that is farthest from the mask's edge, and by its box. Printed: mean IoU, and the share at 0.5 and above.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from edgekit.data.hive.made import HiveMasks, hive_masks
from edgekit.labels.proposals.base import Prompt, box_of
from edgekit.labels.proposals.sam.framing import MEAN, STD
from edgekit.labels.proposals.sam.segmenter import open_segment_anything

SIDE, CROP, STRIDE, WIDTH = 640, 96, 2, 24
_WIDE = (3.0, 10.0, 30.0)  # pixels: how far the nearness to a point reaches, three times
_HELD_OUT = 900_000_000


def _conv(c_in: int, c_out: int, stride: int = 1, dilation: int = 1) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(c_in, c_out, 3, stride, dilation, dilation), nn.GroupNorm(4, c_out), nn.ReLU(inplace=True)
    )


class ImageEncoder(nn.Module):
    """float32 [N, 3, H, W] normalized -> [N, WIDTH, H / 2, W / 2]: three levels down, and their sums up again."""

    def __init__(self) -> None:
        super().__init__()
        self.to_half = _conv(3, WIDTH, 2)
        self.to_quarter = nn.Sequential(_conv(WIDTH, 40, 2), _conv(40, 40))
        self.to_eighth = nn.Sequential(_conv(40, 64, 2), _conv(64, 64), _conv(64, 64, dilation=2), _conv(64, 40))
        self.up_quarter, self.up_half = _conv(40, WIDTH), _conv(WIDTH, WIDTH)

    def forward(self, image: Tensor) -> Tensor:
        half = self.to_half(image)  # [N, 24, H/2, W/2]
        quarter = self.to_quarter(half)  # [N, 40, H/4, W/4]
        eighth = self.to_eighth(quarter)  # [N, 40, H/8, W/8]
        quarter = self.up_quarter(quarter + functional.interpolate(eighth, scale_factor=2.0, mode="bilinear"))
        up: Tensor = self.up_half(half + functional.interpolate(quarter, scale_factor=2.0, mode="bilinear"))
        return up  # [N, 24, H/2, W/2]


class MaskDecoder(nn.Module):
    """Embedding and prompt -> mask logits [N, 1, H / 2, W / 2] and the IoU it expects, [N, 1].

    Points are [N, P, 2] in pixels of the encoder's input, labels [N, P]: 1 on the thing, 0 beside it, 2 and 3 the
    corners of a box, -1 nothing.
    """

    def __init__(self) -> None:
        super().__init__()
        self.mix = nn.Sequential(
            _conv(2 * WIDTH + 2 * len(_WIDE) + 1, 32), _conv(32, 32, dilation=2), _conv(32, 32, dilation=4),
            nn.Conv2d(32, 1, 1),
        )  # fmt: skip
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
        across = torch.sigmoid(x - first[:, :1]) * torch.sigmoid(last[:, :1] - x)  # [N, W]
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
        logits = self.mix(seen) + mask_input * has_mask_input[:, None, None, None]
        share = torch.sigmoid(logits)
        told = torch.stack([share.mean((1, 2, 3)), (share * share).mean((1, 2, 3)), boxed[:, 0, 0]], 1)
        return logits, torch.sigmoid(self.judge(torch.cat([query, told], 1)))


def _nearest(gap: Tensor, chosen: Tensor, wide: float) -> Tensor:
    return (torch.exp(-gap / (2 * wide**2)) * chosen[:, :, None, None]).amax(1)


def clicked(mask: np.ndarray) -> tuple[float, float]:
    """The pixel that is farthest from the mask's edge."""
    padded = np.pad(mask.astype(np.uint8), 1)
    y, x = np.unravel_index(int(cv2.distanceTransform(padded, cv2.DIST_L2, 3).argmax()), padded.shape)
    return float(x) - 0.5, float(y) - 0.5


def crops(shots: list[HiveMasks], rng: np.random.Generator, n: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Pictures [n, 3, CROP, CROP], masks [n, 1, CROP, CROP], points [n, 3, 2], labels [n, 3]."""
    images, masks = np.zeros((n, CROP, CROP, 3), np.uint8), np.zeros((n, 1, CROP, CROP), np.float32)
    points, labels = np.zeros((n, 3, 2), np.float32), np.full((n, 3), -1, np.float32)
    for i in range(n):
        shot = shots[int(rng.integers(len(shots)))]
        mask = shot.masks[int(rng.integers(len(shot.masks)))]
        ys, xs = np.nonzero(mask)
        pick = int(rng.integers(len(ys)))
        px, py = clicked(mask) if rng.random() < 0.4 else (xs[pick] + 0.5, ys[pick] + 0.5)
        left = int(np.clip(px - rng.uniform(0.2, 0.8) * CROP, 0, mask.shape[1] - CROP))
        top = int(np.clip(py - rng.uniform(0.2, 0.8) * CROP, 0, mask.shape[0] - CROP))
        part = mask[top : top + CROP, left : left + CROP]
        images[i], masks[i, 0] = shot.frame[top : top + CROP, left : left + CROP], part
        box = box_of(part)
        if box is not None and rng.random() < 0.4:
            points[i, :2] = np.reshape(box, (2, 2)) + rng.normal(0, 1, (2, 2))
            labels[i, :2] = 2, 3
        else:
            points[i, 0], labels[i, 0] = (px - left, py - top), 1
            outside = np.argwhere(part == 0)
            if rng.random() < 0.3 and len(outside):
                points[i, 1], labels[i, 1] = outside[int(rng.integers(len(outside)))][::-1] + 0.5, 0
        if rng.random() < 0.5:
            images[i], masks[i] = images[i, :, ::-1], masks[i, :, :, ::-1]
            points[i, :, 0] = CROP - points[i, :, 0]
            if labels[i, 0] == 2:
                points[i, :2, 0] = points[i, 1::-1, 0]
    rgb = (images[..., ::-1].astype(np.float32) - np.array(MEAN, np.float32)) / np.array(STD, np.float32)
    arrays = (rgb.transpose(0, 3, 1, 2).copy(), masks, points, labels)
    return tuple(torch.from_numpy(a) for a in arrays)  # type: ignore[return-value]


def train(steps: int, pictures: int, batch: int, seed: int, device: str) -> tuple[ImageEncoder, MaskDecoder]:
    """Binary cross-entropy and Dice on the mask, squared error on the IoU that it expects; AdamW, one cosine."""
    torch.manual_seed(seed)
    shots = [shot for shot in hive_masks(pictures, seed + 1) if len(shot.masks)]
    encoder, decoder = ImageEncoder().to(device), MaskDecoder().to(device)
    parameters = [*encoder.parameters(), *decoder.parameters()]
    optimizer = torch.optim.AdamW(parameters, lr=3e-3, weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 3e-3, total_steps=steps)
    rng, begun = np.random.default_rng(seed), time.monotonic()
    for step in range(steps):
        image, mask, points, labels = (part.to(device) for part in crops(shots, rng, batch))
        none = torch.zeros(batch, 1, CROP // STRIDE, CROP // STRIDE, device=device)
        logits, expected = decoder(encoder(image), points, labels, none, torch.zeros(batch, device=device))
        logits = functional.interpolate(logits, size=(CROP, CROP), mode="bilinear")
        share = torch.sigmoid(logits)
        overlap, total = (share * mask).sum((1, 2, 3)), share.sum((1, 2, 3)) + mask.sum((1, 2, 3))
        got = logits.detach() > 0
        iou = ((got & (mask > 0)).sum((1, 2, 3)) / (got | (mask > 0)).sum((1, 2, 3)).clamp(min=1)).float()
        loss = functional.binary_cross_entropy_with_logits(logits, mask) + (1 - (2 * overlap + 1) / (total + 1)).mean()
        loss = loss + functional.mse_loss(expected[:, 0], iou)
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        schedule.step()
        if step % 100 == 99:
            print(f"step {step + 1}: loss {loss.item():.3f}, IoU {iou.mean():.3f}, {time.monotonic() - begun:.0f} s",
                  flush=True)  # fmt: skip
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


def judged(paths: tuple[Path, Path], pictures: int) -> dict[str, dict[str, float]]:
    """IoU of each insect's mask with the answer to a click and to its box, on held-out pictures."""
    found: dict[str, list[float]] = {"click": [], "box": []}
    seconds = {"embedding": 0.0, "answer": 0.0}
    asked = open_segment_anything(*paths, say=print)
    for number, shot in enumerate(hive_masks(pictures, _HELD_OUT)):
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
    parser.add_argument("--steps", type=int, default=1500)
    parser.add_argument("--pictures", type=int, default=150, help="made ones to train on")
    parser.add_argument("--batch", type=int, default=24)
    parser.add_argument("--held-out", type=int, default=40)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--device", default="cpu", help="to train on: cpu or cuda")
    asked = parser.parse_args()
    torch.set_num_threads(1)
    paths = export(*train(asked.steps, asked.pictures, asked.batch, asked.seed, asked.device), asked.out)
    print(json.dumps(judged(paths, asked.held_out), indent=1))


if __name__ == "__main__":
    main()
