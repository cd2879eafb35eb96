"""Checks and times CUDA artefacts on the graphics processor of this machine.

    python benchmarks/cuda_check.py MODEL.onnx... [--half] [--shape INPUT=1,3,48,192] [--out results.json]

For each network: builds for the processor present, compares with ONNX Runtime, and times at batch 1, copies included,
beside ONNX Runtime's CUDA provider and `torch.compile` where they are installed; fp32 is fp32, no engine may use TF32.
A network that fails is listed with the reason, and the others go on; the exit status is 1 if one failed or is wrong.
EDGEC_CUDA_DEVICE numbers the device, EDGEC_CUDA_LIBRARY names the driver. `--list` says what is here and ends. Where
edgec cannot be installed on the machine with the processor, build elsewhere for its architecture
(`--architecture sm_90 --build-only --out FOLDER`), carry the folder over, and give it `--artifact FOLDER`.
"""

from __future__ import annotations

import argparse
import ctypes
import importlib.util
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

_WARMUP = 20
_ITERATIONS = 200
_TEMPLATE = "jetson-orin-nano"
_TOLERANCE, _TOLERANCE_OF_HALF = 1e-4, 1e-2
"""Of the range of an output, against ONNX Runtime on the processor; fp16 has 11 bits."""
_MULTIPROCESSORS, _MAJOR, _MINOR = 16, 75, 76


@dataclass(frozen=True)
class Device:
    """A CUDA device: its architecture, such as `sm_90`, its name, and its multiprocessors."""

    architecture: str
    name: str
    multiprocessors: int


def device_present() -> Device:
    """The CUDA device that artefacts run on; exits with the reason if there is none."""
    library = os.environ.get("EDGEC_CUDA_LIBRARY", "libcuda.so.1")
    number = int(os.environ.get("EDGEC_CUDA_DEVICE", "0"))
    try:
        driver = ctypes.CDLL(library)
    except OSError as error:
        sys.exit(f"no CUDA driver: {error}")
    device = ctypes.c_int()
    code = driver.cuInit(0) or driver.cuDeviceGet(ctypes.byref(device), number)
    if code != 0:
        sys.exit(f"the CUDA driver finds no device {number} (error {code})")
    name = ctypes.create_string_buffer(256)
    driver.cuDeviceGetName(name, len(name), device)

    def attribute(which: int) -> int:
        value = ctypes.c_int()
        driver.cuDeviceGetAttribute(ctypes.byref(value), which, device)
        return value.value

    return Device(f"sm_{attribute(_MAJOR)}{attribute(_MINOR)}", name.value.decode(), attribute(_MULTIPROCESSORS))


def datasheet_for(device: Device, folder: Path) -> Path:
    """The datasheet of the Orin Nano with another device, for this machine's processor as host."""
    import edgec.targets

    text = (Path(next(iter(edgec.targets.__path__))) / f"{_TEMPLATE}.toml").read_text(encoding="utf-8")
    lines, units = [], max(device.multiprocessors, 1)
    for line in text.splitlines():
        key = line.partition("=")[0].strip()
        replaced = {
            "name": 'name = "cuda-here"',
            "title": 'title = "CUDA device of this machine"',
            "architecture": f'architecture = "{device.architecture}"',
            "compute_units": f'compute_units = {{ value = {units}, basis = "measured-here", source = "the driver" }}',
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


def build_for(model: Path, device: Device, out: Path, *, half: bool, shapes: Mapping[str, tuple[int, ...]]) -> None:
    """Build one network; the build compares it with ONNX Runtime where the device is here."""
    from edgec.build import BuildOptions, build
    from edgec.core.progress import Silent

    with tempfile.TemporaryDirectory(prefix="cuda-check-") as name:
        sheet = datasheet_for(device, Path(name))
        options = BuildOptions(
            model=model,
            target=str(sheet),
            recipe="float16" if half else "exact",
            shapes=shapes,
            out=out,
        )
        build(options, Silent())


def inputs_of(folder: Path) -> dict[str, np.ndarray]:
    """The same made-up inputs for every engine."""
    interface = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))["interface"]
    random = np.random.default_rng(0)

    def made(spec: Mapping[str, Any]) -> np.ndarray:
        """Integers are 0 and 1: whatever they count or choose, there are that many."""
        real = np.issubdtype(np.dtype(spec["dtype"]), np.floating)
        array = random.standard_normal(spec["shape"]) if real else random.integers(0, 2, spec["shape"])
        return np.asarray(array, spec["dtype"])

    return {spec["name"]: made(spec) for spec in interface["inputs"]}


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
    found["onnxruntime_cuda_ms"] = _onnxruntime_ms(model, arrays)
    found["torch_compile_ms"] = _torch_ms(Path(model), arrays)
    return found


def _onnxruntime_ms(model: str, arrays: Mapping[str, np.ndarray]) -> float | str:
    import onnxruntime

    provider = "CUDAExecutionProvider"
    if provider not in onnxruntime.get_available_providers():
        return "unavailable: this ONNX Runtime has no CUDA provider"
    rival = onnxruntime.InferenceSession(model, providers=[(provider, {"use_tf32": "0"})])
    if rival.get_providers()[0] != provider:
        return "unavailable: ONNX Runtime's CUDA provider does not load here"
    return median_ms(lambda: rival.run(None, dict(arrays)))


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
    wanted = expected.astype(np.float64)
    spread = float(wanted.max() - wanted.min()) or 1.0
    return float(np.abs(produced.astype(np.float64) - wanted).max() / spread)


