"""Bytes that travel, work on the device, and agreement: the axes of SC2 for EfficientNet-Lite0 and photographs.

    python benchmarks/split_photographs.py --out out/photographs
    python benchmarks/split_photograph_rates.py out/photographs [--part 0] [--minutes 8]

The network is that of the folder that EDGEC_MODELS names. Nobody has named what the photographs show: accuracy is how
often the first class is the one that the whole network finds in the uncompressed photograph, and the bottlenecks are
trained without labels too. The ways are those of benchmarks/split_rates.py.
"""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import onnx_ir as ir
from pruning_cells import Images, prepared
from split_cells import Bottlenecks, Pictures, Study, arguments, run_study, whole
from split_photographs import PARTS

from edgec.graph.editing import Names
from edgec.passes.node_writer import NodeWriter

NETWORK = "efficientnet_lite0.onnx"
CUT = "/_blocks.3/_project_conv/Conv_output_0"
"""At the end of the first block of the third stage: 40 channels of 28×28, after 24 % of the work."""
TILES = (5, 8)
QUALITIES = {"JPEG": (95, 75, 50, 25, 10, 5), "WebP": (75, 50, 25, 10, 5, 1)}
FEATURE_QUALITIES = (95, 75, 50, 25, 10)
INT8_CHANNELS = (24, 12)
BIT_PRICES = (0.01, 0.02, 0.05, 0.005, 0.15)
LAYER_EPOCHS, _PRICED_EPOCHS, _LEARNT_CHANNELS = 5, 4, 32
_MEAN, _DEVIATION = 127.0, 128.0
_TRAINING: dict[str, object] = {
    "matched": 0,
    "loss": "distillation",
    "batch": 16,
    "keep_layers": True,
    "epochs": 0,
}


def taking_colours(model: ir.Model) -> ir.Model:
    """The network behind layers that make of colours from 0 to 255 what it was trained on; in place."""
    given = model.graph.inputs[0]
    writer = NodeWriter(model, Names(model), "colours")
    pixels = ir.Value(name=writer.names.fresh("colours"), shape=given.shape, type=given.type)
    centred = writer.one("Sub", pixels, writer.constant("mean", np.array(_MEAN, np.float32)))
    scaled = writer.one("Div", centred, writer.constant("deviation", np.array(_DEVIATION, np.float32)))
    scaled.shape, scaled.type = given.shape, given.type
    ir.convenience.replace_all_uses_with(given, scaled)
    model.graph.inputs[0] = pixels
    model.graph.insert_before(model.graph[0], writer.nodes)
    return model


def study(models: Path, folder: Path, part: int) -> tuple[Study, np.ndarray]:
    """The network with the squares of a part and what it says of them, and the squares of the others to train on."""
    model = taking_colours(prepared(models / NETWORK))
    arrays = np.load(folder / "photographs.npz")
    others = [other for other in range(PARTS) if other != part]
    pixels, trained = arrays[f"{part}/x"], np.concatenate([arrays[f"{other}/x"] for other in others])
    said = whole(model, pixels)(pixels).argmax(1)
    known = len(np.unique(np.concatenate([arrays[f"{other}/photographs"] for other in others])))
    counts = {
        "trained_photographs": known,
        "trained_squares": len(trained),
        "tested_photographs": len(np.unique(arrays[f"{part}/photographs"])),
        "tested_squares": len(pixels),
    }
    return Study(model, CUT, TILES, QUALITIES, FEATURE_QUALITIES, Images(pixels, said), counts), trained


def main() -> None:
    given = arguments(__doc__, "split-photographs-{}.json", repeat="part")
    models = os.environ.get("EDGEC_MODELS")
    if models is None:
        raise SystemExit("EDGEC_MODELS names no folder with models")
    judged, trained = study(Path(models), given.folder, given.repeat)
    origin = f"split_photographs.py, all but part {given.repeat}"
    data = Pictures(origin, str(judged.model.graph.inputs[0].name), trained)
    ways = Bottlenecks(_TRAINING, BIT_PRICES, _LEARNT_CHANNELS, INT8_CHANNELS, LAYER_EPOCHS, _PRICED_EPOCHS).ways()
    run_study(judged, ways, data, given)


if __name__ == "__main__":
    main()
