"""Train a small network on Fashion-MNIST and export it: NETWORK-seedSEED.onnx, and data.npz for `edgec build --data`.

    python examples/fashion_mnist/train.py --network resnet --seed 0

Ten epochs of 60,000 images on one thread. The same seed gives the same network on the same machine.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from binary_networks import BINARY_NETWORKS, FlatClassifier
from dataset import DEBIAN_FOLDER, Images, load, save_for_edgec
from networks import NETWORKS, Classifier
from torch import Tensor
from torch.nn.functional import cross_entropy, pad

_LARGEST_SHIFT = 2


def shuffled(images: Images, batch: int, generator: torch.Generator) -> Iterator[tuple[Tensor, Tensor]]:
    """Whole batches in random order; each batch is shifted by up to two pixels and mirrored half of the time."""
    pixels, labels = torch.from_numpy(images.pixels), torch.from_numpy(images.labels)
    size = pixels.shape[-1]
    for rows in torch.randperm(len(labels), generator=generator).split(batch)[: len(labels) // batch]:
        chosen = pad(pixels[rows], [_LARGEST_SHIFT] * 4, value=float(pixels.min()))
        down, right, mirrored = torch.randint(0, 2 * _LARGEST_SHIFT + 1, (3,), generator=generator).tolist()
        chosen = chosen[..., down : down + size, right : right + size]
        yield (chosen.flip(-1) if mirrored % 2 else chosen), labels[rows]


def fit(
    network: Classifier | FlatClassifier, images: Images, *, epochs: int, batch: int, rate: float, seed: int
) -> None:
    """Stochastic gradient descent with Nesterov momentum under a one-cycle schedule."""
    generator = torch.Generator().manual_seed(seed)
    optimizer = torch.optim.SGD(network.parameters(), rate, momentum=0.9, weight_decay=5e-4, nesterov=True)
    steps = epochs * (len(images.labels) // batch)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, rate, total_steps=steps, pct_start=0.2)
    network.train()
    for epoch in range(epochs):
        started, losses = time.monotonic(), []
        for pixels, labels in shuffled(images, batch, generator):
            loss = cross_entropy(network(pixels.contiguous(memory_format=torch.channels_last)), labels)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
            losses.append(loss.item())
        seconds = time.monotonic() - started
        print(f"epoch {epoch + 1} of {epochs}: loss {np.mean(losses):.3f}, {seconds:.0f} s", flush=True)


def accuracy(network: Classifier | FlatClassifier, images: Images) -> float:
    """Share of the images whose class is found."""
    network.eval()
    with torch.no_grad():
        answers = torch.cat([network(part).argmax(1) for part in torch.from_numpy(images.pixels).split(500)])
    return float((answers == torch.from_numpy(images.labels)).float().mean())


def export(network: Classifier | FlatClassifier, path: Path) -> None:
    """Write the network as ONNX with input `x`, output `logits` and an open batch."""
    network.eval().to(memory_format=torch.contiguous_format)
    batch = torch.export.Dim("batch")
    torch.onnx.export(
        *(network, (torch.zeros(2, 1, 28, 28),), path),
        input_names=["x"],
        output_names=["logits"],
        dynamic_shapes=({0: batch},),
        opset_version=18,
        dynamo=True,
        external_data=False,
        verbose=False,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--network", choices=sorted(NETWORKS | BINARY_NETWORKS), default="resnet")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--data", type=Path, default=DEBIAN_FOLDER, help="folder with the four .gz files")
    parser.add_argument("--out", type=Path, default=Path("out/fashion"))
    options = parser.parse_args()
    train, test = load(options.data, "train"), load(options.data, "t10k")
    options.out.mkdir(parents=True, exist_ok=True)
    if not (options.out / "data.npz").exists():
        save_for_edgec(train, test, options.out / "data.npz")
    torch.set_num_threads(1)
    torch.manual_seed(options.seed)
    network = (NETWORKS | BINARY_NETWORKS)[options.network]().to(memory_format=torch.channels_last)
    fit(network, train, epochs=options.epochs, batch=128, rate=0.2, seed=options.seed)
    path = options.out / f"{options.network}-seed{options.seed}.onnx"
    print(f"{100 * accuracy(network, test):.2f} % of the 10,000 test images")
    export(network, path)
    print(path)


if __name__ == "__main__":
    main()
