"""What the tests of the command line share: the outcome of a command, and an artefact whose program is a script."""

from __future__ import annotations

import sys
import textwrap
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import onnx
from onnx import TensorProto, helper

from edgec.core.artifact import staged
from edgec.core.interface import Interface
from edgec.core.manifest import Provenance, write_manifest
from edgec.core.tensor import TensorSpec

DIGEST = "0" * 64

RUNNER = """\
#!{python}
import sys
import numpy as np
x = np.fromfile(sys.argv[1], np.float32)
{body}
y.astype(np.float32).tofile(sys.argv[2])
iterations = int(sys.argv[sys.argv.index("--iterations") + 1]) if "--iterations" in sys.argv else 1
for number in range(iterations):
    print('{{"iteration": %d, "nanoseconds": 1000}}' % number)
"""


@dataclass(frozen=True)
class Outcome:
    """How a command ended and what it wrote."""

    status: int
    out: str
    err: str


Invoke = Callable[..., Outcome]


def relu_model() -> onnx.ModelProto:
    graph = helper.make_graph(
        [helper.make_node("Relu", ["x"], ["y"], name="relu")],
        "small",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 4])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 4])],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def write_artifact(place: Path, *, body: str = "y = np.maximum(x, 0)", emulator: tuple[str, ...] = ()) -> Path:
    """An artefact of `relu_model` whose runner is a script."""
    x = TensorSpec(name="x", dtype="float32", shape=(1, 4))
    with staged(place) as folder:
        onnx.save(relu_model(), folder / "model.onnx")
        runner = folder / "bin" / "relu"
        runner.parent.mkdir()
        runner.write_text(RUNNER.format(python=sys.executable, body=textwrap.dedent(body)))
        runner.chmod(0o755)
        write_manifest(
            folder,
            edgec="0.1.0",
            provenance=Provenance(
                model_name="relu",
                model_sha256=DIGEST,
                target_name="host",
                target_sha256=DIGEST,
                recipe="exact",
                options_sha256=DIGEST,
                plan_sha256=DIGEST,
                seed=0,
            ),
            interface=Interface(
                symbol="relu",
                inputs=(x,),
                outputs=(x.model_copy(update={"name": "y"}),),
                runner="bin/relu",
                emulator=emulator,
            ),
        )
    return place
