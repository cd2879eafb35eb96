"""Checks and times CUDA artefacts on the graphics processor of this machine.

    python benchmarks/cuda_check.py MODEL.onnx... [--half] [--out results.json]

For each network: builds for the processor present, compares with ONNX Runtime, and times at batch 1, copies included,
beside ONNX Runtime's CUDA provider and `torch.compile` where they are installed. `--list` says what is here and ends.
Where edgec cannot be installed on the machine with the processor, build elsewhere for its architecture
(`--architecture sm_90 --build-only --out FOLDER`), carry the folder over, and give it `--artifact FOLDER`.
"""

from __future__ import annotations

import argparse
import ctypes
import importlib.util
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np

_WARMUP = 20
_ITERATIONS = 200
_TEMPLATE = "jetson-orin-nano"
_MAJOR, _MINOR = 75, 76


def architecture_present() -> tuple[str, str]:
    """Architecture and name of the first CUDA device; exits with the reason if there is none."""
    try:
        driver = ctypes.CDLL("libcuda.so.1")
    except OSError:
        sys.exit("no CUDA driver: the system cannot load libcuda.so.1")
    device, major, minor = ctypes.c_int(), ctypes.c_int(), ctypes.c_int()
    if driver.cuInit(0) != 0 or driver.cuDeviceGet(ctypes.byref(device), 0) != 0:
        sys.exit("the CUDA driver finds no device")
    name = ctypes.create_string_buffer(256)
    driver.cuDeviceGetName(name, len(name), device)
    driver.cuDeviceGetAttribute(ctypes.byref(major), _MAJOR, device)
    driver.cuDeviceGetAttribute(ctypes.byref(minor), _MINOR, device)
    return f"sm_{major.value}{minor.value}", name.value.decode()


def datasheet_for(architecture: str, folder: Path) -> Path:
    """The datasheet of the Orin Nano with another architecture, for this machine's processor as host."""
    import edgec.targets

    text = (Path(next(iter(edgec.targets.__path__))) / f"{_TEMPLATE}.toml").read_text(encoding="utf-8")
    lines = []
    for line in text.splitlines():
        key = line.partition("=")[0].strip()
        replaced = {
            "name": 'name = "cuda-here"',
            "title": 'title = "CUDA device of this machine"',
            "architecture": f'architecture = "{architecture}"',
            "triple": 'triple = "native"',
            "cpu": 'cpu = "native"',
            "features": "features = []",
            "link_triple": 'link_triple = "native"',
            "library_link_triple": 'library_link_triple = "native"',
        }
        lines.append(replaced.get(key, line))
    path = folder / "cuda-here.toml"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def build_for(model: Path, architecture: str, out: Path, *, half: bool) -> None:
    """Build one network; the build compares it with ONNX Runtime where the device is here."""
    from edgec.build import BuildOptions, build
    from edgec.core.progress import Silent

    with tempfile.TemporaryDirectory(prefix="cuda-check-") as name:
        sheet = datasheet_for(architecture, Path(name))
        options = BuildOptions(
            model=model,
            target=str(sheet),
            recipe="float16" if half else "exact",
            out=out,
        )
        build(options, Silent())


def inputs_of(folder: Path) -> dict[str, np.ndarray]:
    """The same made-up inputs for every engine."""
    interface = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))["interface"]
    random = np.random.default_rng(0)
    return {spec["name"]: random.standard_normal(spec["shape"]).astype(spec["dtype"]) for spec in interface["inputs"]}


def median_ms(run: Callable[[], object]) -> float:
    """Milliseconds of a call, the median after warming up."""
    for _ in range(_WARMUP):
        run()
    times = []
    for _ in range(_ITERATIONS):
        start = time.perf_counter_ns()
        run()
        times.append(time.perf_counter_ns() - start)
    return statistics.median(times) / 1e6


