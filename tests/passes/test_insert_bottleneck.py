"""Pass `insert-bottleneck`: a network that sends little and still answers."""

from __future__ import annotations

from itertools import islice
from pathlib import Path

import numpy as np
import onnx_ir as ir
import pytest
from pydantic import ValidationError

from edgec.core.codes.split import NO_CUT
from edgec.core.errors import EdgecError
from edgec.core.passes import PassContext
from edgec.core.pipeline import Pipeline, PipelineResult
from edgec.graph.bottleneck_note import BottleneckNote
from edgec.graph.cost import model_size
from edgec.graph.cut_points import cut
from edgec.graph.gate import ReferenceGate
from edgec.graph.reference import ReferenceSession
from edgec.graph.shapes import infer_shapes
from edgec.passes.insert_bottleneck import InsertBottleneck, InsertBottleneckOptions
from edgec.passes.insert_bottleneck_behind import behind, joined
from edgec.passes.insert_bottleneck_cut import chosen_place, places
from edgec.passes.insert_bottleneck_layers import InputScale, Widths, insert_layers
from edgec.passes.insert_bottleneck_projection import insert_projection
from edgec.split.frequency_tables import tables_from_counts
from tests.models import GraphBuilder
from tests.training.pictures_task import Quarters, accuracy, quarters, quarters_net

pytest.importorskip("torch", reason="the extra qat is not installed")
pytest.importorskip("brevitas", reason="the extra qat is not installed")

TUNED = {"batch": 32, "distillation_epochs": 6, "distillation_rate": 0.01, "epochs": 3, "learning_rate": 0.02}


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDGEC_CACHE", str(tmp_path))


def _inserted(*, labelled: bool = True, model: ir.Model | None = None, **options: object) -> PipelineResult:
    step = InsertBottleneck(InsertBottleneckOptions.model_validate({**TUNED, **options}))
    context = PassContext(data=Quarters(labelled=labelled))
    return Pipeline([step], ReferenceGate(), model_size).run(model or _trained(), context)


def _trained() -> ir.Model:
    from edgec.passes.fine_tune import FineTune, FineTuneOptions

    options = FineTuneOptions(epochs=4, batch=32, learning_rate=0.05)
    return FineTune(options).run(quarters_net(), PassContext(data=Quarters())).model


def _only_output(model: ir.Model, given: dict[str, np.ndarray]) -> np.ndarray:
    (output,) = ReferenceSession(model).run(given).values()
    return output


def _latents(model: ir.Model, count: int) -> list[np.ndarray]:
    note = BottleneckNote.read(model)
    assert note is not None
    head, _ = cut(model, [note.value])
    session = ReferenceSession(head)
    return [session.run({"image": picture[None]})[note.value] for picture in quarters(count, seed=5)[0]]


@pytest.mark.parametrize("coding", ["learnt", "int8", "float"])
def test_the_network_answers_through_its_bottleneck(coding: str) -> None:
    result = _inserted(coding=coding, channels=2)
    assert accuracy(result.model) > 0.9
    assert [value.name for value in result.model.graph.outputs] == ["scores"]
    (latent, *_) = _latents(result.model, 1)
    assert latent.shape[:2] == (1, 2)
    assert latent.dtype == (np.float32 if coding == "float" else np.int8)


def test_a_higher_price_of_bits_sends_fewer() -> None:
    model = _trained()
    cheap, dear = (_inserted(model=model, channels=2, bit_price=price) for price in (0.001, 2.0))
    name = "bytes a sample, entropy-coded"
    assert float(dear.records[0].stats[name]) < 0.7 * float(cheap.records[0].stats[name])


def test_learnt_frequencies_are_those_of_the_latents() -> None:
    result = _inserted(channels=2, bit_price=0.05)
    note = BottleneckNote.read(result.model)
    assert note is not None
    tables = tables_from_counts(np.full(len(note.counts), note.lowest), note.counts, note.groups)
    latents = np.concatenate(_latents(result.model, 200))
    promised = sum(tables.size_bits(latent) for latent in latents) / 200 / 8
    assert promised == pytest.approx(float(result.records[0].stats["bytes a sample, entropy-coded"]), rel=0.1)
    seen = [np.bincount(latents[:, i].ravel().astype(int) + 128, minlength=256) / latents[:, i].size for i in range(2)]
    of_channels = sum(-(p[p > 0] * np.log2(p[p > 0])).sum() * latents[0, 0].size for p in seen) / 8
    assert promised < 1.05 * of_channels


