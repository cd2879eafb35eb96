"""Pass `train-mst`: binary layers trained for short spanning trees."""

from __future__ import annotations

from typing import ClassVar

import onnx_ir as ir
from pydantic import Field

from edgec.core.cache import Cache
from edgec.core.passes import Kind, Need, Pass, PassContext, PassOptions, PassResult, Skip
from edgec.graph.binary_form import write_units
from edgec.graph.shapes import infer_shapes
from edgec.graph.spanning_tree import spanning_tree
from edgec.passes.binarize import BinaryTrainingOptions, training_stats
from edgec.passes.binary_edges import round_edges
from edgec.passes.binary_layers import find_binary_layers
from edgec.passes.binary_thresholds import absorb_thresholds
from edgec.passes.binary_units import take_rounding, take_units
from edgec.training.availability import require_training


class TrainMstOptions(BinaryTrainingOptions):
    """Options of `train-mst`."""

    tree_weight: float = Field(
        default=8.0, ge=0, description="λ: what the share of weights that trees leave counts in the loss"
    )
    rising: float = Field(default=0.3, ge=0, le=1, description="share of the steps over which λ rises from 0")
    refresh: int = Field(default=50, ge=1, description="steps between two looks for the lightest trees")
    centre: float = Field(
        default=0.0,
        ge=0,
        le=1,
        description="how far weights move towards those of their tree's centre before training; 0: not at all",
    )


class TrainMst(Pass):
    """Train binary layers so that their output channels differ in few weights, which `compress-mst` then makes use of.

    The loss is that of the network plus λ times the share of weights that spanning trees leave, of all layers; trees
    are laid anew every few steps, λ rises at the beginning. Before training, weights may be moved towards those of the
    channel in the middle of the tree.

    Case 1: layers whose weights and inputs are signs, as `binarize` or a trainer of QONNX's BipolarQuant leaves them.
    Case 2: layers of eight bits are trained in real numbers, and rounded again afterwards.
    Case 3: layers with groups, or with inputs of more bits, stay as they are, with the reason.

    Source: Vo et al., "MST-compression", ICCV 2023. The pass is meant to follow `binarize`, in the same recipe so that
    the real numbers behind the signs are still there; from signs alone training has further to go. Needs the extra
    `qat`.
    """

    name: ClassVar[str] = "train-mst"
    kind: ClassVar[Kind] = Kind.TRAINED
    needs: ClassVar[tuple[Need, ...]] = (Need.CALIBRATION, Need.TRAINING)
    Options: ClassVar[type[PassOptions]] = TrainMstOptions

    def run(self, model: ir.Model, context: PassContext) -> PassResult:
        """Train and write; the model is a new one where its opset must be raised.

        Raises:
            EdgecError: EC0901 without the extra, EC1001 to EC1005.
        """
        require_training()
        from edgec.training.train_binary import Teacher, TreeTraining, train_binary

        options = self.options if isinstance(self.options, TrainMstOptions) else TrainMstOptions()
        found, skips = find_binary_layers(model)
        before = share_kept(model)
        plain = model.clone()
        edges = take_rounding(plain)
        units = take_units(plain)
        names = {unit.name for unit in units}
        skips += [Skip(layer.name, _reason(layer.bipolar_input)) for layer in found if layer.name not in names]
        if not units or context.data is None:
            return PassResult(model, False, {"binary layers": 0}, tuple(skips))
        infer_shapes(plain)
        trained = train_binary(
            *(plain, units, context.data, options),
            teacher=Teacher(plain.clone(), tuple(units)),
            tree=TreeTraining(options.tree_weight, options.rising, options.refresh, options.centre),
            name=self.name,
            seed=context.seed,
            progress=context.progress,
            cache=Cache(),
        )
        write_units(plain, trained.units)
        absorb_thresholds(plain, [unit.name for unit in trained.units])
        made = round_edges(plain, edges, options.dialect, context) if edges else plain
        infer_shapes(made)
        stats = {
            "binary layers": len(units),
            "share of products kept before": round(before, 4),
            "share of products kept": round(share_kept(made), 4),
        } | training_stats(trained.outcome)
        return PassResult(made, True, stats, tuple(skips))


def share_kept(model: ir.Model) -> float:
    """The products of single bits that the lightest trees leave, of those without; 1 where no layer is binary."""
    layers, _ = find_binary_layers(model)
    dense = sum(layer.signs.size * layer.positions for layer in layers)
    kept = sum(spanning_tree(signs).operations * layer.positions for layer in layers for signs in layer.signs)
    return kept / dense if dense else 1.0


def _reason(bipolar_input: bool) -> str:
    return "it has groups" if bipolar_input else "its inputs have more than one bit"