def check(folder: Path) -> dict[str, object]:
    """Run an artefact, compare it with its model, and time it and its rivals."""
    network = _network(folder)
    arrays = inputs_of(folder)
    found: dict[str, object] = {"edgec_ms": median_ms(lambda: network(arrays))}
    produced = network(arrays)
    if importlib.util.find_spec("onnxruntime") is None:
        found["comparison"] = "unavailable: onnxruntime is not installed"
        return found
    import onnxruntime

    model = str(folder / "model.onnx")
    reference = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    names = [value.name for value in reference.get_outputs()]
    expected = dict(zip(names, reference.run(None, arrays), strict=True))
    found["max_relative_error"] = max(_relative_error(produced[name], expected[name]) for name in names)
    if "CUDAExecutionProvider" in onnxruntime.get_available_providers():
        rival = onnxruntime.InferenceSession(model, providers=["CUDAExecutionProvider"])
        found["onnxruntime_cuda_ms"] = median_ms(lambda: rival.run(None, arrays))
    else:
        found["onnxruntime_cuda_ms"] = "unavailable: this ONNX Runtime has no CUDA provider"
    found["torch_compile_ms"] = _torch_ms(Path(model), arrays)
    return found


def _network(folder: Path) -> Callable[[Mapping[str, np.ndarray]], dict[str, np.ndarray]]:
    """The artefact through its own loader for Python."""
    spec = importlib.util.spec_from_file_location("edgec_run", folder / "run.py")
    if spec is None or spec.loader is None:
        sys.exit(f"{folder} has no run.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    library = next((folder / "lib").glob("lib*.so"))
    loaded: Callable[[Mapping[str, np.ndarray]], dict[str, np.ndarray]] = module.Network(library, library.stem[3:])
    return loaded


def _relative_error(produced: np.ndarray, expected: np.ndarray) -> float:
    spread = float(expected.max() - expected.min()) or 1.0
    return float(np.abs(produced.astype(np.float64) - expected).max() / spread)


def _torch_ms(model: Path, arrays: Mapping[str, np.ndarray]) -> float | str:
    """PyTorch on the same network, imported by onnx2torch."""
    if any(importlib.util.find_spec(name) is None for name in ("torch", "onnx2torch")):
        return "unavailable: torch or onnx2torch is not installed"
    import onnx2torch
    import torch

    if not torch.cuda.is_available():
        return "unavailable: this PyTorch sees no CUDA device"
    module = torch.compile(onnx2torch.convert(str(model)).eval().cuda(), mode="max-autotune")
    given = [torch.from_numpy(array) for array in arrays.values()]

    def run() -> object:
        with torch.inference_mode():
            made = module(*(tensor.cuda() for tensor in given))
            return [each.cpu() for each in (made if isinstance(made, tuple | list) else (made,))]

    return median_ms(run)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("models", nargs="*", type=Path)
    parser.add_argument("--artifact", action="append", type=Path, default=[], help="check what was built elsewhere")
    parser.add_argument("--architecture", help="build for it instead of the processor present, as sm_90")
    parser.add_argument("--build-only", action="store_true")
    parser.add_argument("--half", action="store_true", help="convert to fp16 first")
    parser.add_argument("--list", action="store_true")
    parser.add_argument("--out", type=Path, help="file of the results; with --build-only the folder of the artefacts")
    given = parser.parse_args()
    if given.list:
        print(*architecture_present())
        return
    architecture = given.architecture or architecture_present()[0]
    results: dict[str, object] = {}
    with tempfile.TemporaryDirectory(prefix="cuda-check-") as name:
        folder = given.out if given.build_only and given.out else Path(name)
        for model in given.models:
            build_for(model, architecture, folder / model.stem, half=given.half)
        built = [] if given.build_only else [folder / model.stem for model in given.models]
        for artifact in (*built, *given.artifact):
            results[artifact.name] = check(artifact)
            print(artifact.name, json.dumps(results[artifact.name]))
    if given.out and not given.build_only:
        machine = {"device": architecture_present()[1], "architecture": architecture, "half": given.half}
        given.out.write_text(json.dumps({**machine, "networks": results}, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
