"""Matrix products."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import onnx_ir as ir
from tvm import te, tirx

from edgec.backends.tvm.contraction import Expression, Tensor, accumulator_of
from edgec.backends.tvm.implementation import Contraction, ContractionKind, Implementation
from edgec.backends.tvm.kernel_graph import Pattern, UnsupportedNodeError, Value
from edgec.backends.tvm.lowering import Lowering, label, lowers
from edgec.backends.tvm.operators.emission import broadcast_shape, optional_input, required_input
from edgec.backends.tvm.register_tile import choose_tile, tile_of
from edgec.backends.tvm.stages import AnchorLayout, Role, choice_of, role_attributes

_FEWEST_ROWS_TO_PACK_FOR = 4

Element = Callable[[Tensor, Sequence[Expression], Expression, Expression], Expression]
"""Reads a matrix of a stack: (tensor, batch indices, row, column) → element."""


@dataclass(frozen=True)
class Product:
    """A product of stacks of matrices, (batch…, rows, depth) by (batch…, depth, columns), with numpy broadcasting.

    Attributes:
        left: as it lies in memory.
        right: as it lies in memory; with contents if it is constant.
        left_transposed: `left` is (batch…, depth, rows).
        right_transposed: `right` is (batch…, columns, depth).
        left_zero_point: one integer that stands for zero in `left`, or None.
        right_zero_point: one integer that stands for zero in `right`, computed at run time, or None.
        addend: what is added to the product, broadcast to it, or None.
        factor: the product is multiplied by this before the addition.
        dtype: of the output.
    """

    left: Value
    right: Value
    left_transposed: bool = False
    right_transposed: bool = False
    left_zero_point: Value | None = None
    right_zero_point: Value | None = None
    addend: Value | None = None
    factor: float = 1.0
    dtype: str = "float32"

    @property
    def rows(self) -> int:
        """Rows of the product."""
        return self.left.shape[-1 if self.left_transposed else -2]

    @property
    def depth(self) -> int:
        """Length of the sums."""
        return self.left.shape[-2 if self.left_transposed else -1]

    @property
    def columns(self) -> int:
        """Columns of the product."""
        return self.right.shape[-2 if self.right_transposed else -1]

    @property
    def batch(self) -> tuple[int, ...]:
        """Extents of the stack."""
        return broadcast_shape([self.left.shape[:-2], self.right.shape[:-2]])

    @property
    def shape(self) -> tuple[int, ...]:
        """Of the output."""
        return (*self.batch, self.rows, self.columns)


@dataclass(frozen=True)
class _Form:
    """How the right side is read: packed in blocks of columns, or as it lies in memory; and the type of the sums."""

    layout: AnchorLayout
    packed: bool
    accumulator: str


def emit_product(lowering: Lowering, node: ir.Node, product: Product, name: str) -> Value:
    """Append the operation of a product; gives its output."""
    right = product.right
    contraction = _contraction(product)
    form = _form(lowering, product, lowering.chosen(contraction))
    constant = right.data is not None
    if right.data is not None:
        matrices = np.swapaxes(right.data, -1, -2) if product.right_transposed else right.data
        right = lowering.literal(f"{right.name}.packed", pack_columns(matrices, form.layout.tile.block))
    optional = (product.left_zero_point, product.right_zero_point, product.addend)
    operands = (product.left, right, *(value for value in optional if value is not None))

    def compute(tensors: Sequence[Tensor]) -> Sequence[Tensor]:
        extra = iter(tensors[2:])
        left_zero, right_zero, addend = (None if value is None else next(extra) for value in optional)
        block = form.layout.tile.block
        packed = tensors[1]
        if not constant and form.packed:
            packed = pack_columns_stage(tensors[1], block, transposed=product.right_transposed)
        sums = _sums(product, form, (tensors[0], packed), (left_zero, right_zero))
        return [_finish(product, sums, addend)]

    return lowering.emit(
        node,
        Pattern.ANCHOR,
        operands,
        (name, product.shape, product.dtype),
        compute,
        macs=math.prod(product.shape) * product.depth,
        tile=form.layout.tile,
        choice=choice_of(contraction, form.layout),
    )


def _contraction(product: Product) -> Contraction | None:
    """What other ways of computing a product are looked up by; None where the right side is no constant matrix."""
    if product.right.data is None or math.prod(product.right.shape[:-2]) > 1:
        return None
    if product.left_transposed or product.left_zero_point is not None or product.right_zero_point is not None:
        return None
    return Contraction(
        kind=ContractionKind.PRODUCT,
        dtype=product.left.dtype,
        result=product.dtype,
        extents=(*product.batch, product.rows),
        channels=product.columns,
        inputs=product.depth,
    )


def _form(lowering: Lowering, product: Product, chosen: Implementation | None) -> _Form:
    accumulator = accumulator_of(product.left.dtype, lowering.core)
    if chosen is not None:
        layout = AnchorLayout(tile_of(chosen).tile, chosen.row_axis, 0, chosen.order)
        return _Form(layout, True, accumulator)
    item_bytes = np.dtype(accumulator).itemsize
    packed = product.right.data is not None or product.rows >= _FEWEST_ROWS_TO_PACK_FOR or product.right_transposed
    extents = (*product.batch, product.rows)
    stacked = math.prod(product.right.shape[:-2]) > 1
    # Rows of the left side that meet the same right side: all of them, or those of one matrix of a stack.
    eligible = extents if not stacked else (*(1,) * len(product.batch), product.rows)
    multiple = 0 if packed else product.columns
    choice = choose_tile(eligible, product.columns, lowering.core, dtype_bytes=item_bytes, channel_multiple=multiple)
    row_axis = choice.row_axis if eligible[choice.row_axis] > 1 else len(extents) - 1
    batch_axes = len(product.batch) if stacked else 0
    return _Form(AnchorLayout(choice.tile, row_axis, batch_axes), packed, accumulator)


def pack_columns(matrices: np.ndarray, block: int) -> np.ndarray:
    """Matrices (batch…, depth, columns) as (batch…, columns / block, depth, block), filled up with zeros."""
    *batch, depth, columns = matrices.shape
    blocks = math.ceil(columns / block)
    filled = np.zeros((*batch, depth, blocks * block), matrices.dtype)
    filled[..., :columns] = matrices
    return np.ascontiguousarray(np.moveaxis(filled.reshape(*batch, depth, blocks, block), -2, -3))


def pack_columns_stage(matrices: Tensor, block: int, *, transposed: bool) -> Tensor:
    """`pack_columns` for matrices that are computed at run time; `transposed` if they are (batch…, columns, depth)."""
    *batch, first, second = (int(extent) for extent in matrices.shape)
    depth, columns = (second, first) if transposed else (first, second)
    blocks = math.ceil(columns / block)

    def element(*indices: Expression) -> Expression:
        *stack, blocked, row, lane = indices
        column = blocked * block + lane
        value = matrices(*stack, column, row) if transposed else matrices(*stack, row, column)
        if columns % block == 0:
            return value
        return tirx.if_then_else(column < columns, value, tirx.const(0, str(matrices.dtype)))

    shape = (*batch, blocks, depth, block)
    return te.compute(shape, element, name="packed", attrs=role_attributes(Role.PACKING))


def _broadcast(indices: Sequence[Expression], extents: Sequence[int]) -> list[Expression]:
    trailing = indices[len(indices) - len(extents) :] if extents else []
    return [0 if extent == 1 else index for extent, index in zip(extents, trailing, strict=True)]


def _sums(
    product: Product,
    form: _Form,
    operands: tuple[Tensor, Tensor],
    zero_points: tuple[Tensor | None, Tensor | None],
) -> Tensor:
    left, right = operands
    dtype = form.accumulator
    block = form.layout.tile.block
    depth = te.reduce_axis((0, product.depth), "depth")
    columns = math.ceil(product.columns / block) * block if form.packed else product.columns
    right_stack = product.right.shape[:-2]

    def widened(value: Expression, zero_point: Tensor | None) -> Expression:
        if str(value.ty.dtype) != dtype:
            value = tirx.Cast(dtype, value)
        if zero_point is None:
            return value
        return value - tirx.Cast(dtype, zero_point(*(0 for _ in zero_point.shape)))

    def element(*indices: Expression) -> Expression:
        *stack, row, column = indices
        place = _broadcast(stack, product.left.shape[:-2])
        read = left(*place, depth, row) if product.left_transposed else left(*place, row, depth)
        stacked = _broadcast(stack, right_stack)
        if form.packed:
            other = right(*stacked, tirx.floordiv(column, block), depth, tirx.floormod(column, block))
        else:
            other = right(*stacked, depth, column)
        return te.sum(widened(read, zero_points[0]) * widened(other, zero_points[1]), axis=[depth])

    shape = (*product.batch, product.rows, columns)
    return te.compute(shape, element, name="anchor", attrs=form.layout.attributes(Role.DENSE))


def _finish(product: Product, sums: Tensor, addend: Tensor | None) -> Tensor:
    accumulator = str(sums.dtype)
    unchanged = addend is None and product.factor == 1.0 and accumulator == product.dtype
    if unchanged and int(sums.shape[-1]) == product.columns:
        return sums

    def element(*indices: Expression) -> Expression:
        value = sums(*indices)
        if product.factor != 1.0:
            value = value * tirx.const(product.factor, accumulator)
        if addend is not None:
            added = addend(*_broadcast(indices, [int(extent) for extent in addend.shape]))
            value = value + (added if str(added.ty.dtype) == accumulator else tirx.Cast(accumulator, added))
        return value if accumulator == product.dtype else tirx.Cast(product.dtype, value)

    return te.compute(product.shape, element, name="finished")


def as_matrices(lowering: Lowering, node: ir.Node) -> tuple[Value, Value]:
    """The two operands of a product with vectors made matrices: a row on the left, a column on the right.

    Raises:
        UnsupportedNodeError: an operand is a scalar, or the shapes do not match.
    """
    left, right = (lowering.value(required_input(node, place)) for place in (0, _right_place(node)))
    if not left.shape or not right.shape:
        raise UnsupportedNodeError("an operand of its matrix product is a scalar", "run the ONNX checker on it")
    if len(left.shape) == 1:
        left = lowering.view(label(node), left, (f"{left.name}.row", (1, *left.shape), left.dtype))
    if len(right.shape) == 1:
        right = lowering.view(label(node), right, (f"{right.name}.column", (*right.shape, 1), right.dtype))
    if left.shape[-1] != right.shape[-2]:
        raise UnsupportedNodeError(
            f"its operands of shapes {list(left.shape)} and {list(right.shape)} do not match", "check the model"
        )
    return left, right


def _right_place(node: ir.Node) -> int:
    return 3 if node.op_type == "QLinearMatMul" else 1


def define_product(lowering: Lowering, node: ir.Node, made: Value) -> None:
    """Set the output of a product, without the axes that vectors were given."""
    output = node.outputs[0]
    left, right = (len(lowering.shape(required_input(node, place))) for place in (0, _right_place(node)))
    shape = made.shape
    if right == 1:
        shape = shape[:-1]
    if left == 1:
        shape = (*shape[:-2], shape[-1]) if right != 1 else shape[:-1]
    if shape != made.shape:
        made = lowering.view(label(node), made, (f"{output.name}.squeezed", shape, made.dtype))
    lowering.define(output, made)


@lowers("MatMul")
def matrix_product(node: ir.Node, lowering: Lowering) -> None:
    """Product of stacks of matrices, with numpy broadcasting."""
    left, right = as_matrices(lowering, node)
    product = Product(left, right, dtype=left.dtype)
    define_product(lowering, node, emit_product(lowering, node, product, str(node.outputs[0].name)))


@lowers("Gemm")
def general_matrix_product(node: ir.Node, lowering: Lowering) -> None:
    """Alpha · A' · B' + beta · C."""
    attributes = node.attributes
    left, right = lowering.value(required_input(node, 0)), lowering.value(required_input(node, 1))
    alpha, beta = attributes.get_float("alpha", 1.0), attributes.get_float("beta", 1.0)
    added = optional_input(node, 2)
    product = Product(
        left=left,
        right=right,
        left_transposed=bool(attributes.get_int("transA", 0)),
        right_transposed=bool(attributes.get_int("transB", 0)),
        addend=None if added is None or beta == 0.0 else _scaled(lowering, node, lowering.value(added), beta),
        factor=alpha,
        dtype=left.dtype,
    )
    inner = product.right.shape[-1 if product.right_transposed else -2]
    if len(left.shape) != 2 or len(right.shape) != 2 or product.depth != inner:
        raise UnsupportedNodeError(
            f"its operands of shapes {list(left.shape)} and {list(right.shape)} do not match", "check the model"
        )
    lowering.define(node.outputs[0], emit_product(lowering, node, product, str(node.outputs[0].name)))


def _scaled(lowering: Lowering, node: ir.Node, value: Value, factor: float) -> Value:
    if factor == 1.0:
        return value
    if value.data is not None:
        return lowering.literal(f"{value.name}.scaled", (value.data * factor).astype(value.dtype))

    def compute(tensors: Sequence[Tensor]) -> Sequence[Tensor]:
        scale = tirx.const(factor, value.dtype)
        return [te.compute(value.shape, lambda *indices: tensors[0](*indices) * scale, name="scaled")]

    output = (f"{value.name}.scaled", value.shape, value.dtype)
    return lowering.emit(node, Pattern.ELEMENTWISE, [value], output, compute)
