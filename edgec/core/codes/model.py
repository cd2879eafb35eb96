"""Errors of loading a model and of reading it: EC02xx."""

from __future__ import annotations

from edgec.core.errors import ErrorCode, ExitStatus

MODEL_NOT_READABLE = ErrorCode(
    "EC0201",
    "the model file cannot be read",
    ExitStatus.USAGE,
    "The path that was given as the model does not exist, is not a regular file, is empty, or may not be read.",
    "Check the path and its permissions; edgec takes one `.onnx` file.",
)
NOT_ONNX = ErrorCode(
    "EC0202",
    "the file is not an ONNX model",
    ExitStatus.USAGE,
    "The file is not a protocol buffer of an ONNX model: another format, a pointer of a version control system, a "
    "text form, or an ONNX file that was cut short or altered on its way.",
    "Export the model to ONNX again (`torch.onnx.export`, `tf2onnx`, `paddle2onnx`), or copy the file again and "
    "compare its checksum.",
)
MODEL_DAMAGED = ErrorCode(
    "EC0203",
    "the model breaks a rule of ONNX",
    ExitStatus.USAGE,
    "The file is a protocol buffer, but what it says cannot be a network: a value that nobody computes, two values of "
    "one name, a cycle, an attribute that the operator does not have, a tensor whose data do not match its shape.",
    "Export the model again; `python -m onnx.checker` or ONNX Runtime should report the same problem.",
)
EXTERNAL_DATA = ErrorCode(
    "EC0204",
    "the weights beside the model cannot be used",
    ExitStatus.USAGE,
    "The model keeps weights in other files. One of them is missing, too short, or lies outside of the model's folder, "
    "which edgec refuses because a model may come from somebody else.",
    "Put the data file next to the model under the name that the message gives, or export the model as one file.",
)
MODEL_VERSION = ErrorCode(
    "EC0205",
    "this version of ONNX is not supported",
    ExitStatus.UNSUPPORTED,
    "The model's format version or operator set is older or newer than those that edgec knows.",
    "Convert the model with `onnx.version_converter`, or export it with another `opset_version`.",
)
MODEL_FEATURE = ErrorCode(
    "EC0206",
    "the model uses a part of ONNX that edgec does not support",
    ExitStatus.UNSUPPORTED,
    "The model is valid, but has text tensors, sparse tensors, sequences, maps, training graphs, or operators that are "
    "in no operator set that edgec knows.",
    "Move pre- and post-processing (text, sequences, maps) out of the model and export the network alone.",
)
SHAPES_CONTRADICT = ErrorCode(
    "EC0207",
    "types or shapes of the model contradict each other",
    ExitStatus.USAGE,
    "An operator is given tensors whose types or shapes it cannot take, so no runtime can execute the model.",
    "Look at the node that is named; if you gave `--shape`, try the shape that the model was trained with.",
)
REFERENCE_RUN = ErrorCode(
    "EC0208",
    "ONNX Runtime cannot run the model",
    ExitStatus.UNSUPPORTED,
    "edgec compares every result with ONNX Runtime. ONNX Runtime refused this model, so nothing could be verified.",
    "Run the model in ONNX Runtime alone; the message is its own.",
)
INPUTS_UNKNOWN = ErrorCode(
    "EC0209",
    "no inputs can be made up for the model",
    ExitStatus.USAGE,
    "Sample inputs need a fully known shape and a numeric type for every input of the model.",
    "Fix dynamic dimensions with `--shape INPUT=1,3,224,224`, or give real inputs with `--data`.",
)
OUTPUTS_DIFFER = ErrorCode(
    "EC0210",
    "two sets of outputs cannot be compared",
    ExitStatus.INTERNAL,
    "The outputs that should be compared have other names, shapes or numbers of samples.",
    "This is a fault in edgec or in a pass; please report it with the model.",
)
REFERENCE_TIMEOUT = ErrorCode(
    "EC0211",
    "the model does not come to an end in ONNX Runtime",
    ExitStatus.UNSUPPORTED,
    "One inference in ONNX Runtime took longer than any network for an edge device should: a loop in the model runs "
    "for ever on the inputs that it was given, or its trip count is damaged.",
    "Give real inputs with `--data`, or look at the loops of the model.",
)
CUT_NOT_FOUND = ErrorCode(
    "EC0212",
    "the model cannot be cut there",
    ExitStatus.USAGE,
    "A cut names the tensors that go from the head of a split network to its tail; every path from the inputs to the "
    "outputs must go through one of them.",
    "`edgec analyze MODEL --split` lists the places.",
)
