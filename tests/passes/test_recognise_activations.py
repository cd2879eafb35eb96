"""Spelled-out activation functions become the ONNX operators that they are."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import onnx
import pytest
from onnx import helper

from edgec.passes.recognise_activations import RecogniseActivations
from tests.passes.comparison import check_pass, model_of, op_types


class Formula:
    """Writes an expression as nodes; numbers become constants."""

    def __init__(self, opset: int) -> None:
        self.opset = opset
        self.nodes: list[onnx.NodeProto] = []
        self.constants: dict[str, np.ndarray] = {}

    def __call__(self, op_type: str, *inputs: str | float, **attributes: object) -> str:
        names = [self.number(value) if isinstance(value, int | float) else value for value in inputs]
        output = f"v{len(self.nodes)}"
        self.nodes.append(helper.make_node(op_type, names, [output], name=f"n{len(self.nodes)}", **attributes))
        return output

    def number(self, value: float) -> str:
        name = f"c{len(self.constants)}"
        self.constants[name] = np.array(value, np.float32)
        return name

    def clip(self, x: str, low: float, high: float) -> str:
        return self("Clip", x, low, high) if self.opset >= 11 else self("Clip", x, min=low, max=high)

    def mean(self, op_type: str, x: str, axis: int) -> str:
        if self.opset >= 18 or (op_type == "ReduceSum" and self.opset >= 13):
            name = f"c{len(self.constants)}"
            self.constants[name] = np.array([axis])
            return self(op_type, x, name)
        return self(op_type, x, axes=[axis])

    def model(self, result: str, shape: tuple[int, ...] = (2, 3, 8)) -> onnx.ModelProto:
        self.nodes.append(helper.make_node("Neg", [result], ["y"], name="last"))
        return model_of(self.nodes, {"x": shape}, ["y"], self.constants, opset=self.opset)


def hard_sigmoid(f: Formula) -> str:
    return f("Div", f.clip(f("Add", "x", 3.0), 0.0, 6.0), 6.0)


def hard_sigmoid_times_sixth(f: Formula) -> str:
    return f("Mul", 1 / 6, f.clip(f("Add", 3.0, "x"), 0.0, 6.0))


def hard_sigmoid_by_slope(f: Formula) -> str:
    return f.clip(f("Add", f("Mul", "x", 0.2), 0.5), 0.0, 1.0)


def hard_swish_of_paddle(f: Formula) -> str:
    return f("Div", f("Mul", "x", f.clip(f("Add", "x", 3.0), 0.0, 6.0)), 6.0)


def hard_swish_from_hard_sigmoid(f: Formula) -> str:
    return f("Mul", f("HardSigmoid", "x", alpha=1 / 6, beta=0.5), "x")


def hard_swish_of_divided_sigmoid(f: Formula) -> str:
    return f("Mul", "x", hard_sigmoid(f))


def sigmoid(f: Formula) -> str:
    return f("Div", 1.0, f("Add", 1.0, f("Exp", f("Neg", "x"))))


def silu(f: Formula) -> str:
    return f("Div", "x", f("Add", f("Exp", f("Neg", "x")), 1.0))


def gelu_erf(f: Formula) -> str:
    return f("Mul", f("Mul", "x", f("Add", f("Erf", f("Div", "x", math.sqrt(2))), 1.0)), 0.5)


def gelu_tanh(f: Formula) -> str:
    inner = f("Mul", f("Add", "x", f("Mul", f("Pow", "x", 3.0), 0.044715)), math.sqrt(2 / math.pi))
    return f("Mul", f("Mul", 0.5, "x"), f("Add", f("Tanh", inner), 1.0))


def mish(f: Formula) -> str:
    return f("Mul", "x", f("Tanh", f("Softplus", "x")))


def softplus(f: Formula) -> str:
    return f("Log", f("Add", f("Exp", "x"), 1.0))


def relu6_of_keras(f: Formula) -> str:
    return f("Min", f("Relu", "x"), 6.0)


def relu6_of_tensorflow(f: Formula) -> str:
    return f("Min", f("Max", "x", 0.0), 6.0)


def softmax(f: Formula) -> str:
    exponential = f("Exp", f("Sub", "x", f.mean("ReduceMax", "x", 2)))
    return f("Div", exponential, f.mean("ReduceSum", exponential, -1))


def layer_norm(f: Formula) -> str:
    centred = f("Sub", "x", f.mean("ReduceMean", "x", -1))
    variance = f.mean("ReduceMean", f("Pow", centred, 2.0), -1)
    normal = f("Div", centred, f("Sqrt", f("Add", variance, 1e-5)))
    generator = np.random.default_rng(0)
    f.constants["scale"], f.constants["shift"] = generator.standard_normal((2, 8)).astype(np.float32)
    return f("Add", f("Mul", normal, "scale"), "shift")


CASES = [
    (hard_sigmoid, ["HardSigmoid"], (9, 11, 17)),
    (hard_sigmoid_times_sixth, ["HardSigmoid"], (9, 17, 21)),
    (hard_sigmoid_by_slope, ["HardSigmoid"], (10, 17)),
    (hard_swish_of_paddle, ["HardSwish"], (14, 21)),
    (hard_swish_of_paddle, ["HardSigmoid", "Mul"], (11,)),
    (hard_swish_from_hard_sigmoid, ["HardSwish"], (14, 22)),
    (hard_swish_of_divided_sigmoid, ["HardSwish"], (15,)),
    (sigmoid, ["Sigmoid"], (9, 17)),
    (silu, ["Mul", "Sigmoid"], (9, 17)),
    (gelu_erf, ["Gelu"], (20, 21)),
    (gelu_tanh, ["Gelu"], (20, 21)),
    (mish, ["Mish"], (18, 22)),
    (softplus, ["Softplus"], (13,)),
    (relu6_of_keras, ["Clip"], (9, 13)),
    (relu6_of_tensorflow, ["Clip"], (11, 13)),
    (softmax, ["Softmax"], (11, 13, 18)),
    (layer_norm, ["LayerNormalization"], (17, 18)),
]


@pytest.mark.parametrize(
    ("write", "expected", "opset"),
    [(write, expected, opset) for write, expected, opsets in CASES for opset in opsets],
)
def test_spelling_is_recognised(write: Callable[[Formula], str], expected: list[str], opset: int) -> None:
    f = Formula(opset)
    model, result = check_pass(RecogniseActivations(), f.model(write(f)), tolerance=2e-4)
    assert op_types(model) == sorted([*expected, "Neg"])
    assert result.modified


def test_opset_is_raised_where_nothing_else_changes() -> None:
    f = Formula(17)
    model, _ = check_pass(RecogniseActivations(), f.model(gelu_erf(f)))
    assert "Gelu" in op_types(model)
    assert model.opset_imports[""] == 20


def test_expression_stays_where_raising_the_opset_would_change_another_node() -> None:
    f = Formula(17)
    reduced = f("ReduceMax", gelu_erf(f), axes=[1])
    model, result = check_pass(RecogniseActivations(), f.model(reduced))
    assert "Erf" in op_types(model)
    assert any("ReduceMax" in skip.reason for skip in result.skipped)


def test_expression_stays_if_its_middle_is_read_elsewhere() -> None:
    f = Formula(17)
    clipped = f.clip(f("Add", "x", 3.0), 0.0, 6.0)
    f.nodes.append(helper.make_node("Neg", [clipped], ["z"], name="spy"))
    proto = f.model(f("Div", clipped, 6.0))
    proto.graph.output.append(helper.make_tensor_value_info("z", 1, None))
    model, result = check_pass(RecogniseActivations(), proto)
    assert "Clip" in op_types(model)
    assert not result.modified


def test_other_constants_are_not_mistaken() -> None:
    f = Formula(17)
    model, result = check_pass(RecogniseActivations(), f.model(f("Div", f.clip(f("Add", "x", 3.0), 0.0, 5.0), 6.0)))
    assert "Clip" in op_types(model)
    assert not result.modified
