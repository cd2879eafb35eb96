"""Each ONNX node as layers of hls4ml; ranges, scales and what is supported at all come from `backends.rtl`."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from edgec.backends.hls4ml.builder import LayerBuilder, channels_last
from edgec.backends.hls4ml.fixed_point import FixedType, type_of
from edgec.backends.hls4ml.network import Constants, HlsLayer, Setting
from edgec.backends.rtl.integer_graph import Interval
from edgec.backends.rtl.layers import integer_weights, padding
from edgec.backends.rtl.quantisers import attribute_int
from edgec.backends.rtl.wires import UnsupportedError


def dense(builder: LayerBuilder, node: ir.Node) -> None:
    """MatMul and Gemm."""
    source = builder.layer(node.inputs[0])
    weights, scale = _weights(builder, node.inputs[1])
    if attribute_int(node, "transB", 0):
        weights, scale = weights.T, scale.T
    terms, channels = weights.shape
    if terms != len(source.order):
        raise UnsupportedError("it multiplies several vectors by its weights", "give one vector an inference")
    # Rows follow the elements as they lie in the hardware, channels last.
    constants = {"weight": _constants(weights[source.order], np.broadcast_to(scale, weights.shape))}
    constants["bias"] = _bias(builder, node, channels)
    settings: dict[str, Setting] = {"n_in": terms, "n_out": channels}
    given = _as_vector(builder, node, source)
    builder.add(
        "Dense",
        node,
        (given,),
        (channels,),
        np.arange(channels),
        settings,
        constants=constants,
        macs=terms * channels,
    )


def convolution(builder: LayerBuilder, node: ir.Node) -> None:
    """Conv in one or two dimensions, of one group or of one a channel."""
    source = _picture(builder, node)
    weights, scale = _weights(builder, node.inputs[1])
    if weights.ndim == 3:
        weights, scale = weights[:, :, None], scale[:, :, None]
    filters, inner = weights.shape[:2]
    groups = attribute_int(node, "group", 1)
    by_channel = groups > 1
    if by_channel and (inner, filters) != (1, source.shape[2]):
        raise UnsupportedError(f"it has {groups} groups", "use one group, or one for each channel")
    layout = (2, 3, 1, 0) if not by_channel else (2, 3, 0, 1)
    spread = np.broadcast_to(scale, weights.shape).transpose(layout)
    constants = {"depthwise" if by_channel else "weight": _constants(weights.transpose(layout), spread)}
    constants["bias"] = _bias(builder, node, filters)
    shape, order = channels_last(builder.wire(node.outputs[0]).shape)
    settings = _window_settings(node, source, shape, weights.shape[2:], "filt")
    settings |= {"n_chan": source.shape[2], "n_filt": filters}
    if by_channel:
        settings["depth_multiplier"] = 1
    kind = "DepthwiseConv2D" if by_channel else "Conv2D"
    macs = weights.size * shape[0] * shape[1]
    builder.add(kind, node, (source,), shape, order, settings, constants=constants, macs=macs)


def average_pool(builder: LayerBuilder, node: ir.Node) -> None:
    """AveragePool and GlobalAveragePool, as a convolution of each channel: that keeps every bit of the mean."""
    source = _picture(builder, node)
    extents = builder.wire(node.inputs[0]).shape[2:]
    window = tuple(node.attributes["kernel_shape"].as_ints()) if "kernel_shape" in node.attributes else extents
    height, width = window if len(window) == 2 else (1, window[0])
    ones = np.ones((height, width, source.shape[2], 1), np.int64)
    constants = {"depthwise": _constants(ones, np.full(ones.shape, 1.0 / (height * width)))}
    constants["bias"] = _zeros(source.shape[2])
    shape, order = channels_last(builder.wire(node.outputs[0]).shape)
    settings = _window_settings(node, source, shape, window, "filt")
    settings |= {"n_chan": source.shape[2], "n_filt": source.shape[2], "depth_multiplier": 1}
    macs = ones.size * shape[0] * shape[1]
    builder.add("DepthwiseConv2D", node, (source,), shape, order, settings, constants=constants, macs=macs)


def max_pool(builder: LayerBuilder, node: ir.Node) -> None:
    """MaxPool without a border that hangs over."""
    source = _picture(builder, node)
    window = tuple(node.attributes["kernel_shape"].as_ints())
    shape, order = channels_last(builder.wire(node.outputs[0]).shape)
    settings = _window_settings(node, source, shape, window, "pool")
    sides = [settings[f"pad_{side}"] for side in ("top", "left", "bottom", "right")]
    if any(sides) and builder.type(node.inputs[0]).signed:  # type: ignore[arg-type]
        raise UnsupportedError(
            "hls4ml pads a maximum with zeros, and its input may be negative", "pool without padding, or after a ReLU"
        )
    settings |= {"n_filt": source.shape[2], "pool_op": "Max", "count_pad": False}
    builder.add("MaxPooling2D", node, (source,), shape, order, settings)


def add(builder: LayerBuilder, node: ir.Node) -> None:
    """Add of two values, or of a bias to the product before it."""
    left, right = node.inputs
    constant = builder.constant(right) or builder.constant(left)
    if constant is None:
        layers = (builder.layer(left), builder.layer(right))
        if (layers[0].order != layers[1].order).any():
            raise UnsupportedError("its operands lie in the hardware in different orders", "add them before reshaping")
        builder.add("Merge", node, layers, layers[0].shape, layers[0].order, {"op": "add"})
        return
    value = right if builder.constant(left) is not None else left
    product = builder.layer(value)
    if (
        product.value != str(value.name if value else None)
        or product.quantised
        or value is None
        or len(tuple(value.uses())) > 1
    ):
        raise UnsupportedError("it adds a constant to what others read too", "add biases right after the product")
    channels = product.constants["bias"].values.size
    real = np.broadcast_to(constant.real.astype(np.float64).ravel(), (channels,))
    exact = builder.type(node.outputs[0])
    constants = {**product.constants, "bias": _on_grid(real)}
    builder.change(product, node.outputs[0], constants=constants, result=exact, accumulator=exact)


def movement(builder: LayerBuilder, node: ir.Node) -> None:
    """Operators that put elements into another order: only their meaning changes, unless a picture becomes of them."""
    source = builder.layer(node.inputs[0])
    given, made = builder.wire(node.inputs[0]), builder.wire(node.outputs[0])
    after = np.arange(given.size).reshape(given.shape)
    if node.op_type == "Transpose":
        permutation = node.attributes["perm"].as_ints() if "perm" in node.attributes else None
        after = after.transpose(permutation)
    where = np.empty(given.size, np.int64)
    where[after.ravel()] = np.arange(given.size)
    order = where[source.order]
    shape, wanted = channels_last(made.shape)
    if len(shape) == 3 and (order != wanted).any():
        raise UnsupportedError("it makes another picture of the elements", "keep channels and places as they are")
    builder.add("Reshape", node, (source,), shape, order, {"target_shape": list(shape)}, result=source.result)


def relu(builder: LayerBuilder, node: ir.Node) -> None:
    """Relu."""
    source = builder.layer(node.inputs[0])
    builder.add("Activation", node, (source,), source.shape, source.order, _activation("relu", source))


def sign(builder: LayerBuilder, node: ir.Node) -> None:
    """BipolarQuant of a value."""
    source = builder.layer(node.inputs[0])
    two_bits = FixedType(2, 2, True)
    settings = _activation("binary_tanh", source)
    builder.add("Activation", node, (source,), source.shape, source.order, settings, result=two_bits, quantised=True)


def _activation(function: str, source: HlsLayer) -> dict[str, Setting]:
    return {"activation": function, "n_in": len(source.order)}


def _as_vector(builder: LayerBuilder, node: ir.Node, source: HlsLayer) -> HlsLayer:
    if len(source.shape) == 1:
        return source
    raise UnsupportedError("it multiplies a picture by a matrix", "flatten before it")


def _picture(builder: LayerBuilder, node: ir.Node) -> HlsLayer:
    source = builder.layer(node.inputs[0])
    if len(source.shape) != 3:
        raise UnsupportedError("its input is no picture", "give it the shape [1, C, H, W] or [1, C, W]")
    return source


def _weights(builder: LayerBuilder, value: ir.Value | None) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    known = builder.constant(value)
    if known is None:
        raise UnsupportedError("it multiplies two values", "multiply by constant weights")
    return integer_weights(known)


def _constants(integers: NDArray[np.int64], scale: NDArray[np.float64]) -> Constants:
    flat = integers.ravel()
    return Constants(integers * scale, type_of(Interval(flat, flat), np.ravel(scale)))


def _bias(builder: LayerBuilder, node: ir.Node, channels: int) -> Constants:
    known = builder.constant(node.inputs[2]) if len(node.inputs) > 2 else None
    if known is None:
        return _zeros(channels)
    return _on_grid(np.broadcast_to(known.real.astype(np.float64).ravel(), (channels,)))


def _zeros(channels: int) -> Constants:
    return Constants(np.zeros(channels), FixedType(1, 1, False))


def _on_grid(real: NDArray[np.float64]) -> Constants:
    """Real numbers with the type of the finest bit that one of them has."""
    bits = 0
    while (real * 2.0**bits != np.rint(real * 2.0**bits)).any():
        bits += 1
    return _constants(np.rint(real * 2.0**bits).astype(np.int64), np.full(real.shape, 2.0**-bits))


def _window_settings(
    node: ir.Node, source: HlsLayer, shape: tuple[int, ...], window: tuple[int, ...], prefix: str
) -> dict[str, Setting]:
    """Extents, strides and padding in hls4ml's names."""
    flat = len(window) == 1
    rank = len(window) if flat or "kernel_shape" in node.attributes else 2
    height, width = (1, *window) if flat else window
    strides = list(node.attributes["strides"].as_ints()) if "strides" in node.attributes else [1] * rank
    dilations = list(node.attributes["dilations"].as_ints()) if "dilations" in node.attributes else [1] * rank
    if any(step != 1 for step in dilations):
        raise UnsupportedError("its windows are dilated", "use a window without gaps")
    pads = padding(node, rank)
    if rank == 1:
        strides, pads = [1, *strides], [0, pads[0], 0, pads[1]]
    # ONNX leaves out what a last stride does not reach; hls4ml wants the padding that is used.
    last = [
        max(0, (shape[axis] - 1) * strides[axis] + (height, width)[axis] - source.shape[axis] - pads[axis])
        for axis in (0, 1)
    ]
    return {
        "data_format": "channels_last",
        "in_height": source.shape[0],
        "in_width": source.shape[1],
        "out_height": shape[0],
        "out_width": shape[1],
        f"{prefix}_height": height,
        f"{prefix}_width": width,
        "stride_height": strides[0],
        "stride_width": strides[1],
        "dilation_height": 1,
        "dilation_width": 1,
        "pad_top": pads[0],
        "pad_left": pads[1],
        "pad_bottom": last[0],
        "pad_right": last[1],
        "padding": "same" if any((*pads[:2], *last)) else "valid",
    }
