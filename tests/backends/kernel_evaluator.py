"""Runs the kernels of a small model on this machine, without the driver, and compares them with ONNX Runtime."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir

from edgec.backends.tvm.code_generation import primitive_function
from edgec.backends.tvm.core_description import CoreDescription
from edgec.backends.tvm.fusion import KernelGroup, fuse
from edgec.backends.tvm.kernel_graph import Value, View
from edgec.backends.tvm.model_lowering import lower_graph
from edgec.backends.tvm.schedules.rules import schedule

AVX512 = CoreDescription(16, 32, "none", 32 * 1024, 1024 * 1024)
VNNI = CoreDescription(16, 32, "vnni", 32 * 1024, 1024 * 1024, multiplies_pairs=True)
AVX2 = CoreDescription(8, 16, "none", 32 * 1024, 512 * 1024)
NEON = CoreDescription(4, 32, "none", 32 * 1024, 512 * 1024)
SCALAR = CoreDescription(1, 14, "none", 16 * 1024, 0)


def host_target() -> Any:
    import tvm

    return tvm.target.Target({"kind": "llvm", "mcpu": tvm.target.codegen.llvm_get_system_cpu()})


class Kernels:
    """The compiled kernels of a model whose kernel graph has no control flow."""

    def __init__(self, model: onnx.ModelProto, core: CoreDescription = AVX512, threads: int = 1) -> None:
        import tvm

        onnx.checker.check_model(model)
        graph = lower_graph(ir.from_proto(onnx.shape_inference.infer_shapes(model)), core, "model")
        self.block = fuse(graph.main)
        self.fallbacks: list[str] = []
        functions = {}
        self.groups = [step for step in self.block.steps if isinstance(step, KernelGroup)]
        for index, group in enumerate(self.groups):
            scheduled = schedule(primitive_function(group), group, core, threads)
            if scheduled.fallback_reason is not None:
                self.fallbacks.append(scheduled.fallback_reason)
            functions[f"kernel_{index}"] = scheduled.function.with_attr("global_symbol", f"kernel_{index}")
        self.scheduled = tvm.IRModule(functions)
        self.module = tvm.compile(self.scheduled, target=host_target())

    def tensor(self, array: np.ndarray) -> Any:
        import tvm

        return tvm.runtime.tensor(np.array(array, order="C"))

    def run(self, inputs: Mapping[str, np.ndarray]) -> list[np.ndarray]:
        held: dict[Value, np.ndarray] = {value: inputs[value.name] for value in self.block.parameters}

        def contents(value: Value) -> np.ndarray:
            return held[value] if value.data is None else value.data

        number = 0
        for step in self.block.steps:
            if isinstance(step, View):
                flat = contents(step.source).reshape(-1).view(np.uint8)
                size = step.result.size_bytes
                piece = flat[step.offset_bytes : step.offset_bytes + size]
                held[step.result] = piece.view(step.result.dtype).reshape(step.result.shape)
                continue
            assert isinstance(step, KernelGroup)
            arguments = [self.tensor(contents(value)) for value in step.inputs]
            results = [self.tensor(np.full(value.shape, 77, value.dtype)) for value in step.outputs]
            self.module[f"kernel_{number}"](*arguments, *results)
            held.update(zip(step.outputs, (result.numpy() for result in results), strict=True))
            number += 1
        return [contents(value) for value in self.block.results]


def reference(model: onnx.ModelProto, inputs: Mapping[str, np.ndarray]) -> list[np.ndarray]:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return list(session.run(None, dict(inputs)))


def assert_agrees(
    model: onnx.ModelProto,
    inputs: Mapping[str, np.ndarray],
    core: CoreDescription = AVX512,
    *,
    tolerance: float = 1e-5,
    threads: int = 1,
) -> Kernels:
    """The kernels give what ONNX Runtime gives, to `tolerance` of each output's range; integers exactly."""
    kernels = Kernels(model, core, threads)
    assert kernels.fallbacks == []
    names = [output.name for output in model.graph.output]
    for name, actual, expected in zip(names, kernels.run(inputs), reference(model, inputs), strict=True):
        assert actual.shape == expected.shape, name
        assert actual.dtype == expected.dtype, name
        if expected.dtype.kind in "iub":
            np.testing.assert_array_equal(actual, expected, err_msg=name)
        else:
            span = max(float(np.ptp(expected)), float(np.abs(expected).max()), 1e-6)
            error = float(np.abs(actual.astype(np.float64) - expected.astype(np.float64)).max())
            assert error <= tolerance * span, (name, error / span)
    return kernels
