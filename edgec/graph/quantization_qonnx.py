"""The nodes of QONNX (Pappalardo et al., QONNX: Representing Arbitrary-Precision Quantized Neural Networks, 2022).

Their meaning is attached as function bodies, so that ONNX Runtime and every other ONNX tool can run them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import onnx_ir as ir

from edgec.graph.quantization import Quantizer

QONNX_DOMAIN = "qonnx.custom_op.general"
_FUNCTION_OPSET = 13

Constant = Callable[[str, np.ndarray], ir.Value]
"""Registers a constant under a name like the given one."""


def quant_node(value: ir.Value, quantizer: Quantizer, constant: Constant, prefix: str, *, rank: int) -> ir.Node:
    """`Quant`, or `BipolarQuant` for one signed bit; scales along an axis are shaped to broadcast to `rank` axes."""
    shape: tuple[int, ...] = ()
    if quantizer.axis is not None:
        shape = tuple(-1 if axis == quantizer.axis % rank else 1 for axis in range(rank))
    scale = constant(f"{prefix}.scale", quantizer.scale.reshape(shape))
    if quantizer.bipolar:
        return _node("BipolarQuant", [value, scale], {}, prefix)
    zero_point = constant(f"{prefix}.zero_point", quantizer.zero_point.astype(np.float32).reshape(shape))
    bits = constant(f"{prefix}.bits", np.array(quantizer.bits, np.float32))
    attributes: dict[str, int | str] = {
        "signed": int(quantizer.signed),
        "narrow": int(quantizer.narrow),
        "rounding_mode": "ROUND",
    }
    return _node("Quant", [value, scale, zero_point, bits], attributes, prefix)


def add_functions(model: ir.Model) -> None:
    """Attach the bodies of `Quant` and `BipolarQuant`, and import their domain.

    The bodies take the model's opset, so that they can be inlined; what they use is the same in all since 13.
    """
    model.opset_imports[QONNX_DOMAIN] = 1
    model.ir_version = max(model.ir_version or 0, 8)
    for function in (_quant(), _bipolar_quant()):
        function.graph.opset_imports[""] = max(_FUNCTION_OPSET, model.opset_imports.get("", _FUNCTION_OPSET))
        model.functions[function.identifier()] = function


def add_missing_functions(model: ir.Model) -> None:
    """Attach the bodies where the model calls them without: Brevitas and QONNX's own tools leave them out.

    Models with another rounding than to the nearest even stay as they are, because the body does not say it.
    """
    calls = [node for node in model.graph if node.domain == QONNX_DOMAIN]
    modes = {node.attributes.get_string("rounding_mode", "ROUND") for node in calls}
    names = {node.op_type for node in calls}
    known = {function.name for function in model.functions.values() if function.domain == QONNX_DOMAIN}
    if names and not known and names <= {"Quant", "BipolarQuant"} and modes <= {"ROUND"}:
        add_functions(model)


def _node(op_type: str, inputs: Sequence[ir.Value], attributes: dict[str, int | str], prefix: str) -> ir.Node:
    return ir.node(op_type, list(inputs), attributes, domain=QONNX_DOMAIN, name=f"{prefix}/{op_type}")


class _Body:
    """Collects the nodes of a function."""

    def __init__(self, inputs: Sequence[str]) -> None:
        self.inputs = [ir.Value(name=name) for name in inputs]
        self.nodes: list[ir.Node] = []

    def one(self, op_type: str, *inputs: ir.Value, attributes: Sequence[ir.Attr] = ()) -> ir.Value:
        node = ir.Node("", op_type, list(inputs), attributes, name=f"{op_type}_{len(self.nodes)}")
        node.outputs[0].name = f"v{len(self.nodes)}"
        self.nodes.append(node)
        return node.outputs[0]

    def number(self, value: float) -> ir.Value:
        return self.one("Constant", attributes=[ir.AttrFloat32("value_float", value)])

    def flag(self, attribute: str) -> ir.Value:
        """An integer attribute of the node as 0.0 or 1.0."""
        reference = ir.RefAttr("value_int", attribute, ir.AttributeType.INT)
        whole = self.one("Constant", attributes=[reference])
        return self.one("Cast", whole, attributes=[ir.AttrInt64("to", int(ir.DataType.FLOAT))])

    def function(self, name: str, output: ir.Value, attributes: Sequence[ir.Attr]) -> ir.Function:
        graph = ir.Graph(self.inputs, [output], nodes=self.nodes, opset_imports={"": _FUNCTION_OPSET})
        return ir.Function(QONNX_DOMAIN, name, graph=graph, attributes=list(attributes))


def _quant() -> ir.Function:
    """(clip(round(x / scale + zero), low, high) − zero) · scale + 0, so that no result is −0, which integers lack.

    low = signed · (narrow − 2^(bits − 1)); high = 2^(bits − signed) − 1 − (1 − signed) · narrow.
    """
    body = _Body(("x", "scale", "zero", "bits"))
    x, scale, zero, bits = body.inputs
    signed, narrow, one, two = body.flag("signed"), body.flag("narrow"), body.number(1.0), body.number(2.0)
    half = body.one("Pow", two, body.one("Sub", bits, one))
    low = body.one("Mul", signed, body.one("Sub", narrow, half))
    whole = body.one("Pow", two, body.one("Sub", bits, signed))
    unsigned_narrow = body.one("Mul", body.one("Sub", one, signed), narrow)
    high = body.one("Sub", body.one("Sub", whole, one), unsigned_narrow)
    steps = body.one("Round", body.one("Add", body.one("Div", x, scale), zero))
    clipped = body.one("Min", body.one("Max", steps, low), high)
    result = body.one("Add", body.one("Mul", body.one("Sub", clipped, zero), scale), body.number(0.0))
    attributes = [
        ir.AttrInt64("signed", 1),
        ir.AttrInt64("narrow", 0),
        ir.AttrString("rounding_mode", "ROUND"),
    ]
    return body.function("Quant", result, attributes)


def _bipolar_quant() -> ir.Function:
    """The scale with the sign of x; that of 0 is positive."""
    body = _Body(("x", "scale"))
    x, scale = body.inputs
    negative = body.one("Less", x, body.number(0.0))
    result = body.one("Where", negative, body.one("Neg", scale), scale)
    return body.function("BipolarQuant", result, ())
