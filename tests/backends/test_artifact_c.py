"""The C artefact: what a user finds in the folder, links, and runs."""

from __future__ import annotations

import ctypes
import platform
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgec.backends.plan import BuildPlan
from edgec.backends.tvm.kernel_graph import Block, Pattern, View
from tests.backends import kernel_graphs as make
from tests.backends.artifacts import build, plan_for, run, run_library
from tests.backends.control_flow_graphs import loop_net

ZIG = [sys.executable, "-m", "ziglang"]
Built = tuple[BuildPlan, Path]
HOST = f"{platform.machine()}-linux-gnu.2.27"
RANDOM = np.random.default_rng(7)
X = RANDOM.standard_normal((4, 6)).astype("float32")
WEIGHTS = RANDOM.standard_normal((6, 8)).astype("float32")


def dense_net() -> Block:
    """y = max(x @ w + b, 0), and its transpose."""
    x, product = make.value("x", (4, 6)), make.value("product", (4, 8))
    biased, y, z = make.value("biased", (4, 8)), make.value("y", (4, 8)), make.value("y.T", (8, 4))
    steps = [
        make.matrix_product("MatMul_1", x, make.constant("w", WEIGHTS), product),
        make.binary("Add_1", "add", product, make.constant("b", np.arange(8)), biased),
        make.binary("Max_1", "maximum", biased, make.constant("zero", 0.0), y),
        make.transpose("Transpose_1", y, z, (1, 0)),
    ]
    return Block((x,), (y, z), steps)


def dense_reference(x: np.ndarray) -> np.ndarray:
    return np.maximum(x @ WEIGHTS + np.arange(8, dtype="float32"), 0)


@pytest.fixture(scope="module")
def dense(tmp_path_factory: pytest.TempPathFactory) -> Built:
    folder = tmp_path_factory.mktemp("dense")
    return build(dense_net(), folder), folder


def test_the_runner_and_the_loader_agree_with_numpy(dense: Built) -> None:
    plan, folder = dense
    outputs, _ = run(plan, folder, {"x": X})
    loaded = run_library(folder, {"x": X})
    np.testing.assert_allclose(outputs["y"], dense_reference(X), rtol=1e-5, atol=1e-5)
    np.testing.assert_array_equal(outputs["y.T"], outputs["y"].T)
    np.testing.assert_array_equal(loaded["y"], outputs["y"])
    np.testing.assert_array_equal(loaded["y.T"], outputs["y.T"])


def test_the_folder_holds_what_the_layout_promises(dense: Built) -> None:
    _, folder = dense
    files = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
    assert files >= {
        "bin/net-run",
        "example/main.c",
        "include/edgec.h",
        "include/net.h",
        "lib/libnet.a",
        "lib/libnet.so",
        "run.py",
        "src/edgec_runtime.c",
        "src/main.c",
        "src/net.c",
    }
    assert not [path for path in files if path.startswith("build")]


def test_timings_and_trace_name_every_iteration_and_step(dense: Built, tmp_path: Path) -> None:
    plan, folder = dense
    trace = tmp_path / "trace.jsonl"
    _, lines = run(plan, folder, {"x": X}, ("--warmup", "1", "--iterations", "3", "--trace", str(trace)))
    assert [line["iteration"] for line in lines] == [0, 1, 2]
    assert all(line["nanoseconds"] > 0 for line in lines)
    assert len(trace.read_text().splitlines()) == len(plan.layers)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "usage"),
        (("short.bin", "y.bin"), "too short"),
        (("absent.bin", "y.bin"), "cannot read"),
        (("short.bin", "y.bin", "--iterations", "0"), "not a positive number"),
        (("short.bin", "y.bin", "--fast", "1"), "unknown option"),
    ],
)
def test_the_runner_refuses_wrong_arguments(
    dense: Built, tmp_path: Path, arguments: tuple[str, ...], message: str
) -> None:
    _, folder = dense
    (tmp_path / "short.bin").write_bytes(b"1234")
    finished = subprocess.run([folder / "bin/net-run", *arguments], cwd=tmp_path, capture_output=True, text=True)
    assert finished.returncode != 0
    assert message in finished.stderr


