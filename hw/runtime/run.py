"""Run the network of this folder on this machine: `python run.py x.npz y.npz`. Needs numpy, nothing else."""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np


class _TensorInfo(ctypes.Structure):
    _fields_ = (
        ("name", ctypes.c_char_p),
        ("dtype", ctypes.c_char_p),
        ("rank", ctypes.c_int),
        ("shape", ctypes.POINTER(ctypes.c_int64)),
        ("bytes", ctypes.c_size_t),
    )


_RUN = ctypes.CFUNCTYPE(
    ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p
)


class _Model(ctypes.Structure):
    _fields_ = (
        ("name", ctypes.c_char_p),
        ("input_count", ctypes.c_int),
        ("inputs", ctypes.POINTER(_TensorInfo)),
        ("output_count", ctypes.c_int),
        ("outputs", ctypes.POINTER(_TensorInfo)),
        ("workspace_bytes", ctypes.CFUNCTYPE(ctypes.c_size_t)),
        ("run_traced", _RUN),
    )


class Network:
    """A compiled network: call it with a dict of arrays by input name, get a dict of arrays by output name."""

    def __init__(self, library: Path, name: str) -> None:
        self._library = ctypes.CDLL(str(library))
        self._library.edgec_status_text.restype = ctypes.c_char_p
        self._model = _Model.in_dll(self._library, f"{name}_model")
        self._workspace = np.empty(self._model.workspace_bytes() or 1, np.uint8)
        self.inputs = [_spec(self._model.inputs[i]) for i in range(self._model.input_count)]
        self.outputs = [_spec(self._model.outputs[i]) for i in range(self._model.output_count)]

    def __call__(self, arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Run once; raises ValueError for a missing, misshapen or mistyped input."""
        given = [_checked(arrays, *spec) for spec in self.inputs]
        made = [np.empty(shape, dtype) for _, dtype, shape in self.outputs]
        status = self._model.run_traced(self._workspace.ctypes.data, _pointers(given), _pointers(made), None, None)
        if status != 0:
            raise RuntimeError(self._library.edgec_status_text(status).decode())
        return {name: array for (name, _, _), array in zip(self.outputs, made, strict=True)}


def _spec(info: _TensorInfo) -> tuple[str, np.dtype, tuple[int, ...]]:
    shape = tuple(info.shape[axis] for axis in range(info.rank))
    return info.name.decode(), np.dtype(info.dtype.decode()), shape


def _checked(arrays: Mapping[str, np.ndarray], name: str, dtype: np.dtype, shape: tuple[int, ...]) -> np.ndarray:
    if name not in arrays:
        raise ValueError(f"input {name!r} is missing; there are {sorted(arrays)}")
    array = np.asarray(arrays[name])
    if array.shape != shape or array.dtype != dtype:
        raise ValueError(f"input {name!r} is {array.dtype}{list(array.shape)}, not {dtype}{list(shape)}")
    return np.require(array, requirements=["C", "A"])


def _pointers(arrays: Sequence[np.ndarray]) -> ctypes.Array[ctypes.c_void_p]:
    return (ctypes.c_void_p * max(1, len(arrays)))(*(array.ctypes.data for array in arrays))


def main() -> None:
    """Read the inputs by name from one .npz and write the outputs to another."""
    if len(sys.argv) != 3:
        sys.exit("usage: python run.py INPUTS.npz OUTPUTS.npz")
    library = next((Path(__file__).resolve().parent / "lib").glob("lib*.so"), None)
    if library is None:
        sys.exit("this folder has no shared library (lib/lib*.so)")
    network = Network(library, library.name[len("lib") : -len(".so")])
    with np.load(sys.argv[1]) as arrays:
        outputs = network(dict(arrays))
    np.savez(sys.argv[2], allow_pickle=False, **outputs)


if __name__ == "__main__":
    main()
