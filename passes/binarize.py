"""Pass `binarize`: weights and inputs of one bit, by training."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

import numpy as np
import onnx_ir as ir
from pydantic import Field

from edgec.core.cache import Cache
from edgec.core.passes import Kind, Need, Pass, PassContext, PassOptions, PassResult, Skip
from edgec.graph.binary_form import BinaryUnit, write_units
from edgec.graph.quantization_writer import Dialect
from edgec.graph.shapes import infer_shapes
from edgec.passes.binary_edges import round_edges
from edgec.passes.binary_structure import add_shortcuts, remove_activations
from edgec.passes.binary_thresholds import absorb_thresholds
from edgec.passes.quantize_layers import Layer, find_layers
from edgec.training.availability import require_training
from edgec.training.options import FitOptions, Optimizer

if TYPE_CHECKING:
    from edgec.training.fit import FitOutcome


class BinaryTrainingOptions(FitOptions):
    """Options of the passes that train binary layers."""

    epochs: int = Field(default=10, ge=1, description="how often every sample is seen")
    learning_rate: float = Field(default=0.003, gt=0, description="the largest learning rate of the schedule")
    optimizer: Optimizer = Field(default=Optimizer.ADAMW, description="adamw, or sgd, which wants a larger rate")
    dialect: Dialect = Field(
        default=Dialect.QDQ, description="how the layers of eight bits are written: qdq for compilers, qonnx for hls4ml"
    )


class BinarizeOptions(BinaryTrainingOptions):
    """Options of `binarize`."""

    ignore: tuple[str, ...] = Field(
        default=(), description="names of layers, or patterns, that have eight bits as the first and last have"
    )
    shortcuts: bool = Field(default=True, description="add the input of a convolution to its output where shapes allow")


class Binarize(Pass):
    """Train a network whose layers have weights and inputs of −1 and +1, but for the first and the last.

    Case 1: Conv, Gemm and MatMul with constant weights. The sign of an input is taken above a threshold that is learned
        for each channel; sums are scaled by what is learned for each output channel.
    Case 2: with `shortcuts`, a convolution to which nothing is added yet has its real-valued input added to its output,
        averaged and repeated where stride and channels ask for it (Liu et al., Bi-Real Net, 2018).
    Case 3: a Relu in front of a sign is left out, because nothing behind it is negative.
    Case 4: first and last layer, convolutions with groups, pointwise ones with a stride (the way round a block) and
        those that `ignore` names have eight bits.
    Case 5: what only a sign reads, perhaps through pooling by maximum, has no scale: normalisation and threshold are
        one whole number that is added to the sum.

    Labels, distillation from the float model, or both, as the option `loss` says. The form that is written is described
    in `edgec.graph.binary_form`. The pass is meant to follow the passes of the default recipe. Needs the extra `qat`.
    """

    name: ClassVar[str] = "binarize"
    kind: ClassVar[Kind] = Kind.TRAINED
    needs: ClassVar[tuple[Need, ...]] = (Need.CALIBRATION, Need.TRAINING)
    Options: ClassVar[type[PassOptions]] = BinarizeOptions

    def run(self, model: ir.Model, context: PassContext) -> PassResult:
        """Train and write; the model is a new one where its opset must be raised.

        Raises:
            EdgecError: EC0901 without the extra, EC1001 to EC1005.
        """
        require_training()
        from edgec.training.train_binary import Teacher, train_binary

        options = self.options if isinstance(self.options, BinarizeOptions) else BinarizeOptions()
        layers, edges, skips = choose_layers(model, options.ignore)
        if not layers or context.data is None:
            return PassResult(model, False, {"binary layers": 0}, tuple(skips))
        teacher = Teacher(model.clone())
        removed = remove_activations(model, layers)
        shortcuts = add_shortcuts(model, layers) if options.shortcuts else 0
        infer_shapes(model)
        trained = train_binary(
            *(model, [_first_unit(layer) for layer in layers], context.data, options),
            teacher=teacher,
            tree=None,
            name=self.name,
            seed=context.seed,
            progress=context.progress,
            cache=Cache(),
        )
        write_units(model, trained.units)
        absorbed = absorb_thresholds(model, [unit.name for unit in trained.units])
        model = round_edges(model, edges, options.dialect, context)
        infer_shapes(model)
        stats = {
            "binary layers": len(layers),
            "layers of eight bits": len(edges),
            "activations left out": removed,
            "shortcuts added": shortcuts,
            "normalisations that became thresholds": absorbed,
        } | training_stats(trained.outcome)
        assumptions = [f"{', '.join(edges)} have weights and inputs of eight bits"]
        return PassResult(model, True, stats, tuple(skips), tuple(assumptions))


def training_stats(outcome: FitOutcome) -> dict[str, int | float | str]:
    """What the report says about a training."""
    return {
        "epochs": len(outcome.losses),
        "epochs found in the cache": outcome.resumed,
        "loss of the first epoch": round(outcome.losses[0], 5),
        "loss of the last epoch": round(outcome.losses[-1], 5),
        "learned from": outcome.learned_from,
    }


def choose_layers(model: ir.Model, ignored: Sequence[str]) -> tuple[list[Layer], list[str], list[Skip]]:
    """The layers to make binary, the names of those for eight bits, and why some that might be binary are not."""
    found, skips = find_layers(model, ())
    named = {skip.node for skip in find_layers(model, ignored)[1]}
    layers, edges = [], []
    for place, layer in enumerate(found):
        reason = "" if 0 < place < len(found) - 1 else "edge"
        if layer.name in named:
            reason = "the option `ignore` names it"
        elif layer.groups > 1:
            reason = "it has groups, whose sums are too short for signs"
        elif _goes_round(layer):
            reason = "it carries real numbers past a block"
        if not reason:
            layers.append(layer)
            continue
        edges.append(layer.name)
        if reason != "edge":
            skips.append(Skip(layer.name, f"has eight bits: {reason}"))
    return layers, edges, skips


def _goes_round(layer: Layer) -> bool:
    node = layer.node
    pointwise = node.op_type == "Conv" and layer.weights[0, 0].size == 1
    return pointwise and max(node.attributes.get_ints("strides", (1,)) or (1,)) > 1


def _first_unit(layer: Layer) -> BinaryUnit:
    """The scale is the mean magnitude (Rastegari et al., XNOR-Net, 2016, section 3.1)."""
    rows = np.moveaxis(layer.weights, layer.axis, 0).reshape(layer.weights.shape[layer.axis], -1)
    scale = np.abs(rows).mean(axis=1).astype(np.float32)
    inputs = layer.weights.shape[1 - layer.axis]
    bias = np.zeros(len(scale), np.float32) if layer.bias is None else layer.bias
    return BinaryUnit(layer.name, layer.weights, layer.axis, np.zeros(inputs, np.float32), scale, bias)
