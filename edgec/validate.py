"""The verb `targets validate`: is a datasheet right, and does it compile."""

from __future__ import annotations

import platform
import struct
import tempfile
from pathlib import Path

import onnx_ir as ir
from pydantic import BaseModel, ConfigDict

from edgec.backends.executor import execute
from edgec.backends.selection import backend_for
from edgec.core.codes.target import WRONG_ARCHITECTURE
from edgec.core.errors import EdgecError
from edgec.core.progress import Silent
from edgec.core.target_files import load_target

_MACHINES = {3: "i386", 8: "mips", 40: "arm", 62: "x86_64", 183: "aarch64", 243: "riscv"}
"""`e_machine` of the ELF header, as the generic ABI numbers it."""
_ELF_MAGIC = b"\x7fELF"
_ARCHIVE_MAGIC = b"!<arch>\n"
_SUFFIXES = (".so", ".a", ".o")


class Validation(BaseModel):
    """A target whose datasheet holds, and what was compiled for it.

    Attributes:
        target: its name.
        produced: each binary file that was made, with the machine that its header names.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    target: str
    produced: str


def validate_target(name_or_path: str) -> Validation:
    """Check a datasheet, compile a model of one operator for it, and look at the headers of what was made.

    Raises:
        EdgecError: EC05xx for a faulty datasheet or for files of another architecture than it names; what building
            raises.
    """
    target = load_target(name_or_path)
    backend = backend_for(target)
    plan = backend.plan(_one_operator(), target, name="probe", threads=1, progress=Silent())
    with tempfile.TemporaryDirectory(prefix="edgec-validate-") as name:
        folder = Path(name)
        execute(plan, folder, Silent())
        machines = {
            path.relative_to(folder).as_posix(): machine
            for path in sorted(folder.rglob("*"))
            if path.suffix in _SUFFIXES and (machine := machine_of(path)) is not None
        }
    expected = expected_machine(target.compiler.triple)
    wrong = [f"{path}: {machine}" for path, machine in machines.items() if machine != expected]
    if wrong or not machines:
        raise EdgecError(
            WRONG_ARCHITECTURE,
            f"the datasheet says {target.compiler.triple}, the compiler made something else",
            where=f"target {target.name}",
            hint="mend compiler.triple and compiler.link_triple of the datasheet",
            details=tuple(wrong) or ("no library was made",),
        )
    return Validation(target=target.name, produced=", ".join(f"{path}: {machines[path]}" for path in machines))


def expected_machine(triple: str) -> str:
    """The machine that an LLVM triple stands for, or this one for `native`, in the words of `machine_of`."""
    architecture = platform.machine() if triple == "native" else triple.partition("-")[0]
    if architecture.startswith(("thumb", "armv")) or architecture == "arm":
        return "arm"
    return "riscv" if architecture.startswith("riscv") else {"arm64": "aarch64"}.get(architecture, architecture)


def machine_of(path: Path) -> str | None:
    """The machine in the header of an ELF file, or of the first object of an archive; None for other files."""
    content = path.read_bytes()
    start = content.find(_ELF_MAGIC) if content.startswith(_ARCHIVE_MAGIC) else 0
    header = content[start : start + 20] if start >= 0 else b""
    if len(header) < 20 or not header.startswith(_ELF_MAGIC):
        return None
    order = "<" if header[5] == 1 else ">"
    number = int(struct.unpack(f"{order}H", header[18:20])[0])
    return _MACHINES.get(number, f"machine {number}")


def _one_operator() -> ir.Model:
    """Relu over four numbers."""
    shape = ir.Shape([1, 4])
    given = ir.Value(name="x", shape=shape, type=ir.TensorType(ir.DataType.FLOAT))
    node = ir.Node("", "Relu", [given], name="probe")
    node.outputs[0].name, node.outputs[0].shape = "y", shape
    node.outputs[0].type = ir.TensorType(ir.DataType.FLOAT)
    graph = ir.Graph([given], node.outputs, nodes=[node], opset_imports={"": 18}, name="probe")
    return ir.Model(graph, ir_version=10)
