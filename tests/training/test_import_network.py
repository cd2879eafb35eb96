"""Networks in torch compute what ONNX Runtime computes, and their weights find the way back."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir
import pytest

from edgec.core.errors import EdgecError
from edgec.core.passes import PassContext
from edgec.core.pipeline import OpenGate, Pipeline
from edgec.core.recipe import make_pass
from edgec.graph.cost import model_size
from edgec.graph.inputs import sample_inputs
from edgec.graph.load import load_model
from edgec.graph.reference import ReferenceSession
from edgec.graph.shapes import infer_shapes
from edgec.pass_list import pass_list
from tests.models import ALL_MODELS, OLDEST_OPSET, GraphBuilder

torch = pytest.importorskip("torch", reason="the extra qat is not installed")
pytest.importorskip("brevitas", reason="the extra qat is not installed")

from edgec.training.importer import TrainableNetwork, import_network  # noqa: E402
from edgec.training.write_back import write_back  # noqa: E402

TOLERANCE = 1e-5
NOT_TRAINED = {"if_net", "loop_net", "scan_net", "quantized_net", "lstm_net"}
TRAINED = sorted(set(ALL_MODELS) - NOT_TRAINED)
OPSETS = (9, 11, 13, 15, 17, 18, 21, 23)


def exact(model: ir.Model) -> ir.Model:
    return Pipeline(pass_list("exact", {}, ()), OpenGate(), model_size).run(model, PassContext()).model


def worst_difference(network: TrainableNetwork, model: ir.Model, seed: int = 0) -> float:
    """The largest difference between torch and ONNX Runtime, relative to the largest element of the output."""
    session, worst = ReferenceSession(model), 0.0
    for sample in sample_inputs(model, 2, seed=seed):
        with torch.no_grad():
            results = network.module(*(torch.from_numpy(np.array(array)) for array in sample.values()))
        results = results if isinstance(results, tuple) else (results,)
        for mine, theirs in zip(results, session.run(sample).values(), strict=True):
            assert mine.shape == theirs.shape
            assert mine.numpy().dtype == theirs.dtype
            if theirs.size:
                scale = max(float(np.abs(theirs).max()), 1.0)
                worst = max(worst, float(np.abs(mine.numpy().astype(float) - theirs).max()) / scale)
    return worst


def model_of(proto: onnx.ModelProto) -> ir.Model:
    model = ir.from_proto(proto)
    infer_shapes(model)
    return model


def generated(name: str, opset: int) -> onnx.ModelProto:
    shape = {"height": 16, "width": 24} if name == "detector_net" else {}
    return ALL_MODELS[name](opset, **shape)


def unchecked(g: GraphBuilder) -> ir.Model:
    """The model of a graph whose outputs have whatever shape is inferred, which ONNX's checker does not allow."""
    opsets = [onnx.helper.make_opsetid("", g.opset)]
    return model_of(onnx.helper.make_model(g.graph(), opset_imports=opsets, ir_version=8))


def single(op: str, *shape: int, opset: int = 17, **attributes: object) -> ir.Model:
    """A network of one operator on one input."""
    g = GraphBuilder("single", opset)
    g.node(op, g.input("x", list(shape)), output="y", **attributes)
    g.output("y", None, onnx.TensorProto.INT64 if op == "ArgMax" else onnx.TensorProto.FLOAT)
    return unchecked(g)


@pytest.mark.parametrize("opset", OPSETS)
@pytest.mark.parametrize("name", TRAINED)
def test_generated_model(name: str, opset: int) -> None:
    if opset < OLDEST_OPSET[name]:
        pytest.skip("the opset lacks its operators")
    model = exact(ir.from_proto(generated(name, opset)))
    assert worst_difference(import_network(model), model) < TOLERANCE


@pytest.mark.parametrize("name", sorted(set(TRAINED) - {"two_outputs_net"}))
def test_model_as_it_was_exported(name: str) -> None:
    model = model_of(generated(name, 17))
    assert worst_difference(import_network(model), model) < TOLERANCE


