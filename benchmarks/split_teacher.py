"""A residual network for pictures of clothes of 64×64 pixels, and the pictures: what benchmarks/split_rates.py splits.

    python benchmarks/split_teacher.py --out out/split

writes teacher.onnx (input `x`, float32 [batch, 1, 64, 64], grey levels 0 to 255; output `logits`) and pictures.npz with
`train/x`, `train/y`, `test/x` and `test/y`: Fashion-MNIST, bilinearly enlarged and rounded to bytes, as a camera
would give them. One thread; the same seed gives the same network on the same machine.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, interpolate, pad

sys.path.insert(0, str(Path(__file__).parents[1] / "examples" / "fashion_mnist"))
from dataset import DEBIAN_FOLDER, load
from networks import Classifier, ResidualBlock

SIDE = 64
_SHIFT = 4
_SCALE = 255 * 0.3530
_OFFSET = 255 * 0.2860
_LEVELS = 255


class FromGreyLevels(nn.Module):
    """Mean 0 and deviation 1 from grey levels, then the network."""

    def __init__(self, network: Classifier) -> None:
        super().__init__()
        self.network = network

    def forward(self, x: Tensor) -> Tensor:
        """Logits of pictures of grey levels 0 to 255."""
        return self.network((x - _OFFSET) / _SCALE)


def residual_network() -> Classifier:
    """A residual network in the manner of ResNet-18 (He et al., 2016): 7×7 stem and pooling, four stages of 24 to 192.

    1.9 million weights, nearly all of them behind the first two stages.
    """
    stages = [(24, 24, 1), (24, 48, 2), (48, 96, 2), (96, 96, 1), (96, 192, 2), (192, 192, 1)]
    return Classifier(
        nn.Sequential(
            *(nn.Conv2d(1, 24, 7, 2, 3, bias=False), nn.BatchNorm2d(24), nn.ReLU(), nn.MaxPool2d(3, 2, 1)),
            *(ResidualBlock(channels, out, stride) for channels, out, stride in stages),
        ),
        192,
    )


def enlarged(folder: Path, part: str) -> tuple[np.ndarray, np.ndarray]:
    """Pictures, uint8 (pictures, 1, 64, 64), and their classes, int64."""
    images = load(folder, part)
    grey = torch.from_numpy(images.pixels) * _SCALE + _OFFSET
    parts = [interpolate(some, (SIDE, SIDE), mode="bilinear", align_corners=False) for some in grey.split(2000)]
    return torch.cat(parts).round().clamp(0, _LEVELS).to(torch.uint8).numpy(), images.labels


def fit(network: nn.Module, pixels: np.ndarray, labels: np.ndarray, *, epochs: int, rate: float, seed: int) -> None:
    """Stochastic gradient descent under a one-cycle schedule; batches are moved by up to four pixels and mirrored."""
    batch = 128
    generator = torch.Generator().manual_seed(seed)
    optimizer = torch.optim.SGD(network.parameters(), rate, momentum=0.9, weight_decay=5e-4, nesterov=True)
    steps = epochs * (len(labels) // batch)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, rate, total_steps=steps, pct_start=0.25)
    pictures, classes = torch.from_numpy(pixels), torch.from_numpy(labels)
    network.train()
    for epoch in range(epochs):
        started, losses = time.monotonic(), []
        for rows in torch.randperm(len(labels), generator=generator).split(batch)[: len(labels) // batch]:
            chosen = pad(pictures[rows].float(), [_SHIFT] * 4)
            down, right, mirrored = torch.randint(0, 2 * _SHIFT + 1, (3,), generator=generator).tolist()
            chosen = chosen[..., down : down + SIDE, right : right + SIDE]
            chosen = (chosen.flip(-1) if mirrored % 2 else chosen).contiguous(memory_format=torch.channels_last)
            loss = cross_entropy(network(chosen), classes[rows])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
            losses.append(loss.item())
        print(
            f"epoch {epoch + 1} of {epochs}: loss {np.mean(losses):.3f}, {time.monotonic() - started:.0f} s", flush=True
        )


def accuracy(network: nn.Module, pixels: np.ndarray, labels: np.ndarray) -> float:
    """Share of the pictures whose class is found."""
    network.eval()
    with torch.no_grad():
        answers = torch.cat([network(part.float()).argmax(1) for part in torch.from_numpy(pixels).split(500)])
    return float((answers == torch.from_numpy(labels)).float().mean())


def export(network: nn.Module, path: Path) -> None:
    """Write the network as ONNX with an open batch."""
    network.eval().to(memory_format=torch.contiguous_format)
    torch.onnx.export(
        *(network, (torch.zeros(2, 1, SIDE, SIDE),), path),
        input_names=["x"],
        output_names=["logits"],
        dynamic_shapes=({0: torch.export.Dim("batch")},),
        opset_version=18,
        dynamo=True,
        external_data=False,
        verbose=False,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--epochs", type=int, default=4)
    parser.add_argument("--data", type=Path, default=DEBIAN_FOLDER, help="folder with the four .gz files")
    parser.add_argument("--out", type=Path, default=Path("out/split"))
    options = parser.parse_args()
    (train, labels), (test, test_labels) = enlarged(options.data, "train"), enlarged(options.data, "t10k")
    options.out.mkdir(parents=True, exist_ok=True)
    arrays = {"train/x": train, "train/y": labels, "test/x": test, "test/y": test_labels}
    np.savez_compressed(options.out / "pictures.npz", **arrays)
    torch.set_num_threads(1)
    torch.manual_seed(options.seed)
    network = FromGreyLevels(residual_network()).to(memory_format=torch.channels_last)
    fit(network, train, labels, epochs=options.epochs, rate=0.1, seed=options.seed)
    print(f"{100 * accuracy(network, test, test_labels):.2f} % of the 10,000 test pictures")
    export(network, options.out / "teacher.onnx")


if __name__ == "__main__":
    main()
