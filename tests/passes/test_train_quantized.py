"""Pass `train-quantized`: networks that learn to round, and what is written equals what was trained."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx_ir as ir
import pytest

from edgec.core.passes import PassContext, PassResult
from edgec.graph.inputs import sample_inputs
from edgec.graph.reference import ReferenceSession
from edgec.graph.shapes import infer_shapes
from edgec.passes.fine_tune import FineTune, FineTuneOptions
from edgec.passes.quantize import Quantize, QuantizeOptions, Speed
from edgec.passes.train_quantized import TrainQuantized, TrainQuantizedOptions
from tests.models import GraphBuilder
from tests.training.pictures_task import Quarters, accuracy, quarters, quarters_net

pytest.importorskip("torch", reason="the extra qat is not installed")
pytest.importorskip("brevitas", reason="the extra qat is not installed")

FAST = {"epochs": 3, "batch": 32, "learning_rate": 0.02}


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDGEC_CACHE", str(tmp_path))


@pytest.fixture(scope="module")
def trained() -> ir.Model:
    """A float network that solves the task."""
    model = quarters_net()
    options = FineTuneOptions(epochs=3, batch=32, learning_rate=0.05)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("edgec.passes.fine_tune.Cache", lambda: None)
        FineTune(options).run(model, PassContext(data=Quarters()))
    return model


def context() -> PassContext:
    return PassContext(data=Quarters(), calibration=[{"image": picture[None]} for picture in quarters(32)[0]])


def run(model: ir.Model, **options: object) -> PassResult:
    return TrainQuantized(TrainQuantizedOptions.model_validate(FAST | options)).run(model.clone(), context())


def stored(model: ir.Model) -> list[np.ndarray]:
    """The integers of the weights."""
    tensors = [
        value.const_value.numpy() for value in model.graph.initializers.values() if value.const_value is not None
    ]
    return [tensor for tensor in tensors if tensor.dtype == np.int8 and tensor.ndim > 1]


@pytest.mark.parametrize("activations", ["unsigned", "signed", "symmetric", "centred"])
@pytest.mark.parametrize("bits", [8, 4])
def test_scales_that_are_powers_of_two_give_exactly_the_trained_network(
    trained: ir.Model, bits: int, activations: str
) -> None:
    result = run(trained, power_of_two=True, weight_bits=bits, activation_bits=bits, activations=activations)
    assert result.stats["samples that differ from the trained network"] == "0 of 256"
    scales = [
        value.const_value.numpy()
        for name, value in result.model.graph.initializers.items()
        if name.endswith(".scale") and value.const_value is not None
    ]
    assert scales
    assert all(np.all(np.frexp(scale)[0] == 0.5) for scale in scales)
    assert accuracy(result.model) > 0.9


def test_what_is_added_behind_a_matrix_product_is_learned_and_written_back() -> None:
    g = GraphBuilder("products", 17)
    x = g.node("Flatten", g.input("image", [1, 1, 8, 8]))
    x = g.node("Relu", g.node("Add", g.node("MatMul", x, g.weight(64, 16)), g.weight(16)))
    g.node("Add", g.node("MatMul", x, g.weight(16, 4)), g.weight(4), output="scores")
    g.output("scores", [1, 4])
    model = ir.from_proto(g.model())
    infer_shapes(model)
    result = run(model, power_of_two=True)
    assert result.stats["samples that differ from the trained network"] == "0 of 256"
    assert accuracy(result.model) > 0.9


def test_few_bits_are_learned(trained: ir.Model) -> None:
    scheme = {"weight_bits": 2, "activation_bits": 2}
    result = run(trained, edge_bits=0, **scheme)
    options = QuantizeOptions(speed=Speed.IGNORED, max_loss=1, min_snr_db=-100, **scheme)
    without = Quantize(options).run(trained.clone(), context()).model
    assert accuracy(result.model) > accuracy(without) + 0.05
    assert accuracy(result.model) > accuracy(trained) - 0.1
    assert all(np.abs(weights).max() <= 1 for weights in stored(result.model))
    assert result.stats["batch normalisations put in for training"] == 2
    assert result.stats["answers that differ from it"] <= 8  # type: ignore[operator]


def test_first_and_last_layer_may_have_more_bits(trained: ir.Model) -> None:
    weights = stored(run(trained, weight_bits=2, activation_bits=4, edge_bits=8).model)
    assert [int(np.abs(tensor).max()) <= 1 for tensor in weights] == [False, True, False]


def test_the_network_keeps_its_names_and_its_border(trained: ir.Model) -> None:
    result = run(trained, epochs=1)
    assert [value.name for value in result.model.graph.outputs] == ["scores"]
    names = {str(node.name) for node in result.model.graph}
    assert {str(node.name) for node in trained.graph} <= names
    sample = sample_inputs(result.model, 1, seed=0)[0]
    assert ReferenceSession(result.model).run(sample)["scores"].shape == (1, 4)


def test_layers_can_be_left_in_float(trained: ir.Model) -> None:
    result = run(trained, epochs=1, ignore=("Gemm_*",))
    assert [skip.node for skip in result.skipped] == ["Gemm_5"]
    assert result.stats["layers in integers"] == 2


def test_it_learns_from_the_float_network_without_labels(trained: ir.Model) -> None:
    step = TrainQuantized(TrainQuantizedOptions.model_validate(FAST | {"weight_bits": 4, "activation_bits": 4}))
    unlabelled = PassContext(data=Quarters(labelled=False), calibration=context().calibration)
    result = step.run(trained.clone(), unlabelled)
    assert result.stats["learned from"] == "distillation"
    assert accuracy(result.model) > 0.9
