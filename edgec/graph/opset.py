"""Bringing a model to a newer operator set."""

from __future__ import annotations

import onnx_ir as ir

from edgec.core.codes.quantization import OPSET_NOT_RAISED
from edgec.core.errors import EdgecError


def raise_opset(model: ir.Model, version: int) -> ir.Model:
    """The model with operator set `version` of ONNX, or the model itself if it has that or a newer one.

    Raises:
        EdgecError: EC0342 where ONNX's converter fails.
    """
    given = model.opset_imports.get("", 1)
    if given >= version:
        return model
    import onnx
    from onnx import version_converter

    try:
        message = version_converter.convert_version(ir.to_proto(model), version)
        raised = ir.from_proto(message)
    # The converter is C++ behind a binding: it raises RuntimeError, ValueError, and classes of its own.
    except (RuntimeError, ValueError, TypeError, onnx.checker.ValidationError, version_converter.ConvertError) as error:
        what = f"ONNX's converter fails to bring opset {given} to {version}: {str(error).splitlines()[0][:200]}"
        raise EdgecError(OPSET_NOT_RAISED, what, hint=OPSET_NOT_RAISED.remedy) from error
    return raised
