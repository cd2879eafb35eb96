"""Scale, bias and threshold between a binary layer and the sign that alone reads it, as one whole number for a channel.

For sums that are whole numbers and a positive scale a, a · sum + b − t ≥ 0 is sum ≥ ⌈(t − b) / a⌉.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import onnx_ir as ir

from edgec.graph.quantization_qonnx import QONNX_DOMAIN
from edgec.passes.graph_edit import Names, add_constant, constant, graph_of, only_consumer, replace_value


def absorb_thresholds(model: ir.Model, units: Sequence[str]) -> int:
    """Write the layers of these names without scale where only a sign reads them, in place; how many.

    Args:
        model: with the layers as `edgec.graph.binary_form.write_units` wrote them.
        units: names of their nodes.
    """
    names, nodes = Names(model), {str(node.name): node for node in model.graph}
    return sum(_absorb(model, names, nodes[name]) for name in units)


def _absorb(model: ir.Model, names: Names, node: ir.Node) -> bool:
    behind = list(_chain(node))
    scales, adds = ([each for each in behind if each.op_type == op_type] for op_type in ("Mul", "Add"))
    if not scales or behind[-1].op_type != "BipolarQuant":
        return False
    scale = np.asarray(constant(scales[0].inputs[1]), np.float64)
    shift = sum((np.asarray(constant(add.inputs[1]), np.float64) for add in adds), np.zeros_like(scale))
    weights = node.inputs[1]
    extents = () if weights is None or weights.shape is None else weights.shape.numpy()
    most = int(np.prod(extents)) + 1.0
    with np.errstate(divide="ignore", invalid="ignore"):
        least = np.where(scale > 0, np.ceil(-shift / scale), np.where(shift >= 0, -most, most))
    least = np.clip(least, -most, most)
    offset = add_constant(model.graph, names.fresh(f"{node.name}.offset"), (-least).astype(np.float32))
    product, reader = node.outputs[0], only_consumer(node.outputs[0])
    added = ir.node("Add", [product, offset], name=names.fresh(f"{node.name}/offset"))
    result = added.outputs[0]
    result.name, result.shape, result.type = names.fresh(f"{node.name}.counted"), product.shape, product.type
    graph_of(node).insert_after(node, [added])
    if reader is not None:
        reader.replace_input_with(list(reader.inputs).index(product), result)
    for gone in (*scales, *adds):
        source = gone.inputs[0]
        if source is not None:
            replace_value(gone.outputs[0], source, names)
            graph_of(gone).remove(gone, safe=True)
    return True


def _chain(node: ir.Node) -> Iterator[ir.Node]:
    """The nodes behind a layer up to the sign, as long as each has one reader and keeps the order of numbers."""
    reader = only_consumer(node.outputs[0])
    while reader is not None:
        if (reader.domain, reader.op_type) == (QONNX_DOMAIN, "BipolarQuant"):
            yield reader
            return
        pools = reader.op_type == "MaxPool" and len(reader.outputs) == 1
        if reader.domain != "" or not (pools or (reader.op_type in ("Mul", "Add") and _is_affine(reader))):
            return
        yield reader
        reader = only_consumer(reader.outputs[0])


def _is_affine(node: ir.Node) -> bool:
    """Whether a node has constants behind its first input, as `write_units` writes scale, bias and threshold."""
    return constant(node.inputs[0]) is None and constant(node.inputs[1]) is not None
