"""The pass `compress-mst`: binary layers are found however they are spelt, and their trees say what they save."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir
from hypothesis import given, settings
from hypothesis import strategies as st

from edgec.core.passes import Kind, PassContext, PassResult
from edgec.core.recipe import make_pass
from edgec.graph.quantization import QuantizationPlan, QuantizedWeights, Quantizer
from edgec.graph.quantization_writer import Dialect, write_quantization
from edgec.graph.reference import run_reference
from edgec.graph.shapes import infer_shapes
from edgec.graph.spanning_tree import SpanningTree, spanning_tree, tree_products
from edgec.passes.binary_layers import find_binary_layers
from edgec.passes.compress_mst import INVERTED, PARENTS
from tests.models.builder import GraphBuilder


def network(groups: int = 1, seed: int = 0) -> ir.Model:
    """A convolution and a classifier, real-valued."""
    g = GraphBuilder("net", 17, seed)
    x = g.convolution(g.input("image", (1, 8, 6, 6)), (8, 12), 3, group=groups)
    x = g.node("Flatten", x)
    g.output(g.node("Gemm", x, g.weight(10, 432), g.weight(10), transB=1), (1, 10))
    return ir.from_proto(g.model())


def binary(model: ir.Model, dialect: Dialect, *, activations: bool = False) -> ir.Model:
    """The network with the signs of its weights."""
    weights, values = {}, {}
    infer_shapes(model)
    for node in model.graph:
        if node.op_type in ("Conv", "Gemm"):
            real = node.inputs[1].const_value.numpy()
            scale = np.abs(real).reshape(len(real), -1).mean(1).astype(np.float32)
            quantizer = Quantizer(scale, np.zeros(len(real), np.int64), bits=1, axis=0)
            weights[str(node.name)] = QuantizedWeights(quantizer, quantizer.quantize(real))
            if activations:
                values[str(node.inputs[0].name)] = Quantizer(np.float32(1).reshape(()), np.int64(0).reshape(()), bits=1)
    made = write_quantization(model, QuantizationPlan(values, weights), dialect=dialect)
    infer_shapes(made)
    return made


def compress(model: ir.Model, **options: object) -> PassResult:
    return make_pass("compress-mst", options).run(model, PassContext())


def test_outputs_stay_the_same_bits() -> None:
    model = binary(network(), Dialect.QONNX, activations=True)
    sample = [{"image": np.random.default_rng(0).normal(size=(1, 8, 6, 6)).astype(np.float32)}]
    before = run_reference(model.clone(), sample)
    result = compress(model)
    after = run_reference(result.model, sample)
    assert make_pass("compress-mst", {}).kind is Kind.BINARY_EXACT
    for old, new in zip(before, after, strict=True):
        for name, tensor in old.items():
            np.testing.assert_array_equal(tensor, new[name])
    assert result.stats["binary layers"] == 2
    assert not any("more than one bit" in each for each in result.assumptions)


def test_binary_weights_are_found_in_both_dialects() -> None:
    expected = [layer.signs for layer in find_binary_layers(binary(network(), Dialect.QONNX))[0]]
    found = [layer.signs for layer in find_binary_layers(binary(network(), Dialect.QDQ))[0]]
    assert len(expected) == 2
    for mine, theirs in zip(expected, found, strict=True):
        np.testing.assert_array_equal(mine, theirs)


def test_real_weights_are_no_concern_of_the_pass() -> None:
    model = network()
    infer_shapes(model)
    result = compress(model)
    assert not result.modified
    assert result.stats == {"binary layers": 0}


def test_random_weights_are_called_random_and_inputs_of_many_bits_are_named() -> None:
    result = compress(binary(network(), Dialect.QDQ))
    text = " ".join(result.assumptions)
    assert "no better than those of random weights" in text
    assert "more than one bit" in text
    assert 0.4 < float(result.stats["share kept"]) < 0.55


@settings(max_examples=8, deadline=None)
@given(st.sampled_from([1, 2, 4]), st.integers(0, 50))
def test_a_convolution_along_its_tree_is_that_of_onnx_runtime(groups: int, seed: int) -> None:
    model = binary(network(groups, seed), Dialect.QDQ)
    result = compress(model)
    layer = find_binary_layers(result.model)[0][0]
    parents = np.array(layer.node.metadata_props[PARENTS].split(), int).reshape(groups, -1)
    inverted = np.array(layer.node.metadata_props[INVERTED].split(), int).reshape(groups, -1)
    trees = [spanning_tree(signs) for signs in layer.signs]
    assert all((tree.parents == row).all() for tree, row in zip(trees, parents, strict=True))
    assert all((tree.inverted == row).all() for tree, row in zip(trees, inverted, strict=True))
    image = np.random.default_rng(seed).choice([-1, 1], (1, 8, 6, 6))
    np.testing.assert_array_equal(along_trees(layer.signs, trees, image), convolution(layer.signs, image))


def along_trees(signs: np.ndarray, trees: list[SpanningTree], image: np.ndarray) -> np.ndarray:
    """The integer sums of a 3x3 convolution with a border of zeros."""
    padded = np.pad(image, ((0, 0), (0, 0), (1, 1), (1, 1)))
    windows = np.lib.stride_tricks.sliding_window_view(padded, (3, 3), (2, 3))
    per_group = image.shape[1] // len(signs)
    sums = []
    for group, (own, tree) in enumerate(zip(signs, trees, strict=True)):
        part = windows[:, group * per_group : (group + 1) * per_group]
        columns = np.moveaxis(part, 1, 3).reshape(-1, own.shape[1])
        sums.append(tree_products(own, tree, columns))
    return np.concatenate(sums, axis=1).T.reshape(1, -1, 6, 6)


def convolution(signs: np.ndarray, image: np.ndarray) -> np.ndarray:
    """The same by ONNX Runtime."""
    groups, channels, width = signs.shape
    g = GraphBuilder("conv", 17)
    weights = g.constant(signs.reshape(groups * channels, width // 9, 3, 3).astype(np.float32))
    x = g.input("image", image.shape)
    g.output(g.node("Conv", x, weights, group=groups, pads=[1, 1, 1, 1]), (1, groups * channels, 6, 6))
    outputs = run_reference(ir.from_proto(g.model()), [{"image": image.astype(np.float32)}])[0]
    return next(iter(outputs.values()))


def test_a_bound_on_the_depth_is_kept_and_the_front_shown() -> None:
    result = compress(binary(network(), Dialect.QDQ), most_depth=1, front=True)
    assert result.stats["deepest tree"] == 1
    assert any(name.endswith("share kept") and str(text).startswith("1: ") for name, text in result.stats.items())


def test_similar_channels_need_few_products_and_bits() -> None:
    model = network()
    for node in model.graph:
        if node.op_type == "Conv":
            weights = node.inputs[1]
            base = weights.const_value.numpy()[:1]
            flips = np.random.default_rng(0).random((12, 8, 3, 3)) < 0.05
            weights.const_value = ir.tensor(np.where(flips, -base, base).astype(np.float32))
    result = compress(binary(model, Dialect.QONNX), complements=False)
    row = str(next(text for text in result.stats.values() if "parameter bits (" in str(text)))
    assert float(row.split()[0]) < 0.2
    assert "rice" in row
