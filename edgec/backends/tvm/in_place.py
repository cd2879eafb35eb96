"""Which inputs a kernel may write its output over, should they be dead afterwards."""

from __future__ import annotations

from edgec.backends.tvm.fusion import KernelGroup
from edgec.backends.tvm.kernel_graph import Operation, Pattern, Value


def overwritable_inputs(group: KernelGroup) -> tuple[Value, ...]:
    """The inputs of which a kernel reads element `i` for element `i` of its only output and for nothing else.

    That is so if all that is made of an input on the way to the output is elementwise and has the output's shape. A
    schedule may compute in tiles, but an element of such a chain is never computed again after it was stored.
    """
    if len(group.outputs) != 1:
        return ()
    output = group.outputs[0]
    return tuple(
        value
        for value in group.inputs
        if value.data is None
        and (value.shape, value.dtype) == (output.shape, output.dtype)
        and _only_elementwise(group, value, output)
    )


def _only_elementwise(group: KernelGroup, value: Value, output: Value) -> bool:
    open_values, seen = [value], {value}
    while open_values:
        read = open_values.pop()
        for operation in group.operations:
            if read not in operation.inputs:
                continue
            if not _keeps_indices(operation, output):
                return False
            made = operation.outputs[0]
            if made not in seen:
                seen.add(made)
                open_values.append(made)
    return output in seen


def _keeps_indices(operation: Operation, output: Value) -> bool:
    return (
        operation.pattern == Pattern.ELEMENTWISE
        and len(operation.outputs) == 1
        and operation.outputs[0].shape == output.shape
    )
