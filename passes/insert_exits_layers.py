"""The layers of an early exit: what it takes from features to scores of classes."""

from __future__ import annotations

import math

import numpy as np
import onnx_ir as ir

from edgec.graph.editing import Names
from edgec.graph.shapes import static_shape
from edgec.passes.node_writer import NodeWriter

_KERNEL = 3
_SMALLEST_HALVED = 8
"""Fewest positions along an axis that are worth halving."""


def add_exit(
    model: ir.Model, source: str, classes: int, channels: int, number: int, random: np.random.Generator
) -> str:
    """Add an output with the logits of classes, made from a value by layers with random weights; its name.

    One convolution, means over the halves of each axis, and one dense layer; the dense layer alone where there are no
    positions.

    Args:
        model: changed in place.
        source: name of a computed value, float32 [1, features] or [1, channels, positions...].
        classes: scores to make.
        channels: of the convolution.
        number: of the exit, for its names.
        random: makes the weights.
    """
    names = Names(model)
    writer = NodeWriter(model, names, f"exit_{number}")
    read = next(value for node in model.graph for value in node.outputs if value.name == source)
    shape = static_shape(read) or ()
    value, features = read, shape[1]
    if len(shape) > 2:
        axes = len(shape) - 2
        strides = [2 if extent >= _SMALLEST_HALVED else 1 for extent in shape[2:]]
        weight = _weights(writer, random, channels, features, *[_KERNEL] * axes)
        bias = writer.constant("bias", np.zeros(channels, np.float32))
        pads = [_KERNEL // 2] * 2 * axes
        value = writer.one("Conv", value, weight, bias, kernel_shape=[_KERNEL] * axes, strides=strides, pads=pads)
        extents = [math.ceil(extent / stride) for extent, stride in zip(shape[2:], strides, strict=True)]
        # Means over halves of each axis, which overlap by one where it is odd: where something is may tell what it is.
        steps = [max(extent // 2, 1) for extent in extents]
        kernel = [max(extent - step, 1) for extent, step in zip(extents, steps, strict=True)]
        value = writer.one("AveragePool", writer.one("Relu", value), kernel_shape=kernel, strides=steps)
        value = writer.one("Flatten", value, axis=1)
        features = channels * math.prod(min(extent, 2) for extent in extents)
    bias = writer.constant("bias", np.zeros(classes, np.float32))
    value = writer.one("Gemm", value, _weights(writer, random, classes, features), bias, transB=1)
    value.name = names.fresh(f"exit_{number}")
    value.shape, value.type = ir.Shape([1, classes]), ir.TensorType(ir.DataType.FLOAT)
    model.graph.insert_after(read.producer(), writer.nodes)  # type: ignore[arg-type]
    model.graph.outputs.append(value)
    return str(value.name)


def divide_logits(model: ir.Model, output: str, divisor: float) -> None:
    """Divide the logits of an exit by a number, in its dense layer."""
    value = next(value for value in model.graph.outputs if value.name == output)
    dense = value.producer()
    for weight in dense.inputs[1:]:  # type: ignore[union-attr]
        contents = ir.convenience.get_const_tensor(weight).numpy()  # type: ignore[union-attr,arg-type]
        weight.const_value = ir.Tensor((contents / divisor).astype(np.float32), name=weight.name)  # type: ignore[union-attr]


def with_probabilities(model: ir.Model, output: str) -> None:
    """Put a Softmax behind the logits of an exit, in place; the output keeps its name."""
    position, logits = next((i, v) for i, v in enumerate(model.graph.outputs) if v.name == output)
    logits.name = Names(model).fresh(f"{output}/logits")
    node = ir.node("Softmax", [logits], {"axis": -1}, name=Names(model).fresh(f"{output}/Softmax"))
    made = node.outputs[0]
    made.name, made.shape, made.type = output, logits.shape, logits.type
    model.graph.insert_after(logits.producer(), [node])  # type: ignore[arg-type]
    model.graph.outputs[position] = made


def _weights(writer: NodeWriter, random: np.random.Generator, out: int, *others: int) -> ir.Value:
    numbers = random.standard_normal((out, *others)) * math.sqrt(2 / math.prod(others))
    return writer.constant("weight", numbers.astype(np.float32))
