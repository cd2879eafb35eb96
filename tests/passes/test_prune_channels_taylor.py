"""Channels that matter to the loss, by its gradients."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest

from edgec.core.data import DataSource, load_data
from edgec.core.errors import EdgecError
from edgec.core.passes import PassContext
from edgec.core.tensor import TensorSpec
from edgec.graph.cost import model_size
from edgec.passes.channel_options import PruneChannelsOptions
from edgec.passes.prune_channels import PruneChannels
from tests.models.builder import GraphBuilder
from tests.passes.comparison import outputs_of, prepared

pytest.importorskip("torch", reason="training needs the extra qat")
pytest.importorskip("brevitas", reason="training needs the extra qat")

LOUD_BUT_UNREAD = slice(0, 8)


def network() -> onnx.ModelProto:
    """Sixteen filters: eight with large weights that the classifier ignores, eight small ones that decide."""
    g = GraphBuilder("network", 17)
    filters = np.random.default_rng(0).standard_normal((16, 3, 3, 3))
    filters[LOUD_BUT_UNREAD] *= 10
    image = g.input("image", (1, 3, 8, 8))
    x = g.node("Relu", g.node("Conv", image, g.constant(filters), kernel_shape=[3, 3], pads=[1] * 4))
    dense = np.random.default_rng(1).standard_normal((16, 4))
    dense[LOUD_BUT_UNREAD] = 0
    g.node("Gemm", g.node("Flatten", g.node("GlobalAveragePool", x)), g.constant(dense), output="y")
    g.output("y", (1, 4))
    return g.model()


def labelled(folder: Path) -> DataSource:
    """The network's own answers as labels, a quarter of them wrong."""
    generator = np.random.default_rng(2)
    images = generator.standard_normal((160, 3, 8, 8)).astype(np.float32)
    labels = np.array([int(outputs_of(network(), {"image": image[None]})[0].argmax()) for image in images])
    labels[::4] = (labels[::4] + 1) % 4
    np.savez(folder / "data.npz", x=images, y=labels)
    return load_data(str(folder / "data.npz"), (TensorSpec(name="image", shape=(1, 3, 8, 8), dtype="float32"),))


def test_what_the_loss_does_not_depend_on_goes_first(tmp_path: Path) -> None:
    left = {}
    for criterion in ("l2", "taylor"):
        model = prepared(network())
        expected = outputs_of(model, {"image": np.ones((1, 3, 8, 8), np.float32)})[0]
        options = PruneChannelsOptions(ratio=0.5, allocation="uniform", criterion=criterion, round_to=1)
        PruneChannels(options).run(model, PassContext(data=labelled(tmp_path)))
        got = outputs_of(model, {"image": np.ones((1, 3, 8, 8), np.float32)})[0]
        left[criterion] = float(np.abs(got - expected).max() / np.ptp(expected))
    assert left["taylor"] < 1e-5
    assert left["l2"] > 0.1


def test_gradients_are_taken_anew_at_each_step(tmp_path: Path) -> None:
    model = prepared(network())
    before = model_size(model).macs
    options = PruneChannelsOptions(target_macs=0.5, criterion="taylor", steps=2, round_to=1)
    result = PruneChannels(options).run(model, PassContext(data=labelled(tmp_path)))
    assert model_size(model).macs <= 0.5 * before
    assert result.modified


def test_without_data_the_criterion_is_refused() -> None:
    with pytest.raises(EdgecError) as caught:
        PruneChannels(PruneChannelsOptions(criterion="taylor")).run(prepared(network()), PassContext())
    assert caught.value.code.code == "EC0305"
