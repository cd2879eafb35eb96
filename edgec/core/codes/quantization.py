"""Errors of quantization: EC034x."""

from __future__ import annotations

from edgec.core.errors import ErrorCode, ExitStatus

QUANTIZER_INVALID = ErrorCode(
    "EC0340",
    "a quantizer is not valid",
    ExitStatus.INTERNAL,
    "Scales must be positive and finite, zero points must lie in the range of the integers, and scales along an axis "
    "need one for each index of it.",
    "Report this with the model; it is a fault of the pass that made the quantizer.",
)
QUANTIZED_FORM_MISSING = ErrorCode(
    "EC0341",
    "a quantized model cannot be written in this dialect",
    ExitStatus.USAGE,
    "QDQ has affine integers of 2 to 16 bits. A value of one bit that stands for −1 or +1 only exists in QONNX; names "
    "that a plan mentions must be in the model.",
    "Choose another dialect or more bits for the value that is named.",
)
OPSET_NOT_RAISED = ErrorCode(
    "EC0342",
    "the model cannot be brought to a newer operator set",
    ExitStatus.UNSUPPORTED,
    "Scales for each channel exist from opset 13 on, four-bit types from 21. The converter of ONNX could not raise the "
    "model to it.",
    "Export the model with a newer `opset_version`.",
)
