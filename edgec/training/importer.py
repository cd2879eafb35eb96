"""ONNX to a trainable network: an FX graph of ordinary torch layers that computes the same."""

from __future__ import annotations

from dataclasses import dataclass

import onnx_ir as ir
from brevitas.backport import fx

from edgec.core.codes.training import NOT_TRAINABLE
from edgec.core.errors import EdgecError
from edgec.training.graph_writer import GraphWriter, NoTorchFormError, Weight
from edgec.training.operators import elementwise, layers, pictures, pooling, recurrent, shaping  # noqa: F401
from edgec.training.operators.registry import OPERATORS

_SPLIT_OPS = ("Attention", "RotaryEmbedding")
_SPLIT = "; the pass `lower-functions` before this one makes operators of it that have one"


@dataclass(frozen=True, eq=False)
class TrainableNetwork:
    """A model and its form in torch.

    Attributes:
        model: the ONNX model, which stays the source of truth; `write_back` brings trained weights into it.
        module: takes the model's inputs in their order, returns its output, or a tuple of several. In eval mode.
        weights: which parameter stands for which initializer.
    """

    model: ir.Model
    module: fx.GraphModule
    weights: tuple[Weight, ...]


def import_network(model: ir.Model) -> TrainableNetwork:
    """Import a model, which is not changed.

    Weights of layers and tables of embeddings become parameters; other constants (masks, grids, shapes) stay as they
    are. An initializer that several layers read becomes one parameter for each of them.

    Args:
        model: with shapes; best after the passes of the default recipe.

    Raises:
        EdgecError: EC1001 with every node that has no form in torch.
    """
    writer = GraphWriter(model)
    for value in model.graph.inputs:
        if value.name not in model.graph.initializers:
            writer.placeholder(value)
    problems = [problem for node in model.graph if (problem := _write(writer, node))]
    if problems:
        raise EdgecError(
            NOT_TRAINABLE,
            f"{len(problems)} of {len(list(model.graph))} nodes cannot be trained",
            where=problems[0].partition(":")[0],
            hint=NOT_TRAINABLE.remedy,
            details=tuple(problems),
        )
    outputs = [writer.read(value) for value in model.graph.outputs]
    writer.graph.output(outputs[0] if len(outputs) == 1 else tuple(outputs))
    module = fx.GraphModule(writer.root, writer.graph)
    module.graph.eliminate_dead_code()
    module.graph.lint()
    module.recompile()
    module.delete_all_unused_submodules()
    kept = dict(module.named_parameters()) | dict(module.named_buffers())
    return TrainableNetwork(model, module.eval(), tuple(weight for weight in writer.weights if weight.path in kept))


def _write(writer: GraphWriter, node: ir.Node) -> str:
    """Write a node; what stands in the way, or nothing."""
    if node.op_type == "Constant" and node.domain == "":
        return ""
    if all(writer.is_written(output) for output in node.outputs):
        return ""
    function = OPERATORS.get(node.op_type) if node.domain in {"", "ai.onnx"} else None
    problem = ""
    try:
        if function is None:
            raise NoTorchFormError(f"this operator has no form in torch{_SPLIT if node.op_type in _SPLIT_OPS else ''}")
        written = function(writer, node)
        parts: list[fx.Node] = written if isinstance(written, list) else [written]
        for output, part in zip(node.outputs, parts, strict=False):
            writer.store(output, part)
    except NoTorchFormError as error:
        problem = f"{node.name or node.outputs[0].name} ({node.op_type}): {error.reason}"
        # A stand-in for its outputs, so that the nodes behind it are looked at too.
        for output in node.outputs:
            writer.store(output, writer.graph.placeholder(f"missing_{id(output)}"))
    return problem
