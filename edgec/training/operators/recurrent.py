"""LSTM and GRU: torch's own kernels on parameters that keep ONNX's layout."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir
import torch
from brevitas.backport import fx
from torch import Tensor, nn

from edgec.training.graph_writer import GraphWriter, NoTorchFormError
from edgec.training.operators.registry import operator

_GATE_ORDER = {"LSTM": (0, 2, 3, 1), "GRU": (1, 0, 2)}
"""Torch's gates (input, forget, cell, output; reset, update, new) among ONNX's (i o f c; z r h)."""


class Recurrent(nn.Module):
    """One layer, in one or both directions, with ONNX's inputs and outputs.

    Attributes:
        weight: [directions, gates · hidden, inputs]; `recurrence`: [directions, gates · hidden, hidden]; `bias`:
            [directions, 2 · gates · hidden]; all in ONNX's order of gates.
    """

    def __init__(self, kind: str, direction: str, arrays: tuple[np.ndarray, np.ndarray, np.ndarray | None]) -> None:
        super().__init__()
        self.kind, self.direction = kind, direction
        self.weight = nn.Parameter(torch.from_numpy(np.array(arrays[0])))
        self.recurrence = nn.Parameter(torch.from_numpy(np.array(arrays[1])))
        self.bias = None if arrays[2] is None else nn.Parameter(torch.from_numpy(np.array(arrays[2])))

    def forward(self, x: Tensor, hidden: Tensor | None = None, cell: Tensor | None = None) -> tuple[Tensor, ...]:
        """All states [steps, directions, batch, hidden], the last state and, for an LSTM, the last cell."""
        steps, batch = x.shape[:2]
        directions, width = self.recurrence.shape[0], self.recurrence.shape[2]
        if self.direction == "reverse":
            x = x.flip(0)
        start = hidden if hidden is not None else x.new_zeros(directions, batch, width)
        options = (self.bias is not None, 1, 0.0, self.training, directions == 2, False)
        if self.kind == "LSTM":
            memory = cell if cell is not None else torch.zeros_like(start)
            states, *last = torch.lstm(x, (start, memory), self._flat(), *options)
        else:
            states, *last = torch.gru(x, start, self._flat(), *options)
        states = states.reshape(steps, batch, directions, width).permute(0, 2, 1, 3)
        return (states.flip(0) if self.direction == "reverse" else states, *last)

    def _flat(self) -> list[Tensor]:
        """The parameters as torch takes them: for each direction its weights, recurrence, and two biases."""
        flat = []
        for direction in range(self.weight.shape[0]):
            flat += [self._reordered(self.weight[direction]), self._reordered(self.recurrence[direction])]
            if self.bias is not None:
                flat += [self._reordered(half) for half in self.bias[direction].chunk(2)]
        return flat

    def _reordered(self, gates: Tensor) -> Tensor:
        order = _GATE_ORDER[self.kind]
        parts = gates.chunk(len(order))
        return torch.cat([parts[position] for position in order])


@operator("LSTM", "GRU")
def _recurrent(writer: GraphWriter, node: ir.Node) -> list[fx.Node]:
    _check(writer, node)
    bias = writer.weight(node, 3) if writer.has(node, 3) else None
    arrays = (writer.weight(node, 1), writer.weight(node, 2), bias)
    module = Recurrent(node.op_type, node.attributes.get_string("direction", "forward"), arrays)
    names = ("weight", "recurrence") + (() if bias is None else ("bias",))
    places = [(name, (node, index)) for index, name in enumerate(names, start=1)]
    inputs = [writer.input(node)]
    inputs += [writer.input(node, index) for index in (5, 6) if writer.has(node, index)]
    called = writer.weighted_layer(node, module, places, *inputs)
    return [writer.call(_item, called, index) for index in range(len(node.outputs))]


def _check(writer: GraphWriter, node: ir.Node) -> None:
    attributes = node.attributes
    if writer.has(node, 4):
        raise NoTorchFormError("its sequences have lengths of their own")
    if attributes.get_int("layout", 0) or writer.has(node, 7) or "clip" in attributes or "activations" in attributes:
        raise NoTorchFormError("it has peepholes, clipping, activations or a layout of its own")
    if node.op_type == "GRU" and not bool(attributes.get_int("linear_before_reset", 0)):
        raise NoTorchFormError("its reset gate works before the product (linear_before_reset=0)")
    if node.op_type == "LSTM" and attributes.get_int("input_forget", 0) == 1:
        raise NoTorchFormError("its input and forget gates are one")
    if not writer.has(node, 5) and writer.has(node, 6):
        raise NoTorchFormError("it is given a cell and no state")


def _item(results: tuple[Tensor, ...], index: int) -> Tensor:
    return results[index]
