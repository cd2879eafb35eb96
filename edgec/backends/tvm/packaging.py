"""The files of an artefact and the commands that compile and link them.

Layout: `include/` the headers; `lib/` the static library, and the shared one where the device loads any; `bin/` a
runner without dependencies; `src/` and `example/` sources to read and rebuild; `run.py` a loader for Python. Nothing in
it depends on the folder, the time or the machine of the build.
"""

from __future__ import annotations

import platform
import sys
from dataclasses import dataclass
from importlib import resources

from edgec.backends.android import COMPILE_FLAGS, android_files, library_in_package
from edgec.backends.plan import Command, Tool
from edgec.backends.tvm.driver import DriverSource
from edgec.core.codes.backend import NO_THREADS
from edgec.core.errors import EdgecError
from edgec.core.target import Compiler, Target

ZIG = "zig"
INSTALL_ZIG = "pip install 'edgec[tvm]'"
BUILD = "build"

COMPILE = (
    "-std=c11",
    "-O2",
    "-g0",
    "-fPIC",
    "-ffunction-sections",
    "-fdata-sections",
    "-fno-sanitize=undefined",
    "-fno-ident",
    "-fno-asynchronous-unwind-tables",
    "-fno-unwind-tables",
    "-Wall",
    "-Wextra",
    "-Iinclude",
)
LINK = ("-Wl,--gc-sections", "-Wl,--build-id=none", "-s")


@dataclass(frozen=True)
class Package:
    """The part of a build plan that is about files.

    Attributes:
        files: contents by path.
        commands: in order.
        tools: what the commands need.
        discard: paths that only the commands need.
        runner: path of the runner.
        library: path of the library that goes to the device: the shared one where the device loads any.
    """

    files: dict[str, bytes]
    commands: tuple[Command, ...]
    tools: tuple[Tool, ...]
    discard: tuple[str, ...]
    runner: str | None
    library: str


@dataclass(frozen=True)
class _Triples:
    """What each product is linked for; empty where there is none."""

    static_library: str
    shared_library: str
    runner: str
    flags: tuple[str, ...]


def package(symbol: str, driver: DriverSource, kernels: bytes, weights: bytes, target: Target, threads: int) -> Package:
    """Lay out the artefact of a model.

    Args:
        symbol: the model's C name, also the name of its library.
        driver: the C driver.
        kernels: object file of the kernels.
        weights: the constants.
        target: the device.
        threads: threads that the kernels were scheduled for.

    Raises:
        EdgecError: EC0407 for several threads where the tool chain has none.
    """
    if threads > 1 and not _has_threads(target.compiler):
        raise EdgecError(NO_THREADS, f"{threads} threads were asked for", where=target.name, hint=NO_THREADS.remedy)
    triples = _triples(target)
    shared = bool(triples.shared_library)
    runner = f"bin/{symbol}-run" if triples.runner else None
    android = _is_android(target.compiler)
    ios = _is_ios(target.compiler)
    files = _files(symbol, driver, kernels, weights, shared, threads)
    if ios:
        files[f"{BUILD}/weights.S"] = _WEIGHTS_FOR_APPLE.format(symbol=symbol).encode()
    if android:
        headers = [(path.removeprefix("include/"), files[path]) for path in files if path.startswith("include/")]
        files |= android_files(symbol, headers, graphics=False)
    return Package(
        files=files,
        commands=_commands(
            symbol, triples, threads, runner, library_in_package(symbol) if android else None, strip=not ios
        ),
        tools=(Tool(ZIG, zig_arguments(), INSTALL_ZIG),),
        discard=(BUILD,),
        runner=runner,
        library=f"lib/lib{symbol}.so" if shared else f"lib/lib{symbol}.a",
    )


def zig_arguments() -> tuple[str, ...]:
    """How the tool chain is started."""
    return (sys.executable, "-m", "ziglang")


def strip_command(symbol: str) -> Command:
    """Takes out of the kernels' object file what nobody needs, by the script `build/strip.ld` (`STRIP`)."""
    made = f"{BUILD}/{symbol}_kernels.o"
    arguments = ("ld.lld", "-r", "-T", f"{BUILD}/strip.ld", f"{BUILD}/kernels.o", "-o", made)
    return Command(ZIG, arguments, made, "strip the kernels")


def runner_triple(target: Target) -> str:
    """What a program that runs on the device, or in its emulator, is linked for; empty if none can be."""
    return _triples(target).runner


def _triples(target: Target) -> _Triples:
    compiler = target.compiler
    if compiler.triple == "native":
        machine = platform.machine()
        library = f"{machine}-linux-gnu.2.27"
        return _Triples(library, library, f"{machine}-linux-musl", ())
    if compiler.operating_system == "none":
        flags = (f"-mcpu={compiler.cpu.replace('-', '_')}", "-ffreestanding")
        return _Triples(compiler.link_triple, "", target.emulator.link_triple if target.emulator else "", flags)
    if _is_ios(compiler):
        return _Triples(compiler.link_triple, "", "", ())
    library = compiler.library_link_triple
    android = COMPILE_FLAGS if _is_android(compiler) else ()
    return _Triples(library or compiler.link_triple, library, compiler.link_triple, android)