def test_wrong_pointers_are_refused_with_a_reason(dense: Built) -> None:
    _, folder = dense
    library = ctypes.CDLL(str(folder / "lib/libnet.so"))
    library.edgec_status_text.restype = ctypes.c_char_p
    library.net_workspace_bytes.restype = ctypes.c_size_t
    memory = ctypes.create_string_buffer(4096)
    start = ctypes.addressof(memory) + (-ctypes.addressof(memory)) % 64
    workspace = ctypes.create_string_buffer(library.net_workspace_bytes())

    def status(x: int | None, y: int | None) -> bytes:
        inputs, outputs = (ctypes.c_void_p * 1)(x), (ctypes.c_void_p * 2)(y, start + 2048)
        return bytes(library.edgec_status_text(library.net_run(workspace, inputs, outputs)))

    assert status(start, start + 1024) == b"ok"
    assert status(start + 4, start + 1028) == b"ok"
    assert b"not aligned" in status(start + 1, start + 1024)
    assert b"not aligned" in status(start, start + 1022)
    assert b"null pointer" in status(None, start + 1024)
    assert b"null pointer" in status(start, None)


def test_only_the_c_and_maths_libraries_are_needed(dense: Built) -> None:
    _, folder = dense
    needed = subprocess.run(
        ["nm", "-D", "--undefined-only", folder / "lib/libnet.so"], capture_output=True, text=True, check=True
    ).stdout
    foreign = [line for line in needed.splitlines() if "GLIBC" not in line and " w " not in line]
    assert not foreign
    exported = subprocess.run(
        ["nm", "-D", "--defined-only", folder / "lib/libnet.so"], capture_output=True, text=True, check=True
    ).stdout
    names = {line.split()[-1].split("@")[0] for line in exported.splitlines()}
    assert all(name.startswith(("net_", "edgec_")) for name in names), names


def test_the_example_and_the_sources_compile_without_a_warning(dense: Built, tmp_path: Path) -> None:
    _, folder = dense
    strict = ["-std=c11", "-Wall", "-Wextra", "-Wpedantic", "-Wshadow", "-Werror", f"-I{folder}/include"]
    library = str(folder / "lib/libnet.a")
    example = tmp_path / "example"
    subprocess.run(
        [
            *ZIG,
            "cc",
            "-target",
            HOST,
            *strict,
            folder / "example/main.c",
            library,
            "-lm",
            "-o",
            example,
        ],
        check=True,
    )
    assert subprocess.run([example], capture_output=True, text=True, check=True).stdout.startswith("ok\n")
    for source in ("src/net.c", "src/edgec_runtime.c"):
        subprocess.run([*ZIG, "cc", *strict, "-c", folder / source, "-o", tmp_path / "object.o"], check=True)


def test_builds_are_identical_in_any_folder(dense: Built, tmp_path: Path) -> None:
    plan, folder = dense
    other = tmp_path / "elsewhere" / "with a longer name"
    assert build(dense_net(), other).digest() == plan.digest()
    for path in sorted(other.rglob("*")):
        if path.is_file():
            assert path.read_bytes() == (folder / path.relative_to(other)).read_bytes(), path


def test_two_networks_link_into_one_program(dense: Built, tmp_path: Path) -> None:
    _, folder = dense
    build(loop_net(), tmp_path, name="looped")
    program = tmp_path / "both.c"
    program.write_text(
        '#include "net.h"\n#include "looped.h"\n#include <stdio.h>\n'
        "int main(void) { const edgec_model *all[] = {&net_model, &looped_model};\n"
        'for (int i = 0; i < 2; ++i) printf("%s %d\\n", all[i]->name, all[i]->run_traced(0, 0, 0, 0, 0));\n'
        "return 0; }\n"
    )
    subprocess.run(
        [
            *(*ZIG, "cc", "-target", HOST, "-Wall", "-Wextra", "-Werror", f"-I{folder}/include"),
            *(f"-I{tmp_path}/include", program, folder / "lib/libnet.a", tmp_path / "lib/liblooped.a"),
            *("-lm", "-o", tmp_path / "both"),
        ],
        check=True,
    )
    finished = subprocess.run([tmp_path / "both"], capture_output=True, text=True, check=True)
    assert finished.stdout == "net 1\nlooped 1\n"  # EDGEC_NULL_POINTER, not a crash


