"""Pass `static-shapes`: every input gets a static shape, and the shapes of all other values are inferred afresh."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar

import onnx_ir as ir
from pydantic import Field

from edgec.core.codes.passes import (
    DYNAMIC_DIMENSION,
    NOT_A_TENSOR,
    SHAPE_CONTRADICTION,
    SHAPE_OF_UNKNOWN_INPUT,
    UNKNOWN_RANK,
)
from edgec.core.errors import EdgecError
from edgec.core.passes import Kind, Pass, PassContext, PassOptions, PassResult
from edgec.passes.graph_edit import static_shape
from edgec.passes.shape_inference import clear_shapes, infer_shapes

_ANONYMOUS = {"", "?", "None", "-1"}
"""Names that exporters give to any open dimension: two of them need not be equal."""


class StaticShapesOptions(PassOptions):
    """Options of `static-shapes`."""

    shapes: dict[str, tuple[int, ...]] = Field(
        default={}, description="extents of inputs by name; an input that is left out keeps the shape in the model"
    )


class StaticShapes(Pass):
    """Fix the shape of every input, then infer all shapes.

    Case 1: a given shape must have the model's rank and agree with every extent that the model fixes; −1, 0, `?` and a
        dimension without a name are open.
    Case 2: dimensions of one name are equal in all inputs: giving one gives the others.
    Case 3: the first axis, the batch, is 1 if it is neither given nor follows from case 2; `assumptions` names it.
    Case 4: any other open dimension is an error that lists all of them.
    Case 5: shapes that the file recorded for inner values are stale once an extent is fixed: they are forgotten and
        inferred again. Names of bound dimensions are replaced in the inputs of loop bodies too.
    """

    name: ClassVar[str] = "static-shapes"
    kind: ClassVar[Kind] = Kind.EXACT
    Options: ClassVar[type[PassOptions]] = StaticShapesOptions

    def run(self, model: ir.Model, context: PassContext) -> PassResult:
        """Fix the shapes in place.

        Raises:
            EdgecError: EC0310 to EC0314, see the catalogue.
        """
        options = self.options
        given = options.shapes if isinstance(options, StaticShapesOptions) else {}
        inputs = [value for value in model.graph.inputs if not value.is_initializer()]
        _check_tensors(inputs)
        _check_names(inputs, given)
        bound: dict[str, int] = {}
        for value in inputs:
            if str(value.name) in given:
                _bind(value, given[str(value.name)], bound)
        assumed = _default_batch(inputs, given, bound)
        shapes = {str(value.name): given.get(str(value.name)) or _resolved(value, bound) for value in inputs}
        _check_known(inputs, shapes)
        changed = _apply(inputs, shapes)
        _refresh(model, bound, changed)
        for axis in assumed:
            context.progress.note(f"{axis} was not given: it is 1")
        stats: dict[str, int | float | str] = {"fixed inputs": changed}
        if assumed:
            stats["set to 1"] = ", ".join(assumed)
        assumptions = tuple(f"{axis} is not given: set to 1" for axis in assumed)
        return PassResult(model, modified=True, stats=stats, assumptions=assumptions)


def _symbol(dimension: int | ir.SymbolicDim) -> str:
    """The name of an open dimension; empty if it has none."""
    name = "" if isinstance(dimension, int) else str(dimension.value or "")
    return "" if name in _ANONYMOUS else name


def _is_open(dimension: int | ir.SymbolicDim) -> bool:
    return not isinstance(dimension, int) or dimension <= 0


def _describe(value: ir.Value) -> str:
    if value.shape is None:
        return "of unknown rank"
    return "[" + ", ".join((_symbol(d) or "?") if _is_open(d) else str(d) for d in value.shape) + "]"


def _check_tensors(inputs: Sequence[ir.Value]) -> None:
    others = [
        str(value.name) for value in inputs if value.type is not None and not isinstance(value.type, ir.TensorType)
    ]
    if others:
        raise EdgecError(
            NOT_A_TENSOR,
            f"not tensors: {', '.join(others)}",
            where=others[0],
            hint="export the model with plain tensors as inputs",
        )


def _check_names(inputs: Sequence[ir.Value], given: Mapping[str, tuple[int, ...]]) -> None:
    known = [str(value.name) for value in inputs]
    unknown = sorted(set(given) - set(known))
    if unknown:
        raise EdgecError(
            SHAPE_OF_UNKNOWN_INPUT,
            f"no input is called {', '.join(unknown)}",
            where=unknown[0],
            hint=f"the inputs are: {', '.join(f'{value.name} {_describe(value)}' for value in inputs)}",
        )


def _bind(value: ir.Value, shape: tuple[int, ...], bound: dict[str, int]) -> None:
    """Cases 1 and 2: check a given shape against the model and remember what its names stand for."""
    hint = f"the model declares {value.name} {_describe(value)}"
    where = str(value.name)
    if any(extent < 1 for extent in shape):
        raise EdgecError(SHAPE_CONTRADICTION, f"extents of {where} must be at least 1: {shape}", where=where, hint=hint)
    if value.shape is None:
        return
    if len(shape) != len(value.shape):
        what = f"{where} has {len(value.shape)} axes, --shape gives {len(shape)}"
        raise EdgecError(SHAPE_CONTRADICTION, what, where=where, hint=hint)
    for axis, (dimension, extent) in enumerate(zip(value.shape, shape, strict=True)):
        if not _is_open(dimension) and dimension != extent:
            what = f"axis {axis} of {where} is {dimension} in the model, --shape gives {extent}"
            raise EdgecError(SHAPE_CONTRADICTION, what, where=where, hint=hint)
        symbol = _symbol(dimension)
        if symbol and bound.setdefault(symbol, extent) != extent:
            what = f"dimension {symbol} is both {bound[symbol]} and {extent} (axis {axis} of {where})"
            raise EdgecError(SHAPE_CONTRADICTION, what, where=where, hint=hint)


def _default_batch(
    inputs: Sequence[ir.Value], given: Mapping[str, tuple[int, ...]], bound: dict[str, int]
) -> list[str]:
    """Case 3: bind open first axes to 1; a description of each."""
    assumed = []
    for value in inputs:
        if str(value.name) in given or not value.shape or not _is_open(value.shape[0]):
            continue
        symbol = _symbol(value.shape[0])
        if symbol in bound:
            continue
        assumed.append(f"axis 0 of {value.name}" + (f" ({symbol})" if symbol else ""))
        if symbol:
            bound[symbol] = 1
    return assumed


def _resolved(value: ir.Value, bound: Mapping[str, int]) -> tuple[int | None, ...] | None:
    """The shape of an input that is not given, None for an open extent; None for an unknown rank."""
    if value.shape is None:
        return None
    return tuple(
        bound.get(_symbol(dimension), 1 if axis == 0 else None) if _is_open(dimension) else int(str(dimension))
        for axis, dimension in enumerate(value.shape)
    )


def _check_known(inputs: Sequence[ir.Value], shapes: Mapping[str, tuple[int | None, ...] | None]) -> None:
    """Case 4."""
    without_rank = [str(value.name) for value in inputs if shapes[str(value.name)] is None]
    if without_rank:
        raise EdgecError(
            UNKNOWN_RANK,
            f"no shape is declared for {', '.join(without_rank)}",
            where=without_rank[0],
            hint=" ".join(f"--shape {name}=<extent>,…" for name in without_rank),
        )
    details, hints = [], []
    for value in inputs:
        shape = shapes[str(value.name)] or ()
        if None not in shape or value.shape is None:
            continue
        symbols = [_symbol(dimension) or f"axis{axis}" for axis, dimension in enumerate(value.shape)]
        details += [
            f"input {value.name}, axis {axis}, dimension {symbols[axis] if _symbol(value.shape[axis]) else '?'}"
            for axis, extent in enumerate(shape)
            if extent is None
        ]
        extents = (f"<{symbols[axis]}>" if extent is None else str(extent) for axis, extent in enumerate(shape))
        hints.append(f"--shape {value.name}={','.join(extents)}")
    if details:
        raise EdgecError(
            DYNAMIC_DIMENSION,
            f"{len(details)} dimension{'s' if len(details) > 1 else ''} of the inputs can be anything",
            where="static-shapes",
            hint=f"add {' '.join(hints)} with numbers in place of the names in <>",
            details=tuple(details),
        )


def _apply(inputs: Sequence[ir.Value], shapes: Mapping[str, tuple[int | None, ...] | None]) -> int:
    changed = 0
    for value in inputs:
        shape = shapes[str(value.name)]
        if shape is not None and static_shape(value) != shape:
            value.shape = ir.Shape(shape)
            changed += 1
    return changed


def _refresh(model: ir.Model, bound: Mapping[str, int], changed: int) -> None:
    """Case 5."""
    recorded = {value: value.shape for graph in model.graphs() for node in graph for value in node.outputs}
    for graph in model.graphs():
        if graph is model.graph:
            continue
        for value in graph.inputs:
            if value.shape is not None:
                value.shape = ir.Shape(_substitute(value.shape, bound))
    clear_shapes(model)
    infer_shapes(model)
    if not changed:
        for value, shape in recorded.items():
            if value.shape is None and shape is not None:
                value.shape = shape


def _substitute(shape: ir.Shape, bound: Mapping[str, int]) -> list[int | str | None]:
    extents: list[int | str | None] = []
    for dimension in shape:
        if not _is_open(dimension):
            extents.append(int(str(dimension)))
        else:
            extents.append(bound.get(_symbol(dimension)))
    return extents
