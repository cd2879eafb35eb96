"""Runs a model in ONNX Runtime: the reference that every result of edgec is compared with."""

from __future__ import annotations

import re
import tempfile
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx_ir as ir

from edgec.core.codes.model import REFERENCE_RUN, REFERENCE_TIMEOUT
from edgec.core.errors import EdgecError
from edgec.core.tensor import Sample
from edgec.graph.quiet import quiet_onnx_ir

_MESSAGE_BYTES = 1_800_000_000
"""A serialised model must stay below 2 GiB; larger weights go into a file beside it."""


LONGEST_RUN_SECONDS = 60.0
"""Time limit of one inference."""


class ReferenceSession:
    """A model loaded into ONNX Runtime on one thread of the CPU, without any of its graph optimisations.

    Unoptimised, so that the reference is the model as it was written: no fused or reordered arithmetic.

    Args:
        model: any model that ONNX Runtime can run; it is not changed.
        seconds: longest time of one run; a loop may never end.

    Raises:
        EdgecError: EC0208 where ONNX Runtime refuses the model.
    """

    def __init__(self, model: ir.Model, *, seconds: float = LONGEST_RUN_SECONDS) -> None:
        self._seconds = seconds
        self._errors = _runtime_errors()
        self._session = self._open(model)
        self._outputs = [value.name for value in self._session.get_outputs()]

    def run(self, sample: Sample) -> dict[str, np.ndarray]:
        """The outputs of the model by name, for one set of inputs.

        Raises:
            EdgecError: EC0208 where ONNX Runtime cannot run the model on these inputs, EC0211 where it does not end.
        """
        import onnxruntime

        options = onnxruntime.RunOptions()
        # ONNX Runtime looks at this flag between nodes, inside of loops too.
        alarm = threading.Timer(self._seconds, setattr, (options, "terminate", True))
        alarm.daemon = True
        alarm.start()
        try:
            results = self._session.run(self._outputs, dict(sample), options)
        except self._errors as error:
            if options.terminate:
                what = f"one inference did not end within {self._seconds:g} s in ONNX Runtime"
                hint = "give real inputs with --data, or look at the loops of the model"
                raise EdgecError(REFERENCE_TIMEOUT, what, hint=hint) from error
            raise _refused("run", error) from error
        finally:
            alarm.cancel()
        return dict(zip(self._outputs, (np.asarray(result) for result in results), strict=True))

    def _open(self, model: ir.Model) -> Any:  # noqa: ANN401  # onnxruntime has no types
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        options.inter_op_num_threads = 1
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
        options.log_severity_level = 4
        providers = ["CPUExecutionProvider"]
        tensors = [value.const_value for graph in model.graphs() for value in graph.initializers.values()]
        weights = sum(tensor.nbytes for tensor in tensors if tensor is not None)
        try:
            if weights < _MESSAGE_BYTES:
                with quiet_onnx_ir():
                    message = ir.to_proto(model).SerializeToString()
                return onnxruntime.InferenceSession(message, options, providers=providers)
            with tempfile.TemporaryDirectory(prefix="edgec-reference-") as folder:
                path = Path(folder) / "model.onnx"
                ir.save(model, path, external_data="weights.bin")
                return onnxruntime.InferenceSession(str(path), options, providers=providers)
        except self._errors as error:
            raise _refused("load", error) from error


def run_reference(model: ir.Model, samples: list[Sample]) -> list[Mapping[str, np.ndarray]]:
    """The outputs of a model for each sample.

    Raises:
        EdgecError: EC0208, as `ReferenceSession`.
    """
    session = ReferenceSession(model)
    return [session.run(sample) for sample in samples]


def _runtime_errors() -> tuple[type[Exception], ...]:
    """The exceptions of ONNX Runtime, which have no base of their own, and what it raises for unfit inputs."""
    from onnxruntime.capi import onnxruntime_pybind11_state as state

    own = [kind for kind in vars(state).values() if isinstance(kind, type) and issubclass(kind, Exception)]
    return (*own, RuntimeError, ValueError, TypeError)


def _refused(action: str, error: Exception) -> EdgecError:
    text = re.sub(r"^\[ONNXRuntimeError\] : \d+ : \w+ : ", "", str(error).strip())
    # ONNX Runtime puts the place in its own source before the message.
    text = re.sub(r"\S*/onnxruntime/\S+\.(?:cc|h):\d+ .*?(?=[A-Z(])", "", text)
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    what = f"ONNX Runtime cannot {action} the model: {' '.join(lines[:3])[:600]}"
    hint = "check the model in ONNX Runtime alone; if it runs there, report this"
    return EdgecError(REFERENCE_RUN, what, hint=hint)
