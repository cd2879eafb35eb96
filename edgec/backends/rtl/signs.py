"""BipolarQuant on integers: values of one bit, minus one and plus one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import onnx_ir as ir

from edgec.backends.rtl.integer_graph import Integers, Interval, Operation
from edgec.backends.rtl.wires import Constant, GraphBuilder, Known, UnsupportedError, Wire


@dataclass(frozen=True, eq=False)
class Sign(Operation):
    """`y = 1 if x >= 0 else -1`."""

    def evaluate(self, inputs: Sequence[Integers]) -> Integers:
        """The signs; that of 0 is positive."""
        return np.where(inputs[0] >= 0, 1, -1).astype(np.int64)

    def interval(self, inputs: Sequence[Interval]) -> Interval:
        """Monotone."""
        low, high = (self.evaluate([bound]) for bound in (inputs[0].low, inputs[0].high))
        return Interval(low, high)


def bipolar_quant(builder: GraphBuilder, node: ir.Node, known: list[Known]) -> Known:
    """QONNX's BipolarQuant of weights or of a value.

    Raises:
        UnsupportedError: for a value that is scaled to something else than one, or not quantised before.
    """
    source, scale = known[0], known[1]
    if isinstance(scale, Wire):
        raise UnsupportedError("its scale depends on the input", "quantise with a constant scale")
    step = scale.real.astype(np.float64)
    if isinstance(source, Constant):
        integers = np.where(source.real.astype(np.float64) >= 0, 1, -1).astype(np.int64)
        return Constant((integers * step).astype(np.float32), integers, step)
    if step.size != 1 or step.ravel()[0] != 1.0:
        raise UnsupportedError("its result is not minus one and plus one", "move its scale into the next weights")
    if source.scale is None:
        raise UnsupportedError("it reads an input that is not quantised", "quantise the input to several bits first")
    operation = Sign(str(node.name), node.op_type, (source.value,), source.size)
    return Wire(builder.append(operation), source.shape, np.ones(1))
