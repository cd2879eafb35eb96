"""Pass `quantize`: layers compute in small integers where that is accurate enough, and faster on the target."""

from __future__ import annotations

from enum import StrEnum
from fnmatch import fnmatchcase
from typing import ClassVar

import numpy as np
import onnx_ir as ir
from pydantic import Field

from edgec.core.fidelity import Fidelity
from edgec.core.passes import Kind, Need, Pass, PassContext, PassOptions, PassResult, Skip
from edgec.core.tensor import Sample
from edgec.graph.quantization_writer import Dialect, write_quantization
from edgec.passes.calibration_ranges import Method
from edgec.passes.equalise import equalise
from edgec.passes.quantize_cost import slower_layers, speed_source
from edgec.passes.quantize_layers import Layer, find_layers, unused_patterns
from edgec.passes.quantize_plan import Planner, Scheme, Signedness, WeightScheme
from edgec.passes.sensitivity import Judge, layers_within_budget, sensitivities


class Bits(PassOptions):
    """The bits of the weights of some layers."""

    layers: str = Field(description="name of a layer, or a pattern (`*/head/*`)")
    weights: int = Field(ge=1, le=8, description="bits of their weights")


class Speed(StrEnum):
    """Whether layers that integers would slow down are left alone."""

    CHECKED = "checked"
    IGNORED = "ignored"


class QuantizeOptions(PassOptions):
    """Options of `quantize`."""

    calibration: Method = Field(default=Method.MIN_MAX, description="how the range of an activation is chosen")
    percentile: float = Field(default=99.99, gt=50, le=100, description="share in percent that `percentile` covers")
    weight_bits: int = Field(default=8, ge=1, le=8, description="bits of the weights")
    activation_bits: int = Field(default=8, ge=2, le=8, description="bits of the activations")
    mixed: tuple[Bits, ...] = Field(default=(), description="other bits for some layers; the first that fits counts")
    ignore: tuple[str, ...] = Field(default=(), description="names of layers, or patterns, that stay float")
    per_channel: bool = Field(default=True, description="whether each output channel of weights has its own scale")
    activations: Signedness = Field(
        default=Signedness.TARGET, description="integers of the activations; default: what the target's kernels want"
    )
    power_of_two: bool = Field(default=False, description="whether all scales are powers of two, as hardware wants")
    bias_correction: bool = Field(default=True, description="whether biases make up for the shift of rounded weights")
    equalise: bool = Field(
        default=False, description="whether channels between two layers are scaled to similar ranges first"
    )
    reconstruct: bool = Field(
        default=True, description="whether weights of 4 bits and fewer are rounded by GPTQ instead of to the nearest"
    )
    max_loss: float = Field(
        default=0.02, ge=0, le=1, description="largest share of calibration samples whose arg-max may change"
    )
    min_snr_db: float = Field(
        default=10.0, description="least signal to noise ratio of the outputs in decibels on calibration samples"
    )
    samples: int = Field(default=128, ge=1, description="calibration samples to use at most")
    judged_samples: int = Field(default=64, ge=1, description="those of them that the loss is measured on")
    sensitivity_samples: int = Field(
        default=4, ge=0, description="those of them that each layer is measured on alone; 0 for no table"
    )
    speed: Speed = Field(
        default=Speed.CHECKED, description="whether layers that would be slower in integers on the target stay float"
    )
    dialect: Dialect = Field(default=Dialect.QDQ, description="qdq for compilers, qonnx for hls4ml")
    four_bit_types: bool = Field(
        default=False, description="whether weights of 4 bits and fewer have ONNX's four-bit types (opset 21)"
    )


class Quantize(Pass):
    """Quantize layers with constant weights (Conv, Gemm, MatMul) after training, from calibration samples.

    A layer's weights and its input become integers; its sum is exact, and what follows (bias, activation, residual sum)
    computes in real numbers until the next layer's input is rounded.

    Case 1: layers that `ignore` names, and those whose weights are computed at run time, stay float.
    Case 2: layers like those that were measured to be slower in integers on cores like the target's stay float: see
        `quantize_cost`.
    Case 3: if the outputs lose more than `max_loss` or `min_snr_db` allow, the layers that hurt most alone stay float,
        as few as bisection finds.
    Case 4: weights of up to 4 bits are rounded so that the outputs on the samples change least: see
        `reconstruct_weights`.

    Sources: Jacob et al., Quantization and Training of Neural Networks for Efficient Integer-Arithmetic-Only Inference,
    2018; Nagel et al., A White Paper on Neural Network Quantization, 2021. The pass follows the exact ones.
    """

    name: ClassVar[str] = "quantize"
    kind: ClassVar[Kind] = Kind.LOSSY
    needs: ClassVar[tuple[Need, ...]] = (Need.CALIBRATION,)
    Options: ClassVar[type[PassOptions]] = QuantizeOptions

    def run(self, model: ir.Model, context: PassContext) -> PassResult:
        """Quantize; the model is a new one where its opset must be raised."""
        options = self.options if isinstance(self.options, QuantizeOptions) else QuantizeOptions()
        samples = _evenly(list(context.calibration), options.samples)
        stats: dict[str, int | float | str] = {"calibration samples": len(samples)}
        if options.equalise:
            stats["pairs of layers equalised"] = equalise(model)
        layers, skips = find_layers(model, options.ignore)
        stats["layers"] = len(layers) + len(skips)
        assumptions = _unused(options, [layer.name for layer in layers] + [skip.node for skip in skips])
        if options.speed is Speed.CHECKED:
            stats["layers compared with fp32 on"] = speed_source(context.target)
            slow = slower_layers(layers, context.target)
            layers = [layer for layer in layers if layer.name not in slow]
            skips += [Skip(name, f"stays float: {reason}") for name, reason in slow.items()]
        if not layers:
            stats["layers in integers"] = 0
            return PassResult(model, options.equalise, stats, tuple(skips), assumptions)
        planner = Planner(model, layers, _scheme(options, context), _weight_schemes(options, layers), samples)
        kept, judged, more = _accurate_layers(model, layers, planner, options, samples, context)
        skips += more
        stats.update(judged)
        stats["layers in integers"] = len(kept)
        if not kept:
            return PassResult(model, options.equalise, stats, tuple(skips), assumptions)
        plan = planner.plan(kept)
        stats["values in integers"] = len(plan.values)
        written = write_quantization(model, plan, dialect=options.dialect, four_bit_types=options.four_bit_types)
        assumptions += (_assumption(planner.scheme, options),)
        return PassResult(written, True, stats, tuple(skips), assumptions)


