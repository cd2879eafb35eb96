"""Threads that share the kernels of an artefact: the same bytes as one thread gives, whoever else runs."""

from __future__ import annotations

import ctypes
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from artifacts import run
from onnx import TensorProto, helper, numpy_helper

from edgec.backends.executor import execute
from edgec.backends.plan import BuildPlan
from edgec.backends.tvm.backend import TvmBackend
from edgec.backends.tvm.core_description import CoreDescription
from edgec.core.progress import Silent
from edgec.core.target_files import load_target

SHAPE = (1, 24, 37, 41)
X = np.random.default_rng(3).standard_normal(SHAPE).astype("float32")


def network() -> ir.Model:
    """Convolutions that are filtered, strided and depthwise, a pool and a softmax; the extents are odd."""
    random = np.random.default_rng(5)
    nodes, weights = [], []

    def convolve(source: str, name: str, outputs: int, inputs: int, **attributes: int | list[int]) -> str:
        data = random.standard_normal((outputs, inputs, 3, 3)).astype("float32") / np.sqrt(9 * inputs)
        weights.append(numpy_helper.from_array(data.astype("float32"), f"{name}.w"))
        nodes.append(helper.make_node("Conv", [source, f"{name}.w"], [name], name=name, pads=[1] * 4, **attributes))
        return name

    last = convolve("x", "filtered", 64, 24)
    last = convolve(last, "filtered_again", 64, 64)
    last = convolve(last, "depthwise", 64, 1, group=64)
    last = convolve(last, "strided", 96, 64, strides=[2, 2])
    nodes.append(helper.make_node("MaxPool", [last], ["pool"], name="pool", kernel_shape=[3, 3]))
    nodes.append(helper.make_node("Softmax", ["pool"], ["y"], name="softmax", axis=1))
    x, y = (
        helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in (("x", SHAPE), ("y", None))
    )
    graph = helper.make_graph(nodes, "net", [x], [y], weights)
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    return ir.from_proto(onnx.shape_inference.infer_shapes(made))


def built(folder: Path, threads: int) -> BuildPlan:
    plan = TvmBackend().plan(network(), load_target("host"), name="net", threads=threads, progress=Silent())
    assert plan.fallbacks == ()
    execute(plan, folder, Silent())
    return plan


@pytest.fixture(scope="module")
def one_thread(tmp_path_factory: pytest.TempPathFactory) -> tuple[BuildPlan, bytes]:
    folder = tmp_path_factory.mktemp("one")
    plan = built(folder, 1)
    return plan, run(plan, folder, {"x": X})[0]["y"].tobytes()


@pytest.mark.parametrize("threads", [2, 3])
def test_threads_give_the_same_bytes_from_run_to_run(
    tmp_path: Path, threads: int, one_thread: tuple[BuildPlan, bytes]
) -> None:
    plan = built(tmp_path, threads)
    for _ in range(5):
        made, _ = run(plan, tmp_path, {"x": X}, ("--iterations", "40"))
        assert made["y"].tobytes() == one_thread[1]


def test_scratch_of_every_thread_is_planned_and_counted(tmp_path: Path, one_thread: tuple[BuildPlan, bytes]) -> None:
    plan = built(tmp_path, 2)
    one, two = (use.memory.activations_bytes + use.memory.scratch_bytes for use in (one_thread[0], plan))
    assert two > one
    code = (tmp_path / "lib/libnet.so").read_bytes()
    assert b"posix_memalign" not in code
    assert b"malloc" not in code


class Library:
    """The shared library of an artefact."""

    def __init__(self, folder: Path) -> None:
        self._library = ctypes.CDLL(str(folder / "lib/libnet.so"))
        self._library.net_workspace_bytes.restype = ctypes.c_size_t

    def run(self, elements: int) -> bytes:
        """The output, with a workspace of its own."""
        workspace = np.empty(self._library.net_workspace_bytes(), np.uint8)
        output = np.empty(elements, np.float32)
        given = (ctypes.c_void_p * 1)(X.ctypes.data)
        taken = (ctypes.c_void_p * 1)(output.ctypes.data)
        status = self._library.net_run(ctypes.c_void_p(workspace.ctypes.data), given, taken)
        assert status == 0
        return output.tobytes()


def test_callers_at_the_same_time_and_children_get_the_same_bytes(
    tmp_path: Path, one_thread: tuple[BuildPlan, bytes]
) -> None:
    built(tmp_path, 2)
    library, wanted = Library(tmp_path), one_thread[1]
    elements = len(wanted) // 4
    with ThreadPoolExecutor(3) as callers:
        assert set(callers.map(library.run, [elements] * 60)) == {wanted}
    # A child has none of its parent's threads: it must not wait for them.
    child = os.fork()
    if child == 0:
        os._exit(0 if library.run(elements) == wanted else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def test_small_kernels_are_not_shared(tmp_path: Path) -> None:
    from edgec.backends.tvm.fusion import KernelGroup, fuse
    from edgec.backends.tvm.model_lowering import lower_graph
    from edgec.backends.tvm.schedules.sharing import sharing_threads

    core = CoreDescription.of(load_target("host"))
    nodes = [helper.make_node("Relu", ["x"], ["y"], name="relu")]

    def threads_of(extent: int) -> int:
        values = [helper.make_tensor_value_info(name, TensorProto.FLOAT, (1, extent)) for name in "xy"]
        graph = helper.make_graph(nodes, "net", values[:1], values[1:])
        made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
        block = fuse(lower_graph(ir.from_proto(made), core, "net").main)
        (group,) = [step for step in block.steps if isinstance(step, KernelGroup)]
        return sharing_threads(group, core, 4)

    assert threads_of(64) == 1
    assert threads_of(1_000_000) == 4
