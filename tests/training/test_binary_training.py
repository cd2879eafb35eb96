"""Signs that training sees through, and the distance of spanning trees as a penalty."""

from __future__ import annotations

import numpy as np
import pytest

from edgec.graph.binary_form import write_units
from edgec.graph.reference import ReferenceSession
from edgec.graph.spanning_tree import spanning_tree
from edgec.training.options import FitOptions
from edgec.training.samples import read_samples
from tests.training.binary_networks import pictures_net
from tests.training.pictures_task import Quarters, quarters

torch = pytest.importorskip("torch", reason="the extra qat is not installed")
pytest.importorskip("brevitas", reason="the extra qat is not installed")

from torch import nn  # noqa: E402

from edgec.passes.binarize import _first_unit, choose_layers  # noqa: E402
from edgec.training.binary_layers import BinaryActivation, BinaryWeights  # noqa: E402
from edgec.training.binary_network import insert_units, take_units, tree_layers  # noqa: E402
from edgec.training.importer import import_network  # noqa: E402
from edgec.training.tree_distance import TreeLayer, TreePenalty, pull_to_centre  # noqa: E402
from edgec.training.write_back import write_back  # noqa: E402


def tree_layer(channels: int, width: int, seed: int = 0) -> TreeLayer:
    random = np.random.default_rng(seed)
    return TreeLayer(nn.Parameter(torch.from_numpy(random.standard_normal((channels, width)))))


def share(layers: list[TreeLayer]) -> float:
    kept = sum(spanning_tree(layer.signs).operations for layer in layers)
    return kept / sum(layer.weights.numel() for layer in layers)


def test_the_penalty_is_the_share_that_trees_leave() -> None:
    layers = [tree_layer(12, 90), tree_layer(20, 30, seed=1)]
    penalty = TreePenalty(layers, weight=3.0, rising=0, refresh=1)
    penalty()
    assert float(penalty().detach()) == pytest.approx(3 * share(layers))


def test_its_weight_rises() -> None:
    layers = [tree_layer(12, 90)]
    penalty = TreePenalty(layers, weight=2.0, rising=4, refresh=2)
    found = [float(penalty().detach()) / (2 * share(layers)) for _ in range(6)]
    assert found == pytest.approx([0, 0.25, 0.5, 0.75, 1, 1])


def test_following_its_gradient_shortens_the_trees() -> None:
    layers = [tree_layer(16, 120)]
    penalty = TreePenalty(layers, weight=1.0, rising=0, refresh=5)
    optimizer = torch.optim.Adam([layers[0].weights], 0.02)
    before = share(layers)
    for _ in range(150):
        optimizer.zero_grad()
        penalty().backward()
        optimizer.step()
    assert before > 0.4
    assert share(layers) < 0.2


def test_weights_that_agree_and_are_far_from_zero_are_not_pushed_further() -> None:
    """The second channel follows from the first one; they differ in the last two weights."""
    real = [[0.5, 3, 3, 0.5, 3, 3, 0.5, 3], [0.5, 3, 3, 0.5, 3, 3, -0.5, -3]]
    weights = nn.Parameter(torch.tensor(real))
    penalty = TreePenalty([TreeLayer(weights)], weight=1.0, rising=0, refresh=1)
    penalty()
    penalty().backward()
    towards = -weights.grad.sign()
    assert towards[0].tolist() == [1, 0, 0, 1, 0, 0, -1, -1]
    assert towards[1].tolist() == [1, 0, 0, 1, 0, 0, 1, 1]


@pytest.mark.parametrize(("strength", "most"), [(0.0, 0.5), (0.4, 0.4), (1.0, 1 / 16)])
def test_channels_move_to_the_centre(strength: float, most: float) -> None:
    layer = tree_layer(16, 120)
    before = share([layer])
    pull_to_centre(layer, strength)
    assert share([layer]) <= most
    assert strength or share([layer]) == before


def test_gradients_pass_within_the_window_only() -> None:
    activation = BinaryActivation(np.array([0.5], np.float32), 0)
    x = torch.tensor([[-1.0], [0.5], [0.75], [3.0]], requires_grad=True)
    signs = activation(x)
    signs.sum().backward()
    assert signs.flatten().tolist() == [-1, 1, 1, 1]
    assert x.grad.flatten().tolist() == [0, 2, 1.5, 0]


def test_what_a_relu_left_is_told_apart_at_its_mean() -> None:
    activation = BinaryActivation(np.zeros(2, np.float32), 2)
    x = torch.rand(4, 2, 5, 5, generator=torch.Generator().manual_seed(0))
    activation.measure(x)
    assert activation.threshold.tolist() == pytest.approx(x.mean((0, 2, 3)).tolist())
    assert float(activation.window) == pytest.approx(float(x.std()))


def test_weights_have_the_learned_scale() -> None:
    weights = BinaryWeights(np.array([0.5, 2], np.float32))(torch.tensor([[1.0, -3.0], [0.0, -0.1]]))
    assert weights.tolist() == [[0.5, -0.5], [2, -2]]


@pytest.mark.parametrize("turned", [False, True])
def test_the_written_network_is_the_trained_one(turned: bool) -> None:
    """With normalisations as training leaves them, negative factors among them."""
    model = pictures_net(residual=True)
    samples = read_samples(Quarters(64), model, FitOptions(batch=16))
    layers, _, _ = choose_layers(model, ())
    binary = insert_units(import_network(model), [_first_unit(layer) for layer in layers], samples)
    assert len(tree_layers(binary)) == 4
    module = binary.network.module
    random = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for layer in module.modules():
            if isinstance(layer, nn.BatchNorm2d):
                layer.weight.copy_(torch.rand(layer.weight.shape, generator=random) - (0.5 if turned else 0))
                layer.bias.copy_(torch.randn(layer.bias.shape, generator=random))
    module.eval()
    pictures = quarters(8, seed=5)[0]
    with torch.no_grad():
        expected = module(torch.from_numpy(pictures)).numpy()
    plain, units = take_units(binary)
    write_back(plain)
    write_units(model, units)
    session = ReferenceSession(model)
    found = np.concatenate([session.run({"image": picture[None]})["scores"] for picture in pictures])
    assert all((unit.scale >= 0).all() for unit in units)
    np.testing.assert_allclose(found, expected, atol=1e-3)
