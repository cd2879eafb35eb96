"""Inference engines behind one interface, each in a process of its own: load a network, then time runs on demand.

Usage (as a worker): python benchmarks/engines.py ENGINE MODEL.onnx THREADS
It prints one JSON line when ready (`{"memory_bytes": …, "outputs": [path]}`), then reads a number a line from standard
input and answers with the seconds of as many runs. All engines compute in fp32 on the same seeded input.
"""

from __future__ import annotations

import ctypes
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray

Array = NDArray[np.float32]
Run = Callable[[], list[Array]]


def seeded_inputs(model: Path) -> dict[str, Array]:
    """Standard normal inputs; unknown extents are 1."""
    generator = np.random.default_rng(0)
    graph = onnx.load(model, load_external_data=False).graph
    constants = {tensor.name for tensor in graph.initializer}
    shapes = {
        value.name: [max(1, extent.dim_value) for extent in value.type.tensor_type.shape.dim]
        for value in graph.input
        if value.name not in constants
    }
    return {name: generator.standard_normal(shape, dtype=np.float32) for name, shape in shapes.items()}


def onnxruntime(model: Path, threads: int, inputs: dict[str, Array]) -> Run:
    import onnxruntime as runtime

    options = runtime.SessionOptions()
    options.intra_op_num_threads = threads
    session = runtime.InferenceSession(str(model), options, providers=["CPUExecutionProvider"])
    return lambda: session.run(None, inputs)


def openvino(model: Path, threads: int, inputs: dict[str, Array]) -> Run:
    import openvino as ov

    network = ov.Core().read_model(model)
    network.reshape({name: array.shape for name, array in inputs.items()})
    settings = {"INFERENCE_NUM_THREADS": threads, "NUM_STREAMS": 1, "INFERENCE_PRECISION_HINT": "f32"}
    compiled = ov.Core().compile_model(network, "CPU", settings)
    request = compiled.create_infer_request()

    def run() -> list[Array]:
        request.infer(inputs)
        return [request.get_output_tensor(index).data for index in range(len(compiled.outputs))]

    return run


def iree(model: Path, threads: int, inputs: dict[str, Array]) -> Run:
    from iree import runtime

    scripts = Path(sys.executable).parent
    folder = Path(tempfile.mkdtemp(prefix="iree-"))
    source, module = folder / "model.mlir", folder / "model.vmfb"
    convert = [scripts / "iree-import-onnx", model, "--opset-version", "18", "-o", source]
    subprocess.run(convert, check=True, capture_output=True)
    backend = ["--iree-hal-target-device=local", "--iree-hal-local-target-device-backends=llvm-cpu"]
    tuned = ["--iree-llvmcpu-target-cpu=host", "--iree-opt-level=O3"]
    subprocess.run([scripts / "iree-compile", source, *backend, *tuned, "-o", module], check=True, capture_output=True)
    if threads > 1:
        runtime.flags.parse_flags(f"--task_topology_max_group_count={threads}")
    loaded = runtime.load_vm_flatbuffer_file(str(module), driver="local-sync" if threads == 1 else "local-task")
    function = loaded[
        next(name for name in loaded.vm_module.function_names if not name.startswith("__") and "$" not in name)
    ]
    device_inputs = list(inputs.values())

    def run() -> list[Array]:
        result = function(*device_inputs)
        return [np.asarray(each) for each in (result if isinstance(result, (tuple, list)) else [result])]

    return run