def _torch_ms(model: Path, arrays: Mapping[str, np.ndarray]) -> float | str:
    """PyTorch on the same network, imported by onnx2torch."""
    if any(importlib.util.find_spec(name) is None for name in ("torch", "onnx2torch")):
        return "unavailable: torch or onnx2torch is not installed"
    import torch

    if not torch.cuda.is_available():
        return "unavailable: this PyTorch sees no CUDA device"
    try:
        return _timed_by_torch(model, arrays)
    except Exception as error:  # noqa: BLE001  whatever stops a rival is told, and the others go on
        return f"unavailable: {type(error).__name__}: {error}"


def _timed_by_torch(model: Path, arrays: Mapping[str, np.ndarray]) -> float:
    import onnx2torch
    import torch

    torch.backends.cuda.matmul.allow_tf32 = False
    torch.backends.cudnn.allow_tf32 = False
    module = torch.compile(onnx2torch.convert(str(model)).eval().cuda(), mode="max-autotune")
    given = [torch.from_numpy(array) for array in arrays.values()]

    def run() -> object:
        with torch.inference_mode():
            made = module(*(tensor.cuda() for tensor in given))
            return [each.cpu() for each in (made if isinstance(made, tuple | list) else (made,))]

    return median_ms(run)


def checked(folder: Path, *, half: bool) -> dict[str, object]:
    """What `check` finds, and whether it is right; or why there is nothing to find."""
    try:
        found = check(folder)
    except Exception as error:  # noqa: BLE001  one network's failure is told, and the others go on
        return {"failed": f"{type(error).__name__}: {error}"}
    error = found.get("max_relative_error")
    limit = _TOLERANCE_OF_HALF if half else _TOLERANCE
    if isinstance(error, float) and not error <= limit:
        found["failed"] = f"the largest error is {error:.3g} of the range, {limit:g} is allowed"
    return found


def geometric_mean(results: Mapping[str, Mapping[str, object]], rival: str) -> float | None:
    """Our time over a rival's, over the networks that both ran; None if there are none."""
    pairs = [(found.get("edgec_ms"), found.get(rival)) for found in results.values()]
    ratios = [ours / theirs for ours, theirs in pairs if isinstance(ours, float) and isinstance(theirs, float)]
    return statistics.geometric_mean(ratios) if ratios else None


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("models", nargs="*", type=Path)
    parser.add_argument("--artifact", action="append", type=Path, default=[], help="check what was built elsewhere")
    parser.add_argument("--architecture", help="build for it instead of the processor present, as sm_90")
    parser.add_argument("--build-only", action="store_true")
    parser.add_argument("--half", action="store_true", help="convert to fp16 first")
    parser.add_argument("--shape", action="append", default=[], help="INPUT=1,3,48,192, where a network leaves it open")
    parser.add_argument("--list", action="store_true")
    parser.add_argument("--out", type=Path, help="file of the results; with --build-only the folder of the artefacts")
    return parser.parse_args()


def build_all(given: argparse.Namespace, device: Device, folder: Path) -> dict[Path, dict[str, object]]:
    """Build every network; by folder, what went wrong if something did."""
    built: dict[Path, dict[str, object]] = {}
    for model in given.models:
        from edgec.cli.options import parse_shapes
        from edgec.core.errors import EdgecError

        out = folder / model.stem
        try:
            build_for(model, device, out, half=given.half, shapes=parse_shapes(given.shape))
            built[out] = {}
        except EdgecError as error:
            built[out] = {"failed": " ".join([str(error), *error.details])}
    return built


def main() -> None:
    given = arguments()
    if given.list:
        print(device_present())
        return
    only_architecture = given.build_only and given.architecture
    device = Device(given.architecture, "", 8) if only_architecture else device_present()
    if given.architecture:
        device = replace(device, architecture=given.architecture)
    results: dict[str, dict[str, object]] = {}
    with tempfile.TemporaryDirectory(prefix="cuda-check-") as name:
        folder = given.out if given.build_only and given.out else Path(name)
        todo = {**build_all(given, device, folder), **{artifact: {} for artifact in given.artifact}}
        for artifact, failure in todo.items():
            results[artifact.name] = failure or ({} if given.build_only else checked(artifact, half=given.half))
            print(artifact.name, json.dumps(results[artifact.name]), flush=True)
    rivals = ("onnxruntime_cuda_ms", "torch_compile_ms")
    means = {f"ours / {rival}": mean for rival in rivals if (mean := geometric_mean(results, rival)) is not None}
    print(json.dumps({"geometric means": means}))
    if given.out and not given.build_only:
        facts = {"device": device.name, "architecture": device.architecture, "half": given.half}
        given.out.write_text(json.dumps({**facts, "networks": results, **means}, indent=1) + "\n", encoding="utf-8")
    sys.exit(any("failed" in found for found in results.values()))


if __name__ == "__main__":
    main()
