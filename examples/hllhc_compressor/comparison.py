"""The ways to compress a module, trained and compared on the same modules, at the same bits."""

from __future__ import annotations

import copy
import json
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from autoencoder import CODES, Decoder, FloatEncoder, QuantisedEncoder, encoder_input
from baselines import (
    SUPER_CELLS,
    above_threshold,
    bits_of,
    largest_cells,
    spread,
    super_cell_sums,
    threshold_for,
)
from geometry import CELLS
from metrics import movers_distance
from showers import fractions, make_showers
from torch import nn
from training import decoded, fit

CODE_BITS = (3, 5, 7, 9)
"""Of each of 16 codes: 48, 80, 112 and 144 bits a module, as on two to five links."""

CLASSES = {"all modules": (0, 48), "up to 16 cells": (0, 16), "17 to 32 cells": (17, 32), "33 cells and more": (33, 48)}
"""By how many of the 48 cells hold energy."""

_TESTED_SEED = 1_000_000
"""Seeds of tested modules begin here, those of training at 0."""


@dataclass(frozen=True)
class Row:
    """One way at one size.

    Attributes:
        bits: of a module and crossing.
        way: its name.
        distances: mean energy mover's distance by class.
        mean_bits: that the tested modules took, by class; NaN for a class that is empty.
    """

    bits: int
    way: str
    distances: dict[str, float]
    mean_bits: dict[str, float]


@dataclass(frozen=True)
class Effort:
    """How long is trained, and on how many modules."""

    modules: int = 60_000
    tested: int = 2_000
    float_steps: int = 3_000
    quantised_steps: int = 1_000
    weight_bits: int = 6


class Comparison:
    """Everything about one seed.

    Args:
        seed: of the modules and of the training.
        effort: how much is trained.
        folder: takes encoder-BITS.onnx, data.npz and results.json.
    """

    def __init__(self, seed: int, effort: Effort, folder: Path) -> None:
        self.effort, self.folder = effort, folder
        torch.manual_seed(seed)
        self.energies = make_showers(effort.modules, seed)
        self.train = fractions(self.energies)
        self.tested_energies = make_showers(effort.tested, _TESTED_SEED + seed)
        self.wanted = fractions(self.tested_energies)
        self.rows: list[Row] = []
        self.decoded: dict[tuple[int, str], np.ndarray] = {}

    def run(self) -> None:
        """Train and compare all ways at all sizes, then write what came of it."""
        begin = time.monotonic()
        inputs, tested = encoder_input(self.train), encoder_input(self.wanted)
        encoder, decoder = FloatEncoder(), Decoder()
        fit(encoder, decoder, inputs, self.train, steps=self.effort.float_steps, rate=4e-3)
        self._add(0, "autoencoder in float", decoded(encoder, decoder, tested))
        sums_decoder = Decoder(SUPER_CELLS)
        for code_bits in CODE_BITS:
            bits = code_bits * CODES
            quantised, own = QuantisedEncoder.of(encoder, code_bits, self.effort.weight_bits), copy.deepcopy(decoder)
            fit(quantised, own, inputs, self.train, steps=self.effort.quantised_steps, rate=2e-3)
            self._add(bits, "autoencoder", decoded(quantised, own, tested))
            self._super_cells(bits, sums_decoder)
            self._without_training(bits)
            export(quantised, self.folder / f"encoder-{bits}.onnx")
            print(f"{bits} bits, {time.monotonic() - begin:.0f} s", flush=True)
        samples = tested.numpy()[:256]
        np.savez_compressed(self.folder / "data.npz", **{"calibration/x": samples[:64], "evaluation/x": samples})
        content = json.dumps([asdict(row) for row in self.rows], indent=1)
        (self.folder / "results.json").write_text(content + "\n", encoding="utf-8")

    def _super_cells(self, bits: int, decoder: Decoder) -> None:
        sums, tested = super_cell_sums(self.train, bits), super_cell_sums(self.wanted, bits)
        self._add(bits, "super-cells", spread(tested))
        # As many steps at the first size as the autoencoder has in float, then as many as in few bits.
        steps = self.effort.quantised_steps if (48, "super-cells, network") in self.decoded else self.effort.float_steps
        rate = 4e-3 if steps == self.effort.float_steps else 2e-3
        same = nn.Identity()
        fit(same, decoder, torch.from_numpy(8 * sums), self.train, steps=steps, rate=rate)
        self._add(bits, "super-cells, network", decoded(same, decoder, torch.from_numpy(8 * tested)))

    def _without_training(self, bits: int) -> None:
        self._add(bits, "largest cells", largest_cells(self.wanted, bits))
        threshold = threshold_for(self.energies, bits)
        taken = bits_of((self.tested_energies > threshold).sum(1))
        self._add(bits, "threshold", above_threshold(self.tested_energies, threshold), taken)

    def _add(self, bits: int, way: str, made: np.ndarray, taken: np.ndarray | None = None) -> None:
        each = movers_distance(self.wanted, made)
        occupied = (self.wanted > 0).sum(1)
        used = np.full(len(made), bits) if taken is None else taken
        chosen = {name: (occupied >= low) & (occupied <= high) for name, (low, high) in CLASSES.items()}
        distances = {name: float(each[rows].mean()) for name, rows in chosen.items()}
        self.rows.append(Row(bits, way, distances, {name: float(used[rows].mean()) for name, rows in chosen.items()}))
        self.decoded[bits, way] = made / np.maximum(made.sum(1, keepdims=True), 1 / CELLS)


def export(encoder: QuantisedEncoder, path: Path) -> None:
    """As ONNX with the quantisers of QONNX, one picture at a time."""
    from brevitas.export import export_qonnx

    export_qonnx(encoder, args=torch.rand(1, 1, 8, 8), export_path=str(path), opset_version=18)
