"""The plain C interface of an artefact, as data."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, StrictBool

from edgec.core.tensor import TensorSpec


class Interface(BaseModel):
    """How to call an artefact.

    Attributes:
        symbol: prefix of the C functions, `NAME_run`, `NAME_workspace_bytes`.
        inputs: in the order of the arguments.
        outputs: in the order of the arguments.
        runner: path of the executable in the artefact that reads inputs and writes outputs, if there is one.
        emulator: command that runs the executable on this machine; empty where it runs natively.
        simulation: what the executable simulates, as reports say it; empty where it is the network itself.
        graphics: how its kernels reach a graphics processor; empty where the processor computes.
        machine: the processor that the executable of such an artefact is for; empty elsewhere.
        bit_exact: whether its outputs must equal those of the model bit for bit.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    symbol: str
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    runner: str | None = None
    emulator: tuple[str, ...] = ()
    simulation: Literal["", "rtl-simulation", "c-simulation"] = ""
    graphics: Literal["", "cuda", "opencl"] = ""
    machine: str = ""
    bit_exact: StrictBool = False