@pytest.mark.parametrize(
    "model",
    [
        single("AveragePool", 1, 2, 9, 9, kernel_shape=[3, 3], pads=[1, 1, 1, 1], strides=[2, 2]),
        single("AveragePool", 1, 2, 9, 9, kernel_shape=[2, 3], pads=[0, 1, 1, 1], count_include_pad=1),
        single("MaxPool", 1, 2, 9, 9, kernel_shape=[3, 3], pads=[0, 0, 1, 1], strides=[2, 2]),
        single("MaxPool", 1, 2, 9, 9, kernel_shape=[3, 3], auto_pad="SAME_LOWER", strides=[2, 2]),
        single("MaxPool", 1, 2, 10, kernel_shape=[3], strides=[2], ceil_mode=1),
        single("DepthToSpace", 1, 8, 3, 3, blocksize=2),
        single("DepthToSpace", 1, 8, 3, 3, blocksize=2, mode="CRD"),
        single("SpaceToDepth", 1, 2, 4, 6, blocksize=2),
        single("Softmax", 2, 3, 4, opset=11, axis=1),
        single("LogSoftmax", 2, 3, 4),
        single("HardSigmoid", 2, 5),
        single("Flatten", 2, 3, 4, axis=2),
        single("ArgMax", 2, 5, axis=1),
        single("ReduceSumSquare", 2, 3, 4, axes=[1], keepdims=0),
        single("ReduceLogSumExp", 2, 3, 4, axes=[-1]),
        single("ReduceProd", 2, 3, 4, axes=[0, 2]),
        single("LRN", 1, 6, 4, 4, size=3),
        single("Celu", 2, 5, alpha=0.7),
        single("ThresholdedRelu", 2, 5, alpha=0.3),
        single("Split", 2, 6, opset=17, axis=1),
        single("Transpose", 2, 3, 4),
    ],
    ids=lambda model: f"{next(iter(model.graph)).op_type}",
)
def test_operator(model: ir.Model) -> None:
    assert worst_difference(import_network(model), model) < TOLERANCE


@pytest.mark.parametrize("steps", [(0, 5, 1), (5, 0, -2), (-1, -(2**63), -1), (1, 2**31, 3)])
def test_slice_in_both_directions(steps: tuple[int, int, int]) -> None:
    g = GraphBuilder("slice", 17)
    start, end, step = steps
    g.node(
        "Slice", g.input("x", [2, 7]), g.integers(start), g.integers(end), g.integers(1), g.integers(step), output="y"
    )
    g.output("y", None)
    model = unchecked(g)
    assert worst_difference(import_network(model), model) < TOLERANCE


def test_padding_that_differs_at_both_ends_of_a_transposed_convolution() -> None:
    g = GraphBuilder("transposed", 17)
    x = g.input("x", [1, 4, 5, 5])
    attributes = {"kernel_shape": [4, 3], "strides": [2, 2], "pads": [0, 1, 1, 0], "group": 2, "output_padding": [1, 0]}
    g.node("ConvTranspose", x, g.weight(4, 3, 4, 3), g.weight(6), output="y", **attributes)
    g.output("y", None)
    model = unchecked(g)
    assert worst_difference(import_network(model), model) < TOLERANCE


@pytest.mark.parametrize("direction", ["forward", "reverse", "bidirectional"])
@pytest.mark.parametrize("op", ["LSTM", "GRU"])
def test_recurrent_layer(op: str, direction: str) -> None:
    g = GraphBuilder("recurrent", 17)
    directions, gates = (2 if direction == "bidirectional" else 1), (4 if op == "LSTM" else 3)
    weights = (
        g.weight(directions, gates * 5, 3),
        g.weight(directions, gates * 5, 5),
        g.weight(directions, 2 * gates * 5),
    )
    extra = {"linear_before_reset": 1} if op == "GRU" else {}
    options = {"hidden_size": 5, "direction": direction, **extra}
    g.nodes(op, g.input("x", [6, 2, 3]), *weights, outputs=("states", "last"), **options)
    g.output("states", None)
    g.output("last", None)
    model = unchecked(g)
    assert worst_difference(import_network(model), model) < TOLERANCE


