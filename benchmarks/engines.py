"""Inference engines behind one interface, each in a process of its own: load a network, then time runs on demand.

Usage (as a worker): python benchmarks/engines.py ENGINE MODEL.onnx THREADS [INPUT=1,3,48,192 … INPUT:=VALUE …]
It prints one JSON line when ready (`{"memory_bytes": …, "outputs": path, …}`), then reads a number a line from standard
input and answers with the seconds of as many runs. All engines compute in fp32 on the same seeded inputs.
"""

from __future__ import annotations

import ctypes
import inspect
import json
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from hashlib import sha256
from pathlib import Path

import machine
import numpy as np
import onnx
from numpy.typing import NDArray
from resident_memory import give_back_freed_memory, planned_bytes, resident_bytes

Array = NDArray[np.generic]
Inputs = dict[str, Array]
Run = Callable[[], list[Array]]
_CONVERT_TO_MNN = "import sys, _tools; _tools.mnnconvert(sys.argv)"
"""MNN's own command does the same, but then installs a package with pip and sends what was converted to its makers."""


CONVERTED = Path.home() / ".cache/edgec-benchmarks/converted"
"""What converters made of networks: some take minutes. Delete it after an engine was upgraded."""


class UnavailableError(Exception):
    """An engine cannot run a network here; the message says why."""


def seeded_inputs(model: Path, given: list[str]) -> Inputs:
    """Standard normal inputs, whole numbers below 2 where the type is integral.

    Args:
        model: the network.
        given: shapes of inputs, `x=1,3,48,192`, and values that fill one, `rate:=16000`; open extents are 1 otherwise.
    """
    filled = dict(text.split(":=") for text in given if ":=" in text)
    shaped = dict(text.split("=") for text in shapes_only(given))
    generator = np.random.default_rng(0)
    graph = onnx.load(model, load_external_data=False).graph
    constants = {tensor.name for tensor in graph.initializer}
    inputs: Inputs = {}
    for value in graph.input:
        name, tensor = value.name, value.type.tensor_type
        if name in constants:
            continue
        shape = tuple(max(1, extent.dim_value) for extent in tensor.shape.dim)
        if name in shaped:
            shape = tuple(int(extent) for extent in shaped[name].split(","))
        element = onnx.helper.tensor_dtype_to_np_dtype(tensor.elem_type)
        if name in filled:
            inputs[name] = np.full(shape, float(filled[name])).astype(element)
        elif np.issubdtype(element, np.floating):
            inputs[name] = np.asarray(generator.standard_normal(shape, dtype=np.float32)).astype(element)
        else:
            inputs[name] = np.asarray(generator.integers(0, 2, shape)).astype(element)
    return inputs


def shapes_only(given: list[str]) -> list[str]:
    """Those of the given texts that state a shape."""
    return [text for text in given if ":=" not in text]


def private_copy(model: Path, folder: Path) -> Path:
    """A copy of the network, and of the files that hold its weights, for one engine alone.

    Converters rewrite the file that they are given in place (onnx2tf does) or write beside it (pnnx does).
    """
    target = folder / "network"
    target.mkdir()
    located = (
        entry.value
        for tensor in onnx.load(model, load_external_data=False).graph.initializer
        for entry in tensor.external_data
        if entry.key == "location"
    )
    for name in {model.name, *located}:
        (target / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(model.parent / name, target / name)
    return target / model.name


def output_names(model: Path) -> list[str]:
    """The network's outputs in order."""
    return [value.name for value in onnx.load(model, load_external_data=False).graph.output]


def convert(command: list[str | Path], folder: Path) -> None:
    """Run a converter in a folder of its own.

    Raises:
        UnavailableError: it failed; with the last line that it printed.
    """
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, errors="replace", check=False)
    if done.returncode != 0:
        printed = [line for line in (done.stderr + done.stdout).splitlines() if line.strip()]
        told = [line for line in printed if "error" in line.lower()] or printed[-1:] or ["it printed nothing"]
        said = told[0].strip().replace(f"{folder}/", "")[:200]
        raise UnavailableError(f"{Path(command[0]).name} ended with {done.returncode}: {said}")


