"""Names, constants, functions and dead code: what makes a model fit for the other passes."""

from __future__ import annotations

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from onnx import TensorProto, helper, numpy_helper

from edgec.core.errors import EdgecError
from edgec.core.passes import PassContext
from edgec.passes.inline_functions import InlineFunctions
from edgec.passes.merge_initializers import MergeInitializers
from edgec.passes.normalise_graph import NormaliseGraph
from edgec.passes.remove_dead_code import RemoveDeadCode
from tests.passes.comparison import assert_same, check_pass, model_of, op_types, outputs_of


def node_names(model: ir.Model) -> list[str | None]:
    return [node.name for node in ir.traversal.RecursiveGraphIterator(model.graph)]


def test_nodes_get_unique_names_that_say_what_they_are() -> None:
    nodes = [
        helper.make_node("Neg", ["x"], ["a"]),
        helper.make_node("Abs", ["a"], ["b"], name="same"),
        helper.make_node("Exp", ["b"], ["y"], name="same"),
    ]
    proto = model_of(nodes, {"x": (2,)}, ["y"])
    model = ir.serde.deserialize_model(proto)
    result = NormaliseGraph().run(model, PassContext())
    assert node_names(model) == ["a/Neg", "same", "y/Exp"]
    assert result.stats["named nodes"] == 2
    assert not NormaliseGraph().run(model, PassContext()).modified


def test_values_of_sibling_branches_are_told_apart() -> None:
    def branch(op_type: str) -> onnx.GraphProto:
        output = helper.make_tensor_value_info("v", TensorProto.FLOAT, (2,))
        return helper.make_graph([helper.make_node(op_type, ["x"], ["v"])], op_type, [], [output])

    node = helper.make_node("If", ["c"], ["y"], then_branch=branch("Neg"), else_branch=branch("Abs"))
    proto = model_of([node], {"x": (2,), "c": ()}, ["y"], types={"c": TensorProto.BOOL})
    model, _ = check_pass(NormaliseGraph(), proto)
    names = [value.name for inner in ir.traversal.RecursiveGraphIterator(model.graph) for value in inner.outputs]
    assert len(set(names)) == 3


def test_initializer_listed_as_input_is_compiled_in_and_said() -> None:
    proto = model_of(
        [helper.make_node("Add", ["x", "w"], ["y"])], {"x": (2,), "w": (2,)}, ["y"], {"w": np.ones(2, "f")}
    )
    model = ir.serde.deserialize_model(proto)
    result = NormaliseGraph().run(model, PassContext())
    assert [value.name for value in model.graph.inputs] == ["x"]
    assert [skip.node for skip in result.skipped] == ["w"]
    feeds = {"x": np.array([1, 2], np.float32)}
    assert_same(outputs_of(proto, feeds), outputs_of(model, feeds))


def test_spelled_out_domain_is_the_standard_one() -> None:
    proto = model_of([helper.make_node("Neg", ["x"], ["y"], domain="ai.onnx")], {"x": (2,)}, ["y"])
    proto.opset_import[0].domain = "ai.onnx"
    model = ir.serde.deserialize_model(proto)
    NormaliseGraph().run(model, PassContext())
    assert dict(model.opset_imports) == {"": 17}
    assert [node.domain for node in model.graph] == [""]


def test_equal_constants_become_one_initializer() -> None:
    nodes = [
        helper.make_node("Constant", [], ["a"], value=numpy_helper.from_array(np.full(3, 2, np.float32))),
        helper.make_node("Constant", [], ["b"], value_floats=[2.0, 2.0, 2.0]),
        helper.make_node("Constant", [], ["c"], value_float=2.0),
        helper.make_node("Sum", ["x", "a", "b", "c", "w"], ["y"]),
    ]
    constants = {"w": np.full(3, 2, np.float32), "unlike": np.full(3, 2, np.int64)}
    model, result = check_pass(MergeInitializers(), model_of(nodes, {"x": (2, 3)}, ["y"], constants))
    assert op_types(model) == ["Sum"]
    assert result.stats["merged"] == 2
    assert len({value.name for value in next(iter(model.graph)).inputs}) == 3


