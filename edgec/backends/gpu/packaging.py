"""The files of an artefact for a graphics processor and the commands that compile and link them.

Layout as that of an artefact for a processor, and beside it: `launch_plan.json`, the launches as data;
`src/kernels.cu` or `src/kernels.cl`, the kernels; `src/edgec_gpu_*.c`, the launcher; and for CUDA
`compile_on_board.sh`, which makes machine code with the board's own compiler.
"""

from __future__ import annotations

import platform
from dataclasses import dataclass
from importlib import resources

from edgec.backends.android import COMPILE_FLAGS, android_files, library_in_package
from edgec.backends.gpu.launch_plan import LaunchPlan
from edgec.backends.gpu.nvrtc import MACHINE_CODE
from edgec.backends.gpu.tables import GpuSource, source_digest
from edgec.backends.plan import Command, Tool
from edgec.backends.tvm.packaging import BUILD, COMPILE, INSTALL_ZIG, LINK, STRIP, ZIG, strip_command, zig_arguments
from edgec.core.target import Compiler, Target

_SHARED = ("edgec_gpu_common", "edgec_gpu_session")
LAUNCHERS = {
    "cuda": (*_SHARED, "edgec_gpu_cuda", "edgec_gpu_cuda_device", "edgec_gpu_cuda_compile"),
    "opencl": (*_SHARED, "edgec_gpu_opencl", "edgec_gpu_opencl_device"),
}
_PRIVATE_HEADERS = {
    "cuda": ("edgec_gpu_common.h", "edgec_gpu_cuda.h"),
    "opencl": ("edgec_gpu_common.h", "edgec_gpu_opencl.h"),
}
KERNELS = {"cuda": "src/kernels.cu", "opencl": "src/kernels.cl"}
_OLDEST_C_LIBRARY = "gnu.2.27"
_ANDROID_LIKE = "aarch64-linux-musl"


@dataclass(frozen=True)
class GpuPackage:
    """The part of a build plan that is about files.

    Attributes:
        files: contents by path.
        commands: in order.
        tools: what the commands need.
        discard: paths that only the commands need.
        runner: path of the runner; None where the tool chain cannot link one.
        library: path of the library that goes to the device.
        machine: the processor that the runner is for, as `platform.machine` says it.
    """

    files: dict[str, bytes]
    commands: tuple[Command, ...]
    tools: tuple[Tool, ...]
    discard: tuple[str, ...]
    runner: str | None
    library: str
    machine: str


def package(
    plan: LaunchPlan, source: GpuSource, machine_code: bytes | None, host_kernels: bytes, target: Target
) -> GpuPackage:
    """Lay out the artefact of a model.

    Args:
        plan: the launches.
        source: the generated C.
        machine_code: of the kernels, for the target's architecture; None where there is none.
        host_kernels: object file of what runs on the processor; empty if nothing does.
        target: the device.
    """
    symbol = plan.symbol
    android = "android" in target.compiler.triple
    runner = None if android else f"bin/{symbol}-run"
    files = _files(plan, source, machine_code, target)
    if host_kernels:
        files |= {f"{BUILD}/kernels.o": host_kernels, f"{BUILD}/strip.ld": STRIP.encode()}
    if android:
        headers = [(path.removeprefix("include/"), files[path]) for path in files if path.startswith("include/")]
        files |= android_files(symbol, headers, graphics=True)
    return GpuPackage(
        files=files,
        commands=_commands(plan, target.compiler, runner, has_host_kernels=bool(host_kernels)),
        tools=(Tool(ZIG, zig_arguments(), INSTALL_ZIG),),
        discard=(BUILD,),
        runner=runner,
        library=f"lib/lib{symbol}.a" if android else f"lib/lib{symbol}.so",
        machine=platform.machine() if target.compiler.triple == "native" else target.compiler.triple.split("-")[0],
    )


def _files(plan: LaunchPlan, source: GpuSource, machine_code: bytes | None, target: Target) -> dict[str, bytes]:
    symbol, language = plan.symbol, plan.program.language
    hardware = resources.files("edgec.hw")
    runtime, launcher = hardware / "runtime", hardware / "gpu"
    example = (runtime / "example.c").read_text().replace("network", symbol).replace("NETWORK", symbol.upper())
    files = {
        "launch_plan.json": plan.to_json().encode(),
        "include/edgec.h": (runtime / "edgec.h").read_bytes(),
        "include/edgec_gpu.h": (launcher / "edgec_gpu.h").read_bytes(),
        f"include/{symbol}.h": source.header.encode(),
        f"src/{symbol}.c": source.source.encode(),
        "src/edgec_runtime.c": (runtime / "edgec_runtime.c").read_bytes(),
        "src/main.c": (runtime / "main.c").read_bytes(),
        "example/main.c": example.replace("-lm -lpthread", "-lm -ldl -lpthread").encode(),
        KERNELS[language]: plan.program.source.encode(),
        f"{BUILD}/weights.bin": plan.weights,
        f"{BUILD}/data.S": _data(plan, machine_code is not None).encode(),
        f"{BUILD}/exports.map": _EXPORTS.format(symbol=symbol).encode(),
    }
    files |= {f"src/{name}.c": (launcher / f"{name}.c").read_bytes() for name in LAUNCHERS[language]}
    files |= {f"src/{name}": (launcher / name).read_bytes() for name in _PRIVATE_HEADERS[language]}
    if machine_code is not None:
        files[MACHINE_CODE] = machine_code
    if language == "cuda" and target.gpu is not None:
        script = _COMPILE_ON_BOARD.format(architecture=target.gpu.architecture, digest=source_digest(plan)[:32])
        files["compile_on_board.sh"] = script.encode()
    if "android" not in target.compiler.triple:
        files["run.py"] = (runtime / "run.py").read_bytes()
    return files


