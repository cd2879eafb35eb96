"""Operators on pictures: padding, resizing, moving channels to pixels and back."""

from __future__ import annotations

from typing import TypedDict

import onnx_ir as ir
import torch
from brevitas.backport import fx
from torch import Tensor
from torch.nn import functional

from edgec.training.graph_writer import GraphWriter, NoTorchFormError
from edgec.training.operators.padding import torch_order
from edgec.training.operators.registry import operator

_PAD_MODES = {"constant": "constant", "reflect": "reflect", "edge": "replicate", "wrap": "circular"}
_LINEAR = {3: "linear", 4: "bilinear", 5: "trilinear"}


@operator("Pad")
def _pad(writer: GraphWriter, node: ir.Node) -> fx.Node:
    pads, axes = writer.integers(node, 1, "pads") or [], writer.integers(node, 3)
    mode = node.attributes.get_string("mode", "constant")
    rank = writer.rank(node)
    before, after = [0] * rank, [0] * rank
    for position, axis in enumerate(axes if axes is not None else range(rank)):
        before[axis], after[axis] = pads[position], pads[position + len(pads) // 2]
    amounts = torch_order(tuple(before), tuple(after))
    if mode != "constant" and len(amounts) > 2 * max(rank - 2, 1):
        raise NoTorchFormError(f"it pads more axes than torch does in the mode {mode}")
    if mode != "constant":
        return writer.call(functional.pad, writer.input(node), amounts, _PAD_MODES[mode])
    value = writer.constant(node, 2)
    number = node.attributes.get_float("value", 0.0) if value is None else value.reshape(()).item()
    return writer.call(functional.pad, writer.input(node), amounts, "constant", number)


@operator("DepthToSpace")
def _depth_to_space(writer: GraphWriter, node: ir.Node) -> fx.Node:
    size = node.attributes.get_int("blocksize", 1)
    if node.attributes.get_string("mode", "DCR") == "CRD":
        return writer.call(functional.pixel_shuffle, writer.input(node), size)
    return writer.call(_depth_first, writer.input(node), size)


def _depth_first(x: Tensor, size: int) -> Tensor:
    batch, depth, height, width = x.shape
    blocks = x.reshape(batch, size, size, depth // size**2, height, width).permute(0, 3, 4, 1, 5, 2)
    return blocks.reshape(batch, depth // size**2, height * size, width * size)


@operator("SpaceToDepth")
def _space_to_depth(writer: GraphWriter, node: ir.Node) -> fx.Node:
    return writer.call(_blocks, writer.input(node), node.attributes.get_int("blocksize", 1))


def _blocks(x: Tensor, size: int) -> Tensor:
    batch, depth, height, width = x.shape
    blocks = x.reshape(batch, depth, height // size, size, width // size, size).permute(0, 3, 5, 1, 2, 4)
    return blocks.reshape(batch, depth * size**2, height // size, width // size)


class _Extent(TypedDict, total=False):
    """The wanted extents as `torch.nn.functional.interpolate` takes them."""

    size: list[int]
    scale_factor: list[float]
    recompute_scale_factor: bool


@operator("Resize", "Upsample")
def _resize(writer: GraphWriter, node: ir.Node) -> fx.Node:
    rank, mode = writer.rank(node), node.attributes.get_string("mode", "nearest")
    wanted, factors = _wanted(writer, node)
    old = node.op_type == "Upsample" or writer.opset < 11
    place = "asymmetric" if old else node.attributes.get_string("coordinate_transformation_mode", "half_pixel")
    if mode == "nearest":
        rounding = "floor" if old else node.attributes.get_string("nearest_mode", "round_prefer_floor")
        enlarges = bool(factors) and all(factor >= 1 and factor == int(factor) for factor in factors)
        if (place, rounding) != ("asymmetric", "floor") and not (enlarges and place in {"half_pixel", "asymmetric"}):
            raise NoTorchFormError(f"it takes the nearest element by {place}, {rounding}")
        if enlarges and place == "asymmetric" and rounding != "floor":
            raise NoTorchFormError(f"it takes the nearest element by {place}, {rounding}")
        return writer.call(functional.interpolate, writer.input(node), mode="nearest", **wanted)
    if place not in {"half_pixel", "pytorch_half_pixel", "align_corners"}:
        raise NoTorchFormError(f"it interpolates by {place}")
    if mode == "cubic" and node.attributes.get_float("cubic_coeff_a", -0.75) != -0.75:
        raise NoTorchFormError("its cubic coefficient is not -0.75")
    name = "bicubic" if mode == "cubic" else _LINEAR[rank]
    corners = place == "align_corners"
    return writer.call(functional.interpolate, writer.input(node), mode=name, align_corners=corners, **wanted)


def _wanted(writer: GraphWriter, node: ir.Node) -> tuple[_Extent, list[float]]:
    """Extents of the result, and the factor of each spatial axis (empty where not known)."""
    scales = writer.constant(node, 1 if node.op_type == "Upsample" or writer.opset < 11 else 2)
    sizes = writer.constant(node, 3)
    source = node.inputs[0].shape if node.inputs[0] is not None else None
    if sizes is not None and sizes.size:
        extents = [int(extent) for extent in sizes]
        known = [extent for extent in source if isinstance(extent, int)] if source is not None else []
        if len(extents) != writer.rank(node):
            raise NoTorchFormError("it resizes some axes only")
        factors = [new / old for new, old in zip(extents[2:], known[-len(extents[2:]) :], strict=False)]
        return {"size": extents[2:]}, factors
    if scales is None or len(scales) != writer.rank(node) or not (scales[:2] == 1).all():
        raise NoTorchFormError("its scales are computed at run time, or leave axes out")
    factors = [float(factor) for factor in scales[2:]]
    return {"scale_factor": factors, "recompute_scale_factor": False}, factors


@operator("GridSample")
def _grid_sample(writer: GraphWriter, node: ir.Node) -> fx.Node:
    mode = node.attributes.get_string("mode", "bilinear").replace("linear", "bilinear").replace("bibi", "bi")
    padding = node.attributes.get_string("padding_mode", "zeros")
    corners = bool(node.attributes.get_int("align_corners", 0))
    arguments = (writer.input(node), writer.input(node, 1))
    return writer.call(
        torch.nn.functional.grid_sample, *arguments, mode=mode, padding_mode=padding, align_corners=corners
    )
