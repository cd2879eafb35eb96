"""With samples, channels that stay make up for those that go."""

from __future__ import annotations

import numpy as np
import onnx
import pytest

from edgec.core.errors import EdgecError
from edgec.core.passes import PassContext
from edgec.graph.channels import trace_channels
from edgec.passes.channel_options import PruneChannelsOptions
from edgec.passes.channel_reconstruction import make_up_for_removed
from edgec.passes.channel_surgery import remove_channels
from edgec.passes.prune_channels import PruneChannels
from tests.models.builder import GraphBuilder
from tests.passes.comparison import outputs_of, prepared

READERS = ("Conv", "Conv without bias", "ConvTranspose", "Gemm", "Gemm transposed", "MatMul")
SHAPES = {"Conv": (1, 5, 8, 8), "Conv without bias": (1, 5, 8, 8), "ConvTranspose": (1, 5, 10, 10)}


def network(reader: str) -> onnx.ModelProto:
    """Eight filters of which the last four are combinations of the first four, and a reader."""
    g = GraphBuilder("g", 17)
    weights = np.random.default_rng(0).standard_normal((8, 3, 3, 3)).astype(np.float32)
    weights[4:] = np.tensordot(np.random.default_rng(1).standard_normal((4, 4)), weights[:4], axes=1) / 2
    bias = np.linspace(-1, 1, 8)
    image = g.input("image", (1, 3, 12, 12))
    x = g.node("Conv", image, g.constant(weights), g.constant(bias), kernel_shape=[3, 3])
    dense = g.node("Flatten", g.node("GlobalAveragePool", x))
    tail: dict[str, object] = {"alpha": 0.5, "beta": 2.0, "output": "y"}
    match reader:
        case "Conv":
            g.node("Conv", x, g.weight(5, 8, 3, 3), g.weight(5), output="y")
        case "Conv without bias":
            g.node("Conv", x, g.weight(5, 8, 3, 3), output="y")
        case "ConvTranspose":
            g.node("ConvTranspose", x, g.weight(8, 5, 1, 1), output="y")
        case "Gemm":
            g.node("Gemm", dense, g.weight(8, 5), g.weight(5), **tail)
        case "Gemm transposed":
            g.node("Gemm", dense, g.weight(5, 8), transB=1, alpha=0.5, output="y")
        case _:
            g.node("MatMul", dense, g.weight(8, 5), output="y")
    g.output("y", SHAPES.get(reader, (1, 5)))
    return g.model()


@pytest.mark.parametrize("reader", READERS)
def test_filters_that_are_combinations_of_others_are_replaced_by_them(reader: str) -> None:
    proto = network(reader)
    generator = np.random.default_rng(5)
    samples = [{"image": generator.normal(1, 1, (1, 3, 12, 12)).astype(np.float32)} for _ in range(12)]
    expected = outputs_of(proto, samples[0])[0]
    errors = {}
    for reconstruct in (False, True):
        model = prepared(proto)
        channels = trace_channels(model)
        kept = np.ones(channels.classes.count, bool)
        kept[channels.groups[0].removable[4:]] = False
        if reconstruct:
            assert make_up_for_removed(model, channels, kept, samples) == 1
        remove_channels(model, channels, kept)
        errors[reconstruct] = np.abs(outputs_of(model, samples[0])[0] - expected).max()
    assert errors[True] < 0.1 * errors[False]


def test_the_pass_says_how_many_layers_it_adjusted() -> None:
    sample = {"image": np.ones((1, 3, 12, 12), np.float32)}
    options = PruneChannelsOptions(ratio=0.5, round_to=1)
    given = PruneChannels(options).run(prepared(network("Conv")), PassContext(calibration=[sample]))
    without = PruneChannels(options).run(prepared(network("Conv")), PassContext())
    assert given.stats["layers reconstructed"] == 1
    assert without.stats["layers reconstructed"] == 0


def test_nothing_is_adjusted_if_it_is_not_wanted() -> None:
    sample = {"image": np.ones((1, 3, 12, 12), np.float32)}
    options = PruneChannelsOptions(ratio=0.5, round_to=1, reconstruct=False)
    result = PruneChannels(options).run(prepared(network("Conv")), PassContext(calibration=[sample]))
    assert "layers reconstructed" not in result.stats


@pytest.mark.parametrize("mode", [{"allocation": "uniform"}, {"mode": "unconstrained"}], ids=["all", "each"])
def test_channels_that_others_can_make_up_for_go_first(mode: dict[str, str]) -> None:
    """Half of the filters are loud copies of others: large, and yet nothing is lost without them."""
    g = GraphBuilder("copies", 17)
    quiet = np.random.default_rng(0).standard_normal((6, 3, 3, 3))
    image = g.input("image", (1, 3, 12, 12))
    x = g.node("Relu", g.node("Conv", image, g.constant(np.concatenate([quiet, quiet * 2])), pads=[1] * 4))
    g.node("GlobalAveragePool", g.node("Conv", x, g.weight(5, 12, 1, 1)), output="y")
    g.output("y", (1, 5, 1, 1))
    proto = g.model()
    samples = [{"image": np.random.default_rng(n).standard_normal((1, 3, 12, 12)).astype(np.float32)} for n in range(8)]
    expected = outputs_of(proto, samples[0])[0]
    model = prepared(proto)
    options = PruneChannelsOptions.model_validate(mode | {"ratio": 0.3, "round_to": 1, "criterion": "reconstruction"})
    PruneChannels(options).run(model, PassContext(calibration=samples))
    assert np.abs(outputs_of(model, samples[0])[0] - expected).max() <= 0.02 * np.ptp(expected)


def test_without_samples_nothing_can_be_made_up_for() -> None:
    with pytest.raises(EdgecError) as caught:
        PruneChannels(PruneChannelsOptions(criterion="reconstruction")).run(prepared(network("Conv")), PassContext())
    assert caught.value.code.code == "EC0305"
