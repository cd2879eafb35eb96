"""A sound model loads with its weights, in order, inlined, and without a copy of its data."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from onnx import TensorProto, helper, numpy_helper

from edgec.graph.load import load_model, network_name
from edgec.graph.reference import ReferenceSession
from tests.models import ALL_MODELS, OLDEST_OPSET, conv_net


def save(folder: Path, model: onnx.ModelProto, name: str = "net.onnx") -> Path:
    path = folder / name
    path.write_bytes(model.SerializeToString())
    return path


@pytest.mark.parametrize("opset", [None, 23])
@pytest.mark.parametrize("name", sorted(ALL_MODELS))
def test_every_model_loads_with_all_shapes(tmp_path: Path, name: str, opset: int | None) -> None:
    proto = ALL_MODELS[name](opset or OLDEST_OPSET[name])
    path = save(tmp_path, proto)
    loaded = load_model(path)
    assert loaded.name == "net"
    assert loaded.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert [node.op_type for node in loaded.model.graph] == [node.op_type for node in proto.graph.node]
    assert all(output.shape is not None for node in loaded.model.graph for output in node.outputs if output.name)


@pytest.mark.parametrize("typed", [False, True])
def test_large_weights_keep_their_values_without_a_copy(tmp_path: Path, typed: bool) -> None:
    weight = np.random.default_rng(0).standard_normal((300, 300), dtype=np.float32)
    tensor = (
        helper.make_tensor("w", TensorProto.FLOAT, weight.shape, weight.ravel().tolist())
        if typed
        else numpy_helper.from_array(weight, "w")
    )
    inner = numpy_helper.from_array(weight + 1, "c")
    nodes = [helper.make_node("Constant", [], ["c"], value=inner), helper.make_node("MatMul", ["x", "w"], ["m"]),
             helper.make_node("MatMul", ["m", "c"], ["y"])]  # fmt: skip
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 300]) for name in "xy"]
    graph = helper.make_graph(nodes, "g", ends[:1], ends[1:], [tensor])
    path = save(tmp_path, helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8))
    model = load_model(path).model
    loaded = model.graph.initializers["w"].const_value
    assert loaded is not None
    np.testing.assert_array_equal(loaded.numpy(), weight)
    assert not loaded.numpy().flags.owndata
    np.testing.assert_array_equal(model.graph.node(0).attributes["value"].as_tensor().numpy(), weight + 1)
    x = np.ones((1, 300), np.float32)
    got = ReferenceSession(model).run({"x": x})["y"]
    np.testing.assert_allclose(got, x @ weight @ (weight + 1), rtol=1e-3, atol=1e-2)


def test_memory_stays_small_beside_the_mapping(tmp_path: Path) -> None:
    weights = [numpy_helper.from_array(np.zeros((1000, 4000), np.float32), f"w{i}") for i in range(6)]
    nodes = [helper.make_node("MatMul", ["x", f"w{i}"], [f"y{i}"]) for i in range(6)]
    outputs = [helper.make_tensor_value_info(f"y{i}", TensorProto.FLOAT, [1, 4000]) for i in range(6)]
    inputs = [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 1000])]
    graph = helper.make_graph(nodes, "g", inputs, outputs, weights)
    path = save(tmp_path, helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8))
    script = f"""
from pathlib import Path
from edgec.graph.load import load_model
from edgec.graph.cost import model_size
def anonymous():
    return int(Path("/proc/self/status").read_text().split("RssAnon:")[1].split()[0])
before = anonymous()
model = load_model(Path({str(path)!r})).model
assert model_size(model).bytes == 96_000_000
print(anonymous() - before)
"""
    result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert int(result.stdout) < 30_000, "kB of memory beside the mapping of a model of 96 MB"


def test_functions_are_inlined(tmp_path: Path) -> None:
    imports = [helper.make_opsetid("", 17), helper.make_opsetid("local", 1)]
    body = [helper.make_node("Mul", ["x", "x"], ["s"]), helper.make_node("Relu", ["s"], ["y"])]
    function = helper.make_function("local", "Square", ["x"], ["y"], body, imports)
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [2]) for name in "xy"]
    graph = helper.make_graph([helper.make_node("Square", ["x"], ["y"], domain="local")], "g", ends[:1], ends[1:])
    model = helper.make_model(graph, functions=[function], opset_imports=imports, ir_version=8)
    loaded = load_model(save(tmp_path, model)).model
    assert [node.op_type for node in loaded.graph] == ["Mul", "Relu"]
    assert not loaded.functions


def test_nodes_in_the_wrong_order_are_sorted(tmp_path: Path) -> None:
    model = conv_net()
    nodes = list(model.graph.node)
    del model.graph.node[:]
    model.graph.node.extend(reversed(nodes))
    loaded = load_model(save(tmp_path, model)).model
    assert [node.op_type for node in loaded.graph] == [node.op_type for node in nodes]


def test_minus_one_is_an_open_dimension(tmp_path: Path) -> None:
    model = conv_net(batch="N")
    model.graph.input[0].type.tensor_type.shape.dim[0].dim_value = -1
    loaded = load_model(save(tmp_path, model)).model
    shape = loaded.graph.inputs[0].shape
    assert shape is not None
    assert not isinstance(shape[0], int)


def test_stale_shapes_of_inner_values_are_forgotten(tmp_path: Path) -> None:
    model = conv_net()
    inner = model.graph.node[1].output[0]
    model.graph.value_info.append(helper.make_tensor_value_info(inner, TensorProto.FLOAT, [1, 99, 3, 3]))
    model.graph.output[0].type.tensor_type.shape.dim[1].dim_value = 77
    loaded = load_model(save(tmp_path, model)).model
    assert loaded.graph.outputs[0].shape == ir.Shape([1, 10])
    assert loaded.graph.node(1).outputs[0].shape == ir.Shape([1, 8, 16, 16])


def test_operators_of_other_domains_load(tmp_path: Path) -> None:
    model = conv_net()
    model.graph.node[2].domain = "com.microsoft"
    model.graph.node[2].op_type = "Gelu"
    model.opset_import.append(helper.make_opsetid("com.microsoft", 1))
    loaded = load_model(save(tmp_path, model)).model
    assert loaded.graph.node(2).op_type == "Gelu"


@pytest.mark.parametrize(
    ("text", "name"),
    [("net", "net"), ("ch_ppocr v2.0-cls", "ch_ppocr_v2_0_cls"), ("7net", "model_7net"), ("int", "model_int"),
     ("–", "model"), ("größe", "gr_e"), ("edgec", "model_edgec"), ("Edgec-runtime", "model_Edgec_runtime"),
     ("main", "model_main"), ("stdio", "model_stdio"), ("wire", "model_wire"), ("m", "model_m"), ("maths", "maths")],
)  # fmt: skip
def test_a_network_has_a_name_that_nothing_else_has(text: str, name: str) -> None:
    assert network_name(text) == name
    assert network_name(name) == name
