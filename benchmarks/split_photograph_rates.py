"""Bytes that travel, work on the device, and accuracy: the axes of SC2 for photographs of five kinds.

    python benchmarks/split_photographs.py --out out/photographs
    python benchmarks/split_photograph_rates.py out/photographs [--part 0] [--minutes 8]

EfficientNet-Lite0, from the folder that EDGEC_MODELS names, with a last layer that tells what photographs show: an
animal, a source of energy, a fish, a monument, or a tool. That layer is fitted to squares of two thirds of the
photographs, the bottlenecks are trained on the same squares, and both are tested on the other third. The ways are those
of benchmarks/split_rates.py.
"""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import onnx_ir as ir
import torch
from pruning_cells import Images, prepared
from split_cells import Bottlenecks, Pictures, Study, arguments, run_study, whole
from split_photographs import KINDS, PARTS

from edgec.graph.editing import Names
from edgec.passes.node_writer import NodeWriter

NETWORK = "efficientnet_lite0.onnx"
CUT = "/_blocks.3/_project_conv/Conv_output_0"
"""At the end of the first block of the third stage: 40 channels of 28×28, after 24 % of the work."""
TILES = (5, 8)
QUALITIES = {"JPEG": (95, 75, 50, 25, 10, 5), "WebP": (75, 50, 25, 10, 5, 1)}
FEATURE_QUALITIES = (95, 75, 50, 25, 10)
INT8_CHANNELS = (10, 4, 20)
BIT_PRICES = (0.02, 0.15, 0.5, 0.05, 1.5, 0.005)
STRIDE = 2
LAYER_EPOCHS, _PRICED_EPOCHS, _LEARNT_CHANNELS = 10, 6, 20
_TRAINING: dict[str, object] = {
    "matched": 3,
    "batch": 16,
    "keep_layers": True,
    "stride": STRIDE,
    "epochs": 0,
}
_MEAN, _DEVIATION = 127.0, 128.0
_WEIGHT_DECAY, _STEPS = 1e-2, 200


def known_squares(folder: Path, parts: tuple[int, ...]) -> Images:
    """The squares of some parts whose kind is known, and their kinds."""
    arrays = np.load(folder / "photographs.npz")
    kinds = np.concatenate([arrays[f"{part}/kinds"] for part in parts])
    pixels = np.concatenate([arrays[f"{part}/x"] for part in parts])
    return Images(pixels[kinds >= 0], kinds[kinds >= 0])


def known_photographs(folder: Path, part: int) -> int:
    """How many photographs the squares of a part whose kind is known were cut from."""
    arrays = np.load(folder / "photographs.npz")
    return len(np.unique(arrays[f"{part}/photographs"][arrays[f"{part}/kinds"] >= 0]))


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


def telling_kinds(model: ir.Model, squares: Images) -> ir.Model:
    """The network with a last layer that tells kinds instead of the classes of ImageNet; in place.

    The layer is a logistic regression on what the network makes of the squares, with a pull of its weights to zero.
    """
    last = [node for node in model.graph if node.op_type == "Gemm"][-1]
    features, (_, weight, bias) = last.inputs[0], last.inputs
    if features is None or weight is None or bias is None or last.outputs[0] is not model.graph.outputs[0]:
        raise SystemExit("the network does not end in a layer with weights and biases")
    headless = model.clone()
    headless.graph.outputs[0] = next(
        value for node in headless.graph for value in node.outputs if value.name == features.name
    )
    seen = whole(headless, squares.pixels)(squares.pixels)
    fitted = _regression(seen, squares.labels)
    turned = last.attributes.get_int("transB", 0)
    for value, contents in zip((weight, bias), (fitted[0].T if turned else fitted[0], fitted[1]), strict=True):
        value.const_value = ir.tensor(np.ascontiguousarray(contents, np.float32))
        value.shape = ir.Shape(contents.shape)
    model.graph.outputs[0].shape = ir.Shape([1, len(KINDS)])
    return model


def _regression(features: np.ndarray, kinds: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Weights [features, kinds] and biases [kinds]."""
    mean, deviation = features.mean(0), features.std(0) + 1e-6
    inputs, wanted = torch.tensor((features - mean) / deviation), torch.tensor(kinds)
    weight = torch.zeros(features.shape[1], len(KINDS), requires_grad=True)
    bias = torch.zeros(len(KINDS), requires_grad=True)
    optimizer = torch.optim.LBFGS([weight, bias], max_iter=_STEPS)

    def loss() -> float:
        optimizer.zero_grad()
        value = torch.nn.functional.cross_entropy(inputs @ weight + bias, wanted)
        value = value + _WEIGHT_DECAY * weight.square().sum()
        value.backward()
        return value.item()

    optimizer.step(loss)
    scaled = weight.detach().numpy() / deviation[:, None]
    return scaled, bias.detach().numpy() - mean @ scaled


def study(models: Path, folder: Path, part: int) -> tuple[Study, Images]:
    """The network with the squares of a part, which are tested, and those of the others, which are trained on."""
    trained = known_squares(folder, tuple(other for other in range(PARTS) if other != part))
    tested = known_squares(folder, (part,))
    model = telling_kinds(taking_colours(prepared(models / NETWORK)), trained)
    counts = {
        "trained_squares": len(trained.pixels),
        "tested_squares": len(tested.pixels),
        "tested_photographs": known_photographs(folder, part),
    }
    return Study(model, CUT, TILES, QUALITIES, FEATURE_QUALITIES, tested, counts), trained


def main() -> None:
    given = arguments(__doc__, "split-photographs-{}.json", repeat="part")
    models = os.environ.get("EDGEC_MODELS")
    if models is None:
        raise SystemExit("EDGEC_MODELS names no folder with models")
    judged, trained = study(Path(models), given.folder, given.repeat)
    origin = f"split_photographs.py, all but part {given.repeat}"
    data = Pictures(origin, str(judged.model.graph.inputs[0].name), trained.pixels, trained.labels)
    ways = Bottlenecks(_TRAINING, BIT_PRICES, _LEARNT_CHANNELS, INT8_CHANNELS, LAYER_EPOCHS, _PRICED_EPOCHS).ways()
    run_study(judged, ways, data, given)


if __name__ == "__main__":
    main()
