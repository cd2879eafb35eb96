"""The generated C of a network for a graphics processor: its launch plan as constant tables, and its interface."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from edgec.backends.c_interface import c_string, model_value, tensor_table, write_header
from edgec.backends.gpu.launch_plan import Argument, BufferSpace, Extents, LaunchPlan
from edgec.backends.tvm.driver import workspace_bytes

_SPACES = {
    BufferSpace.INPUT: "EDGEC_GPU_INPUT",
    BufferSpace.OUTPUT: "EDGEC_GPU_OUTPUT",
    BufferSpace.WEIGHTS: "EDGEC_GPU_WEIGHTS",
    BufferSpace.ARENA: "EDGEC_GPU_ARENA",
}
_ONE_AFTER_THE_OTHER = "Threads that call the function at once wait for each other: they share the device's buffers."


@dataclass(frozen=True)
class GpuSource:
    """The text of `NAME.h` and `NAME.c`."""

    header: str
    source: str


def source_digest(plan: LaunchPlan) -> str:
    """SHA-256 of the kernels' source, in hexadecimal digits: the name that compiled kernels are kept by."""
    return hashlib.sha256(plan.program.source.encode()).hexdigest()


def write_tables(plan: LaunchPlan, host_source: str, architecture: str) -> GpuSource:
    """Write the tables and their header; equal plans give equal text.

    Args:
        plan: what to launch.
        host_source: the C functions that the plan's host calls name.
        architecture: what the machine code beside the tables is for; empty if there is none.
    """
    workspace = workspace_bytes(plan.arena_bytes) if plan.host_calls else 0
    header = write_header(
        plan.symbol,
        plan.inputs,
        plan.outputs,
        workspace,
        concurrency=_ONE_AFTER_THE_OTHER,
        more=_CLOSE.format(symbol=plan.symbol),
    )
    return GpuSource(header, _source(plan, host_source, architecture, workspace))


def _source(plan: LaunchPlan, host_source: str, architecture: str, workspace: int) -> str:
    symbol = plan.symbol
    numbers = {name: number for number, name in enumerate(plan.program.kernels)}
    arguments: list[Argument] = []
    launches: list[str] = []
    for launch in plan.launches:
        place = f"{numbers[launch.kernel]}, {launch.step}, {len(arguments)}, {len(launch.arguments)}"
        launches.append(f"    {{{place}, {_extents(launch.grid)}, {_extents(launch.block)}}},")
        arguments += launch.arguments
    calls, ranges = _host_calls(plan)
    copies = [
        f"    {{{_argument(copy.source)}, {_argument(copy.destination)}, {copy.source.size_bytes}u}},"
        for copy in plan.copies
    ]
    return _SOURCE.format(
        symbol=symbol,
        inputs=tensor_table(f"{symbol}_inputs", plan.inputs),
        outputs=tensor_table(f"{symbol}_outputs", plan.outputs),
        model=model_value(symbol, plan.inputs, plan.outputs),
        kernels="\n".join([*(f"    {c_string(name)}," for name in plan.program.kernels), "    NULL,"]),
        kernel_count=len(plan.program.kernels),
        arguments="\n".join([*(f"    {_argument(argument)}," for argument in arguments), "    {0, 0, 0},"]),
        launches="\n".join([*launches, "    {0, 0, 0, 0, {0, 0, 0}, {0, 0, 0}},"]),
        launch_count=len(launches),
        ranges="\n".join([*ranges, "    {{0, 0, 0}, 0},"]),
        host_calls="\n".join([*calls, "    {NULL, 0, 0, 0, 0},"]),
        host_call_count=len(calls),
        host_source=host_source,
        workspace_bytes=workspace,
        copies="\n".join([*copies, "    {{0, 0, 0}, {0, 0, 0}, 0},"]),
        copy_count=len(copies),
        api=plan.program.language,
        architecture=c_string(architecture),
        digest=c_string(source_digest(plan)),
        binary=f"{symbol}_binary" if architecture else "NULL",
        binary_end=f"{symbol}_binary_end" if architecture else "NULL",
        weight_bytes=len(plan.weights),
        arena_bytes=plan.arena_bytes,
    )


def _host_calls(plan: LaunchPlan) -> tuple[list[str], list[str]]:
    """The rows of the tables of calls and of the ranges that they copy."""
    calls: list[str] = []
    ranges: list[str] = []
    for call in plan.host_calls:
        counts = f"{len(ranges)}, {len(call.reads)}, {len(call.writes)}"
        calls.append(f"    {{{call.function}, {call.before}, {counts}}},")
        ranges += [f"    {{{_argument(place)}, {place.size_bytes}u}}," for place in (*call.reads, *call.writes)]
    return calls, ranges


def _argument(argument: Argument) -> str:
    return f"{{{_SPACES[argument.space]}, {argument.index}, {argument.offset_bytes}u}}"


def _extents(extents: Extents) -> str:
    return f"{{{', '.join(map(str, extents))}}}"


_CLOSE = """
/* Gives back what the network holds on the graphics processor; the next run takes it anew. */
void {symbol}_close(void);
"""

_SOURCE = """\
/* The network {symbol}, compiled by edgec: its launches as tables. Generated; see {symbol}.h and launch_plan.json. */
#include "{symbol}.h"

#include "edgec_gpu.h"

extern const char {symbol}_source[];
extern const unsigned char {symbol}_binary[];
extern const unsigned char {symbol}_binary_end[];
extern const unsigned char {symbol}_weights[];

{inputs}

{outputs}

static const char *const kernels[] = {{
{kernels}
}};

/* buffer, number of the input or output, offset in bytes */
static const edgec_gpu_argument arguments[] = {{
{arguments}
}};

/* kernel, step, first argument, number of arguments, grid, block */
static const edgec_gpu_launch launches[] = {{
{launches}
}};

{host_source}
/* place, bytes */
static const edgec_gpu_range ranges[] = {{
{ranges}
}};

/* function, the launch that waits for it, first range, how many are read, how many are written */
static const edgec_gpu_host_call host_calls[] = {{
{host_calls}
}};

/* source, destination, bytes */
static const edgec_gpu_copy copies[] = {{
{copies}
}};

static edgec_gpu_state state;

static const edgec_gpu_network network = {{
    .model = &{symbol}_model,
    .architecture = {architecture},
    .source = {symbol}_source,
    .digest = {digest},
    .binary = {binary},
    .binary_end = {binary_end},
    .kernels = kernels,
    .kernel_count = {kernel_count},
    .arguments = arguments,
    .launches = launches,
    .launch_count = {launch_count},
    .host_calls = host_calls,
    .host_call_count = {host_call_count},
    .ranges = ranges,
    .copies = copies,
    .copy_count = {copy_count},
    .weights = {symbol}_weights,
    .weight_bytes = {weight_bytes}u,
    .arena_bytes = {arena_bytes}u,
}};

size_t {symbol}_workspace_bytes(void)
{{
    return {workspace_bytes}u;
}}

int {symbol}_run(void *workspace, const void *const inputs[], void *const outputs[])
{{
    return {symbol}_run_traced(workspace, inputs, outputs, NULL, NULL);
}}

int {symbol}_run_traced(void *workspace, const void *const inputs[], void *const outputs[], edgec_step_hook hook,
                        void *context)
{{
    const int status = edgec_check(&{symbol}_model, workspace, inputs, outputs);
    const edgec_gpu_call call = {{workspace, inputs, outputs, hook, context}};
    return status == EDGEC_OK ? edgec_{api}_run(&network, &state, &call) : status;
}}

void {symbol}_close(void)
{{
    edgec_{api}_close(&state);
}}

{model}
"""
