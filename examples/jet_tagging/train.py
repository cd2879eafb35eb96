"""Train the jet tagger 16-64-32-32-5 in float on made-up jets, and export it for `edgec build`.

    python examples/jet_tagging/train.py --out out/jets

Writes jets.onnx and data.npz with all samples, which `tables.py` and `edgec build --data` read. Needs torch (the extra
`qat`). About two minutes on one thread.
"""

from __future__ import annotations

import argparse
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
from features import NAMES, features
from jets import KINDS, make_jets
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

_WIDTHS = (len(NAMES), 64, 32, 32, len(KINDS))
_BATCH = 256
_CALIBRATION = 1_000


def network() -> nn.Sequential:
    """Four dense layers, with ReLU between; the last gives the logits of the five kinds."""
    layers: list[nn.Module] = []
    for inner, outer in pairwise(_WIDTHS):
        layers += [nn.Linear(inner, outer), nn.ReLU()]
    return nn.Sequential(*layers[:-1])


def samples(count: int, seed: int) -> tuple[Tensor, Tensor]:
    """Features [count, 16] and kinds [count]."""
    jets, numbers, kinds = make_jets(count, seed)
    return features(torch.from_numpy(jets), torch.from_numpy(numbers)), torch.from_numpy(kinds)


def fit(tagger: nn.Module, inputs: Tensor, kinds: Tensor, *, epochs: int, rate: float = 5e-3) -> None:
    """Adam under a one-cycle schedule."""
    batches = max(1, len(kinds) // _BATCH)
    optimizer = torch.optim.Adam(tagger.parameters(), rate)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, rate, total_steps=epochs * batches)
    for _ in range(epochs):
        for rows in torch.randperm(len(kinds)).tensor_split(batches):
            loss = cross_entropy(tagger(inputs[rows]), kinds[rows])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--jets", type=int, default=40_000)
    parser.add_argument("--tested", type=int, default=10_000)
    parser.add_argument("--epochs", type=int, default=30)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    torch.manual_seed(options.seed)
    torch.set_num_threads(1)
    options.out.mkdir(parents=True, exist_ok=True)
    (raw, kinds), (tested, answers) = (
        samples(options.jets, 2 * options.seed),
        samples(options.tested, 2 * options.seed + 1),
    )
    mean, deviation = raw.mean(0), raw.std(0)
    # A few features have long tails, which would take the range of a quantiser for themselves.
    train, test = (((each - mean) / deviation).clamp(-4, 4) for each in (raw, tested))
    tagger = network()
    fit(tagger, train, kinds, epochs=options.epochs)
    with torch.no_grad():
        found = tagger(test).argmax(1)
    print(f"accuracy in float: {float((found == answers).float().mean()):.4f}")
    for number, kind in enumerate(KINDS):
        print(f"  {kind}: {float((found[answers == number] == number).float().mean()):.3f}")
    program = torch.onnx.export(
        tagger, (train[:1],), input_names=["x"], output_names=["kinds"], dynamo=True, verbose=False
    )
    program.save(options.out / "jets.onnx")
    parts = {"train": (train, kinds), "calibration": (train[:_CALIBRATION], kinds[:_CALIBRATION])}
    parts["evaluation"] = (test, answers)
    arrays = {f"{name}/x": part[0].numpy() for name, part in parts.items()}
    arrays |= {f"{name}/y": part[1].numpy().astype(np.int64) for name, part in parts.items()}
    np.savez_compressed(options.out / "data.npz", **arrays)


if __name__ == "__main__":
    main()
