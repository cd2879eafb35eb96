"""Train the compressor, compare it with what the chip does without it, and export it for `edgec build`.

    python examples/hllhc_compressor/train.py --out out/hllhc

Writes encoder.onnx (9 bits a code), data.npz, table.md, table.json and showers.svg.
About five minutes on one busy thread.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from autoencoder import CODES, Decoder, FloatEncoder, QuantisedEncoder
from baselines import largest_cells, super_cells
from geometry import to_cells, to_pictures
from metrics import movers_distance, telescope_loss
from pictures import write_pictures
from showers import fractions, make_showers
from torch import Tensor, nn

CODE_BITS = (3, 5, 7, 9)
"""Of each of 16 codes: 48, 80, 112 and 144 bits a module, as on two to five links."""


def fit(encoder: nn.Module, decoder: nn.Module, pictures: Tensor, *, epochs: int, rate: float, seed: int) -> float:
    """Train both with Adam under a one-cycle schedule; the mean loss of the last epoch."""
    generator = torch.Generator().manual_seed(seed)
    parameters = [*encoder.parameters(), *decoder.parameters()]
    optimizer = torch.optim.Adam(parameters, rate)
    batches = max(1, len(pictures) // 256)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, rate, total_steps=epochs * batches)
    encoder.train()
    losses: list[float] = []
    for _ in range(epochs):
        losses = []
        for rows in torch.randperm(len(pictures), generator=generator).tensor_split(batches):
            loss = 1e3 * telescope_loss(pictures[rows], decoder(encoder(pictures[rows])))
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
            losses.append(loss.item())
    encoder.eval()
    return float(np.mean(losses))


def decoded(encoder: nn.Module, decoder: nn.Module, pictures: Tensor) -> np.ndarray:
    """What comes back, as fractions of the 48 cells."""
    with torch.no_grad():
        cells = to_cells(decoder(encoder(pictures)).numpy())
    return np.asarray(cells / cells.sum(1, keepdims=True))


def distance(wanted: np.ndarray, made: np.ndarray) -> float:
    """Mean energy mover's distance; a module of which nothing is left counts as one spread evenly."""
    empty = made.sum(1, keepdims=True) == 0
    filled = np.where(empty, 1.0, made).astype(np.float32)
    return float(movers_distance(torch.from_numpy(wanted), torch.from_numpy(filled)).mean())


def export(encoder: QuantisedEncoder, path: Path) -> None:
    """As ONNX with the quantisers of QONNX, one picture at a time."""
    from brevitas.export import export_qonnx

    export_qonnx(encoder, args=torch.rand(1, 1, 8, 8), export_path=str(path), opset_version=18)


def write_table(rows: list[dict[str, float]], path: Path) -> None:
    names = ("autoencoder", "largest cells", "super-cells")
    lines = ["| bits | " + " | ".join(names) + " |", "|---|---|---|---|"]
    lines += [f"| {row['bits']:.0f} | " + " | ".join(f"{row[name]:.3f}" for name in names) + " |" for row in rows]
    path.with_suffix(".md").write_text("\n".join(lines) + "\n", encoding="utf-8")
    path.with_suffix(".json").write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--showers", type=int, default=12_000)
    parser.add_argument("--tested", type=int, default=600)
    parser.add_argument("--epochs", type=int, default=40)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    torch.manual_seed(options.seed)
    torch.set_num_threads(1)
    options.out.mkdir(parents=True, exist_ok=True)
    begin = time.monotonic()
    train = torch.from_numpy(to_pictures(fractions(make_showers(options.showers, options.seed))))
    wanted = fractions(make_showers(options.tested, options.seed + 1))
    tested = torch.from_numpy(to_pictures(wanted))
    encoder, decoder = FloatEncoder(), Decoder()
    loss = fit(encoder, decoder, train, epochs=options.epochs, rate=4e-3, seed=options.seed)
    made = decoded(encoder, decoder, tested)
    print(
        f"float: loss {loss:.4f}, distance {distance(wanted, made):.3f}, {time.monotonic() - begin:.0f} s", flush=True
    )
    rows, shown = [], {"showers": wanted}
    for bits in CODE_BITS:
        quantised, own = QuantisedEncoder.of(encoder, bits), Decoder()
        own.load_state_dict(decoder.state_dict())
        fit(quantised, own, train, epochs=max(1, options.epochs // 5), rate=1e-3, seed=options.seed)
        total = bits * CODES
        ways: dict[str, Callable[[], np.ndarray]] = {
            "autoencoder": lambda one=quantised, two=own: decoded(one, two, tested),  # type: ignore[misc]
            "largest cells": lambda total=total: largest_cells(wanted, total),  # type: ignore[misc]
            "super-cells": lambda total=total: super_cells(wanted, total),  # type: ignore[misc]
        }
        results = {name: way() for name, way in ways.items()}
        rows.append({"bits": float(total)} | {name: distance(wanted, each) for name, each in results.items()})
        print(rows[-1], f"{time.monotonic() - begin:.0f} s", flush=True)
        if bits in (CODE_BITS[0], CODE_BITS[-1]):
            shown |= {f"{name}, {total} bits": each for name, each in results.items()}
    write_table(rows, options.out / "table")
    write_pictures(shown, range(4), options.out / "showers.svg")
    export(quantised, options.out / "encoder.onnx")
    samples = tested.numpy()[:256]
    np.savez_compressed(options.out / "data.npz", **{"calibration/x": samples[:64], "evaluation/x": samples})


if __name__ == "__main__":
    main()