def _data(plan: LaunchPlan, has_machine_code: bool) -> str:
    parts = [("weights", f"{BUILD}/weights.bin"), ("source", KERNELS[plan.program.language])]
    parts += [("binary", MACHINE_CODE)] if has_machine_code else []
    blocks = [_BLOCK.format(name=f"{plan.symbol}_{part}", file=file) for part, file in parts]
    return "".join([*blocks, '    .section .note.GNU-stack, "", %progbits\n'])


def _commands(
    plan: LaunchPlan, compiler: Compiler, runner: str | None, *, has_host_kernels: bool
) -> tuple[Command, ...]:
    symbol = plan.symbol
    sources = [f"src/{symbol}.c", "src/edgec_runtime.c"]
    sources += [f"src/{name}.c" for name in LAUNCHERS[plan.program.language]]
    made = [f"{BUILD}/{source[4:-2]}.o" for source in sources]
    triple, flags = _triple(compiler)
    compile_it = ("cc", "-target", triple, *COMPILE, *flags)
    pairs = [*zip(sources, made, strict=True), (f"{BUILD}/data.S", f"{BUILD}/{symbol}_data.o")]
    stripped = [strip_command(symbol)] if has_host_kernels else []
    objects = (*(command.produces for command in stripped), *(each for _, each in pairs))
    commands = stripped + [
        Command(ZIG, (*compile_it, "-c", source, "-o", each), each, f"compile {source}") for source, each in pairs
    ]
    library = f"lib/lib{symbol}.a"
    commands.append(Command(ZIG, ("ar", "rcsD", library, *objects), library, "archive the static library"))
    if runner is None:
        packed = library_in_package(symbol)
        return (*commands, Command(ZIG, ("ar", "rcsD", packed, *objects), packed, "archive the library of the .aar"))
    shared = f"lib/lib{symbol}.so"
    libraries = ("-lm", "-ldl", "-lpthread")
    link = ("-shared", *LINK, f"-Wl,--version-script={BUILD}/exports.map", "-o", shared, *objects, *libraries)
    commands.append(Command(ZIG, ("cc", "-target", triple, *link), shared, "link the shared library"))
    main = (f"-DEDGEC_MODEL={symbol}_model", "-DEDGEC_MESSAGE=edgec_gpu_message", "src/main.c")
    program = (*compile_it, *main, *objects, *LINK, "-o", runner, *libraries)
    commands.append(Command(ZIG, program, runner, "link the runner"))
    return tuple(commands)


def _triple(compiler: Compiler) -> tuple[str, tuple[str, ...]]:
    """What the C code is compiled for, and how.

    A launcher loads the vendor's library, so its program is linked with the device's own C library. That of Android
    is not at hand: its objects are compiled for the same processor and calling convention, and use nothing of the C
    library that differs there.
    """
    if "android" in compiler.triple:
        return _ANDROID_LIKE, COMPILE_FLAGS
    if compiler.triple == "native":
        return f"{platform.machine()}-linux-{_OLDEST_C_LIBRARY}", ()
    return compiler.link_triple, ()


_BLOCK = """\
    .section .rodata.{name}, "a", %progbits
    .global {name}
    .hidden {name}
    .balign 64
{name}:
    .incbin "{file}"
    .global {name}_end
    .hidden {name}_end
{name}_end:
    .byte 0
"""

_EXPORTS = """\
{{
    global: {symbol}_run; {symbol}_run_traced; {symbol}_workspace_bytes; {symbol}_inputs; {symbol}_outputs;
            {symbol}_model; {symbol}_close; edgec_status_text; edgec_gpu_message; edgec_gpu_set_cache;
    local: *;
}};
"""

_COMPILE_ON_BOARD = """\
#!/bin/sh
# Compiles the kernels on the board with CUDA's own compiler and puts them where the launcher looks first.
# Needed only if the machine code in the artefact does not load there. Run it in the artefact's folder.
set -eu
nvcc=$(command -v nvcc || echo /usr/local/cuda/bin/nvcc)
folder=${{EDGEC_GPU_CACHE:-${{XDG_CACHE_HOME:-$HOME/.cache}}/edgec/gpu}}
mkdir -p "$folder"
"$nvcc" -cubin -arch={architecture} -w -o "$folder/{digest}-{architecture}.cubin.unfinished" src/kernels.cu
mv "$folder/{digest}-{architecture}.cubin.unfinished" "$folder/{digest}-{architecture}.cubin"
echo "$folder/{digest}-{architecture}.cubin"
"""
