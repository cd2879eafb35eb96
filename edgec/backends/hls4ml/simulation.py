"""The C simulation of a project: a program that feeds the generated function, and how it is compiled."""

from __future__ import annotations

import numpy as np

from edgec.backends.hls4ml.network import HlsLayer, HlsNetwork
from edgec.backends.hls4ml.traced_layer import TRACED_LAYERS, TracedLayer
from edgec.backends.plan import Command, Tool
from edgec.backends.rtl.integer_graph import Border, Input
from edgec.core.target_hls import HlsTool

PROGRAM = "simulation/network"
COMPILER = Tool("g++", ("g++",), "apt install g++")

_INCLUDES = {
    HlsTool.VITIS: ("firmware/ap_types",),
    HlsTool.VIVADO: ("firmware/ap_types",),
    HlsTool.QUARTUS: ("firmware/ac_types", "firmware/ap_types"),
}
"""Headers of the vendor's types in hls4ml's own copy. oneAPI's need Intel's compiler, and Catapult's projects read
their weights from files whose place depends on the working folder."""


def can_simulate(tool: HlsTool) -> bool:
    """Whether g++ compiles the tool's projects."""
    return tool in _INCLUDES


def compile_command(tool: HlsTool, project: str, name: str) -> Command:
    """Compile project and program into one executable."""
    includes = [f"-I{project}/{folder}" for folder in _INCLUDES[tool]]
    sources = [f"{project}/firmware/{name}.cpp", f"{project}/{name}_bridge.cpp", "simulation/main.cpp"]
    # Not optimised further: compiling would take longer than all simulations together.
    options = ["-std=c++17", "-O1", "-w", "-fno-gnu-unique", *includes]
    return Command(COMPILER.name, (*options, *sources, "-o", PROGRAM), PROGRAM, "compile the C simulation")


def traced(layer: HlsLayer) -> bool:
    """Whether the simulation can tell what a layer computed; reshaping leaves no trace."""
    return layer.kind not in ("InputLayer", "Reshape")


def layer_list(network: HlsNetwork) -> bytes:
    """The traced layers as JSON."""
    rows = tuple(
        TracedLayer(
            name=layer.name,
            node=layer.node,
            op=layer.op,
            value=layer.value,
            type=str(layer.result),
            sums="" if layer.accumulator is None else str(layer.accumulator),
            order=tuple(int(index) for index in layer.order),
        )
        for layer in network.layers
        if traced(layer)
    )
    return TRACED_LAYERS.dump_json(rows) + b"\n"


def program(network: HlsNetwork, name: str) -> str:
    """The program `network INPUTS OUTPUTS [--layers FILE] …`, which follows the protocol of `edgec.measure.running`."""
    inputs, outputs = network.graph.inputs, network.graph.outputs
    arguments = [f"double *i{at}" for at in range(len(inputs))] + [f"double *o{at}" for at in range(len(outputs))]
    given = [f"i{at}.data()" for at in range(len(inputs))] + [f"o{at}.data()" for at in range(len(outputs))]
    layers = sorted((layer for layer in network.layers if traced(layer)), key=lambda layer: layer.name)
    return _PROGRAM.format(
        name=name,
        arguments=", ".join(arguments),
        given=", ".join(given),
        tables="\n".join(_order(f"order_{way}{at}", layer) for way, at, layer in _borders(network)),
        buffers="\n    ".join(
            f"std::vector<double> {'i' if way == 'in' else 'o'}{at}({len(layer.order)});"
            for way, at, layer in _borders(network)
        ),
        reads="\n        ".join(_read(network, at, border) for at, border in enumerate(inputs)),
        writes="\n        ".join(_write(at, border) for at, border in enumerate(outputs)),
        layers="\n".join(f'    {{"{layer.name}", {len(layer.order)}}},' for layer in layers),
        count=max(1, len(layers)),
    )


def _borders(network: HlsNetwork) -> list[tuple[str, int, HlsLayer]]:
    return [("in", at, layer) for at, layer in enumerate(network.inputs)] + [
        ("out", at, layer) for at, layer in enumerate(network.outputs)
    ]


def _order(name: str, layer: HlsLayer) -> str:
    return f"static const int {name}[] = {{{', '.join(str(index) for index in layer.order)}}};"


