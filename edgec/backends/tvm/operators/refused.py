"""Operators that cannot be lowered, each with the reason and what would help."""

from __future__ import annotations

import onnx_ir as ir

from edgec.backends.tvm.kernel_graph import UnsupportedNodeError
from edgec.backends.tvm.lowering import Lowering, lowers

_BY_DATA = "the size of its output depends on data"
_OUTSIDE = "cut the model before this node and do this step in the application"


@lowers("NonMaxSuppression", "NonZero", "Unique", "Compress")
def sized_by_data(node: ir.Node, lowering: Lowering) -> None:
    """Refused: every tensor has its place in memory before the first inference."""
    raise UnsupportedNodeError(_BY_DATA, _OUTSIDE)


@lowers(
    "SequenceAt",
    "SequenceConstruct",
    "SequenceEmpty",
    "SequenceErase",
    "SequenceInsert",
    "SequenceLength",
    "SequenceMap",
    "SplitToSequence",
    "ConcatFromSequence",
)
def sequences(node: ir.Node, lowering: Lowering) -> None:
    """Refused: there are no sequences of tensors on the device."""
    raise UnsupportedNodeError(
        "it works on a sequence of tensors", "export the model with Split, Concat and Gather in its place"
    )


@lowers("Optional", "OptionalGetElement", "OptionalHasElement")
def optional_values(node: ir.Node, lowering: Lowering) -> None:
    """Refused: whether a tensor is there is known at compile time."""
    raise UnsupportedNodeError("it works on an optional value", "export the model with plain tensors")


@lowers("StringNormalizer", "StringConcat", "StringSplit", "RegexFullMatch", "TfIdfVectorizer", "ImageDecoder")
def text_and_files(node: ir.Node, lowering: Lowering) -> None:
    """Refused: there are only tensors of numbers on the device."""
    raise UnsupportedNodeError("it works on text or encoded files", _OUTSIDE)


@lowers("LSTM", "GRU", "RNN")
def recurrent(node: ir.Node, lowering: Lowering) -> None:
    """Refused here: the pass lower-recurrent makes a Scan of it first."""
    raise UnsupportedNodeError(
        "its form has no expansion into a Scan", "see what the pass lower-recurrent says about this node in the report"
    )
