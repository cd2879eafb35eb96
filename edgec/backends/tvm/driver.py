"""The C driver: one readable function that calls the kernels in order, and its header."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from edgec.backends.c_interface import c_comment, model_value, tensor_table, write_header
from edgec.backends.tvm.code_generation import Kernel, groups_in_order
from edgec.backends.tvm.constants import ALIGNMENT
from edgec.backends.tvm.fusion import FusedBlock, FusedConditional, FusedRepeat, FusedStep, KernelGroup
from edgec.backends.tvm.kernel_graph import Overlay, Value, View
from edgec.backends.tvm.memory import Copy, LoopSlice, MemoryPlan, Region
from edgec.core.tensor import TensorSpec

_SLACK = ALIGNMENT  # the driver rounds the caller's workspace up to a cache line


@dataclass(frozen=True)
class DriverSource:
    """The text of `NAME.h` and `NAME.c`."""

    header: str
    source: str


@dataclass(frozen=True)
class Program:
    """What the driver is written from.

    Attributes:
        symbol: prefix of the C names.
        block: the outermost block.
        kernels: the C function of each group.
        plan: where the values lie.
        inputs: in the order of the interface.
        outputs: in the order of the interface.
    """

    symbol: str
    block: FusedBlock
    kernels: Mapping[KernelGroup, Kernel]
    plan: MemoryPlan
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]

    @property
    def workspace_bytes(self) -> int:
        """What the caller must hand over at run time."""
        return workspace_bytes(self.plan.arena_bytes)


def workspace_bytes(arena_bytes: int) -> int:
    """Size of the memory that holds an arena, wherever it begins."""
    return arena_bytes + _SLACK if arena_bytes else 0


def write_driver(program: Program) -> DriverSource:
    """Write the driver and its header; equal programs give equal text."""
    body = _Body(program)
    body.outermost()
    header = write_header(program.symbol, program.inputs, program.outputs, program.workspace_bytes)
    return DriverSource(header, _source(program, body))


def write_parts(program: Program, parts: Sequence[Sequence[FusedStep]]) -> str:
    """C functions `NAME_part_0`, `NAME_part_1`, …, each of which runs some neighbouring steps of a program.

    Each takes what `NAME_run_traced` takes. Values of other steps that a part reads must lie in the workspace, the
    inputs or the outputs, where the program's plan places them.
    """
    functions = []
    for number, steps in enumerate(parts):
        body = _Body(program)
        body.steps(steps)
        name = f"{program.symbol}_part_{number}"
        functions.append(_PART.format(name=name, locals=_locals(program, body), body="\n".join(body.lines)))
    return "\n".join([_MEMCPY, _prototypes(program), _STEP, *functions])


class _Body:
    """The statements of `NAME_run_traced`."""

    def __init__(self, program: Program) -> None:
        self.lines: list[str] = []
        self.used: set[str] = set()
        self._program = program
        self._plan = program.plan
        self._depth = 1
        self._loops = 0
        self._steps = {group: number for number, group in enumerate(groups_in_order(program.block))}

    def outermost(self) -> None:
        self._block(self._program.block)
        for index, value in self._plan.output_copies.items():
            self.used.add(f"output_{index}")
            self._line(f"memcpy(output_{index}, {self._at(value)}, {value.size_bytes}u);")

    def _line(self, text: str) -> None:
        self.lines.append("    " * self._depth + text)

    def _block(self, block: FusedBlock) -> None:
        self.steps(block.steps)

    def steps(self, steps: Sequence[FusedStep]) -> None:
        """Some steps in order."""
        for step in steps:
            match step:
                case KernelGroup():
                    self._kernel(step)
                case FusedConditional():
                    self._conditional(step)
                case FusedRepeat():
                    self._repeat(step)
                case View() | Overlay():
                    pass

    def _kernel(self, group: KernelGroup) -> None:
        arguments = [self._at(value) for value in (*group.inputs, *group.outputs)]
        if group in self._plan.scratch:
            self.used.add("arena")
            arguments.append(f"arena + {self._plan.scratch[group]}")
        nodes = ", ".join(dict.fromkeys(operation.node for operation in group.operations))
        self._line(f"/* {c_comment(nodes)} */")
        self._line(f"STEP({self._steps[group]}, {self._program.kernels[group].symbol}({', '.join(arguments)}));")

    def _conditional(self, step: FusedConditional) -> None:
        self._line(f"/* {c_comment(step.source.node)} */")
        self._line(f"if (*({self._at(step.source.condition)}) != 0) {{")
        self._branch(step.then_block)
        self._line("} else {")
        self._branch(step.else_block)
        self._line("}")

    def _branch(self, block: FusedBlock) -> None:
        self._depth += 1
        self._block(block)
        self._copies(self._plan.copies.get(block, ()))
        self._depth -= 1

    def _copies(self, copies: Sequence[Copy]) -> None:
        for copy in copies:
            if copy.source.size_bytes:
                self._line(f"memcpy({self._at(copy.destination)}, {self._at(copy.source)}, {copy.source.size_bytes}u);")

    def _repeat(self, step: FusedRepeat) -> None:
        source, number = step.source, self._loops
        self._loops += 1
        self._line(f"{{ /* {c_comment(source.node)} */")
        self._depth += 1
        self._line(f"int64_t trips_{number} = {source.trips};")
        if source.trip_count is not None:
            self._line(f"memcpy(&trips_{number}, {self._at(source.trip_count)}, sizeof trips_{number});")
            self._line(f"if (trips_{number} > {source.trips}) {{")
            self._line("    return EDGEC_TOO_MANY_ITERATIONS;")
            self._line("}")
        running = "1" if source.condition is None else f"*({self._at(source.condition)})"
        self._line(f"unsigned char running_{number} = {running};")
        self._copies([Copy(*pair) for pair in zip(source.carried, source.carried_outputs, strict=True)])
        condition = f"index_{number} < trips_{number} && running_{number}"
        self._line(f"for (int64_t index_{number} = 0; {condition}; ++index_{number}) {{")
        self._depth += 1
        self._iteration(step, number)
        self._depth -= 1
        self._line("}")
        self._depth -= 1
        self._line("}")

    def _iteration(self, step: FusedRepeat, number: int) -> None:
        body = step.body
        iteration, condition = body.parameters[:2]
        for part in self._plan.slices[step]:
            self._slice(part, step, number)
        self._line(f"memcpy({self._at(iteration)}, &index_{number}, sizeof index_{number});")
        self._line(f"*({self._at(condition)}) = running_{number};")
        self._block(body)
        if step.source.tests_condition:
            self._line(f"running_{number} = *({self._at(body.results[0])});")
        self._copies(self._plan.copies[body])

    def _slice(self, part: LoopSlice, step: FusedRepeat, number: int) -> None:
        position = f"trips_{number} - 1 - index_{number}" if part.reversed else f"index_{number}"
        kind = "unsigned char" if part.written else "const unsigned char"
        start = f"{self._at(part.whole)} + (size_t)({position}) * {part.bytes}u"
        self._line(f"{kind} *const slice_{part.index} = {start};")

    def _at(self, value: Value) -> str:
        place = self._plan.place(value)
        base = place.region.value
        if place.region in (Region.INPUT, Region.OUTPUT, Region.SLICE):
            base = f"{base}_{place.index}"
        self.used.add(base)
        return f"{base} + {place.offset}" if place.offset else base


def _source(program: Program, body: _Body) -> str:
    symbol = program.symbol
    return _SOURCE.format(
        symbol=symbol,
        memcpy=_MEMCPY,
        prototypes=_prototypes(program),
        inputs=tensor_table(f"{symbol}_inputs", program.inputs),
        outputs=tensor_table(f"{symbol}_outputs", program.outputs),
        model=model_value(symbol, program.inputs, program.outputs),
        step=_STEP,
        workspace_bytes=program.workspace_bytes,
        locals=_locals(program, body),
        body="\n".join(body.lines),
    )


def _locals(program: Program, body: _Body) -> str:
    """What the statements call the memory that they use."""
    names = [
        *(
            f"    const unsigned char *const input_{index} = inputs[{index}];"
            for index in range(len(program.inputs))
            if f"input_{index}" in body.used
        ),
        *(
            f"    unsigned char *const output_{index} = outputs[{index}];"
            for index in range(len(program.outputs))
            if f"output_{index}" in body.used
        ),
    ]
    if "weights" in body.used:
        names.append(f"    const unsigned char *const weights = {program.symbol}_weights;")
    if "arena" in body.used:
        names.append("    unsigned char *const arena = edgec_align(workspace);")
    return "\n".join(names)


def _prototypes(program: Program) -> str:
    kernels = {kernel.symbol: group for group, kernel in program.kernels.items()}
    return "\n".join(_prototype(group, symbol, program.plan) for symbol, group in kernels.items())


def _prototype(group: KernelGroup, symbol: str, plan: MemoryPlan) -> str:
    parameters = ["const void *"] * len(group.inputs) + ["void *"] * len(group.outputs)
    if group in plan.scratch:
        parameters.append("void *")
    return f"int32_t {symbol}({', '.join(parameters)});"


_MEMCPY = "void *memcpy(void *destination, const void *source, size_t bytes); /* bare metal may lack string.h */"

_STEP = """\
#define STEP(number, call) \\
    do { \\
        if (hook != NULL) { \\
            hook(context, number, 0); \\
        } \\
        if ((call) != 0) { \\
            return EDGEC_KERNEL_FAILED; \\
        } \\
        if (hook != NULL) { \\
            hook(context, number, 1); \\
        } \\
    } while (0)"""

_PART = """
static int {name}(void *workspace, const void *const inputs[], void *const outputs[], edgec_step_hook hook,
                  void *context)
{{
{locals}
    (void)workspace;
    (void)inputs;
    (void)outputs;
    (void)hook;
    (void)context;

{body}
    return EDGEC_OK;
}}
"""

_SOURCE = """\
/* The network {symbol}, compiled by edgec: calls its kernels in order. Generated; see {symbol}.h. */
#include "{symbol}.h"

{memcpy}

extern const unsigned char {symbol}_weights[];

{prototypes}

{inputs}

{outputs}

{step}

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
    if (status != EDGEC_OK) {{
        return status;
    }}
{locals}
    (void)hook;
    (void)context;

{body}
    return EDGEC_OK;
}}

{model}
"""
