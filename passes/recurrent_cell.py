"""One step of RNN, GRU and LSTM in plain operators, with everything that ONNX allows as attributes.

The equations are those of the ONNX operator specifications (RNN, GRU, LSTM).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import onnx_ir as ir

from edgec.passes.node_writer import NodeWriter

Activation = Callable[[NodeWriter, ir.Value], ir.Value]

GATES = {"RNN": 1, "GRU": 3, "LSTM": 4}
"""Blocks of rows in the weights: RNN; GRU update, reset, hidden; LSTM input, output, forget, cell."""

DEFAULT_ACTIVATIONS = {"RNN": ("Tanh",), "GRU": ("Sigmoid", "Tanh"), "LSTM": ("Sigmoid", "Tanh", "Tanh")}

_PLAIN = {"relu": "Relu", "tanh": "Tanh", "sigmoid": "Sigmoid", "softsign": "Softsign", "softplus": "Softplus"}
_WITH_ALPHA = {"leakyrelu": ("LeakyRelu", 0.01), "thresholdedrelu": ("ThresholdedRelu", None), "elu": ("Elu", 1.0)}
_WITH_ALPHA_AND_BETA = {"hardsigmoid": (0.2, 0.5), "affine": (None, None), "scaledtanh": (None, None)}
"""Default parameters; None where the standard gives none, or ONNX Runtime another: then they must be given."""


class UnknownActivationError(Exception):
    """The activation function of a cell is none of those that ONNX lists."""


@dataclass(frozen=True, eq=False)
class Cell:
    """What one direction of a recurrent node needs for a step.

    Attributes:
        kind: `RNN`, `GRU` or `LSTM`.
        hidden: number of hidden units h.
        dtype: numpy type of the values.
        recurrence: weights for the hidden state, shape (h, gates·h).
        hidden_bias: GRU with `linear_before_reset`: bias of the hidden gate's recurrence, shape (h,); else None.
        peepholes: LSTM: weights of input, output and forget gate for the cell state, each (h,); empty without them.
        activations: the functions of this direction.
        clip: threshold for the inputs of activations; None without clipping.
        linear_before_reset: GRU: the reset gate scales the product instead of the state.
        input_forget: LSTM: the forget gate is 1 − input gate.
    """

    kind: str
    hidden: int
    dtype: np.dtype[np.generic]
    recurrence: ir.Value
    hidden_bias: ir.Value | None
    peepholes: tuple[ir.Value, ...]
    activations: tuple[Activation, ...]
    clip: float | None
    linear_before_reset: bool
    input_forget: bool

    def step(self, write: NodeWriter, projected: ir.Value, states: Sequence[ir.Value]) -> list[ir.Value]:
        """The next states: (hidden,) or for LSTM (hidden, cell).

        Args:
            write: receives the nodes.
            projected: input projection of this step with biases, shape (batch, gates·h).
            states: the current states, each of shape (batch, h).
        """
        match self.kind:
            case "LSTM":
                return self._lstm(write, projected, states[0], states[1])
            case "GRU":
                return [self._gru(write, projected, states[0])]
            case _:
                summed = write.one("Add", projected, write.one("MatMul", states[0], self.recurrence))
                return [self._activate(write, summed, 0)]

    def _activate(self, write: NodeWriter, value: ir.Value, index: int) -> ir.Value:
        if self.clip is not None:
            value = write.clip(value, -self.clip, self.clip, self.dtype)
        return self.activations[index](write, value)

    def _lstm(self, write: NodeWriter, projected: ir.Value, hidden: ir.Value, cell: ir.Value) -> list[ir.Value]:
        summed = write.one("Add", projected, write.one("MatMul", hidden, self.recurrence))
        size = self.hidden
        if not self.peepholes:
            outer, candidate = write.split(summed, (3 * size, size), 1)
            gate_in, gate_out, forget = write.split(self._activate(write, outer, 0), (size,) * 3, 1)
            pre_out = None
        else:
            pre_in, pre_out, pre_forget, candidate = write.split(summed, (size,) * 4, 1)
            from_cell = [write.one("Mul", cell, weights) for weights in (self.peepholes[0], self.peepholes[2])]
            gate_in = self._activate(write, write.one("Add", pre_in, from_cell[0]), 0)
            forget = self._activate(write, write.one("Add", pre_forget, from_cell[1]), 0)
        if self.input_forget:
            forget = write.one("Sub", write.constant("one", np.array(1, dtype=self.dtype)), gate_in)
        candidate = self._activate(write, candidate, 1)
        kept, added = write.one("Mul", forget, cell), write.one("Mul", gate_in, candidate)
        next_cell = write.one("Add", kept, added)
        if pre_out is not None:
            pre_out = write.one("Add", pre_out, write.one("Mul", next_cell, self.peepholes[1]))
            gate_out = self._activate(write, pre_out, 0)
        # ONNX Runtime does not clip the cell state here, although it is the input of an activation; nor do we.
        return [write.one("Mul", gate_out, self.activations[2](write, next_cell)), next_cell]

    def _gru(self, write: NodeWriter, projected: ir.Value, hidden: ir.Value) -> ir.Value:
        size = self.hidden
        projected_gates, projected_hidden = write.split(projected, (2 * size, size), 1)
        if self.linear_before_reset:
            product = write.one("MatMul", hidden, self.recurrence)
            product_gates, product_hidden = write.split(product, (2 * size, size), 1)
            gates = self._activate(write, write.one("Add", projected_gates, product_gates), 0)
            update, reset = write.split(gates, (size, size), 1)
            if self.hidden_bias is not None:
                product_hidden = write.one("Add", product_hidden, self.hidden_bias)
            from_state = write.one("Mul", reset, product_hidden)
        else:
            for_gates, for_hidden = self._split_recurrence(write)
            product_gates = write.one("MatMul", hidden, for_gates)
            gates = self._activate(write, write.one("Add", projected_gates, product_gates), 0)
            update, reset = write.split(gates, (size, size), 1)
            from_state = write.one("MatMul", write.one("Mul", reset, hidden), for_hidden)
        candidate = self._activate(write, write.one("Add", projected_hidden, from_state), 1)
        return write.one("Add", candidate, write.one("Mul", update, write.one("Sub", hidden, candidate)))

    def _split_recurrence(self, write: NodeWriter) -> tuple[ir.Value, ir.Value]:
        size = self.hidden
        if self.recurrence.const_value is None:
            gates, hidden = write.split(self.recurrence, (2 * size, size), 1)
            return gates, hidden
        contents = self.recurrence.const_value.numpy()
        return (
            write.constant("gate_recurrence", contents[:, : 2 * size].copy()),
            write.constant("hidden_recurrence", contents[:, 2 * size :].copy()),
        )


def activations_of(
    kind: str, names: Sequence[str], alphas: Sequence[float], betas: Sequence[float], directions: int
) -> list[tuple[Activation, ...]]:
    """The activation functions of each direction; `alphas` and `betas` go in order to the functions that take them.

    Raises:
        UnknownActivationError: a name that ONNX does not list.
    """
    defaults = DEFAULT_ACTIVATIONS[kind]
    wanted = list(names) or list(defaults) * directions
    if len(wanted) != len(defaults) * directions:
        raise UnknownActivationError(f"{len(wanted)} activation functions instead of {len(defaults) * directions}")
    remaining_alphas, remaining_betas = list(alphas), list(betas)
    made = [_activation(name, remaining_alphas, remaining_betas) for name in wanted]
    return [tuple(made[start : start + len(defaults)]) for start in range(0, len(made), len(defaults))]


def _activation(name: str, alphas: list[float], betas: list[float]) -> Activation:
    key = name.lower()
    if key in _PLAIN:
        return lambda write, value: write.one(_PLAIN[key], value)
    if key in _WITH_ALPHA:
        op_type, default = _WITH_ALPHA[key]
        slope = _parameter(name, alphas, default)
        return lambda write, value: write.one(op_type, value, alpha=slope)
    if key not in _WITH_ALPHA_AND_BETA:
        raise UnknownActivationError(f"the activation function {name} is none of those that ONNX lists")
    default_alpha, default_beta = _WITH_ALPHA_AND_BETA[key]
    alpha, beta = _parameter(name, alphas, default_alpha), _parameter(name, betas, default_beta)
    if key == "hardsigmoid":
        return lambda write, value: write.one("HardSigmoid", value, alpha=alpha, beta=beta)

    def scaled_tanh(write: NodeWriter, value: ir.Value) -> ir.Value:
        return _times(write, write.one("Tanh", _times(write, value, beta)), alpha)

    def affine(write: NodeWriter, value: ir.Value) -> ir.Value:
        shift = write.constant("shift", np.array(beta, dtype=_numpy_type(value)))
        return write.one("Add", _times(write, value, alpha), shift)

    return scaled_tanh if key == "scaledtanh" else affine


def _parameter(name: str, given: list[float], default: float | None) -> float:
    if given:
        return given.pop(0)
    if default is None:
        raise UnknownActivationError(f"{name} without its parameters: ONNX and ONNX Runtime have different defaults")
    return default


def _times(write: NodeWriter, value: ir.Value, factor: float) -> ir.Value:
    return write.one("Mul", value, write.constant("factor", np.array(factor, dtype=_numpy_type(value))))


def _numpy_type(value: ir.Value) -> np.dtype[np.generic]:
    return value.dtype.numpy() if value.dtype is not None else np.dtype(np.float32)
