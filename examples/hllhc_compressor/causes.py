"""What made the autoencoder lose: the float network trained with one thing left out at a time.

    python examples/hllhc_compressor/causes.py --out out/hllhc/causes.md

Each row is trained for the same number of steps on the same modules; the last is as `train.py` does it. About three
minutes on one thread.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch
from autoencoder import Decoder, FloatEncoder, encoder_input
from metrics import movers_distance, movers_loss, telescope_loss
from showers import fractions, make_showers
from torch import Tensor
from training import decoded, fit

_LOUD = 1e3
"""Adam's smallest step is felt by losses as small as the telescope loss of fractions."""


def loud_telescope_loss(wanted: Tensor, made: Tensor) -> Tensor:
    return _LOUD * telescope_loss(wanted, made)


VARIANTS = {
    "telescope loss, outputs that begin dead, fractions unscaled": (loud_telescope_loss, False, 1 / 8),
    "telescope loss": (loud_telescope_loss, True, 1.0),
    "distance as loss, outputs that begin dead": (movers_loss, False, 1.0),
    "distance as loss, fractions unscaled": (movers_loss, True, 1 / 8),
    "distance as loss": (movers_loss, True, 1.0),
}
"""Loss, whether outputs begin alive, and what the encoder's input is multiplied by."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--modules", type=int, default=60_000)
    parser.add_argument("--tested", type=int, default=2_000)
    parser.add_argument("--steps", type=int, default=2_000)
    options = parser.parse_args()
    torch.set_num_threads(1)
    train = fractions(make_showers(options.modules, 0))
    wanted = fractions(make_showers(options.tested, 1_000_000))
    lines = ["| training | distance | dead outputs |", "|---|---|---|"]
    for name, (loss, alive, scale) in VARIANTS.items():
        torch.manual_seed(0)
        encoder, decoder = FloatEncoder(alive=alive), Decoder()
        fit(encoder, decoder, scale * encoder_input(train), train, steps=options.steps, rate=4e-3, loss=loss)
        tested = scale * encoder_input(wanted)
        with torch.no_grad():
            dead = int((encoder(tested).amax(0) == 0).sum())
        away = movers_distance(wanted, decoded(encoder, decoder, tested)).mean()
        lines.append(f"| {name} | {away:.3f} | {dead} of 16 |")
        print(lines[-1], flush=True)
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text("\n".join([*lines, ""]), encoding="utf-8")


if __name__ == "__main__":
    main()
