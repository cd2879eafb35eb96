"""Layers of a pruned model are fitted to what they computed before."""

from __future__ import annotations

import numpy as np
import onnx
import onnx_ir as ir
import pytest

from edgec.core.passes import PassContext
from edgec.core.tensor import Sample
from edgec.graph.reference import ReferenceSession
from edgec.passes.channel_options import PruneChannelsOptions
from edgec.passes.channel_refit import FEWEST_SAMPLES, refit
from edgec.passes.graph_edit import constant
from edgec.passes.piecewise_run import PiecewiseRun
from edgec.passes.prune_channels import PruneChannels
from tests.models.builder import GraphBuilder
from tests.passes.comparison import outputs_of, prepared


def network() -> onnx.ModelProto:
    """A residual block, a depthwise layer, and a classifier without a bias."""
    g = GraphBuilder("g", 17)
    image = g.input("image", (1, 3, 12, 12))
    first = g.node("Relu", g.node("Conv", image, g.weight(16, 3, 3, 3), g.weight(16), pads=[1] * 4))
    branch = g.node("Relu", g.node("Conv", first, g.weight(16, 16, 3, 3), pads=[1] * 4))
    joined = g.node("Add", first, g.node("Conv", branch, g.weight(16, 16, 1, 1)))
    depthwise = g.node("Relu", g.node("Conv", joined, g.weight(16, 1, 3, 3), group=16, strides=[2, 2]))
    g.node("MatMul", g.node("Flatten", g.node("GlobalAveragePool", depthwise)), g.weight(16, 4), output="y")
    g.output("y", (1, 4))
    return g.model()


def samples(count: int) -> list[Sample]:
    generator = np.random.default_rng(3)
    return [{"image": generator.normal(0.5, 1, (1, 3, 12, 12)).astype(np.float32)} for _ in range(count)]


def scale_weights(node: ir.Node, factor: float) -> None:
    weights = node.inputs[1]
    contents = constant(weights)
    assert weights is not None
    assert contents is not None
    weights.const_value = ir.tensor(contents * np.float32(factor), name=weights.name)


def error(proto: onnx.ModelProto, given: int, unseen: list[Sample]) -> float:
    """Relative error of the outputs on unseen samples if half of the channels go, with some samples given."""
    model = prepared(proto)
    options = PruneChannelsOptions(ratio=0.4, round_to=1, allocation="uniform", criterion="l2")
    PruneChannels(options).run(model, PassContext(calibration=samples(given)))
    expected = np.stack([outputs_of(proto, sample)[0] for sample in unseen])
    return float(np.abs(np.stack([outputs_of(model, s)[0] for s in unseen]) - expected).mean() / expected.std())


def test_a_pruned_network_is_nearer_to_what_it_was() -> None:
    unseen = samples(60)[48:]
    few = error(network(), FEWEST_SAMPLES - 1, unseen)
    assert error(network(), 48, unseen) < 0.85 * few < 0.85 * error(network(), 0, unseen)


def test_weights_that_were_spoilt_are_found_again() -> None:
    """Among the layers are depthwise ones, ones without a bias, and a product of matrices."""
    whole = prepared(network())
    spoilt = whole.clone()
    for node in spoilt.graph:
        if node.op_type in ("Conv", "MatMul"):
            scale_weights(node, 0.7)
    given = samples(40)
    assert refit(whole, spoilt, {}, given) == 5
    expected, found = (ReferenceSession(model).run(given[0])["y"] for model in (whole, spoilt))
    np.testing.assert_allclose(found, expected, atol=1e-3 * float(np.abs(expected).max()))


def test_layers_that_compute_what_they_did_stay_as_they_are() -> None:
    whole = prepared(network())
    assert refit(whole, whole.clone(), {}, samples(12)) == 0


@pytest.mark.parametrize("change", [0.5, 2.0])
def test_pieces_together_are_the_model(change: float) -> None:
    model = prepared(network())
    given = samples(2)
    run = PiecewiseRun(model, given)
    for node in run.layers:
        scale_weights(node, change)
        last = run.advance()
    expected = [ReferenceSession(model).run(sample)["y"] for sample in given]
    np.testing.assert_allclose(last, expected, rtol=1e-5)
