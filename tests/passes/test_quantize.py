"""The pass `quantize`: networks keep their outputs; layers that hurt or slow down stay float, for a reason."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import onnx_ir as ir
import pytest

from edgec.core.passes import PassContext, PassResult
from edgec.core.recipe import load_recipe, make_pass
from edgec.core.target_files import load_target
from edgec.core.tensor import Sample
from edgec.graph.fidelity import compare
from edgec.graph.reference import run_reference
from edgec.graph.shapes import infer_shapes
from edgec.passes.equalise import equalise
from edgec.passes.quantize_cost import LayerCost, LayerKind, costs_for, slower_layers
from edgec.passes.quantize_layers import find_layers
from edgec.passes.quantize_weights import weights_quantizer
from edgec.passes.reconstruct_weights import reconstruct
from tests.models.builder import GraphBuilder


def network(opset: int = 17, *, wild: bool = False) -> ir.Model:
    """A residual network with a gate and a classifier; with `wild`, one layer reads values of very different sizes."""
    g = GraphBuilder("net", opset, 5)
    image = g.input("image", (1, 3, 12, 12))
    x = g.node("Relu", g.convolution(image, (3, 8), 3))
    y = g.node("Relu", g.convolution(x, (8, 8), 3))
    x = g.node("Relu", g.node("Add", x, g.convolution(y, (8, 8), 1)))
    x = g.node("Mul", x, g.node("HardSigmoid", g.convolution(g.node("GlobalAveragePool", x), (8, 8), 1)))
    if wild:
        spread = g.constant(10.0 ** np.linspace(-4, 4, 8).reshape(1, 8, 1, 1))
        x = g.node("Div", g.convolution(g.node("Mul", x, spread), (8, 8), 1, group=8), spread)
    x = g.node("Flatten", g.node("MaxPool", x, kernel_shape=[2, 2], strides=[2, 2]))
    g.output(g.node("Gemm", x, g.weight(10, 288), g.weight(10), transB=1), (1, 10))
    return ir.from_proto(g.model())


def samples(count: int, seed: int = 0) -> list[Sample]:
    random = np.random.default_rng(seed)
    return [{"image": random.normal(size=(1, 3, 12, 12)).astype(np.float32)} for _ in range(count)]


def quantize(model: ir.Model, target: str | None = None, **options: object) -> PassResult:
    infer_shapes(model)
    context = PassContext(None if target is None else load_target(target), samples(24))
    return make_pass("quantize", options).run(model.clone(), context)


def noise(model: ir.Model, result: PassResult) -> float:
    """Decibels on inputs that were not used for calibration."""
    others = samples(16, seed=9)
    found = compare(run_reference(model, others), run_reference(result.model, others)).snr_db
    return np.inf if found is None else found


@pytest.mark.parametrize("method", ["min-max", "percentile", "mse", "entropy"])
def test_outputs_survive_eight_bits(method: str) -> None:
    model = network()
    result = quantize(model, calibration=method)
    assert result.stats["layers in integers"] == 5
    assert noise(model, result) > 25


def test_moves_of_elements_share_their_quantizer() -> None:
    result = quantize(network())
    pool = next(node for node in result.model.graph if node.op_type == "MaxPool")
    given, made = pool.inputs[0].producer(), next(iter(pool.outputs[0].uses()))[0]
    assert given.op_type == "DequantizeLinear"
    assert made.op_type == "QuantizeLinear"
    assert given.inputs[1].const_value.numpy() == made.inputs[1].const_value.numpy()


def test_a_layer_that_hurts_stays_float_and_is_named() -> None:
    model = network(wild=True)
    whole = quantize(model, max_loss=1.0, min_snr_db=-100.0)
    result = quantize(model, max_loss=1.0, min_snr_db=20.0)
    assert noise(model, whole) < 15
    assert noise(model, result) > 18
    assert len(result.skipped) == 1
    assert "min_snr_db 20" in result.skipped[0].reason


def test_each_layer_is_measured_alone() -> None:
    result = quantize(network())
    table = {key: value for key, value in result.stats.items() if key.startswith("signal to noise with")}
    assert len(table) == 5
    worst = [float(str(value).removesuffix(" dB")) for value in table.values()]
    assert all(first <= second for first, second in pairwise(worst))


def test_ignored_layers_stay_float() -> None:
    result = quantize(network(), ignore=["Gemm*"])
    assert [skip.reason for skip in result.skipped] == ["stays float: `Gemm*` of the option `ignore` names it"]


def test_patterns_that_name_nothing_are_told() -> None:
    rules = [{"layers": "*head*", "weights": 4}, {"layers": "Conv*", "weights": 8}]
    result = quantize(network(), ignore=["Gem_*", "Gemm*"], mixed=rules)
    assert result.assumptions[:-1] == (
        "`Gem_*` of the option `ignore` names no layer",
        "`*head*` of the option `mixed` names no layer",
    )


def test_layers_stay_float_where_integers_are_slower() -> None:
    result = quantize(network(), "raspberry-pi-4")
    assert result.stats["layers in integers"] == 0
    assert result.stats["layers compared with fp32 on"] == "raspberry-pi-4, by instructions"
    assert len(result.skipped) == 5
    assert all("the instructions of fp32 in integers" in skip.reason for skip in result.skipped)
    assert "a convolution of few channels like it (convolution 3x3, 3 to " in result.skipped[0].reason
    assert quantize(network(), "raspberry-pi-4", speed="ignored").stats["layers in integers"] == 5


def network_like(cost: LayerCost) -> ir.Model:
    """The measured layer alone, called `alike`."""
    g = GraphBuilder("alike", 17, 5)
    if cost.kind is LayerKind.PRODUCT:
        g.node("MatMul", g.input("x", (1, cost.inputs)), g.weight(cost.inputs, cost.outputs), output="y")
        g.output("y", (1, cost.outputs))
    else:
        stride, window, extent = (math.isqrt(number) for number in (cost.stride, cost.taps, cost.places))
        x = g.input("x", (1, cost.inputs, extent * stride, extent * stride))
        groups = cost.inputs if cost.kind is LayerKind.DEPTHWISE else 1
        g.convolution(x, (cost.inputs, cost.outputs), window, stride=stride, group=groups, output="y")
        g.output("y", (1, cost.outputs, extent, extent))
    model = ir.from_proto(g.model())
    next(iter(model.graph)).name = "alike"
    infer_shapes(model)
    return model


@pytest.mark.parametrize("target", ["host", "raspberry-pi-4", "raspberry-pi-5"])
def test_what_was_measured_decides_for_each_layer(target: str) -> None:
    costs = costs_for(load_target(target))
    if costs is None:
        pytest.skip("nobody measured layers on cores like those of this machine")
    measured = [cost for cost in costs.layers if cost.kind is not LayerKind.GROUPED]
    ratios = [cost.integers / cost.real for cost in measured]
    slow, fast = measured[int(np.argmax(ratios))], measured[int(np.argmin(ratios))]
    assert slow.integers > slow.real
    kept = slower_layers(find_layers(network_like(slow), ())[0], load_target(target))
    assert kept["alike"].startswith(f"{slow.kind.value} like it ({slow.layer}) takes {max(ratios):.2f} times")
    assert "alike" not in slower_layers(find_layers(network_like(fast), ())[0], load_target(target))


def test_what_nobody_measured_is_said_to_be_so() -> None:
    result = quantize(network(), "cortex-m7")
    assert result.stats["layers compared with fp32 on"] == "nothing: no layers were measured for such a core"
    assert result.stats["layers in integers"] == 5


def test_a_core_with_a_dot_product_keeps_what_it_slows_down_in_float() -> None:
    result = quantize(network(wild=True), "raspberry-pi-5", max_loss=1.0, min_snr_db=-100.0)
    kinds = {skip.reason.split(" like it")[0] for skip in result.skipped}
    assert "stays float: a depthwise convolution" in kinds
    assert not any("a matrix product" in kind for kind in kinds)


def test_the_target_chooses_the_sign() -> None:
    for target, wanted in (("raspberry-pi-5", "INT8"), ("raspberry-pi-4", "INT8"), ("cortex-m7", "UINT8")):
        made = quantize(network(), target, speed="ignored").model
        points = [node.inputs[2].const_value.dtype for node in made.graph if node.op_type == "QuantizeLinear"]
        assert {point.name for point in points} == {wanted}


@pytest.mark.parametrize("op", ["Conv", "MatMul"])
def test_gptq_beats_rounding_to_the_nearest_where_inputs_are_correlated(op: str) -> None:
    g = GraphBuilder("one", 17, 2)
    shape = (1, 24, 6, 6) if op == "Conv" else (20, 24)
    weights = g.weight(16, 24, 3, 3) if op == "Conv" else g.weight(24, 16)
    g.output(g.node(op, g.input("image", shape), weights), (1, 16, 4, 4) if op == "Conv" else (20, 16))
    model = ir.from_proto(g.model())
    random = np.random.default_rng(1)
    mixing = random.normal(size=(24, 4))

    def inputs(count: int) -> list[Sample]:
        made = [random.normal(size=(shape[0], *shape[2:], 4)) @ mixing.T for _ in range(count)]
        moved = [np.moveaxis(one, -1, 1) if op == "Conv" else random.normal(size=(20, 4)) @ mixing.T for one in made]
        return [{"image": (one + 0.1 * random.normal(size=one.shape)).astype(np.float32)} for one in moved]

    layers, _ = find_layers(model, ())
    quantizer = weights_quantizer(layers[0], 3, 0.01, per_channel=True, power_of_two=False)
    rounded = reconstruct(model, layers, {layers[0].name: quantizer}, inputs(8))[layers[0].name]
    others, errors = inputs(4), []
    for integers in (rounded, quantizer.quantize(layers[0].weights)):
        variant = model.clone()
        next(iter(variant.graph.initializers.values())).const_value = ir.Tensor(quantizer.dequantize(integers))
        errors.append(compare(run_reference(model, others), run_reference(variant, others)).snr_db)
    assert errors[0] > errors[1] + 5


def test_bits_may_differ_by_layer() -> None:
    model = network()
    rule = {"layers": "Gemm*", "weights": 2}
    result = quantize(model, mixed=[rule], max_loss=1.0, min_snr_db=-100.0)
    levels = [
        np.unique(node.inputs[0].const_value.numpy()).size
        for node in result.model.graph
        if node.op_type == "DequantizeLinear" and node.inputs[0].const_value is not None and "bias" not in node.name
        if node.inputs[0].const_value.dtype == ir.DataType.INT8
    ]
    assert min(levels) == 3
    assert max(levels) > 100


def test_equalised_layers_compute_the_same() -> None:
    model = network()
    changed = model.clone()
    infer_shapes(changed)
    assert equalise(changed) >= 1
    others = samples(4, seed=3)
    found = compare(run_reference(model, others), run_reference(changed, others))
    assert found.max_relative_error < 1e-5


@pytest.mark.parametrize("opset", [11, 13, 18, 23])
def test_every_opset_can_be_quantized(opset: int) -> None:
    model = network(opset)
    assert noise(model, quantize(model)) > 25


def test_a_dead_channel_with_a_bias_fits_32_bits() -> None:
    model = network()
    node = next(node for node in model.graph if node.op_type == "Conv")
    weights = node.inputs[1].const_value.numpy().copy()
    weights[2] = 1e-14
    node.inputs[1].const_value = ir.Tensor(weights)
    result = quantize(model)
    assert noise(model, result) > 25
    biases = [v.const_value.numpy() for v in result.model.graph.initializers.values() if v.dtype == ir.DataType.INT32]
    assert max(int(np.abs(bias.astype(np.int64)).max()) for bias in biases) <= 2**30


def test_the_recipe_ends_with_the_pass() -> None:
    assert [step.name for step in load_recipe("int8").passes][-1] == "quantize"