def view_net() -> Block:
    """Results that are a view of an input, part of a kernel's output, a constant, and one value twice."""
    x, whole = make.value("x", (4, 6)), make.value("whole", (4, 6))
    flat, second_row, twice = make.value("flat", (24,)), make.value("row", (1, 6)), make.constant("fixed", [1, 2])
    steps = [
        View("Reshape_1", x, flat),
        make.unary("Neg_1", "negative", x, whole),
        View("Slice_1", whole, second_row, 24),
    ]
    return Block((x,), (flat, second_row, twice, whole, whole), steps)


def test_results_that_are_views_constants_or_repeated(tmp_path: Path) -> None:
    plan = build(view_net(), tmp_path)
    flat, row, fixed = (run(plan, tmp_path, {"x": X})[0][name] for name in ("flat", "row", "fixed"))
    np.testing.assert_array_equal(flat, X.ravel())
    np.testing.assert_array_equal(row, -X[1:2])
    np.testing.assert_array_equal(fixed, [1, 2])
    np.testing.assert_array_equal(run(plan, tmp_path, {"x": X})[0]["whole"], -X)


def scratch_net() -> Block:
    """A kernel with a temporary too large for the stack: two passes over exp(x)."""
    x, y = make.value("x", (64, 512)), make.value("y", (64, 512))

    def compute(tensor: Any) -> Any:
        from tvm import te, topi

        raised = te.compute(tensor.shape, lambda i, j: topi.exp(tensor)[i, 511 - j], "raised")
        return topi.divide(raised, topi.sum(raised, axis=-1, keepdims=True))

    return Block((x,), (y,), [make.operation("Softmax_1", Pattern.REDUCTION, (x,), y, compute)])


def test_large_temporaries_are_planned_not_allocated(tmp_path: Path) -> None:
    plan = build(scratch_net(), tmp_path)
    x = RANDOM.standard_normal((64, 512)).astype("float32")
    outputs, _ = run(plan, tmp_path, {"x": x})
    expected = np.exp(x) / np.exp(x).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(outputs["y"], expected[:, ::-1], rtol=1e-4)
    symbols = subprocess.run(["nm", "-u", tmp_path / "lib/libnet.a"], capture_output=True, text=True, check=True).stdout
    assert "malloc" not in symbols.replace("posix_memalign", "")


def test_threads_give_the_same_result(tmp_path: Path) -> None:
    plan = build(dense_net(), tmp_path, threads=2)
    outputs, lines = run(plan, tmp_path, {"x": X}, ("--iterations", "200"))
    np.testing.assert_allclose(outputs["y"], dense_reference(X), rtol=1e-5, atol=1e-5)
    assert len(lines) == 200


@pytest.mark.emulator
@pytest.mark.parametrize("target", ["raspberry-pi-4", "visionfive2", "android-arm64", "cortex-m7"])
def test_other_processors_give_the_same_result(tmp_path: Path, target: str) -> None:
    plan = plan_for(dense_net(), target)
    if shutil.which(plan.interface.emulator[0]) is None:
        pytest.skip(f"{plan.interface.emulator[0]} is not installed")
    build(dense_net(), tmp_path, target)
    outputs, _ = run(plan, tmp_path, {"x": X})
    np.testing.assert_allclose(outputs["y"], dense_reference(X), rtol=1e-5, atol=1e-5)


def test_bare_metal_needs_nothing_but_memory_functions(tmp_path: Path) -> None:
    build(dense_net(), tmp_path, "cortex-m7")
    symbols = subprocess.run(["nm", tmp_path / "lib/libnet.a"], capture_output=True, text=True, check=True).stdout
    rows = [line.split() for line in symbols.splitlines() if len(line.split()) >= 2]
    defined = {row[-1] for row in rows if row[-2] not in ("U", "w")}
    needed = {row[-1] for row in rows if row[-2] == "U"} - defined
    assert needed <= {"memcpy", "memset", "memmove", "__aeabi_memcpy", "__aeabi_memset", "__aeabi_memclr"}, needed
    assert not (tmp_path / "run.py").exists()
