"""What a user of `factorize` asks for and is told."""

from __future__ import annotations

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edgec.core.errors import EdgecError
from edgec.core.passes import PassContext
from edgec.core.recipe import make_pass
from edgec.core.target_files import load_target
from edgec.graph.channels_cost import KernelRate
from edgec.graph.cost import model_size
from edgec.passes.factorize import Factorize, FactorizeOptions
from edgec.passes.factorize_candidates import DenseLayer, Order, candidates, dense_layer, folded
from edgec.passes.factorize_rewrite import replace_by_factors
from edgec.passes.graph_edit import Names
from tests.models.builder import GraphBuilder
from tests.passes.comparison import assert_same, op_types, outputs_of, prepared, random_feeds


def low_rank_network(opset: int = 17, *, rank: int = 8, stride: int = 1, dilation: int = 1) -> onnx.ModelProto:
    """Convolutions whose weights have exactly the given rank, folded by outputs, and a dense layer of that rank."""
    g = GraphBuilder("low_rank", opset)
    random = np.random.default_rng(0)
    x = g.node("Relu", g.convolution(g.input("image", (1, 3, 16, 16)), (3, 64), 3))
    for _ in range(2):
        weight = (random.standard_normal((64, rank)) @ random.standard_normal((rank, 64 * 9))).reshape(64, 64, 3, 3)
        pads = [dilation] * 4
        x = g.node(
            *("Conv", x, g.constant(weight / 100), g.weight(64)),
            kernel_shape=[3, 3],
            pads=pads,
            strides=[stride] * 2,
            dilations=[dilation] * 2,
        )
        x = g.node("Relu", x)
    flat = g.node("Flatten", x)
    features = 64 * (16 // stride // stride) ** 2
    matrix = random.standard_normal((features, rank)) @ random.standard_normal((rank, 64)) / features
    dense = g.node("Gemm", flat, g.constant(matrix), g.weight(64), alpha=0.5, beta=2.0)
    g.node("MatMul", g.node("Relu", dense), g.constant(random.standard_normal((64, 10)) / 8), output="y")
    g.output("y", (1, 10))
    return g.model()


@pytest.mark.parametrize(("stride", "dilation"), [(1, 1), (2, 1), (1, 2)])
def test_layers_of_low_rank_become_two_without_loss(stride: int, dilation: int) -> None:
    proto = low_rank_network(stride=stride, dilation=dilation)
    model = prepared(proto)
    before = model_size(model).macs
    result = Factorize(FactorizeOptions(target_macs=0.01, largest_error=1e-4)).run(
        model, PassContext(target=load_target("raspberry-pi-4"))
    )
    onnx.checker.check_model(ir.to_proto(model), full_check=True)
    assert_same(outputs_of(proto, random_feeds(proto)), outputs_of(model, random_feeds(proto)))
    assert result.stats["layers factorized"] == 3
    assert op_types(model).count("Conv") == 5
    assert op_types(model).count("Gemm") == 2
    assert model_size(model).macs < 0.5 * before
    assert result.stats["multiply-accumulates left"] == pytest.approx(model_size(model).macs / before, abs=1e-4)
    assert all(value.uses() for value in model.graph.initializers.values())


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.sampled_from([1, 3]), st.sampled_from([12, 16, 24]), st.integers(0, 99), st.sampled_from([1, 2]))
def test_the_error_bound_holds(kernel: int, channels: int, seed: int, stride: int) -> None:
    """The weights of the two layers, multiplied out, differ by no more than was promised."""
    g = GraphBuilder("one", 17, seed)
    weight = g.weight(20, channels, kernel, kernel)
    pads = [kernel // 2] * 4
    x = g.input("image", (1, channels, 8, 8))
    g.node("Conv", x, weight, output="y", kernel_shape=[kernel] * 2, pads=pads, strides=[stride] * 2)
    g.output("y", (1, 20, 8 // stride, 8 // stride))
    rate = KernelRate(1, 1.0, 1e30, "test")
    for number in range(len(candidates(_layer(prepared(g.model())), rate))):
        model = prepared(g.model())
        layer = _layer(model)
        factors = candidates(layer, rate)[number]
        whole = folded(layer, factors.order, 1)[0]
        replace_by_factors(model, layer, factors, Names(model))
        first, second = (node.inputs[1].const_value.numpy() for node in model.graph)
        first, second = (w.reshape(*w.shape[:2], -1).astype(np.float64) for w in (first, second))
        if factors.order is Order.KERNEL_FIRST:
            blocks = first.reshape(factors.groups, factors.rank, -1)
            left = second[:, :, 0].reshape(20, factors.groups, factors.rank)
            product = np.concatenate([left[:, n] @ blocks[n] for n in range(factors.groups)], axis=1)
        else:
            product = np.moveaxis(second, 2, 1).reshape(-1, factors.rank) @ first[:, :, 0]
        assert np.linalg.norm(product - whole, 2) <= (factors.error + 1e-5) * np.linalg.norm(whole, 2)
        assert model_size(model).macs == factors.macs


def _layer(model: ir.Model) -> DenseLayer:
    layer = dense_layer(next(iter(model.graph)))
    assert isinstance(layer, DenseLayer)
    return layer


def test_the_goal_of_work_is_met_with_the_smallest_error() -> None:
    loose, tight = (_run_on_noise(share) for share in (0.8, 0.5))
    assert loose["multiply-accumulates left"] <= 0.8
    assert tight["multiply-accumulates left"] <= 0.5
    assert 0 < loose["largest error"] < tight["largest error"] <= 1


def _run_on_noise(share: float) -> dict[str, float]:
    g = GraphBuilder("noise", 17)
    x = g.node("Relu", g.convolution(g.input("image", (1, 16, 16, 16)), (16, 64), 3))
    g.convolution(x, (64, 64), 3, output="y")
    g.output("y", (1, 64, 16, 16))
    model = prepared(g.model())
    return dict(Factorize(FactorizeOptions(target_macs=share)).run(model, PassContext()).stats)


def test_a_time_goal_is_met_in_prediction() -> None:
    model = prepared(low_rank_network())
    context = PassContext(target=load_target("raspberry-pi-4"))
    result = Factorize(FactorizeOptions(target_time=0.8)).run(model, context)
    assert result.stats["predicted time left of layers that could be factorized"] <= 0.8


def test_layers_that_stay_say_why() -> None:
    g = GraphBuilder("stay", 17)
    x = g.convolution(g.input("image", (1, 8, 8, 8)), (8, 8), 3, group=8)
    x = g.convolution(x, (8, 8), 1)
    g.node("MatMul", x, x, output="y")
    g.output("y", (1, 8, 8, 8))
    result = Factorize().run(prepared(g.model()), PassContext(target=load_target("raspberry-pi-4")))
    assert not result.modified
    assert {skip.node: skip.reason for skip in result.skipped} == {
        "Conv_0": "its channels are in groups already",
        "Conv_1": "no rank makes it faster on the target within the largest error",
        "MatMul_2": "its weights are computed at run time",
    }
    assert "out of reach" in result.assumptions[1]


def test_two_goals_are_a_mistake_in_the_recipe() -> None:
    with pytest.raises(EdgecError) as caught:
        make_pass("factorize", {"target_time": 0.5, "target_macs": 0.5})
    assert caught.value.code.code == "EC0302"