def test_zero_and_minus_zero_are_different() -> None:
    constants = {"a": np.array([0.0], np.float32), "b": np.array([-0.0], np.float32)}
    nodes = [helper.make_node("Div", ["x", "a"], ["p"]), helper.make_node("Div", ["x", "b"], ["q"])]
    model, _ = check_pass(MergeInitializers(), model_of(nodes, {"x": (1,)}, ["p", "q"], constants))
    assert len(model.graph.initializers) == 2


def test_constants_of_a_body_move_to_the_main_graph() -> None:
    output = helper.make_tensor_value_info("v", TensorProto.FLOAT, (3,))
    weights = numpy_helper.from_array(np.ones(3, np.float32), "w")
    inner = [
        helper.make_node("Constant", [], ["k"], value=numpy_helper.from_array(np.ones(3, np.float32))),
        helper.make_node("Sum", ["x", "w", "k"], ["v"]),
    ]
    then = helper.make_graph(inner, "t", [], [output], [weights])
    otherwise = helper.make_graph([helper.make_node("Neg", ["x"], ["v"])], "e", [], [output])
    node = helper.make_node("If", ["c"], ["y"], then_branch=then, else_branch=otherwise)
    proto = model_of([node], {"x": (3,), "c": ()}, ["y"], types={"c": TensorProto.BOOL})
    model, _ = check_pass(MergeInitializers(), proto, {"x": np.ones(3, np.float32), "c": np.array(True)})
    assert len(model.graph.initializers) == 1


def test_constant_as_output_stays_with_a_reason() -> None:
    nodes = [
        helper.make_node("Constant", [], ["k"], value_float=1.0, name="k"),
        helper.make_node("Add", ["x", "k"], ["y"]),
    ]
    _, result = check_pass(MergeInitializers(), model_of(nodes, {"x": (2,)}, ["y", "k"]))
    assert [skip.node for skip in result.skipped] == ["k"]


def test_dead_code_goes_and_unused_inputs_stay() -> None:
    nodes = [helper.make_node("Neg", ["x"], ["y"]), helper.make_node("Add", ["x", "w"], ["dead"])]
    proto = model_of(nodes, {"x": (2,), "unused": (3,)}, ["y"], {"w": np.ones(2, np.float32)})
    model, result = check_pass(RemoveDeadCode(), proto)
    assert result.stats == {"removed nodes": 1, "removed initializers": 1}
    assert model.opset_imports[""] == 17


def test_functions_of_the_model_are_inlined() -> None:
    opset = [helper.make_opsetid("", 17)]
    body = [helper.make_node("Mul", ["a", "a"], ["s"]), helper.make_node("LeakyRelu", ["s"], ["r"])]
    body[1].attribute.append(onnx.AttributeProto(name="alpha", type=onnx.AttributeProto.FLOAT, ref_attr_name="slope"))
    function = helper.make_function("mine", "Square", ["a"], ["r"], body, opset, attributes=["slope"])
    nodes = [
        helper.make_node("Square", ["x"], ["v"], domain="mine", slope=0.1),
        helper.make_node("Square", ["v"], ["y"], domain="mine", slope=0.2),
    ]
    proto = model_of(nodes, {"x": (2,)}, ["y"])
    proto.functions.append(function)
    proto.opset_import.append(helper.make_opsetid("mine", 1))
    model, _ = check_pass(InlineFunctions(), proto)
    assert op_types(model) == ["LeakyRelu", "LeakyRelu", "Mul", "Mul"]
    assert not model.functions


def test_functions_that_call_themselves_are_refused() -> None:
    opset = [helper.make_opsetid("", 17), helper.make_opsetid("mine", 1)]
    body = [helper.make_node("Loopy", ["a"], ["r"], domain="mine")]
    proto = model_of([helper.make_node("Loopy", ["x"], ["y"], domain="mine")], {"x": (2,)}, ["y"])
    proto.functions.append(helper.make_function("mine", "Loopy", ["a"], ["r"], body, opset))
    with pytest.raises(EdgecError) as caught:
        InlineFunctions().run(ir.serde.deserialize_model(proto), PassContext())
    assert caught.value.code.code == "EC0316"
