"""Recurrent networks and embeddings."""

from __future__ import annotations

import numpy as np
import onnx
from onnx import TensorProto

from tests.models.builder import GraphBuilder


def gru_net(opset: int = 17, *, steps: int = 6, linear_before_reset: int = 1) -> onnx.ModelProto:
    """A forward GRU whose state goes in and out; inputs `frames` (steps, 1, 5) and `state` (1, 1, 8)."""
    g = GraphBuilder("gru_net", opset)
    frames, state = g.input("frames", (steps, 1, 5)), g.input("state", (1, 1, 8))
    weights = g.weight(1, 24, 5), g.weight(1, 24, 8), g.weight(1, 48, scale=0.1)
    outputs = ("hidden", "next_state")
    attributes = {"hidden_size": 8, "linear_before_reset": linear_before_reset}
    g.nodes("GRU", frames, *weights, "", state, outputs=outputs, **attributes)
    x = g.squeeze("hidden", 1)
    g.node("MatMul", x, g.weight(8, 3), output="logits")
    g.output("logits", (steps, 1, 3))
    g.output("next_state", (1, 1, 8))
    return g.model()


def lstm_net(opset: int = 17, *, steps: int = 7, batch: int = 2) -> onnx.ModelProto:
    """A bidirectional LSTM; inputs `frames` (steps, batch, 4) and `lengths` (batch,) int32 in 1..steps."""
    g = GraphBuilder("lstm_net", opset)
    frames, lengths = g.input("frames", (steps, batch, 4)), g.input("lengths", (batch,), TensorProto.INT32)
    weights = g.weight(2, 24, 4), g.weight(2, 24, 6), g.weight(2, 48, scale=0.1)
    attributes = {"hidden_size": 6, "direction": "bidirectional"}
    g.nodes("LSTM", frames, *weights, lengths, outputs=("hidden", "last", "cell"), **attributes)
    x = g.node("Reshape", g.node("Transpose", "hidden", perm=[0, 2, 1, 3]), g.integers(steps, batch, 12))
    g.node("Tanh", g.node("MatMul", x, g.weight(12, 3)), output="labels")
    g.output("labels", (steps, batch, 3))
    g.output("last", (2, batch, 6))
    g.output("cell", (2, batch, 6))
    return g.model()


def byte_embedding_net(opset: int = 17, *, length: int = 12) -> onnx.ModelProto:
    """Bytes as int32 are embedded, masked, mean-pooled and classified, plus a language embedding.

    Inputs: `bytes` (1, length) int32 in 0..255, `language` (1,) int64 in 0..4, `mask` (1, length) float32.
    """
    g = GraphBuilder("byte_embedding_net", opset)
    tokens = g.input("bytes", (1, length), TensorProto.INT32)
    language = g.input("language", (1,), TensorProto.INT64)
    mask = g.input("mask", (1, length))
    x = g.node("Gather", g.weight(256, 16, scale=1.0, name="byte_table"), g.node("Cast", tokens, to=TensorProto.INT64))
    x = g.node("Mul", x, g.unsqueeze(mask, 2))
    x = g.reduce_mean(x, [1], keepdims=0)
    x = g.node("Add", x, g.node("Gather", g.weight(5, 16, scale=1.0, name="language_table"), language, axis=0))
    x = g.node("Relu", g.node("Gemm", x, g.weight(16, 8), g.weight(8)))
    g.node("Softmax", g.node("MatMul", x, g.weight(8, 2)), output="probabilities", axis=-1)
    g.output("probabilities", (1, 2))
    return g.model()


def attention_net(opset: int = 17, *, tokens: int = 6, width: int = 16, heads: int = 2) -> onnx.ModelProto:
    """One transformer block (layer norm, multi-head attention, GELU by Erf); input `tokens` (1, tokens, width)."""
    g = GraphBuilder("attention_net", opset)
    x = g.input("tokens", (1, tokens, width))
    depth = width // heads
    normed = g.layer_norm(x, width)
    query, key, value = (_heads(g, normed, width, heads, transposed) for transposed in (False, True, False))
    scores = g.node("Mul", g.node("MatMul", query, key), g.constant(depth**-0.5))
    mixed = g.node("MatMul", g.node("Softmax", scores, axis=-1 if opset >= 13 else 3), value)
    joined = g.node("Reshape", g.node("Transpose", mixed, perm=[0, 2, 1, 3]), g.integers(1, tokens, width))
    x = g.node("Add", x, g.node("Add", g.node("MatMul", joined, g.weight(width, width)), g.weight(width, scale=0.1)))
    wide = g.node("MatMul", g.layer_norm(x, width), g.weight(width, 2 * width))
    erf = g.node("Erf", g.node("Mul", wide, g.constant(np.sqrt(0.5))))
    gelu = g.node("Mul", g.node("Mul", wide, g.constant(0.5)), g.node("Add", erf, g.constant(1.0)))
    g.node("Add", x, g.node("MatMul", gelu, g.weight(2 * width, width)), output="encoded")
    g.output("encoded", (1, tokens, width))
    return g.model()


def _heads(g: GraphBuilder, x: str, width: int, heads: int, transposed: bool) -> str:
    projected = g.node("Add", g.node("MatMul", x, g.weight(width, width)), g.weight(width, scale=0.1))
    split = g.node("Reshape", projected, g.integers(1, -1, heads, width // heads))
    return g.node("Transpose", split, perm=[0, 2, 3, 1] if transposed else [0, 2, 1, 3])