@pytest.mark.parametrize("opset", [18, 21])
def test_group_normalization(opset: int) -> None:
    g = GraphBuilder("groups", opset)
    scales = 2 if opset < 21 else 6
    operands = [g.constant(np.linspace(0.5, 2.0, scales)), g.constant(np.linspace(-1.0, 1.0, scales))]
    g.node("GroupNormalization", g.input("x", [1, 6, 5, 4]), *operands, num_groups=2, output="y")
    g.output("y", None)
    model = unchecked(g)
    network = import_network(model)
    assert worst_difference(network, model) < TOLERANCE
    assert len(network.weights) == 2


def test_attention_is_trained_as_what_it_is_made_of() -> None:
    g = GraphBuilder("attention", 23)
    parts = [g.input(name, [1, 2, 5, 4]) for name in ("q", "k", "v")]
    g.node("Attention", *parts, output="y")
    g.output("y", (1, 2, 5, 4))
    model = exact(ir.from_proto(g.model()))
    with pytest.raises(EdgecError) as caught:
        import_network(model)
    assert "`lower-functions`" in caught.value.details[0]
    model = make_pass("lower-functions", {}).run(model, PassContext()).model
    assert worst_difference(import_network(model), model) < TOLERANCE


def test_every_node_without_a_form_is_named() -> None:
    g = GraphBuilder("odd", 17)
    x = g.input("x", [1, 4])
    x = g.node("Relu", g.node("Hardmax", x))
    g.node("Hardmax", x, output="y")
    g.output("y", None)
    with pytest.raises(EdgecError) as caught:
        import_network(unchecked(g))
    assert caught.value.code.code == "EC1001"
    assert [line.partition(" ")[0] for line in caught.value.details] == ["Hardmax_0", "Hardmax_2"]


@pytest.mark.parametrize("name", sorted(NOT_TRAINED))
def test_networks_that_cannot_be_trained_say_so(name: str) -> None:
    with pytest.raises(EdgecError) as caught:
        import_network(model_of(ALL_MODELS[name](17)))
    assert caught.value.code.code == "EC1001"


@pytest.mark.parametrize("name", TRAINED)
def test_changed_weights_are_written_back(name: str) -> None:
    model = exact(ir.from_proto(generated(name, 17)))
    names = [str(node.name) for node in model.graph]
    network = import_network(model)
    assert write_back(network) == 0
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in network.module.parameters():
            parameter.mul_(1 + 0.1 * torch.rand(parameter.shape, generator=generator))
    assert write_back(network) > 0
    assert [str(node.name) for node in model.graph] == names
    assert worst_difference(network, model) < TOLERANCE


def test_weights_that_two_layers_share_may_part() -> None:
    g = GraphBuilder("shared", 17)
    weight = g.weight(4, 4, name="shared")
    x = g.node("MatMul", g.input("x", [2, 4]), weight)
    g.node("MatMul", x, weight, output="y")
    g.output("y", None)
    model = unchecked(g)
    network = import_network(model)
    first, second = network.module.parameters()
    with torch.no_grad():
        first.mul_(2)
        second.mul_(3)
    write_back(network)
    assert worst_difference(network, model) < TOLERANCE


def test_masks_are_not_trained() -> None:
    g = GraphBuilder("masked", 17)
    x = g.node("MatMul", g.input("x", [1, 4]), g.weight(4, 4))
    g.node("Add", x, g.constant([[0, 0, -1e9, 0]]), output="y")
    g.output("y", None)
    network = import_network(unchecked(g))
    assert [weight.path for weight in network.weights] == ["MatMul_0.weight"]


def test_real_networks(real_models: list[Path]) -> None:
    imported = 0
    for path in real_models:
        loaded = load_model(path).model
        if any(not isinstance(extent, int) for value in loaded.graph.inputs for extent in list(value.shape or ())[1:]):
            continue
        model = exact(loaded)
        assert worst_difference(import_network(model), model) < TOLERANCE, path.name
        imported += 1
    assert imported >= 1
