"""The backend for FPGAs whose vendors have their own high-level synthesis: a project, its simulation, its commands."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import numpy as np
import onnx_ir as ir

from edgec.backends.hls4ml.conversion import project_files
from edgec.backends.hls4ml.fixed_point import FixedType
from edgec.backends.hls4ml.network import HlsLayer, HlsNetwork
from edgec.backends.hls4ml.recognition import translate
from edgec.backends.hls4ml.simulation import (
    COMPILER,
    PROGRAM,
    can_simulate,
    compile_command,
    layer_list,
    program,
)
from edgec.backends.hls4ml.testbench import testbench
from edgec.backends.hls4ml.traced_layer import FILE_NAME
from edgec.backends.hls4ml.type_override import with_types
from edgec.backends.hls4ml.vendor_commands import VITIS_OPTIONS, makefile
from edgec.backends.hls4ml.work import FILE_NAME as WORK_FILE
from edgec.backends.hls4ml.work import work_of
from edgec.backends.plan import Backend, BuildPlan, Fallback, MemoryUse, PlannedLayer
from edgec.core.codes.backend import UNSUPPORTED_NODES
from edgec.core.errors import EdgecError
from edgec.core.interface import Interface
from edgec.core.progress import Progress
from edgec.core.target import Target
from edgec.core.target_hls import Hls, HlsTool
from edgec.core.tensor import TensorSpec
from edgec.graph.load import network_name

PROJECT = "project"


class HlsBackend(Backend):
    """Projects for Vitis, Vivado, Quartus, oneAPI and Catapult."""

    name: ClassVar[str] = "hls4ml"

    def unsupported(self, model: ir.Model, target: Target) -> tuple[Fallback, ...]:
        """Every node that has no exact form as a layer of hls4ml."""
        return translate(model).unsupported

    def plan(self, model: ir.Model, target: Target, *, name: str, threads: int, progress: Progress) -> BuildPlan:
        """Derive every type, and write the project.

        Raises:
            EdgecError: EC0401 with every node that cannot be built, EC1101 for values that are too wide, EC1301 for a
                type that is not derived, EC1304 for types of layers that the model lacks.
        """
        hls = _section(target)
        progress.start("derive the type of every value")
        network = with_types(_network(model, hls), hls)
        symbol = network_name(name).lower()
        progress.start(f"write the project for {hls.tool.value}")
        files = _files(network, hls, symbol)
        simulated = can_simulate(hls.tool)
        return BuildPlan(
            files=files,
            commands=(compile_command(hls.tool, PROJECT, symbol),) if simulated else (),
            tools=(COMPILER,) if simulated else (),
            discard=(),
            interface=_interface(network, symbol, simulated),
            layers=tuple(_planned(layer, network) for layer in network.layers if layer.kind not in _UNSEEN),
            fallbacks=(),
            memory=MemoryUse(weights_bytes=_weight_bytes(network), activations_bytes=0, scratch_bytes=0),
            library=f"{PROJECT}/firmware/{symbol}.cpp",
        )


_UNSEEN = ("InputLayer", "Reshape")


def _section(target: Target) -> Hls:
    if target.hls is None:
        raise TypeError(f"target {target.name} has no section [hls]")
    return target.hls


def _network(model: ir.Model, hls: Hls) -> HlsNetwork:
    found = translate(model)
    rows = found.unsupported or _unsupported_by_tool(found.network, hls)
    if found.network is None or rows:
        raise EdgecError(
            UNSUPPORTED_NODES,
            f"{len(rows)} node{'s have' if len(rows) > 1 else ' has'} no exact form for {hls.tool.value}",
            where=f"node {rows[0].node}",
            hint=rows[0].hint,
            details=tuple(f"{row.node}: {row.reason} ({row.hint})" for row in rows),
        )
    return found.network


def _unsupported_by_tool(network: HlsNetwork | None, hls: Hls) -> tuple[Fallback, ...]:
    """Layers that hls4ml has, but not for this tool, or not exactly."""
    rows = []
    for layer in network.layers if network else ():
        node = f"{layer.node} ({layer.op})"
        if hls.tool is HlsTool.QUARTUS and layer.settings.get("activation") == "binary_tanh":
            rows.append(
                Fallback(node=node, reason="hls4ml takes the sign of 0 as negative for Quartus", hint="use oneAPI")
            )
        if hls.tool in (HlsTool.QUARTUS, HlsTool.ONEAPI) and layer.kind == "DepthwiseConv2D":
            reason = f"hls4ml has no depthwise convolution for {hls.tool.value}"
            rows.append(Fallback(node=node, reason=reason, hint="choose a target of Vitis"))
        if hls.io == "stream" and layer.kind == "MaxPooling2D" and layer.settings["padding"] == "same":
            reason = "hls4ml cannot pad a maximum in streams"
            rows.append(Fallback(node=node, reason=reason, hint='set io = "parallel", or pool without padding'))
    return tuple(rows)


def _files(network: HlsNetwork, hls: Hls, symbol: str) -> Mapping[str, bytes]:
    project = dict(project_files(network, hls, symbol))
    project |= {f"tb_data/{path}": text.encode() for path, text in testbench(network).items()}
    if hls.tool is HlsTool.VITIS:
        project["build_opt.tcl"] = VITIS_OPTIONS.encode()
    files = {f"{PROJECT}/{path}": content for path, content in project.items()}
    files[WORK_FILE] = work_of(network)
    files["Makefile"] = makefile(hls.tool, symbol).encode()
    if can_simulate(hls.tool):
        files["simulation/main.cpp"] = program(network, symbol).encode()
        files[FILE_NAME] = layer_list(network)
    return files


def _interface(network: HlsNetwork, symbol: str, simulated: bool) -> Interface:
    graph = network.graph
    return Interface(
        symbol=symbol,
        inputs=tuple(TensorSpec(name=each.name, dtype=each.dtype, shape=each.shape) for each in graph.inputs),
        outputs=tuple(TensorSpec(name=each.name, dtype=each.dtype, shape=each.shape) for each in graph.outputs),
        runner=PROGRAM if simulated else None,
        simulation="c-simulation" if simulated else "",
        bit_exact=True,
    )


def _planned(layer: HlsLayer, network: HlsNetwork) -> PlannedLayer:
    reads = {each.name: each.result for each in network.layers}
    sources = ", ".join(_short(reads[name]) for name in layer.inputs)
    bits = sum(constants.values.size * constants.type.width for constants in layer.constants.values())
    return PlannedLayer(
        name=layer.node,
        op=layer.op,
        nodes=(layer.node,),
        macs=layer.macs,
        bytes=-(-bits // 8),
        precision=f"{sources} into {_short(layer.result)}",
        elements=len(layer.order),
        depth=layer.macs // max(1, len(layer.order)),
    )


def _short(type_: FixedType) -> str:
    return f"{'' if type_.signed else 'u'}fixed<{type_.width},{type_.integer}>"


def _weight_bytes(network: HlsNetwork) -> int:
    return int(
        np.ceil(sum(c.values.size * c.type.width for layer in network.layers for c in layer.constants.values()) / 8)
    )