def ncnn(model: Path, threads: int, inputs: dict[str, Array]) -> Run:
    import ncnn as engine

    folder = Path(tempfile.mkdtemp(prefix="ncnn-"))
    shapes = ",".join("[" + ",".join(map(str, array.shape)) + "]" for array in inputs.values())
    files = [f"ncnnparam={folder / 'model.param'}", f"ncnnbin={folder / 'model.bin'}"]
    others = [f"{kind}={folder / kind}" for kind in ("pnnxparam", "pnnxbin", "pnnxpy", "pnnxonnx", "ncnnpy")]
    pnnx = [Path(sys.executable).parent / "pnnx", model, f"inputshape={shapes}", "fp16=0", *files, *others]
    subprocess.run(pnnx, check=True, capture_output=True, cwd=folder)
    network = engine.Net()
    network.opt.num_threads = threads
    for option in ("use_fp16_packed", "use_fp16_storage", "use_fp16_arithmetic", "use_bf16_storage"):
        setattr(network.opt, option, False)
    network.load_param(str(folder / "model.param"))
    network.load_model(str(folder / "model.bin"))
    arrays = [engine.Mat(array[0]) for array in inputs.values()]
    names = network.output_names()

    def run() -> list[Array]:
        extractor = network.create_extractor()
        for name, array in zip(network.input_names(), arrays, strict=True):
            extractor.input(name, array)
        return [np.asarray(extractor.extract(name)[1])[None] for name in names]

    return run


def edgec(model: Path, threads: int, inputs: dict[str, Array]) -> Run:
    folder = Path(tempfile.mkdtemp(prefix="edgec-"))
    command = [Path(sys.executable).with_name("edgec"), "build", model, "--target", "host", "--threads", str(threads)]
    subprocess.run([*command, "--out", folder / "artefact"], check=True, capture_output=True)
    interface = json.loads((folder / "artefact/manifest.json").read_text())["interface"]
    symbol = interface["symbol"]
    library = ctypes.CDLL(str(folder / f"artefact/lib/lib{symbol}.so"))
    size = getattr(library, f"{symbol}_workspace_bytes")
    size.restype = ctypes.c_size_t
    workspace = aligned(size())
    sources = [aligned(array.nbytes).view(array.dtype).reshape(array.shape) for array in inputs.values()]
    for source, array in zip(sources, inputs.values(), strict=True):
        source[...] = array
    results = [aligned(4 * int(np.prod(o["shape"]))).view(np.float32).reshape(o["shape"]) for o in interface["outputs"]]
    pointers = ctypes.c_void_p * max(len(sources), len(results))
    given = pointers(*(array.ctypes.data for array in sources))
    taken = pointers(*(array.ctypes.data for array in results))
    function = getattr(library, f"{symbol}_run")

    def run() -> list[Array]:
        # The array of pointers does not keep the inputs alive; naming them here does.
        status = function(ctypes.c_void_p(workspace.ctypes.data), given, taken) if sources else 0
        if status:
            raise RuntimeError(f"the artefact returned {status}")
        return results

    return run


def aligned(size_bytes: int) -> NDArray[np.uint8]:
    """A buffer that begins at a cache line."""
    buffer = np.zeros(size_bytes + 64, dtype=np.uint8)
    start = -buffer.ctypes.data % 64
    return buffer[start : start + size_bytes]


ENGINES: dict[str, Callable[[Path, int, dict[str, Array]], Run]] = {
    engine.__name__: engine for engine in (edgec, onnxruntime, openvino, iree, ncnn)
}


def resident_bytes() -> int:
    """Resident memory of this process."""
    fields = Path("/proc/self/statm").read_text().split()
    return int(fields[1]) * 4096


def main() -> None:
    name, model, threads = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3])
    inputs = seeded_inputs(model)
    before = resident_bytes()
    run = ENGINES[name](model, threads, inputs)
    outputs = [np.array(output) for output in run()]
    place = Path(tempfile.mkdtemp(prefix="outputs-")) / f"{name}.npz"
    np.savez(place, *outputs)
    print(json.dumps({"memory_bytes": resident_bytes() - before, "outputs": str(place)}), flush=True)
    for line in sys.stdin:
        seconds = []
        for _ in range(int(line)):
            started = time.perf_counter()
            run()
            seconds.append(time.perf_counter() - started)
        print(json.dumps(seconds), flush=True)


if __name__ == "__main__":
    main()