def converted(engine: Callable[..., Run], model: Path, inputs: Inputs, make: Callable[[Path], None]) -> Path:
    """A folder with what `make` writes into it: made now, or kept from when the same was converted before.

    Args:
        engine: the caller; what its source says of the conversion counts.
        model: the network.
        inputs: as it will be run.
        make: converts into a folder.

    Raises:
        UnavailableError: the conversion failed; that is not kept.
    """
    shapes = [(name, array.shape, str(array.dtype)) for name, array in inputs.items()]
    said = repr((engine.__name__, inspect.getsource(engine), shapes, machine.processor_name(), sys.version_info[:2]))
    place = CONVERTED / f"{engine.__name__}-{sha256(said.encode() + model.read_bytes()).hexdigest()[:24]}"
    if not place.is_dir():
        CONVERTED.mkdir(parents=True, exist_ok=True)
        fresh = Path(tempfile.mkdtemp(prefix="making-", dir=CONVERTED))
        try:
            make(fresh)
            fresh.replace(place)
        finally:
            shutil.rmtree(fresh, ignore_errors=True)
    return place


def script(name: str) -> Path:
    """A command that was installed beside this Python, or else is on PATH."""
    beside = Path(sys.executable).with_name(name)
    found = beside if beside.is_file() else shutil.which(name)
    if found is None:
        raise UnavailableError(f"{name} is not installed")
    return Path(found)


def onnxruntime(model: Path, threads: int, inputs: Inputs, folder: Path) -> Run:
    import onnxruntime as runtime

    options = runtime.SessionOptions()
    options.intra_op_num_threads = threads
    session = runtime.InferenceSession(str(model), options, providers=["CPUExecutionProvider"])
    return lambda: session.run(None, inputs)


def openvino(model: Path, threads: int, inputs: Inputs, folder: Path) -> Run:
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


def iree(model: Path, threads: int, inputs: Inputs, folder: Path) -> Run:
    from iree import runtime

    def make(place: Path) -> None:
        with ProcessPoolExecutor(1) as other:  # What it allocates is not to count as the engine's.
            fixed = other.submit(fix_shapes, model, inputs, folder).result()
        source = folder / "model.mlir"
        convert([script("iree-import-onnx"), fixed, "--opset-version", "18", "-o", source], folder)
        backend = ["--iree-hal-target-device=local", "--iree-hal-local-target-device-backends=llvm-cpu"]
        tuned = ["--iree-llvmcpu-target-cpu=host", "--iree-opt-level=O3"]
        convert([script("iree-compile"), source, *backend, *tuned, "-o", place / "model.vmfb"], folder)

    module = converted(iree, model, inputs, make) / "model.vmfb"
    if threads > 1:
        runtime.flags.parse_flags(f"--task_topology_max_group_count={threads}")
    loaded = runtime.load_vm_flatbuffer_file(str(module), driver="local-sync" if threads == 1 else "local-task")
    # `NAME$async` takes fences, `NAME` waits; `__init` is the module's own.
    asynchronous = next(name for name in loaded.vm_module.function_names if name.endswith("$async"))
    function = loaded[asynchronous.removesuffix("$async")]
    given = list(inputs.values())

    def run() -> list[Array]:
        result = function(*given)
        return [np.asarray(each) for each in (result if isinstance(result, (tuple, list)) else [result])]

    return run


def fix_shapes(model: Path, inputs: Inputs, folder: Path) -> Path:
    """The network with the shapes of its inputs spelled out; a compiler makes better code of it."""
    network = onnx.load(model)
    for value in network.graph.input:
        if value.name in inputs:
            for extent, length in zip(value.type.tensor_type.shape.dim, inputs[value.name].shape, strict=True):
                extent.dim_value = length
    del network.graph.value_info[:]
    onnx.save(onnx.shape_inference.infer_shapes(network), folder / "fixed.onnx")
    return folder / "fixed.onnx"