def test_what_no_table_holds_is_never_sent() -> None:
    result = _inserted(channels=2, bit_price=0.05)
    note = BottleneckNote.read(result.model)
    assert note is not None
    head, _ = cut(result.model, [note.value])
    glaring = 1000 * quarters(20, seed=5)[0]
    latents = np.stack([ReferenceSession(head).run({"image": picture[None]})[note.value] for picture in glaring])
    assert latents.min() == note.lowest
    assert latents.max() == note.lowest + len(note.counts[0]) - 1
    assert len(note.counts[0]) < 256


def test_it_needs_no_labels() -> None:
    result = _inserted(labelled=False, coding="int8", channels=2)
    assert accuracy(result.model) > 0.9
    assert "the network learned from distillation" in result.records[0].assumptions


def test_a_second_run_finds_its_training_in_the_cache() -> None:
    model = _trained()
    first, second = (_inserted(model=model, channels=2, distillation_epochs=2, epochs=1) for _ in range(2))
    assert second.records[0].stats["epochs found in the cache, layers"] == 2
    assert second.records[0].stats["epochs found in the cache, network"] == 1
    weights = [_weights(result.model) for result in (first, second)]
    for name, contents in weights[0].items():
        np.testing.assert_array_equal(contents, weights[1][name])


def _weights(model: ir.Model) -> dict[str, np.ndarray]:
    return {name: value.const_value.numpy() for name, value in model.graph.initializers.items() if value.const_value}


def test_an_encoder_that_may_learn_on_is_tuned_too() -> None:
    result = _inserted(channels=2, freeze_encoder=False)
    assert accuracy(result.model) > 0.9


def test_without_a_second_stage_the_layers_behind_stay_as_they_are() -> None:
    model = _trained()
    result = _inserted(model=model, coding="int8", channels=2, keep_layers=True, epochs=0, cut=places(model)[0].value)
    assert accuracy(result.model) > 0.9
    before, after = _weights(model), _weights(result.model)
    assert all(np.array_equal(contents, after[name]) for name, contents in before.items())
    assert "the network learned from distillation" in result.records[0].assumptions


def test_with_a_stride_fewer_positions_travel() -> None:
    model = _trained()
    place = places(model)[0]
    step = {"keep_layers": True, "stride": 2, "cut": place.value, "channels": 4, "epochs": 0}
    result = _inserted(model=model, coding="int8", **step)
    assert accuracy(result.model) > 0.9
    (latent,) = _latents(result.model, 1)
    assert latent.shape == (1, 4, *(extent // 2 for extent in place.shape[2:]))
    assert result.records[0].stats["bytes a sample"] == latent.size


def test_all_components_of_a_square_lose_nothing() -> None:
    model = _trained()
    place = places(model)[0]
    parts = behind(model, place, Quarters())
    features = [sample.inputs[parts.place.source] for sample in islice(parts.data.train(), 64)]
    changed = parts.model.clone()
    insert_projection(changed, parts.place, features, channels=4 * place.shape[1], stride=2)
    given = {parts.place.source: features[0]}
    np.testing.assert_allclose(_only_output(changed, given), _only_output(parts.model, given), atol=1e-4)


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ({"channels": 9}, "cannot stand for the 8"),
        ({"stride": 5}, "one position for each 5"),
    ],
)
def test_a_latent_that_the_features_cannot_have_is_refused(options: dict[str, int], why: str) -> None:
    model = _trained()
    step = InsertBottleneck(InsertBottleneckOptions(keep_layers=True, cut=places(model)[0].value, **options))
    with pytest.raises(EdgecError, match=why) as error:
        step.run(model, PassContext(data=Quarters()))
    assert error.value.code is NO_CUT


