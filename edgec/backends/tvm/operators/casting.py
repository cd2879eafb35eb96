"""Conversion of element types."""

from __future__ import annotations

import onnx_ir as ir
from tvm import tirx

from edgec.backends.tvm.kernel_graph import UnsupportedNodeError
from edgec.backends.tvm.lowering import ELEMENT_TYPES, Lowering, element_type, label, lowers
from edgec.backends.tvm.operators.emission import Expression, emit_elementwise, required_input, type_of


def supported_type(data_type: ir.DataType) -> str:
    """Numpy's name of an element type.

    Raises:
        UnsupportedNodeError: kernels do not compute with it.
    """
    name = "string" if data_type == ir.DataType.STRING else str(data_type.numpy())
    if name not in ELEMENT_TYPES:
        raise UnsupportedNodeError(
            f"its result has elements of type {data_type.name}", "use float32 or an integer type of whole bytes instead"
        )
    return name


def convert(x: Expression, dtype: str) -> Expression:
    """An element in another type: to bool by comparison with zero, float to integer by truncation."""
    if type_of(x) == dtype:
        return x
    if dtype == "bool":
        return tirx.NE(x, tirx.const(0, type_of(x)))
    if type_of(x).startswith("float") and "int" in dtype and not dtype.endswith("64"):
        # A narrow conversion out of range is undefined in LLVM; through 64 bits it wraps, as it does in numpy.
        return tirx.Cast(dtype, tirx.Cast("int64", x))
    return tirx.Cast(dtype, x)


@lowers("Cast", "CastLike")
def cast(node: ir.Node, lowering: Lowering) -> None:
    """Elements in another type."""
    x = required_input(node, 0)
    if node.op_type == "Cast":
        dtype = supported_type(ir.DataType(node.attributes.get_int("to", 0)))
    else:
        model = required_input(node, 1)
        dtype = element_type(model) or lowering.dtype(model)
    if lowering.dtype(x) == dtype:
        lowering.alias(node.outputs[0], x)
        return
    emit_elementwise(lowering, node, [x], dtype, lambda read: convert(read, dtype))


@lowers("BitCast")
def bit_cast(node: ir.Node, lowering: Lowering) -> None:
    """The same bits in another type of the same width."""
    x = required_input(node, 0)
    dtype = supported_type(ir.DataType(node.attributes.get_int("to", 0)))
    source, name = lowering.value(x), str(node.outputs[0].name)
    if source.data is not None:
        lowering.define(node.outputs[0], lowering.literal(name, source.data.view(dtype)))
        return
    lowering.define(node.outputs[0], lowering.view(label(node), source, (name, source.shape, dtype)))