def _accurate_layers(
    model: ir.Model,
    layers: list[Layer],
    planner: Planner,
    options: QuantizeOptions,
    samples: list[Sample],
    context: PassContext,
) -> tuple[tuple[str, ...], dict[str, int | float | str], list[Skip]]:
    """The layers that may be quantized, what was measured, and the layers that hurt."""
    names = [layer.name for layer in layers]
    judge = Judge(model, planner.plan, _evenly(samples, options.judged_samples))
    stats: dict[str, int | float | str] = {}
    alone: dict[str, float] = {}
    ranked = list(names)
    if options.sensitivity_samples:
        alone = sensitivities(judge, names, options.sensitivity_samples, context.progress)
        ranked.sort(key=alone.__getitem__)
        stats.update({f"signal to noise with {name} alone": f"{alone[name]:.1f} dB" for name in ranked})

    def acceptable(fidelity: Fidelity) -> bool:
        noise = np.inf if fidelity.snr_db is None else fidelity.snr_db
        return 1.0 - fidelity.agreement <= options.max_loss and noise >= options.min_snr_db

    context.progress.start("accuracy of quantized layers")
    chosen, fidelity = layers_within_budget(judge, ranked, acceptable)
    if fidelity is not None:
        stats["agreement on calibration samples"] = round(fidelity.agreement, 4)
        noise = "exact" if fidelity.snr_db is None else f"{fidelity.snr_db:.1f} dB"
        stats["signal to noise on calibration samples"] = noise
    kept = set(chosen)
    hurt = [_hurt(name, alone.get(name), options) for name in ranked if name not in kept]
    return tuple(name for name in names if name in kept), stats, hurt


def _hurt(name: str, alone_db: float | None, options: QuantizeOptions) -> Skip:
    """Why a layer stays float that costs too much accuracy."""
    limit = f"the outputs lose more than max_loss {options.max_loss:g} and min_snr_db {options.min_snr_db:g} allow"
    measured = "" if alone_db is None else f"; with it alone in integers they have {alone_db:.1f} dB"
    return Skip(name, f"stays float: {limit}{measured}")


def _scheme(options: QuantizeOptions, context: PassContext) -> Scheme:
    return Scheme(
        method=options.calibration,
        percentile=options.percentile,
        bits=options.activation_bits,
        signedness=options.activations.for_target(context.target),
        power_of_two=options.power_of_two,
    )


def _weight_schemes(options: QuantizeOptions, layers: list[Layer]) -> dict[str, WeightScheme]:
    def bits(name: str) -> int:
        return next((rule.weights for rule in options.mixed if fnmatchcase(name, rule.layers)), options.weight_bits)

    return {
        layer.name: WeightScheme(
            bits=bits(layer.name),
            per_channel=options.per_channel,
            power_of_two=options.power_of_two,
            corrected=options.bias_correction,
            reconstructed=options.reconstruct and 1 < bits(layer.name) <= 4,
        )
        for layer in layers
    }


def _unused(options: QuantizeOptions, names: list[str]) -> tuple[str, ...]:
    """The patterns of options that name no layer."""
    mixed = [rule.layers for rule in options.mixed]
    return unused_patterns("ignore", options.ignore, names) + unused_patterns("mixed", mixed, names)


def _evenly(samples: list[Sample], count: int) -> list[Sample]:
    """At most `count` of the samples, evenly spaced."""
    taken = min(count, len(samples))
    return [samples[index * len(samples) // taken] for index in range(taken)]


def _assumption(scheme: Scheme, options: QuantizeOptions) -> str:
    return (
        f"activations are {scheme.signedness.value} integers of {scheme.bits} bits, ranges by {scheme.method.value}; "
        f"weights are symmetric, {'one scale a channel' if options.per_channel else 'one scale a layer'}"
    )
