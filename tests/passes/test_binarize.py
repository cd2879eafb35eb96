"""The passes `binarize` and `train-mst`: networks learn with signs, and what is written computes what was trained."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx_ir as ir
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgec.core.passes import PassContext, PassResult
from edgec.core.recipe import make_pass
from edgec.graph.binary_form import BinaryUnit, write_units
from edgec.graph.reference import ReferenceSession, run_reference
from edgec.graph.shapes import infer_shapes
from edgec.passes.binary_layers import find_binary_layers
from edgec.passes.binary_structure import add_shortcuts, remove_activations
from edgec.passes.binary_thresholds import absorb_thresholds
from edgec.passes.binary_units import take_rounding, take_units
from edgec.passes.quantize_layers import find_layers
from tests.training.binary_networks import chain, pictures_net
from tests.training.pictures_task import Quarters, accuracy, quarters

pytest.importorskip("torch", reason="the extra qat is not installed")
pytest.importorskip("brevitas", reason="the extra qat is not installed")

FAST = {"epochs": 4, "batch": 32, "learning_rate": 0.01, "loss": "labels"}


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDGEC_CACHE", str(tmp_path))


def context(*, seed: int = 0, labelled: bool = True) -> PassContext:
    samples = [{"image": picture[None]} for picture in quarters(32)[0]]
    return PassContext(data=Quarters(labelled=labelled), calibration=samples, seed=seed)


def run(name: str, model: ir.Model, **options: object) -> PassResult:
    return make_pass(name, FAST | options).run(model.clone(), context())


@pytest.fixture(scope="module")
def binary() -> PassResult:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("edgec.passes.binarize.Cache", lambda: None)
        return run("binarize", pictures_net())


def outputs(model: ir.Model, count: int = 8) -> np.ndarray:
    session = ReferenceSession(model)
    return np.stack([session.run({"image": picture[None]})["scores"] for picture in quarters(count, seed=7)[0]])


def test_inner_layers_are_signs_and_the_others_have_eight_bits(binary: PassResult) -> None:
    layers, _ = find_binary_layers(binary.model)
    assert [layer.bipolar_input for layer in layers] == [True, True]
    kinds = Counter(node.op_type for node in binary.model.graph)
    assert kinds["BipolarQuant"] == 4
    assert kinds["QuantizeLinear"] >= 2
    assert accuracy(binary.model) > 0.9
    assert binary.stats["binary layers"] == 2
    assert binary.assumptions == ("Conv_0, Gemm_8 have weights and inputs of eight bits",)


def test_it_learns_from_the_float_network_without_labels() -> None:
    step = make_pass("binarize", FAST | {"epochs": 1, "loss": "auto"})
    result = step.run(pictures_net(), context(labelled=False))
    assert result.stats["learned from"] == "distillation"


def test_without_shortcuts_normalisation_is_a_whole_number() -> None:
    result = run("binarize", pictures_net(), epochs=1, shortcuts=False)
    assert result.stats["normalisations that became thresholds"] == 1
    first = next(node for node in result.model.graph if node.name.endswith("/offset"))
    offsets = first.inputs[1].const_value.numpy()
    assert (offsets == np.round(offsets)).all()
    assert first.inputs[0].producer().op_type == "Conv"


def test_layers_round_a_block_and_ignored_ones_have_eight_bits() -> None:
    result = run("binarize", pictures_net(residual=True), epochs=1, ignore=("Conv_2",))
    assert [(skip.node, skip.reason) for skip in result.skipped] == [
        ("Conv_2", "has eight bits: the option `ignore` names it")
    ]
    assert len(find_binary_layers(result.model)[0]) == 3


def test_trees_become_short_and_the_answers_stay(binary: PassResult) -> None:
    result = run("train-mst", binary.model, tree_weight=10.0, refresh=5, epochs=10, learning_rate=0.05, centre=0.3)
    before, after = (float(result.stats[f"share of products kept{when}"]) for when in (" before", ""))
    assert before > 0.4
    assert after < 0.25
    assert accuracy(result.model) > 0.9
    assert make_pass("compress-mst", {}).run(result.model, PassContext()).stats["share kept"] == pytest.approx(after)
    assert Counter(node.op_type for node in result.model.graph) == Counter(node.op_type for node in binary.model.graph)


def test_an_interrupted_training_ends_as_an_uninterrupted_one(
    binary: PassResult, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from edgec.training import fit

    options = {"tree_weight": 8.0, "refresh": 7, "epochs": 3, "centre": 0.3}
    whole = run("train-mst", binary.model, **options)
    monkeypatch.setenv("EDGEC_CACHE", str(tmp_path / "other"))
    epoch = fit._Trainer.epoch

    def stops(trainer: fit._Trainer, number: int) -> float:
        if number == 2:
            raise KeyboardInterrupt
        return epoch(trainer, number)

    with monkeypatch.context() as patch:
        patch.setattr(fit._Trainer, "epoch", stops)
        with pytest.raises(KeyboardInterrupt):
            run("train-mst", binary.model, **options)
    resumed = run("train-mst", binary.model, **options)
    assert resumed.stats["epochs found in the cache"] == 2
    np.testing.assert_array_equal(outputs(whole.model), outputs(resumed.model))


def test_training_goes_on_from_the_written_network(binary: PassResult) -> None:
    plain = binary.model.clone()
    rounded = take_rounding(plain)
    units = take_units(plain)
    assert rounded == ["Conv_0", "Gemm_8"]
    assert {node.op_type for node in plain.graph}.isdisjoint({"BipolarQuant", "QuantizeLinear", "DequantizeLinear"})
    write_units(plain, units)
    infer_shapes(plain)
    # But for the rounding to eight bits it is the same network.
    assert (outputs(plain).argmax(-1) == outputs(binary.model).argmax(-1)).all()


def test_the_dialect_of_hardware_is_trained_further_too() -> None:
    model = run("binarize", pictures_net(), epochs=1, dialect="qonnx").model
    kinds = Counter(node.op_type for node in model.graph)
    assert kinds["BipolarQuant"] == 4
    assert kinds["Quant"] >= 4
    assert not kinds["QuantizeLinear"]
    result = run("train-mst", model, epochs=1, dialect="qonnx")
    assert result.stats["binary layers"] == 2
    assert Counter(node.op_type for node in result.model.graph) == kinds


@pytest.mark.parametrize("folded", [False, True])
def test_units_are_read_as_they_were_written(folded: bool) -> None:
    model, units = chain()
    write_units(model, units)
    infer_shapes(model)
    if folded:
        for name in ("inline-functions", "fold-constants", "fold-batch-norm"):
            model = make_pass(name, {}).run(model, PassContext()).model
        infer_shapes(model)
    found = take_units(model)
    assert [unit.name for unit in found] == [unit.name for unit in units]
    for mine, theirs in zip(found, units, strict=True):
        assert ((mine.weights < 0) == (theirs.weights < 0)).all()
        for role in ("threshold", "scale", "bias"):
            np.testing.assert_allclose(getattr(mine, role), getattr(theirs, role), rtol=1e-6)


def test_units_compute_what_their_docstring_says() -> None:
    model, units = chain(pool=False)
    x = np.random.default_rng(0).standard_normal((1, 32, 8, 8)).astype(np.float32)
    value = x
    for unit in units:
        signs = np.where(value - unit.threshold.reshape(-1, 1, 1) < 0, -1, 1)
        padded = np.pad(signs, ((0, 0), (0, 0), (1, 1), (1, 1)))
        windows = np.lib.stride_tricks.sliding_window_view(padded, (3, 3), axis=(2, 3))
        sums = np.einsum("nchwij,kcij->nkhw", windows, np.where(unit.weights < 0, -1, 1)).astype(np.float32)
        value = sums * unit.scale.reshape(-1, 1, 1) + unit.bias.reshape(-1, 1, 1)
    write_units(model, units)
    np.testing.assert_array_equal(run_reference(model, [{"x": x}])[0]["y"], value)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10_000), st.booleans(), st.booleans())
def test_thresholds_take_up_scale_and_bias(seed: int, pool: bool, dead: bool) -> None:
    """Scales that are powers of two, so that both forms are exact."""
    model, units = chain(pool=pool)
    random = np.random.default_rng(seed)

    def exact(unit: BinaryUnit) -> BinaryUnit:
        scale = np.exp2(random.integers(-6, 3, len(unit.scale))).astype(np.float32)
        scale[0] = 0 if dead else scale[0]
        shift = (random.integers(-60, 60, len(part)).astype(np.float32) / 8 for part in (unit.threshold, unit.bias))
        threshold, bias = shift
        return replace(unit, scale=scale, threshold=threshold, bias=bias)

    units = [exact(unit) for unit in units]
    write_units(model, units)
    sample = {"x": random.standard_normal((1, 32, 8, 8)).astype(np.float32)}
    before = run_reference(model, [sample])[0]["y"]
    assert absorb_thresholds(model, [unit.name for unit in units]) == 1
    np.testing.assert_array_equal(run_reference(model, [sample])[0]["y"], before)


@pytest.mark.parametrize("stride", [1, 2])
def test_shortcuts_add_the_input_where_shapes_allow(stride: int) -> None:
    model = pictures_net(stride=stride)
    layers = find_layers(model, ())[0][1:-1]
    assert remove_activations(model, layers) == 2
    plain = model.clone()
    assert add_shortcuts(model, layers) == 2
    infer_shapes(model)
    given_by = {str(node.name): node.inputs[0] for node in plain.graph}
    for each in (plain, model):
        wanted = [each.graph.node(layer.name) for layer in layers]
        each.graph.outputs.extend(value for node in wanted for value in (node.inputs[0], node.outputs[0]))
    x = quarters(1)[0][0][None]
    without = run_reference(plain, [{"image": x}])[0]
    values = run_reference(model, [{"image": x}])[0]
    name = str(given_by[layers[0].name].name)
    read, product = without[name], without[str(layers[0].node.outputs[0].name)]
    places = read.shape[-1] // stride
    mean = read.reshape(1, 16, places, stride, places, stride).mean(axis=(3, 5))
    added = next(node for node in model.graph if node.op_type == "Add" and layers[0].node.outputs[0] in node.inputs)
    assert added.outputs[0].shape == layers[0].node.outputs[0].shape
    whole = product + np.concatenate([mean, mean], axis=1)
    # What the second layer reads is the maximum over the sum.
    pooled = whole.reshape(1, 32, places // 2, 2, places // 2, 2).max(axis=(3, 5))
    np.testing.assert_allclose(values[str(layers[1].node.inputs[0].name)], pooled, atol=1e-5)
