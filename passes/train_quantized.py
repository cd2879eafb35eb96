"""Pass `train-quantized`: training with rounding, for integers of few bits."""

from __future__ import annotations

from typing import ClassVar

import onnx_ir as ir
from pydantic import Field, field_validator

from edgec.core.cache import Cache
from edgec.core.passes import Kind, Need, Pass, PassContext, PassOptions, PassResult
from edgec.graph.quantization import QuantizationPlan
from edgec.graph.quantization_writer import Dialect
from edgec.passes.calibration_ranges import Method
from edgec.passes.quantize_layers import Layer, find_layers, shared_ranges, unused_patterns
from edgec.passes.quantize_plan import Planner, Scheme, Signedness, WeightScheme
from edgec.training.availability import require_training
from edgec.training.options import FitOptions

_CALIBRATION_SAMPLES = 128


class TrainQuantizedOptions(FitOptions):
    """Options of `train-quantized`."""

    weight_bits: int = Field(default=8, ge=2, le=8, description="bits of the weights")
    activation_bits: int = Field(default=8, ge=2, le=8, description="bits of the activations")
    edge_bits: int = Field(
        default=8, ge=0, le=8, description="bits of weights and inputs of the first and last layer; 0: as the others"
    )
    per_channel: bool = Field(default=True, description="whether each output channel of weights has its own scale")
    power_of_two: bool = Field(default=False, description="whether all scales are powers of two, as hardware wants")
    activations: Signedness = Field(
        default=Signedness.TARGET, description="integers of the activations; default: what the target's kernels want"
    )
    calibration: Method = Field(default=Method.MSE, description="how the first range of an activation is chosen")
    ignore: tuple[str, ...] = Field(default=(), description="names of layers, or patterns, that stay float")
    dialect: Dialect = Field(default=Dialect.QDQ, description="qdq for compilers, qonnx for hls4ml")

    @field_validator("edge_bits")
    @classmethod
    def _none_or_several(cls, bits: int) -> int:
        if bits == 1:
            raise ValueError("0 (as the others), or 2 to 8")
        return bits


class TrainQuantized(Pass):
    """Train a network that rounds weights and activations to integers, and learn the scales of both.

    The layers, and the scales to begin with, are those that `quantize` would choose from the calibration samples.
    Brevitas' quantisers let gradients through and learn the scales: Esser et al., Learned Step Size Quantization, 2020.

    Case 1: labels, distillation from the float model, or both, as the option `loss` says.
    Case 2: convolutions without batch normalisation get one for the training; it goes into the scales afterwards, which
        leaves the integers as they are.
    Case 3: with scales that are powers of two there is none, because such a scale cannot take it up; the written model
        then equals the trained network.
    Case 4: layers without integer kernels stay float, with the reason.

    The pass is meant to follow the passes of the default recipe. Needs the extra `qat`.
    """

    name: ClassVar[str] = "train-quantized"
    kind: ClassVar[Kind] = Kind.TRAINED
    needs: ClassVar[tuple[Need, ...]] = (Need.CALIBRATION, Need.TRAINING)
    Options: ClassVar[type[PassOptions]] = TrainQuantizedOptions

    def run(self, model: ir.Model, context: PassContext) -> PassResult:
        """Train and quantize; the model is a new one where its opset must be raised.

        Raises:
            EdgecError: EC0901 without the extra, EC1001 to EC1005.
        """
        require_training()
        from edgec.training.train_quantized import train_quantized

        options = self.options if isinstance(self.options, TrainQuantizedOptions) else TrainQuantizedOptions()
        layers, skips = find_layers(model, options.ignore)
        if not layers or context.data is None:
            return PassResult(model, False, {"layers": len(layers) + len(skips)}, tuple(skips))
        plan = _first_plan(model, layers, options, context)
        trained = train_quantized(
            *(model, plan, context.data, options),
            power_of_two=options.power_of_two,
            dialect=options.dialect,
            seed=context.seed,
            progress=context.progress,
            cache=Cache(),
        )
        equality = trained.equality
        stats: dict[str, int | float | str] = {
            "layers": len(layers) + len(skips),
            "layers in integers": len(layers),
            "values in integers": len(plan.values),
            "epochs": options.epochs,
            "epochs found in the cache": trained.outcome.resumed,
            "loss of the first epoch": round(trained.outcome.losses[0], 5),
            "loss of the last epoch": round(trained.outcome.losses[-1], 5),
            "learned from": trained.outcome.learned_from,
            "batch normalisations put in for training": trained.batch_norms,
            "samples that differ from the trained network": f"{equality.differing} of {equality.compared}",
            "largest difference from it": f"{equality.largest:.2g} of the largest output",
            "answers that differ from it": equality.answers,
        }
        names = [layer.name for layer in layers] + [skip.node for skip in skips]
        assumptions = [*unused_patterns("ignore", options.ignore, names)]
        assumptions.append(f"weights have {options.weight_bits} bits and activations {options.activation_bits}")
        if options.edge_bits:
            assumptions.append(f"first and last layer have {options.edge_bits} bits")
        if not trained.outcome.at_once:
            assumptions.append("the network takes one sample at a time, so they ran one by one")
        return PassResult(trained.model, True, stats, tuple(skips), tuple(assumptions))


def _first_plan(
    model: ir.Model, layers: list[Layer], options: TrainQuantizedOptions, context: PassContext
) -> QuantizationPlan:
    """The plan to begin with: first and last layer, and what they read, may have bits of their own."""
    samples = list(context.calibration)
    count = min(_CALIBRATION_SAMPLES, len(samples))
    chosen = [samples[index * len(samples) // count] for index in range(count)]
    names = [layer.name for layer in layers]

    def planned(weight_bits: int, activation_bits: int) -> QuantizationPlan:
        signedness = options.activations.for_target(context.target)
        scheme = Scheme(options.calibration, 99.99, activation_bits, signedness, options.power_of_two)
        weights = WeightScheme(weight_bits, options.per_channel, options.power_of_two, False, False)
        return Planner(model, layers, scheme, dict.fromkeys(names, weights), chosen).plan(names)

    plan = planned(options.weight_bits, options.activation_bits)
    edge = options.edge_bits
    if not edge or (edge, edge) == (options.weight_bits, options.activation_bits):
        return plan
    outer = planned(edge, edge)
    edges = [layers[0], layers[-1]]
    read = {layer.read for layer in edges}
    shared = {str(value.name) for group in shared_ranges(layers) if read & set(group) for value in group}
    return QuantizationPlan(
        dict(plan.values) | {name: outer.values[name] for name in shared},
        dict(plan.weights) | {layer.name: outer.weights[layer.name] for layer in edges},
    )