def ncnn(model: Path, threads: int, inputs: Inputs, folder: Path) -> Run:
    import ncnn as engine

    def make(place: Path) -> None:
        shapes = ",".join("[" + ",".join(map(str, array.shape)) + "]" for array in inputs.values())
        made = [f"ncnnparam={place / 'model.ncnn.param'}", f"ncnnbin={place / 'model.ncnn.bin'}"]
        convert([script("pnnx"), model, f"inputshape={shapes}", "fp16=0", *made], folder)

    place = converted(ncnn, model, inputs, make)
    network = engine.Net()
    network.opt.num_threads = threads
    for option in ("use_fp16_packed", "use_fp16_storage", "use_fp16_arithmetic", "use_bf16_storage"):
        setattr(network.opt, option, False)
    network.load_param(str(place / "model.ncnn.param"))
    network.load_model(str(place / "model.ncnn.bin"))
    arrays = [engine.Mat(array[0]) for array in inputs.values()]
    names = network.output_names()

    def run() -> list[Array]:
        extractor = network.create_extractor()
        for name, array in zip(network.input_names(), arrays, strict=True):
            extractor.input(name, array)
        return [np.asarray(extractor.extract(name)[1])[None] for name in names]

    return run


def mnn(model: Path, threads: int, inputs: Inputs, folder: Path) -> Run:
    import MNN

    def make(place: Path) -> None:
        made = place / "model.mnn"
        options = ["-f", "ONNX", "--modelFile", model, "--MNNModel", made, "--bizCode", "benchmark"]
        convert([sys.executable, "-c", _CONVERT_TO_MNN, *options], folder)
        if not made.is_file():
            raise UnavailableError("mnnconvert wrote no model")

    interpreter = MNN.Interpreter(str(converted(mnn, model, inputs, make) / "model.mnn"))
    session = interpreter.createSession({"numThread": threads, "precision": "high", "backend": "CPU"})
    targets = interpreter.getSessionInputAll(session)
    for name, array in inputs.items():
        interpreter.resizeTensor(targets[name], array.shape)
    interpreter.resizeSession(session)
    caffe = MNN.Tensor_DimensionType_Caffe
    kinds = {"float32": MNN.Halide_Type_Float, "int32": MNN.Halide_Type_Int}
    strange = [f"{name} is {array.dtype}" for name, array in inputs.items() if str(array.dtype) not in kinds]
    if strange:
        raise UnavailableError(f"its Python interface takes float32 and int32 only; {', '.join(strange)}")
    sources = {name: MNN.Tensor(array.shape, kinds[str(array.dtype)], array, caffe) for name, array in inputs.items()}
    names = output_names(model)
    outputs = interpreter.getSessionOutputAll(session)

    def run() -> list[Array]:
        for name, source in sources.items():
            targets[name].copyFrom(source)
        interpreter.runSession(session)
        return [outputs[name].getNumpyData() for name in names]

    return run


def litert(model: Path, threads: int, inputs: Inputs, folder: Path) -> Run:
    from ai_edge_litert.interpreter import Interpreter

    def make(place: Path) -> None:
        # onnx2tf 2 writes LiteRT's format without TensorFlow; it needs a Python of 3.12 or later, any on PATH will do.
        shapes = [f"{name}:{','.join(map(str, array.shape))}" for name, array in inputs.items()]
        convert([script("onnx2tf"), "-i", model, "-o", folder / "tflite", "-ois", *shapes, "-kat", *inputs], folder)
        shutil.copyfile(next((folder / "tflite").glob("*float32.tflite")), place / "model.tflite")

    place = converted(litert, model, inputs, make)
    interpreter = Interpreter(str(place / "model.tflite"), num_threads=threads)
    interpreter.allocate_tensors()
    places = interpreter.get_input_details()
    for place, array in zip(places, inputs.values(), strict=True):
        if tuple(place["shape"]) != array.shape:
            raise UnavailableError(f"the converted input has the shape {tuple(place['shape'])}")
    results = [place["index"] for place in interpreter.get_output_details()]

    def run() -> list[Array]:
        for place, array in zip(places, inputs.values(), strict=True):
            interpreter.set_tensor(place["index"], array)
        interpreter.invoke()
        return [interpreter.get_tensor(index) for index in results]

    return run