def _read(network: HlsNetwork, at: int, border: Border) -> str:
    source = network.graph.operations[border.value]
    if not isinstance(source, Input):
        raise TypeError(f"{border.name} is no input")
    low, high = int(source.low), int(source.high)
    kind = _c_type(border.dtype)
    if border.dtype == "float32":
        scale = float(np.float32(border.scale[0])).hex()
        step = f"std::min(std::max((double)std::nearbyint(raw[k] / (float){scale}), {low}.0), {high}.0) * {scale}"
    else:
        step = (
            f"(double)((long)raw[k] - {border.zero_point}) * {float(border.scale[0] if border.scale.size else 1).hex()}"
        )
    return (
        f"{{ std::vector<{kind}> raw(i{at}.size()); if (!take(raw)) return 0;"
        f" for (size_t n = 0; n < i{at}.size(); n++) {{ size_t k = order_in{at}[n]; i{at}[n] = {step}; }} }}"
    )


def _write(at: int, border: Border) -> str:
    kind = _c_type(border.dtype)
    value = f"o{at}[n]" if border.dtype == "float32" else f"o{at}[n] + {border.zero_point}"
    return (
        f"{{ std::vector<{kind}> raw(o{at}.size());"
        f" for (size_t n = 0; n < raw.size(); n++) raw[order_out{at}[n]] = ({kind})({value}); give(raw); }}"
    )


def _c_type(dtype: str) -> str:
    return "float" if dtype == "float32" else f"{dtype}_t"


_PROGRAM = """\
// C simulation: {name} INPUTS OUTPUTS [--warmup N] [--iterations N] [--layers FILE]
// Inputs are quantised here, as the host of the circuit does; any number of samples may follow each other.
#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <vector>

struct trace_data {{
    const char *name;
    void *data;
}};
extern "C" {{
void {name}_double({arguments});
void allocate_trace_storage(size_t element_size);
void free_trace_storage();
void collect_trace_output(struct trace_data *outputs);
}}

static const struct {{
    const char *name;
    size_t elements;
}} layers[] = {{
{layers}
}};
{tables}

static FILE *inputs, *outputs;

template <class T> static bool take(std::vector<T> &raw) {{
    return fread(raw.data(), sizeof(T), raw.size(), inputs) == raw.size();
}}
template <class T> static void give(const std::vector<T> &raw) {{ fwrite(raw.data(), sizeof(T), raw.size(), outputs); }}

static void write_layers(FILE *trace) {{
    trace_data collected[{count}] = {{}};
    collect_trace_output(collected);
    for (size_t each = 0; each < {count}; each++)
        for (size_t at = 0; at < {count}; at++)
            if (collected[at].name && !strcmp(collected[at].name, layers[each].name))
                fwrite(collected[at].data, sizeof(double), layers[each].elements, trace);
}}

static int all_samples(FILE *trace) {{
    {buffers}
    for (;;) {{
        {reads}
        {name}_double({given});
        {writes}
        if (trace) write_layers(trace);
    }}
}}

int main(int count, char **words) {{
    if (count < 3) return 2;
    long iterations = 1, warmup = 0;
    FILE *trace = nullptr;
    for (int at = 3; at + 1 < count; at += 2) {{
        if (!strcmp(words[at], "--iterations")) iterations = atol(words[at + 1]);
        if (!strcmp(words[at], "--warmup")) warmup = atol(words[at + 1]);
        if (!strcmp(words[at], "--layers") && !(trace = fopen(words[at + 1], "wb"))) return 3;
    }}
    if (!(inputs = fopen(words[1], "rb")) || !(outputs = fopen(words[2], "wb"))) return 3;
    if (trace) allocate_trace_storage(sizeof(double));
    for (long round = -warmup; round < iterations; round++) {{
        rewind(inputs);
        rewind(outputs);
        auto begin = std::chrono::steady_clock::now();
        all_samples(trace);
        auto end = std::chrono::steady_clock::now();
        long long elapsed = std::chrono::duration_cast<std::chrono::nanoseconds>(end - begin).count();
        if (round >= 0) printf("{{\\"iteration\\": %ld, \\"nanoseconds\\": %lld}}\\n", round, elapsed);
    }}
    if (trace) {{
        fclose(trace);
        free_trace_storage();
    }}
    return fclose(outputs) ? 3 : 0;
}}
"""