def test_a_stride_is_for_layers_that_stay() -> None:
    with pytest.raises(ValidationError, match="keep_layers"):
        InsertBottleneckOptions(stride=2)


@pytest.mark.parametrize("coding", ["learnt", "int8"])
def test_layers_that_stay_are_as_they_were(coding: str) -> None:
    model = _trained()
    result = _inserted(model=model, coding=coding, channels=2, keep_layers=True, cut=places(model)[0].value)
    assert accuracy(result.model) > 0.9
    convolutions = [
        [node.inputs[1].const_value.numpy() for node in some.graph if node.op_type == "Conv"]
        for some in (model, result.model)
    ]
    np.testing.assert_array_equal(convolutions[1][0], convolutions[0][0])
    assert len(convolutions[1]) == len(convolutions[0]) + 2
    (latent, *_) = _latents(result.model, 1)
    assert latent.shape[:2] == (1, 2)


def test_a_weight_of_both_parts_is_trained_in_the_second_only() -> None:
    g = GraphBuilder("shared", 17)
    weight = g.weight(4, 4, 3, 3)
    x = g.node("Relu", g.node("Conv", g.input("image", [1, 4, 8, 8]), weight, pads=[1] * 4))
    g.node("Conv", x, weight, pads=[1] * 4, output="scores")
    g.output("scores", [1, 4, 8, 8])
    model = ir.from_proto(g.model())
    infer_shapes(model)
    image = {"image": np.random.default_rng(0).standard_normal((1, 4, 8, 8)).astype(np.float32)}
    head, tail = cut(model, [places(model)[-1].value])
    whole = joined(head, tail)
    np.testing.assert_array_equal(*(ReferenceSession(some).run(image)["scores"] for some in (model, whole)))
    (shared,) = tail.graph.initializers.values()
    shared.const_value = ir.tensor(np.zeros((4, 4, 3, 3), np.float32))
    changed = ReferenceSession(joined(head, tail)).run(image)["scores"]
    assert not changed.any()
    assert ReferenceSession(head).run(image)[str(head.graph.outputs[0].name)].any()


def _network(size: tuple[int, ...], *, kernel: int, stride: int, pad: int) -> ir.Model:
    g = GraphBuilder("odd", 17)
    axes = len(size)
    x = g.input("image", [1, 3, *size])
    for inputs in (3, 8):
        weight = g.weight(8, inputs, *[kernel] * axes)
        x = g.node("Conv", x, weight, strides=[stride] * axes, pads=[pad] * 2 * axes)
        x = g.node("Relu", x)
    x = g.node("Flatten", g.node("GlobalAveragePool", x))
    g.node("Gemm", x, g.weight(4, 8), transB=1, output="scores")
    g.output("scores", [1, 4])
    model = ir.from_proto(g.model())
    infer_shapes(model)
    return model


@pytest.mark.parametrize(
    ("size", "kernel", "stride", "pad"),
    [
        *(((32, 32), 3, 2, 1), ((31, 29), 3, 2, 0), ((40, 24), 7, 2, 0)),
        *(((50,), 5, 3, 0), ((12, 12, 12), 3, 2, 1), ((27, 27), 5, 1, 0)),
    ],
)
def test_every_place_can_be_imitated(size: tuple[int, ...], kernel: int, stride: int, pad: int) -> None:
    model = _network(size, kernel=kernel, stride=stride, pad=pad)
    found = places(model)
    assert found
    for place in found:
        changed = model.clone()
        scale = InputScale(np.full(3, 100.0, np.float32), np.full(3, 50.0, np.float32))
        layers = insert_layers(changed, place, Widths(4, 2, 0), scale, seed=0)
        made = {str(value.name): value for node in changed.graph for value in node.outputs}
        assert tuple(made[layers.made].shape) == place.shape
        ReferenceSession(changed).run({"image": np.zeros((1, 3, *size), np.float32)})


def test_what_has_no_place_is_refused_with_those_that_are_there() -> None:
    with pytest.raises(EdgecError, match="EC1206") as caught:
        chosen_place(quarters_net(), "nothing")
    assert places(quarters_net())[0].value in str(caught.value.hint)
