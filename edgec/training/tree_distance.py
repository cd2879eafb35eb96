"""The share of weights that spanning trees leave, as a penalty that training makes smaller.

For signs s of N weights, the tree's edge between channels i and j costs d_ij = (N − |s_i · s_j|) / 2 weights, and the
root N. Summed over all layers and divided by all weights this is the share that is left, so λ says what a share is
worth in loss. Every weight counts alike, at however many places of the output it is used: with products in place of
weights, training would shorten the trees of the first layers most, whose few weights at many places matter most to the
loss, and more would be lost at the same share of products. The tree is held between refreshes; the gradient passes the
signs straight through, but for weights whose sign is the one wanted and which are far from changing it. Source: Vo et
al., "MST-compression", ICCV 2023, whose text does not give the loss and its schedule: these are ours.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from edgec.graph.spanning_tree import Signs, spanning_tree

_MARGIN = 1.0
"""In mean magnitudes of a layer's weights before training, which are 1 in a binary network."""


class _Sign(torch.autograd.Function):
    """The sign of weights; backwards the gradient, but for what would carry weights beyond the margin further out.

    A weight that was pushed on and on could not change its sign any more when another tree would want it to, or the
    loss does.
    """

    @staticmethod
    def forward(context: Any, weights: Tensor) -> Tensor:  # noqa: ANN401  torch's own context
        context.save_for_backward(weights)
        return torch.where(weights < 0, -1.0, 1.0)

    @staticmethod
    def backward(context: Any, gradient: Tensor) -> Tensor:  # noqa: ANN401
        (weights,) = context.saved_tensors
        # Training moves weights against the gradient.
        further_out = (gradient * weights < 0) & (weights.abs() > _MARGIN)
        return gradient.masked_fill(further_out, 0.0)


@dataclass(frozen=True, eq=False)
class TreeLayer:
    """Binary weights that a tree is laid over.

    Attributes:
        weights: real numbers (outputs, …), of which the signs count.
    """

    weights: nn.Parameter

    @property
    def signs(self) -> Signs:
        """int8 (outputs, N)."""
        return np.where(self.weights.detach().numpy().reshape(len(self.weights), -1) < 0, -1, 1).astype(np.int8)


class TreePenalty(nn.Module):
    """λ times the share of weights that are left.

    A module only for its state: the number of the step and the trees of the last refresh are kept with the network, so
    that a training that was interrupted goes on as if it had not been.

    Args:
        layers: whose trees are summed up.
        weight: λ.
        rising: steps over which λ rises from 0, as a straight line.
        refresh: steps between two looks for the lightest trees.
    """

    def __init__(self, layers: Sequence[TreeLayer], *, weight: float, rising: int, refresh: int) -> None:
        super().__init__()
        # A tuple hides the weights from torch: they belong to their layers.
        self._layers = tuple(layers)
        self._weight, self._rising, self._refresh = weight, rising, refresh
        self._dense = sum(layer.weights.numel() for layer in layers)
        self.register_buffer("step", torch.zeros((), dtype=torch.int64))
        for number, layer in enumerate(layers):
            self.register_buffer(f"parents{number}", torch.zeros(len(layer.weights), dtype=torch.int64))
            self.register_buffer(f"sides{number}", torch.ones(len(layer.weights)))

    def forward(self) -> Tensor:
        """The penalty of the next step."""
        step = int(self.step)
        if step % self._refresh == 0:
            self._lay_trees()
        self.step += 1
        rate = self._weight * min(1.0, step / max(self._rising, 1))
        kept = torch.zeros(())
        for number, layer in enumerate(self._layers):
            parents, sides = self.get_buffer(f"parents{number}"), self.get_buffer(f"sides{number}")
            signs = _Sign.apply(layer.weights).flatten(1)
            agreeing = ((signs * signs[parents]).sum(1) * sides).sum()
            # The root, whose side is 0 here, follows from no channel and costs all N weights.
            width = signs.shape[1]
            kept = kept + (signs.numel() - width - agreeing) / 2 + width
        return rate * kept / self._dense

    def extra_repr(self) -> str:
        """What tells two penalties apart, for the key of a training."""
        return f"weight {self._weight}, rising {self._rising}, refresh {self._refresh}, margin {_MARGIN}"

    def _lay_trees(self) -> None:
        for number, layer in enumerate(self._layers):
            tree = spanning_tree(layer.signs)
            sides = np.where(tree.inverted, -1.0, 1.0)
            sides[tree.parents < 0] = 0
            self.get_buffer(f"parents{number}").copy_(torch.from_numpy(np.maximum(tree.parents, 0)))
            self.get_buffer(f"sides{number}").copy_(torch.from_numpy(sides))


def pull_to_centre(layer: TreeLayer, strength: float) -> None:
    """Move the weights of every channel towards those of the tree's root, or their opposite, in place.

    The root is the centre of the tree. A weight that disagrees with it and is small turns over; a strength of 1 makes
    all channels equal but for their sign, 0 changes nothing.
    """
    signs = layer.signs
    centre = signs[int(spanning_tree(signs).parents.argmin())]
    sides = np.where(signs.astype(np.int64) @ centre < 0, -1, 1)
    target = torch.from_numpy((sides[:, None] * centre).astype(np.float32)).reshape(layer.weights.shape)
    with torch.no_grad():
        magnitude = layer.weights.abs().flatten(1).mean(1).reshape(-1, *[1] * (layer.weights.dim() - 1))
        layer.weights.copy_((1 - strength) * layer.weights + strength * magnitude * target)
