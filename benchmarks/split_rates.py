"""Bytes that travel, work on the device, and accuracy: the axes of SC2 for pictures of clothes of 64×64 pixels.

    python benchmarks/split_teacher.py --out out/split
    python benchmarks/split_rates.py out/split [--seed 0] [--minutes 8]

Ways to have a picture classified by a server, each measured on the 10,000 test pictures: the picture as JPEG or WebP,
the features of the network's first layers as JPEG, a bottleneck of few int8 channels (BottleFit's CR+BQ), and a
bottleneck whose symbols are learnt and entropy-coded (Entropic Student). Bottlenecks are made by the pass
`insert-bottleneck`, and their bytes counted after edgec's own coder. Every cell is written when it is done, so a run
that was cut off goes on.

SC2: Matsubara, Yang, Levorato, Mandt, "SC2 Benchmark: Supervised Compression for Split Computing", TMLR 2023.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
from pruning_cells import Images, prepared
from split_cells import Bottlenecks, Pictures, Study, arguments, run_study

CUT = "relu_4"
"""Behind the second stage: 48 channels of 8×8, as BottleFit replaces ResNet's first two stages."""
TILES = (6, 8)
TRAINED_PICTURES, VALIDATION_PICTURES = 16_000, 4_000
"""Both of the 60,000 training pictures; none is in both."""
QUALITIES = {"JPEG": (95, 75, 50, 25, 10, 5, 2), "WebP": (75, 50, 25, 10, 5, 1)}
FEATURE_QUALITIES = (95, 75, 50, 25, 10)
INT8_CHANNELS = (2, 1, 3)
BIT_PRICES = (0.3, 1.0, 0.1, 0.03, 0.6, 0.05, 0.01)
TUNED_CHANNELS, TUNED_PRICES = (2,), (0.1, 0.03)
LAYER_EPOCHS, _PRICED_EPOCHS = 7, 3
"""Of the layers of every bottleneck; with learnt symbols, the last of them have the price."""
_TRAINING: dict[str, object] = {"matched": 3, "loss": "both", "temperature": 2.0, "distillation_rate": 0.01}
_TUNED: dict[str, object] = {"epochs": 2, "optimizer": "adamw", "learning_rate": 5e-4, "freeze_encoder": False}
_LEARNT_CHANNELS = 4


def study(folder: Path) -> Study:
    """The network, its 10,000 test pictures, and others to choose a training by: of those not trained on."""
    arrays = np.load(folder / "pictures.npz")
    known = len(arrays["train/y"])
    left = np.setdiff1d(np.arange(known), _trained_rows(known))
    chosen = left[np.arange(VALIDATION_PICTURES) * len(left) // VALIDATION_PICTURES]
    return Study(
        *(prepared(folder / "teacher.onnx"), CUT, TILES, QUALITIES, FEATURE_QUALITIES),
        tested=Images(arrays["test/x"], arrays["test/y"]),
        recipe={"trained": TRAINED_PICTURES, "validation": VALIDATION_PICTURES},
        validation=Images(arrays["train/x"][chosen], arrays["train/y"][chosen]),
    )


def pictures(folder: Path) -> Pictures:
    """Those to train on."""
    arrays = np.load(folder / "pictures.npz")
    chosen = _trained_rows(len(arrays["train/y"]))
    return Pictures("split_teacher.py", "x", arrays["train/x"][chosen], arrays["train/y"][chosen])


def _trained_rows(known: int) -> np.ndarray:
    return np.arange(TRAINED_PICTURES) * known // TRAINED_PICTURES


def ways() -> dict[str, dict[str, object]]:
    """Every bottleneck, those first that say most."""
    frozen = Bottlenecks(
        {**_TRAINING, "epochs": 1}, BIT_PRICES, _LEARNT_CHANNELS, INT8_CHANNELS, LAYER_EPOCHS, _PRICED_EPOCHS
    )
    tuned = replace(frozen, shared={**_TRAINING, **_TUNED}, prices=TUNED_PRICES, int8_channels=TUNED_CHANNELS)
    return frozen.ways() | tuned.ways(", tuned")


def main() -> None:
    given = arguments(__doc__, "split-rates-{}.json")
    run_study(study(given.folder), ways(), pictures(given.folder), given)


if __name__ == "__main__":
    main()
