"""Networks with subgraphs."""

from __future__ import annotations

import numpy as np
import onnx
from onnx import TensorProto

from tests.models.builder import GraphBuilder


def if_net(opset: int = 17) -> onnx.ModelProto:
    """Two branches chosen by comparing `rate` (int64 scalar) with 16000; input `signal` (1, 32)."""
    g = GraphBuilder("if_net", opset)
    signal, rate = g.input("signal", (1, 32)), g.input("rate", (), TensorProto.INT64)
    weight = g.weight(32, 4)
    # The branches have other layers, so that a wrongly chosen branch shows.
    wide = GraphBuilder("wide", opset, seed=1)
    wide.node("Tanh", wide.node("MatMul", signal, weight), output="wide_out")
    wide.output("wide_out", (1, 4))
    narrow = GraphBuilder("narrow", opset, seed=2)
    narrow.node("MatMul", signal, narrow.weight(32, 4), output="narrow_out")
    narrow.output("narrow_out", (1, 4))
    fast = g.node("Equal", rate, g.constant(16000, np.int64))
    x = g.node("If", fast, then_branch=wide.graph(), else_branch=narrow.graph())
    g.node("Softmax", x, output="scores", axis=1)
    g.output("scores", (1, 4))
    return g.model()


def loop_net(opset: int = 17, *, trips: int = 3) -> onnx.ModelProto:
    """A Loop with a constant trip count, a carried state and a scanned output; input `start` (1, 8)."""
    g = GraphBuilder("loop_net", opset)
    start = g.input("start", (1, 8))
    weight = g.weight(8, 8)
    body = GraphBuilder("loop_body", opset, seed=1)
    body.input("trip", (), TensorProto.INT64)
    go_on = body.input("go_on", (), TensorProto.BOOL)
    state = body.input("state", (1, 8))
    body.node("Identity", go_on, output="still")
    body.node("Tanh", body.node("MatMul", state, weight), output="next")
    body.node("Identity", "next", output="seen")
    body.output("still", (), TensorProto.BOOL)
    body.output("next", (1, 8))
    body.output("seen", (1, 8))
    count, condition = g.constant(trips, np.int64), g.constant(True, np.bool_)
    g.nodes("Loop", count, condition, start, outputs=("final", "history"), body=body.graph())
    g.output("final", (1, 8))
    g.output("history", (trips, 1, 8))
    return g.model()


def scan_net(opset: int = 17, *, steps: int = 5) -> onnx.ModelProto:
    """A Scan that runs a simple recurrent cell over `frames` (steps, 4), with its state in and out."""
    g = GraphBuilder("scan_net", opset)
    state, frames = g.input("state", (6,)), g.input("frames", (steps, 4))
    inner, outer = g.weight(6, 6), g.weight(4, 6)
    body = GraphBuilder("scan_body", opset, seed=1)
    before, frame = body.input("before", (6,)), body.input("frame", (4,))
    mixed = body.node("Add", body.node("MatMul", before, inner), body.node("MatMul", frame, outer))
    body.node("Tanh", mixed, output="after")
    body.node("Identity", "after", output="emitted")
    body.output("after", (6,))
    body.output("emitted", (6,))
    g.nodes("Scan", state, frames, outputs=("last", "all"), body=body.graph(), num_scan_inputs=1)
    g.output("last", (6,))
    g.output("all", (steps, 6))
    return g.model()