def _is_ios(compiler: Compiler) -> bool:
    """Whether objects are Apple's (Mach-O), for which the tool chain has neither linker scripts nor a C library."""
    return "-apple-ios" in compiler.triple


def _has_threads(compiler: Compiler) -> bool:
    return compiler.operating_system != "none" and not _is_ios(compiler)


def _is_android(compiler: Compiler) -> bool:
    return compiler.triple.endswith("-android")


def _files(
    symbol: str, driver: DriverSource, kernels: bytes, weights: bytes, shared: bool, threads: int
) -> dict[str, bytes]:
    runtime = resources.files("edgec.hw") / "runtime"

    def text(name: str) -> bytes:
        return (runtime / name).read_bytes()

    example = text("example.c").decode().replace("network", symbol).replace("NETWORK", symbol.upper())
    if threads == 1:
        example = example.replace(" -lpthread", "")
    files = {
        "include/edgec.h": text("edgec.h"),
        f"include/{symbol}.h": driver.header.encode(),
        f"src/{symbol}.c": driver.source.encode(),
        "src/edgec_runtime.c": text("edgec_runtime.c"),
        "src/main.c": text("main.c"),
        "example/main.c": example.encode(),
        f"{BUILD}/kernels.o": kernels,
        f"{BUILD}/weights.bin": weights,
        f"{BUILD}/weights.S": _WEIGHTS.format(symbol=symbol).encode(),
        f"{BUILD}/strip.ld": STRIP.encode(),
        f"{BUILD}/exports.map": _EXPORTS.format(symbol=symbol).encode(),
    }
    if shared:
        files["run.py"] = text("run.py")
    return files


def _commands(
    symbol: str, triples: _Triples, threads: int, runner: str | None, packed: str | None, *, strip: bool
) -> tuple[Command, ...]:
    flags = (*COMPILE, f"-DEDGEC_THREADS={threads}")
    sources = (
        (f"src/{symbol}.c", f"{BUILD}/{symbol}.o"),
        ("src/edgec_runtime.c", f"{BUILD}/edgec_runtime.o"),
        (f"{BUILD}/weights.S", f"{BUILD}/{symbol}_weights.o"),
    )
    stripped = [strip_command(symbol)] if strip else []
    objects = [stripped[0].produces if strip else f"{BUILD}/kernels.o", *(made for _, made in sources)]
    target = ("-target", triples.static_library, *triples.flags)
    commands = stripped + [
        Command(ZIG, ("cc", *target, *flags, "-c", source, "-o", made), made, f"compile {source}")
        for source, made in sources
    ]
    library = f"lib/lib{symbol}.a"
    commands.append(Command(ZIG, ("ar", "rcsD", library, *objects), library, "archive the static library"))
    if packed is not None:
        commands.append(Command(ZIG, ("ar", "rcsD", packed, *objects), packed, "archive the library of the .aar"))
    if triples.shared_library:
        shared = f"lib/lib{symbol}.so"
        link = ("-shared", *LINK, f"-Wl,--version-script={BUILD}/exports.map", "-o", shared, *objects, "-lm")
        arguments = ("cc", "-target", triples.shared_library, *link, *_threads(threads))
        commands.append(Command(ZIG, arguments, shared, "link the shared library"))
    if runner is not None:
        program = ("src/main.c", f"src/{symbol}.c", "src/edgec_runtime.c", objects[0], objects[3])
        link = (f"-DEDGEC_MODEL={symbol}_model", *program, "-static", *LINK, "-o", runner)
        arguments = ("cc", "-target", triples.runner, *flags, *link, "-lm", *_threads(threads))
        commands.append(Command(ZIG, arguments, runner, "link the runner"))
    return tuple(commands)


def _threads(threads: int) -> tuple[str, ...]:
    return ("-lpthread",) if threads > 1 else ()


_WEIGHTS = """\
    .section .rodata.{symbol}_weights, "a", %progbits
    .global {symbol}_weights
    .hidden {symbol}_weights
    .balign 64
{symbol}_weights:
    .incbin "build/weights.bin"
    .section .note.GNU-stack, "", %progbits
"""

_WEIGHTS_FOR_APPLE = """\
    .section __TEXT,__const
    .globl _{symbol}_weights
    .private_extern _{symbol}_weights
    .p2align 6
_{symbol}_weights:
    .incbin "build/weights.bin"
"""

_EXPORTS = """\
{{
    global: {symbol}_run; {symbol}_run_traced; {symbol}_workspace_bytes; {symbol}_inputs; {symbol}_outputs;
            {symbol}_model; edgec_status_text;
    local: *;
}};
"""

STRIP = """\
SECTIONS { /DISCARD/ : { *(.debug_*) *(.eh_frame) *(.ARM.exidx*) *(.ARM.extab*) *(.comment) } }
"""
