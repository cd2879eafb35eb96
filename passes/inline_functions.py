"""Pass `inline-functions`: calls of the model's own functions become their bodies."""

from __future__ import annotations

from typing import ClassVar

import onnx_ir as ir

from edgec.core.codes.passes import RECURSIVE_FUNCTION
from edgec.core.errors import EdgecError
from edgec.core.passes import Kind, Pass, PassContext, PassResult
from edgec.graph.quantization_qonnx import QONNX_DOMAIN
from edgec.passes.library_pass import quiet_libraries, run_library_pass


class InlineFunctions(Pass):
    """Expand every call of a function that the model itself defines, innermost last, then drop the functions.

    Exporters write such functions for modules (torch) and for operators beyond the standard (onnxscript). The work
    is done by onnx_ir's `InlinePass`.

    Case 1: the quantisers of QONNX stay where the target is hardware, which builds them as what they are.
    """

    name: ClassVar[str] = "inline-functions"
    kind: ClassVar[Kind] = Kind.EXACT

    def run(self, model: ir.Model, context: PassContext) -> PassResult:
        """Inline in place.

        Raises:
            EdgecError: EC0316 for functions that call each other in a circle.
        """
        from onnx_ir.passes.common import InlinePass

        hardware = context.target is not None and context.target.is_circuit
        kept = {key for key, function in model.functions.items() if hardware and function.domain == QONNX_DOMAIN}
        functions = len(model.functions) - len(kept)
        if not functions:
            return PassResult(model, modified=False, stats={"inlined functions": 0})
        inline = InlinePass(lambda function: function.identifier() not in kept)
        try:
            with quiet_libraries():
                inline.requires(model)
        except ir.passes.PreconditionError as error:
            raise EdgecError(
                RECURSIVE_FUNCTION, str(error), hint="export the model without recursive functions"
            ) from error
        run_library_pass(inline, model)
        return PassResult(model, modified=True, stats={"inlined functions": functions})
