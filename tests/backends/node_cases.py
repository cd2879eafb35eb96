"""The node cases of the ONNX package, prepared as the exact recipe would: static shapes, constant inputs folded."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir

from edgec.backends.plan import Fallback
from edgec.backends.tvm.core_description import CoreDescription
from edgec.backends.tvm.kernel_graph import KernelGraph
from edgec.backends.tvm.model_lowering import lower_graph, unsupported_nodes
from edgec.core.errors import EdgecError
from edgec.core.passes import Pass, PassContext
from edgec.passes.fold_constants import FoldConstants
from edgec.passes.inline_functions import InlineFunctions
from edgec.passes.lower_functions import LowerFunctions
from edgec.passes.lower_recurrent import LowerRecurrent
from edgec.passes.merge_initializers import MergeInitializers
from edgec.passes.normalise_graph import NormaliseGraph
from edgec.passes.resolve_if import ResolveIf

CORE = CoreDescription(float_lanes=8, vector_registers=16, dot_product="none", l1_data_bytes=32768, l2_bytes=1 << 20)

EXPANDED = ("AffineGrid", "Attention", "NegativeLogLikelihoodLoss", "RotaryEmbedding", "SoftmaxCrossEntropyLoss")
"""Operators that have no lowering of their own, because the standard defines them by others."""


@dataclass
class NodeCase:
    """One case of the ONNX package.

    Attributes:
        name: what the ONNX package calls it.
        model: the model with static shapes.
        inputs: by name; constants are not among them.
        outputs: what the model must give.
        relative, absolute: the tolerance of the ONNX package.
    """

    name: str
    model: onnx.ModelProto
    inputs: dict[str, np.ndarray]
    outputs: list[np.ndarray]
    relative: float
    absolute: float


def load_node_cases(prefixes: Sequence[str] = ("test_",)) -> list[NodeCase]:
    """The cases whose name begins with one of some prefixes."""
    return [case for case in _all_node_cases() if case.name.startswith(tuple(prefixes))]


@cache
def _all_node_cases() -> tuple[NodeCase, ...]:
    from onnx.backend.test.loader import load_model_tests

    cases = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for case in load_model_tests(kind="node"):
            if case.model is None or not case.data_sets:
                continue
            inputs, outputs = case.data_sets[0]
            names = [entry.name for entry in case.model.graph.input]
            if len(names) != len(inputs):
                continue
            feeds = {name: _array(value) for name, value in zip(names, inputs, strict=True)}
            expected = [_array(value) for value in outputs]
            cases.append(NodeCase(case.name, case.model, feeds, expected, case.rtol, case.atol))
    return tuple(cases)


def _array(value: Any) -> Any:
    """An input or output; the package gives some of them as tensors in the ONNX format."""
    return onnx.numpy_helper.to_array(value) if isinstance(value, onnx.TensorProto) else value


def with_constants(case: NodeCase, names: Sequence[str]) -> NodeCase:
    """The case with some of its inputs as constants of the model."""
    model = onnx.ModelProto()
    model.CopyFrom(case.model)
    kept = [entry for entry in model.graph.input if entry.name not in names]
    del model.graph.input[:]
    model.graph.input.extend(kept)
    model.graph.initializer.extend(onnx.numpy_helper.from_array(np.asarray(case.inputs[name]), name) for name in names)
    inputs = {name: value for name, value in case.inputs.items() if name not in names}
    return NodeCase(case.name, model, inputs, case.outputs, case.relative, case.absolute)


def prepared(case: NodeCase) -> NodeCase:
    """The case after the passes that come before the backend."""
    model = ir.from_proto(onnx.shape_inference.infer_shapes(case.model, data_prop=True))
    steps: list[Pass] = [
        NormaliseGraph(),
        InlineFunctions(),
        MergeInitializers(),
        FoldConstants(),
        ResolveIf(),
        LowerRecurrent(),
        LowerFunctions(LowerFunctions.Options(operators=EXPANDED)),
    ]
    for step in steps:
        model = step.run(model, PassContext()).model
    return NodeCase(case.name, ir.to_proto(model), case.inputs, case.outputs, case.relative, case.absolute)


def lowered(case: NodeCase) -> tuple[NodeCase, KernelGraph | tuple[Fallback, ...]]:
    """The kernel graph of a case, or why there is none.

    Where the case computes what must be known at compile time, its small inputs become constants, as they are in
    exported networks.
    """
    problems = _problems(case)
    variable = [name for name, value in case.inputs.items() if isinstance(value, np.ndarray | np.generic)]
    for fixed in ([], variable[1:] if len(variable) > 1 else variable, variable):
        if not problems:
            break
        try:
            tried = prepared(with_constants(case, fixed))
        except EdgecError:
            continue
        again = _problems(tried)
        if not again:
            case, problems = tried, again
        elif not fixed:
            problems = again
    if problems:
        return case, problems
    return case, lower_graph(ir.from_proto(case.model), CORE, "case")


def _problems(case: NodeCase) -> tuple[Fallback, ...]:
    return unsupported_nodes(ir.from_proto(case.model), CORE)
