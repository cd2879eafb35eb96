"""Runs kernel graphs on the host, each operation as an unscheduled kernel, so that operators are tested alone."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from edgec.backends.tvm.kernel_graph import Block, Conditional, KernelGraph, Operation, Repeat, Step, Value, View


def operations(steps: Sequence[Step]) -> Iterator[Operation]:
    """Every operation of some steps and of the blocks inside them."""
    for step in steps:
        if isinstance(step, Operation):
            yield step
        elif isinstance(step, Conditional):
            yield from operations(step.then_block.steps)
            yield from operations(step.else_block.steps)
        elif isinstance(step, Repeat):
            yield from operations(step.body.steps)


class Kernels:
    """The compiled operations of several graphs; equal ones are compiled once."""

    def __init__(self, graphs: Sequence[KernelGraph]) -> None:
        import tvm
        import tvm_ffi
        from tvm import te

        functions: dict[str, Any] = {}
        by_structure: dict[Any, list[tuple[Any, str]]] = {}
        self._names: dict[int, str] = {}
        for graph in graphs:
            for operation in operations(graph.main.steps):
                placeholders = [
                    te.placeholder(value.shape, value.dtype, name=f"input{number}")
                    for number, value in enumerate(operation.inputs)
                ]
                outputs = list(operation.compute(placeholders))
                for made, value in zip(outputs, operation.outputs, strict=True):
                    described = tuple(int(extent) for extent in made.shape), str(made.dtype)
                    assert described == (value.shape, value.dtype), (operation.op, described, value)
                function = te.create_prim_func([*placeholders, *outputs])
                known = by_structure.setdefault(tvm_ffi.structural_hash(function), [])
                name = next((name for other, name in known if tvm_ffi.structural_equal(other, function)), None)
                if name is None:
                    name = f"kernel_{len(functions)}"
                    known.append((function, name))
                    functions[name] = function.with_attr("global_symbol", name)
                self._names[id(operation)] = name
        self._module = (
            tvm.compile(tvm.IRModule(functions), target=tvm.target.Target({"kind": "llvm"})) if functions else None
        )

    def run(self, operation: Operation, inputs: Sequence[np.ndarray]) -> list[np.ndarray]:
        """The outputs of an operation."""
        import tvm

        outputs = [tvm.runtime.tensor(np.zeros(value.shape, value.dtype)) for value in operation.outputs]
        assert self._module is not None
        arguments = [tvm.runtime.tensor(np.ascontiguousarray(x).reshape(x.shape)) for x in inputs]
        if all(value.size_bytes for value in operation.outputs):
            self._module[self._names[id(operation)]](*arguments, *outputs)
        return [output.numpy() for output in outputs]


class Evaluation:
    """One run of a graph."""

    def __init__(self, kernels: Kernels) -> None:
        self._kernels = kernels
        self._values: dict[Value, np.ndarray] = {}

    def run(self, graph: KernelGraph, inputs: Mapping[str, np.ndarray]) -> list[np.ndarray]:
        """The outputs of a graph for inputs by name."""
        return self._block(graph.main, [inputs[parameter.name] for parameter in graph.main.parameters])

    def _read(self, value: Value) -> np.ndarray:
        if value.data is not None:
            return value.data
        return self._values[value]

    def _write(self, value: Value, contents: np.ndarray) -> None:
        assert contents.shape == value.shape, (value, contents.shape)
        assert str(contents.dtype) == value.dtype, (value, contents.dtype)
        self._values[value] = contents

    def _block(self, block: Block, arguments: Sequence[np.ndarray]) -> list[np.ndarray]:
        for parameter, argument in zip(block.parameters, arguments, strict=True):
            self._write(parameter, argument)
        for step in block.steps:
            if isinstance(step, Operation):
                made = self._kernels.run(step, [self._read(value) for value in step.inputs])
                for value, contents in zip(step.outputs, made, strict=True):
                    self._write(value, contents)
            elif isinstance(step, View):
                self._view(step)
            elif isinstance(step, Conditional):
                taken = step.then_block if bool(self._read(step.condition).reshape(-1)[0]) else step.else_block
                for value, contents in zip(step.outputs, self._block(taken, ()), strict=True):
                    self._write(value, contents)
            else:
                self._repeat(step)
        return [self._read(value) for value in block.results]

    def _view(self, view: View) -> None:
        memory = np.ascontiguousarray(self._read(view.source)).reshape(-1).view(np.uint8)
        part = memory[view.offset_bytes : view.offset_bytes + view.result.size_bytes]
        self._write(view.result, part.view(view.result.dtype).reshape(view.result.shape))

    def _repeat(self, step: Repeat) -> None:
        trips = (
            step.trips if step.trip_count is None else min(step.trips, int(self._read(step.trip_count).reshape(-1)[0]))
        )
        going = np.asarray(True) if step.condition is None else self._read(step.condition).reshape(())
        carried = [self._read(value) for value in step.carried]
        collected = [np.zeros(value.shape, value.dtype) for value in step.collected]
        for trip in range(max(0, trips)):
            if not going:
                break
            slices = [
                self._read(value)[step.trips - 1 - trip if backwards else trip]
                for value, backwards in zip(step.scanned, step.scanned_reversed, strict=True)
            ]
            results = self._block(step.body, [np.asarray(trip, np.int64), going, *carried, *slices])
            if step.tests_condition:
                going = results[0].reshape(())
            carried = [np.copy(result) for result in results[1 : 1 + len(carried)]]
            for array, part, backwards in zip(
                collected, results[1 + len(carried) :], step.collected_reversed, strict=True
            ):
                array[step.trips - 1 - trip if backwards else trip] = part
        for value, contents in zip(step.carried_outputs, carried, strict=True):
            self._write(value, contents)
        for value, contents in zip(step.collected, collected, strict=True):
            self._write(value, contents)
