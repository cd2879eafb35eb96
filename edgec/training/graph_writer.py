"""Writes the FX graph of a network, node by node, and keeps which parameter holds which initializer."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import onnx_ir as ir
import torch
from brevitas.backport import fx
from torch import Tensor, nn


class NoTorchFormError(Exception):
    """A node that cannot be imported.

    Args:
        reason: what stands in the way, for the error that lists all such nodes.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass(frozen=True, eq=False)
class Weight:
    """A parameter of the torch module and the places of the ONNX graph that it stands for.

    Attributes:
        path: its name in `module.named_parameters()`.
        initializer: name of the initializer that it was read from; the wanted name of a new one if there was none.
        uses: nodes with the index of the input that reads it.
        transposed: whether the parameter is the transpose of the initializer (dense layers written as MatMul).
    """

    path: str
    initializer: str
    uses: tuple[tuple[ir.Node, int], ...]
    transposed: bool = False


class GraphWriter:
    """The FX graph and module tree under construction.

    Attributes:
        batch: the fixed first extent of the model's first input; None if it is open.
        opset: version of the standard operators.
    """

    def __init__(self, model: ir.Model) -> None:
        self.root = nn.Module()
        self.graph = fx.Graph()
        self.weights: list[Weight] = []
        self.opset = model.opset_imports.get("", 1)
        shape = model.graph.inputs[0].shape if model.graph.inputs else None
        first = shape[0] if shape is not None and len(shape) else None
        self.batch = first if isinstance(first, int) else None
        self._values: dict[ir.Value, fx.Node] = {}
        self._count = 0

    # Reading the ONNX node.

    def constant(self, node: ir.Node, index: int) -> np.ndarray | None:
        """The contents of an input if they are known; None for others and absent inputs."""
        value = node.inputs[index] if index < len(node.inputs) else None
        return None if value is None else constant_of(value)

    def weight(self, node: ir.Node, index: int) -> np.ndarray:
        """The contents of an input that must be a constant.

        Raises:
            NoTorchFormError: it is computed at run time.
        """
        contents = self.constant(node, index)
        if contents is None:
            raise NoTorchFormError("its weights are computed at run time")
        return contents

    def integers(self, node: ir.Node, index: int, attribute: str = "") -> list[int] | None:
        """A list of integers from an attribute (older opsets) or a constant input; None if it is left out.

        Raises:
            NoTorchFormError: the input is computed at run time.
        """
        if attribute in node.attributes:
            return [int(number) for number in node.attributes[attribute].as_ints()]
        if not self.has(node, index):
            return None
        contents = self.constant(node, index)
        if contents is None:
            raise NoTorchFormError(f"its input {index} is computed at run time")
        return [int(number) for number in np.atleast_1d(contents)]

    @staticmethod
    def has(node: ir.Node, index: int) -> bool:
        """Whether an optional input is given."""
        return index < len(node.inputs) and node.inputs[index] is not None

    @staticmethod
    def rank(node: ir.Node, index: int = 0) -> int:
        """The number of axes of an input.

        Raises:
            NoTorchFormError: it is not known.
        """
        value = node.inputs[index]
        if value is None or value.shape is None:
            raise NoTorchFormError("the number of axes of its input is not known")
        return len(value.shape)

    # Writing the FX graph.

    def input(self, node: ir.Node, index: int = 0) -> fx.Node:
        """The FX node of an input; constants become buffers.

        Raises:
            NoTorchFormError: the input is left out.
        """
        value = node.inputs[index] if index < len(node.inputs) else None
        if value is None:
            raise NoTorchFormError(f"its input {index} is left out")
        return self.read(value)

    def read(self, value: ir.Value) -> fx.Node:
        """The FX node of a value; a constant becomes a buffer when it is first read.

        Raises:
            NoTorchFormError: nothing of this graph makes the value.
        """
        if value not in self._values:
            contents = constant_of(value)
            if contents is None:
                raise NoTorchFormError(f"the value {value.name} comes from outside the graph")
            name = self._free(str(value.name))
            self.root.register_buffer(name, torch.from_numpy(np.array(contents)))
            self._values[value] = self.graph.get_attr(name)
        return self._values[value]

    def trained(self, node: ir.Node, index: int) -> fx.Node:
        """The FX node of a constant that is trained as it is, such as the table of an embedding."""
        name = self._free(str(node.inputs[index].name))  # type: ignore[union-attr]
        self.root.register_parameter(name, nn.Parameter(torch.from_numpy(np.array(self.weight(node, index)))))
        self.weights.append(Weight(name, str(node.inputs[index].name), ((node, index),)))  # type: ignore[union-attr]
        return self.graph.get_attr(name)

    def is_written(self, value: ir.Value) -> bool:
        """Whether the value has its FX node already."""
        return value in self._values

    def store(self, value: ir.Value, written: fx.Node) -> None:
        """Record the FX node that computes a value; it is known by the name of the first, a dense layer by its Add."""
        written.meta.setdefault("onnx_value", value.name)
        self._values[value] = written

    def placeholder(self, value: ir.Value) -> None:
        """Declare an input of the network."""
        self.store(value, self.graph.placeholder(self._free(str(value.name))))

    def call(self, function: Callable[..., object], *arguments: object, **options: object) -> fx.Node:
        """Call a function of torch or of this room."""
        return self.graph.call_function(function, arguments, options)

    def method(self, name: str, *arguments: object) -> fx.Node:
        """Call a method of the first argument."""
        return self.graph.call_method(name, arguments)

    def layer(self, node: ir.Node, module: nn.Module, *arguments: fx.Node) -> fx.Node:
        """Call a module without weights, named as the node."""
        name = self._free(str(node.name or node.op_type))
        self.root.add_module(name, module)
        return self.graph.call_module(name, arguments)

    def weighted_layer(
        self,
        node: ir.Node,
        module: nn.Module,
        parameters: Sequence[tuple[str, tuple[ir.Node, int]]],
        *arguments: fx.Node,
        transposed: bool = False,
    ) -> fx.Node:
        """Call a module whose parameters stand for inputs of nodes.

        Args:
            node: the ONNX node, whose name the module gets.
            module: holds the contents of the initializers already.
            parameters: names of parameters of the module, with the node and input that each stands for.
            arguments: inputs of the module.
            transposed: whether the matrices among the parameters are transposed.
        """
        called = self.layer(node, module, *arguments)
        called.meta["onnx_node"] = node.name
        for name, (reader, index) in parameters:
            value = reader.inputs[index]
            turned = transposed and getattr(module, name).ndim == 2
            path = f"{called.target}.{name}"
            self.weights.append(Weight(path, str(value.name), ((reader, index),), turned))  # type: ignore[union-attr]
        return called

    def _free(self, wanted: str) -> str:
        """An attribute name of the root close to the wanted one, not taken yet."""
        stem = "".join(letter if letter.isalnum() and letter.isascii() else "_" for letter in wanted) or "value"
        stem = f"_{stem}" if stem[0].isdigit() else stem
        name = stem
        while hasattr(self.root, name):
            self._count += 1
            name = f"{stem}_{self._count}"
        return name


def constant_of(value: ir.Value) -> np.ndarray | None:
    """The contents of an initializer or of a Constant node, perhaps behind Identity; None for anything else."""
    if value.is_graph_input():
        return None
    producer = value.producer()
    if producer is not None and producer.op_type == "Identity" and producer.inputs[0] is not None:
        return constant_of(producer.inputs[0])
    tensor = ir.convenience.get_const_tensor(value)
    return None if tensor is None else tensor.numpy()


def copy_into(parameter: Tensor, contents: np.ndarray) -> None:
    """Fill a parameter or buffer with the contents of an initializer."""
    with torch.no_grad():
        parameter.copy_(torch.from_numpy(np.array(contents)))
