"""Pooling, reductions and searches."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import onnx_ir as ir
import torch
from brevitas.backport import fx
from torch import Tensor, nn
from torch.nn import functional

from edgec.training.graph_writer import GraphWriter, NoTorchFormError
from edgec.training.operators.padding import Window, window_of
from edgec.training.operators.registry import OPERATORS, operator

_LOWEST = -3.4e38
_MAXIMUM = (nn.MaxPool1d, nn.MaxPool2d, nn.MaxPool3d)
_AVERAGE = (nn.AvgPool1d, nn.AvgPool2d, nn.AvgPool3d)
_GLOBAL_AVERAGE = (nn.AdaptiveAvgPool1d, nn.AdaptiveAvgPool2d, nn.AdaptiveAvgPool3d)


@operator("GlobalAveragePool")
def _global_average(writer: GraphWriter, node: ir.Node) -> fx.Node:
    return writer.layer(node, _GLOBAL_AVERAGE[writer.rank(node) - 3](1), writer.input(node))


@operator("GlobalMaxPool")
def _global_maximum(writer: GraphWriter, node: ir.Node) -> fx.Node:
    return writer.call(torch.amax, writer.input(node), list(range(2, writer.rank(node))), True)


@operator("MaxPool")
def _max_pool(writer: GraphWriter, node: ir.Node) -> fx.Node:
    if len(node.outputs) > 1 and node.outputs[1].uses():
        raise NoTorchFormError("its indices are read")
    window = window_of(node, tuple(node.attributes.get_ints("kernel_shape", [])))
    x, padding = _padded(writer, node, window, _LOWEST)
    numbers = (_plain(window.kernel), _plain(window.strides), padding, _plain(window.dilations))
    return writer.layer(node, _MAXIMUM[len(window.kernel) - 1](*numbers, ceil_mode=_rounds_up(node)), x)


@operator("AveragePool")
def _average_pool(writer: GraphWriter, node: ir.Node) -> fx.Node:
    window = window_of(node, tuple(node.attributes.get_ints("kernel_shape", [])))
    counts_padding = bool(node.attributes.get_int("count_include_pad", 0))
    if set(window.dilations) != {1}:
        raise NoTorchFormError("its window has gaps")
    if not _torch_pads(window):
        if not counts_padding:
            raise NoTorchFormError("it pads one side more than the other and leaves padding out of the mean")
        if _rounds_up(node):
            raise NoTorchFormError("it pads one side more than the other and rounds its extents up")
    x, padding = _padded(writer, node, window, 0.0)
    module = _AVERAGE[len(window.kernel) - 1](
        *(_plain(window.kernel), _plain(window.strides), padding),
        ceil_mode=_rounds_up(node),
        count_include_pad=counts_padding,
    )
    return writer.layer(node, module, x)


def _padded(
    writer: GraphWriter, node: ir.Node, window: Window, filling: float
) -> tuple[fx.Node, int | tuple[int, ...]]:
    """The input, padded where the layer itself cannot, and the padding that is left to the layer."""
    x = writer.input(node)
    if _torch_pads(window):
        return x, _plain(window.before)
    return writer.call(functional.pad, x, window.torch_pad, "constant", filling), 0


def _torch_pads(window: Window) -> bool:
    """Whether torch's pooling takes the padding: alike on both sides, at most half of the window."""
    return window.symmetric and all(pad <= size // 2 for pad, size in zip(window.before, window.kernel, strict=True))


def _plain(numbers: tuple[int, ...]) -> int | tuple[int, ...]:
    """One number where all are equal: Brevitas' quantised pooling takes nothing else."""
    return numbers[0] if len(set(numbers)) == 1 else numbers


def _rounds_up(node: ir.Node) -> bool:
    return bool(node.attributes.get_int("ceil_mode", 0))


def _sum_of_squares(x: Tensor, axes: list[int], keep: bool) -> Tensor:
    return torch.sum(x * x, axes, keep)


def _product(x: Tensor, axes: list[int], keep: bool) -> Tensor:
    for axis in sorted((axis % x.dim() for axis in axes), reverse=True):
        x = torch.prod(x, axis, keep)
    return x


def _euclidean(x: Tensor, axes: list[int], keep: bool) -> Tensor:
    return torch.linalg.vector_norm(x, 2, axes, keep)


def _absolute(x: Tensor, axes: list[int], keep: bool) -> Tensor:
    return torch.linalg.vector_norm(x, 1, axes, keep)


_REDUCTIONS: dict[str, Callable[..., Tensor]] = {
    "ReduceMean": torch.mean,
    "ReduceSum": torch.sum,
    "ReduceMax": torch.amax,
    "ReduceMin": torch.amin,
    "ReduceProd": _product,
    "ReduceL2": _euclidean,
    "ReduceL1": _absolute,
    "ReduceSumSquare": _sum_of_squares,
    "ReduceLogSumExp": torch.logsumexp,
}


def _reduction(function: Callable[..., Tensor], writer: GraphWriter, node: ir.Node) -> fx.Node:
    axes = writer.integers(node, 1, "axes")
    if not axes:
        if node.attributes.get_int("noop_with_empty_axes", 0):
            return writer.input(node)
        axes = list(range(writer.rank(node)))
    keep = bool(node.attributes.get_int("keepdims", 1))
    rank = len(node.inputs[0].shape) if node.inputs[0] is not None and node.inputs[0].shape is not None else 0
    if function is torch.mean and rank == 4 and sorted(axis % rank for axis in axes) == [2, 3]:
        pooled = writer.layer(node, nn.AdaptiveAvgPool2d(1), writer.input(node))
        return pooled if keep else writer.call(torch.flatten, pooled, 1)
    return writer.call(function, writer.input(node), axes, keep)


OPERATORS.update({name: partial(_reduction, function) for name, function in _REDUCTIONS.items()})


@operator("ArgMax")
def _largest(writer: GraphWriter, node: ir.Node) -> fx.Node:
    return _search(torch.argmax, writer, node)


@operator("ArgMin")
def _smallest(writer: GraphWriter, node: ir.Node) -> fx.Node:
    return _search(torch.argmin, writer, node)


def _search(function: Callable[..., Tensor], writer: GraphWriter, node: ir.Node) -> fx.Node:
    if node.attributes.get_int("select_last_index", 0):
        raise NoTorchFormError("it takes the last of equal elements")
    axis, keep = node.attributes.get_int("axis", 0), bool(node.attributes.get_int("keepdims", 1))
    return writer.call(function, writer.input(node), axis, keep)


@operator("TopK")
def _top(writer: GraphWriter, node: ir.Node) -> list[fx.Node]:
    count = writer.integers(node, 1, "k")
    if count is None:
        raise NoTorchFormError("the number of elements is left out")
    flags = [bool(node.attributes.get_int(name, 1)) for name in ("largest", "sorted")]
    found = writer.call(torch.topk, writer.input(node), count[0], node.attributes.get_int("axis", -1), *flags)
    return [writer.call(_item, found, index) for index in range(2)]


def _item(found: tuple[Tensor, ...], index: int) -> Tensor:
    return found[index]


@operator("CumSum")
def _running_sum(writer: GraphWriter, node: ir.Node) -> fx.Node:
    axis = writer.integers(node, 1)
    if axis is None or node.attributes.get_int("exclusive", 0) != 0 or node.attributes.get_int("reverse", 0) != 0:
        raise NoTorchFormError("it sums backwards or leaves the element itself out")
    return writer.call(torch.cumsum, writer.input(node), axis[0])
