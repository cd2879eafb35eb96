"""The convolution 256 -> 256, 3x3, 14x14 of signs against our kernels for int8 and fp32, in one process, in turns.

    python benchmarks/binary_kernels.py

Writes benchmarks/results/binary-kernels.json; `binary_kernels_page.py` makes a page of it. One thread. Times are
medians in microseconds of the kernel alone, with its epilogue; what packs the signs of the input, and changes of layout
at the borders of the model, are beside it.
"""

from __future__ import annotations

import json
import statistics
from pathlib import Path
from typing import Any

import machine
import numpy as np
import onnx
import onnx_ir as ir
from onnx import TensorProto, helper, numpy_helper

from edgec.backends.tvm.binary.recognition import BINARY_CONVOLUTION, BINARY_DOMAIN
from edgec.backends.tvm.code_generation import primitive_function
from edgec.backends.tvm.core_description import CoreDescription
from edgec.backends.tvm.fusion import KernelGroup, fuse
from edgec.backends.tvm.model_lowering import lower_graph
from edgec.backends.tvm.schedules.rules import schedule
from edgec.core.target_files import load_target

OUT = Path(__file__).parent / "results" / "binary-kernels.json"
CHANNELS, SIZE, ROUNDS = 256, 14, 30
SHAPE = (1, CHANNELS, SIZE, SIZE)
WINDOW = {"pads": [1, 1, 1, 1], "kernel_shape": [3, 3]}


def model_of(kind: str) -> ir.Model:
    random = np.random.default_rng(0)
    weights = random.choice(np.array([-1, 1], np.int8), (CHANNELS, CHANNELS, 3, 3))
    operator, domain, given, made = {
        "binary": (BINARY_CONVOLUTION, BINARY_DOMAIN, TensorProto.FLOAT, TensorProto.INT32),
        "int8": ("ConvInteger", "", TensorProto.UINT8, TensorProto.INT32),
        "fp32": ("Conv", "", TensorProto.FLOAT, TensorProto.FLOAT),
    }[kind]
    contents = weights.astype(np.float32) if kind == "fp32" else weights
    node = helper.make_node(operator, ["x", "w"], ["y"], name="layer", domain=domain, **WINDOW)
    values = [helper.make_tensor_value_info(name, dtype, SHAPE) for name, dtype in (("x", given), ("y", made))]
    graph = helper.make_graph([node], "layer", values[:1], values[1:], [numpy_helper.from_array(contents, "w")])
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid(BINARY_DOMAIN, 1)]
    return ir.from_proto(onnx.shape_inference.infer_shapes(helper.make_model(graph, opset_imports=opsets)))


class Layer:
    """The compiled kernels of one model with tensors to run on."""

    def __init__(self, kind: str, core: CoreDescription) -> None:
        import tvm

        groups = [
            step for step in fuse(lower_graph(model_of(kind), core, kind).main).steps if isinstance(step, KernelGroup)
        ]
        functions = {
            f"kernel_{at}": schedule(primitive_function(group), group, core, 1).function.with_attr(
                "global_symbol", f"kernel_{at}"
            )
            for at, group in enumerate(groups)
        }
        target = tvm.target.Target({"kind": "llvm", "mcpu": tvm.target.codegen.llvm_get_system_cpu()})
        module = tvm.compile(tvm.IRModule(functions), target=target).mod
        self.calls: list[tuple[bool, Any, list[Any]]] = []
        for at, group in enumerate(groups):
            values = (*group.inputs, *group.outputs)
            arrays = [np.ones(value.shape, value.dtype) if value.data is None else value.data for value in values]
            timed = module.time_evaluator(f"kernel_{at}", tvm.cpu(), number=3, repeat=1)
            tensors = [tvm.runtime.tensor(np.array(array, order="C")) for array in arrays]
            self.calls.append((group.anchor.macs > 0, timed, tensors))

    def microseconds(self) -> tuple[float, float]:
        """Of the convolution, and of everything else."""
        spent = [(product, 1e6 * timed(*tensors).results[0]) for product, timed, tensors in self.calls]
        return sum(time for product, time in spent if product), sum(time for product, time in spent if not product)


def main() -> None:
    core = CoreDescription.of(load_target("host"))
    layers = {kind: Layer(kind, core) for kind in ("binary", "int8", "fp32")}
    around = machine.observe()
    times: dict[str, list[tuple[float, float]]] = {kind: [] for kind in layers}
    for _ in range(ROUNDS):
        for kind, layer in layers.items():
            times[kind].append(layer.microseconds())
    medians = {kind: [statistics.median(part) for part in zip(*rows, strict=True)] for kind, rows in times.items()}
    rows = {kind: {"kernel_us": kernel, "rest_us": rest} for kind, (kernel, rest) in medians.items()}
    found = {"machine": around.as_json(), "layers": rows}
    OUT.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
