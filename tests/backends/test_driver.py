"""The C driver: text that compiles whatever the names in the model are."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from edgec.backends.tvm.kernel_graph import Block
from tests.backends import kernel_graphs as make
from tests.backends.artifacts import plan_for

STRICT = ("-std=c11", "-Wall", "-Wextra", "-Wpedantic", "-Werror")


@pytest.mark.parametrize(
    "name", ["plain", 'quo"te\\', "*/ int x;", "/* nested", "??/", "naïve 模型", "%d\n#define x", ""]
)
def test_names_of_nodes_and_tensors_cannot_break_the_c_code(tmp_path: Path, name: str) -> None:
    x, y = make.value(name, (2, 3)), make.value(f"{name}!", (2, 3))
    step = make.unary("placeholder", "exp", x, y)
    block = Block((x,), (y,), [type(step)(name, "Exp", step.pattern, step.inputs, step.outputs, step.compute)])
    plan = plan_for(block)
    for path in ("include/edgec.h", "include/net.h", "src/net.c"):
        (tmp_path / path).parent.mkdir(exist_ok=True)
        (tmp_path / path).write_bytes(plan.files[path])
    finished = subprocess.run(
        [sys.executable, "-m", "ziglang", "cc", *STRICT, "-Iinclude", "-c", "src/net.c", "-o", "net.o"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert finished.returncode == 0, finished.stderr


def test_the_header_states_every_size() -> None:
    x, y = make.value("x", (2, 3)), make.value("y", (2, 3))
    plan = plan_for(Block((x,), (y,), [make.unary("Exp_1", "exp", x, y)]))
    header = plan.files["include/net.h"].decode()
    assert "#define NET_INPUT_0_BYTES 24u" in header
    assert "#define NET_OUTPUT_0_BYTES 24u" in header
    assert "#define NET_WORKSPACE_BYTES 0u" in header
