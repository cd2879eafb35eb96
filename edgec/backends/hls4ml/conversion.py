"""From layers with types to the files of a vendor's project."""

from __future__ import annotations

import contextlib
import io
import tempfile
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from edgec.backends.hls4ml.network import HlsLayer, HlsNetwork
from edgec.core.codes.hls import TYPE_MISSING
from edgec.core.errors import EdgecError
from edgec.core.target_hls import Hls, HlsTool

STAMP = "edgec"
_SENTINEL_WIDTH = 61
"""Width of the type of whatever got none; no derived type is this wide, so that a value with it is found."""

_SKIPPED = ("hls4ml_config.yml",)
"""Settings for hls4ml itself, with the folder that they were made in."""

Config = dict[str, Any]
"""hls4ml takes its settings as nested dictionaries."""


def project_files(network: HlsNetwork, hls: Hls, name: str) -> Mapping[str, bytes]:
    """The project by path, the same bytes for the same network.

    Args:
        network: every layer with its type.
        hls: device, tool and options.
        name: of the top function.

    Raises:
        EdgecError: EC1301 where hls4ml uses a type that is not derived.
    """
    with tempfile.TemporaryDirectory(prefix="edgec-hls-") as folder, _quiet():
        from hls4ml.model.graph import ModelGraph

        config = _config(network, hls, name, Path(folder))
        graph = ModelGraph.from_layer_list(
            config,
            [_layer(layer) for layer in network.layers],
            [layer.name for layer in network.inputs],
            [layer.name for layer in network.outputs],
        )
        _check_types(graph, network)
        graph.write()
        made = str(graph.config.config["Stamp"]).encode()
        files = {}
        for path in sorted(Path(folder).rglob("*")):
            relative = path.relative_to(folder).as_posix()
            # Compiled Python beside the vendor headers names the folder that it was compiled in.
            if path.is_file() and relative not in _SKIPPED and path.suffix != ".pyc":
                files[relative] = path.read_bytes().replace(made, STAMP.encode()).replace(folder.encode(), b".")
    return files


def _config(network: HlsNetwork, hls: Hls, name: str, folder: Path) -> Config:
    from hls4ml.backends import get_backend

    period = 1e3 / hls.clock_mhz.value
    config: Config = get_backend(hls.tool.value).create_initial_config(
        part=hls.part, clock_period=round(period, 4), io_type=f"io_{hls.io}"
    )
    writer = config.setdefault("WriterConfig", {"Namespace": None, "TBOutputStream": "both"})
    # Weights in the sources: a text file of weights is read by an absolute path.
    writer.update({"WriteWeightsTxt": False, "WriteTar": False})
    strategy = hls.strategy.capitalize()
    config.update(
        {
            "OutputDir": str(folder),
            "ProjectName": name,
            "Backend": hls.tool.value,
            "TraceOutput": hls.tool is not HlsTool.ONEAPI,
            "HLSConfig": {
                "Model": {
                    "Precision": f"fixed<{_SENTINEL_WIDTH},{_SENTINEL_WIDTH // 2}>",
                    "ReuseFactor": hls.reuse_factor,
                    "Strategy": strategy,
                },
                "LayerName": {layer.name: _layer_config(layer) for layer in network.layers},
            },
        }
    )
    return config


def _layer_config(layer: HlsLayer) -> Config:
    # Layers that sum nothing, such as a maximum, have a type of sums too.
    precision = {"result": str(layer.result), "accum": str(layer.accumulator or layer.result)}
    for role, constants in layer.constants.items():
        # hls4ml names the type of depthwise weights as that of any others.
        precision["weight" if role == "depthwise" else role] = str(constants.type)
        precision[role] = str(constants.type)
    return {"Precision": precision, "Trace": layer.kind != "InputLayer"}


def _layer(layer: HlsLayer) -> Config:
    data = {f"{role}_data": constants.values for role, constants in layer.constants.items()}
    return {
        "name": layer.name,
        "class_name": layer.kind,
        "inputs": list(layer.inputs),
        "outputs": [layer.name],
        **layer.settings,
        **data,
    }


def _check_types(graph: Any, network: HlsNetwork) -> None:  # noqa: ANN401  # hls4ml has no types
    """Stop where a value has no derived type.

    Raises:
        EdgecError: EC1301.
    """
    nodes = {layer.name: layer.node for layer in network.layers}
    for layer in graph.get_layers():
        types = {name: kind.precision for name, kind in layer.types.items() if name != "table_t"}
        types |= {name: variable.type.precision for name, variable in layer.variables.items()}
        for name, precision in types.items():
            if getattr(precision, "width", None) == _SENTINEL_WIDTH:
                raise EdgecError(
                    TYPE_MISSING,
                    f"{name} of the layer {layer.name} ({layer.class_name}) has no derived type",
                    where=f"node {nodes.get(layer.name, layer.name)}",
                    hint=TYPE_MISSING.remedy,
                )


@contextlib.contextmanager
def _quiet() -> Any:  # noqa: ANN401
    """hls4ml reports its progress on the output that is edgec's own."""
    with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
