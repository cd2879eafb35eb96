"""The C interface that artefacts of all backends have in common: the header, and the tables of tensors."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence

from edgec.core.tensor import TensorSpec

CONCURRENT = "The function keeps no state: several threads may call it at once, each with a workspace of its own."


def write_header(
    symbol: str,
    inputs: Sequence[TensorSpec],
    outputs: Sequence[TensorSpec],
    workspace_bytes: int,
    concurrency: str = CONCURRENT,
    more: str = "",
) -> str:
    """The text of `NAME.h`.

    Args:
        symbol: prefix of the C names.
        inputs: in the order of the interface.
        outputs: in the order of the interface.
        workspace_bytes: what the caller must hand over at run time.
        concurrency: what threads may do, a line of the comment on `NAME_run`.
        more: declarations beyond those that every network has.
    """
    sizes = []
    for role, tensors in (("INPUT", inputs), ("OUTPUT", outputs)):
        sizes.append(f"#define {symbol.upper()}_{role}_COUNT {len(tensors)}")
        for index, tensor in enumerate(tensors):
            shape = "x".join(map(str, tensor.shape)) or "scalar"
            sizes.append(f"/* {c_comment(tensor.name)}: {tensor.dtype} {shape} */")
            sizes.append(f"#define {symbol.upper()}_{role}_{index}_BYTES {tensor.size_bytes}u")
    sizes.append("/* what NAME_workspace_bytes returns, for a workspace of static storage */")
    sizes.append(f"#define {symbol.upper()}_WORKSPACE_BYTES {workspace_bytes}u")
    return _HEADER.format(
        symbol=symbol, guard=f"{symbol.upper()}_H", sizes="\n".join(sizes), concurrency=concurrency, more=more
    )


def tensor_table(name: str, tensors: Sequence[TensorSpec]) -> str:
    """The C table `NAME` of names, element types, shapes and sizes."""
    shapes = [
        f"static const int64_t {name}_shape_{index}[] = {{{', '.join(map(str, tensor.shape)) or '1'}}};"
        for index, tensor in enumerate(tensors)
    ]
    rows = [
        f"    {{{c_string(tensor.name)}, {c_string(tensor.dtype)}, {len(tensor.shape)}, {name}_shape_{index},"
        f" {tensor.size_bytes}u}},"
        for index, tensor in enumerate(tensors)
    ]
    unused = [] if rows else ['    {"", "", 0, NULL, 0u},']
    return "\n".join([*shapes, f"const edgec_tensor_info {name}[] = {{", *rows, *unused, "};"])


def model_value(symbol: str, inputs: Sequence[TensorSpec], outputs: Sequence[TensorSpec]) -> str:
    """The C definition of `NAME_model`, after the tables and functions that it names."""
    return _MODEL.format(symbol=symbol, input_count=len(inputs), output_count=len(outputs))


def c_string(content: str) -> str:
    """A C string literal; what is not printable ASCII is written as octal escapes of its UTF-8 bytes."""
    octets = content.encode()
    shown = "".join(chr(octet) if 32 <= octet < 127 and octet not in b'"\\?' else f"\\{octet:03o}" for octet in octets)
    return f'"{shown}"'


def c_comment(content: str) -> str:
    """Text that cannot end a C comment."""
    shown = json.dumps(content)[1:-1]
    return re.sub(r"\*/|/\*|\?\?|\\", "_", shown)


_HEADER = """\
/* The network {symbol}, compiled by edgec. Link with lib{symbol}.a or lib{symbol}.so. */
#ifndef {guard}
#define {guard}

#include "edgec.h"

#ifdef __cplusplus
extern "C" {{
#endif

{sizes}

/* Names, element types and shapes of the tensors. */
extern const edgec_tensor_info {symbol}_inputs[];
extern const edgec_tensor_info {symbol}_outputs[];

/* All of the below as one value, for programs that hold several networks. */
extern const edgec_model {symbol}_model;

/* Bytes that {symbol}_run needs for intermediate results; 0 if it needs none. */
size_t {symbol}_workspace_bytes(void);

/* Runs the network once.
 *
 * workspace: {symbol}_workspace_bytes() bytes at any address. Its contents before and after do not matter.
 * inputs:    one pointer a tensor, in the order of {symbol}_inputs; dense, row-major, not written to.
 * outputs:   one pointer a tensor, in the order of {symbol}_outputs; must not overlap the inputs.
 *
 * A tensor must be aligned to its element type (4 bytes for float32); 64 bytes is fastest.
 * {concurrency}
 * Returns EDGEC_OK or another edgec_status.
 */
int {symbol}_run(void *workspace, const void *const inputs[], void *const outputs[]);

/* The same; calls hook(context, step, 0) before and hook(context, step, 1) after each kernel, for profiling. */
int {symbol}_run_traced(void *workspace, const void *const inputs[], void *const outputs[], edgec_step_hook hook,
                        void *context);
{more}
#ifdef __cplusplus
}}
#endif

#endif
"""

_MODEL = """\
const edgec_model {symbol}_model = {{
    "{symbol}",
    {input_count},
    {symbol}_inputs,
    {output_count},
    {symbol}_outputs,
    {symbol}_workspace_bytes,
    {symbol}_run_traced,
}};"""