def edgec(model: Path, threads: int, inputs: Inputs, folder: Path) -> Run:
    shapes = [f"--shape={name}={','.join(map(str, array.shape))}" for name, array in inputs.items()]
    artefact = folder / "artefact"
    command = [script("edgec"), "build", model, "--target", "host", "--quiet", "--threads", str(threads)]
    convert([*command, *shapes, "--out", artefact], folder)
    interface = json.loads((artefact / "manifest.json").read_text(encoding="utf-8"))["interface"]
    symbol = interface["symbol"]
    library = ctypes.CDLL(str(artefact / f"lib/lib{symbol}.so"))
    size = getattr(library, f"{symbol}_workspace_bytes")
    size.restype = ctypes.c_size_t
    workspace = aligned(size())
    sources = []
    for array in inputs.values():
        sources.append(aligned(array.nbytes).view(array.dtype).reshape(array.shape))
        sources[-1][...] = array
    types = [np.dtype(output["dtype"]) for output in interface["outputs"]]
    extents = [tuple(output["shape"]) for output in interface["outputs"]]
    results = [
        aligned(kind.itemsize * int(np.prod(shape))).view(kind).reshape(shape)
        for kind, shape in zip(types, extents, strict=True)
    ]
    given = (ctypes.c_void_p * len(sources))(*(array.ctypes.data for array in sources))
    taken = (ctypes.c_void_p * len(results))(*(array.ctypes.data for array in results))
    function = getattr(library, f"{symbol}_run")
    alive = (workspace, sources)

    def run() -> list[Array]:
        # The arrays of pointers do not keep what they point to alive.
        status = function(ctypes.c_void_p(alive[0].ctypes.data), given, taken)
        if status:
            raise RuntimeError(f"the artefact returned {status}")
        return results

    return run


def aligned(size_bytes: int) -> NDArray[np.uint8]:
    """A buffer that begins at a cache line."""
    buffer = np.zeros(size_bytes + 64, dtype=np.uint8)
    start = -buffer.ctypes.data % 64
    return buffer[start : start + size_bytes]


ENGINES: dict[str, Callable[[Path, int, Inputs, Path], Run]] = {
    engine.__name__: engine for engine in (edgec, onnxruntime, openvino, iree, ncnn, mnn, litert)
}


def main() -> None:
    name, model, threads = sys.argv[1], Path(sys.argv[2]).resolve(), int(sys.argv[3])
    inputs = seeded_inputs(model, sys.argv[4:])
    with tempfile.TemporaryDirectory(prefix=f"{name}-") as scratch:
        folder = Path(scratch)
        model = private_copy(model, folder)
        give_back_freed_memory()
        before = resident_bytes()
        try:
            run = ENGINES[name](model, threads, inputs, folder)
            outputs = [np.array(output) for output in run()]
        except UnavailableError as reason:
            print(json.dumps({"unavailable": str(reason)}), flush=True)
            return
        except ModuleNotFoundError as reason:
            print(json.dumps({"unavailable": f"the package {reason.name} is not installed"}), flush=True)
            return
        grown = resident_bytes() - before
        np.savez(folder / "outputs.npz", *outputs)
        ready = {"memory_bytes": grown, "planned": planned_bytes(folder), "outputs": str(folder / "outputs.npz")}
        print(json.dumps(ready), flush=True)
        for line in sys.stdin:
            seconds = []
            for _ in range(int(line)):
                started = time.perf_counter()
                run()
                seconds.append(time.perf_counter() - started)
            print(json.dumps(seconds), flush=True)


if __name__ == "__main__":
    main()
